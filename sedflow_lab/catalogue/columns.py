"""What a store tells of each galaxy: columns, and results and photometry made of them again."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from .._threads import share_out, workers
from ..errors import InputError
from ..observations.photometry import Photometry
from ..posterior.export import worst_band
from ..posterior.result import PosteriorResult
from ..posterior.weighting import weighted_quantile
from ..quantities import QUANTITIES, get_quantity
from ..sps.rest_frame import at_rest
from .encoding import decoded

if TYPE_CHECKING:
    import pyarrow
    from astropy.table import Table

    from ..anpe import AmortizedPosterior
    from ..sps.bands import BandSet
    from ..sps.model import SEDModel

__all__ = ["as_photometry", "as_result", "as_table", "columns_of"]

_QUALITY = (
    "efficiency",
    "pareto_k",
    "distance",
    "support",
    "log_evidence_error",
    "evaluations",
)
"""Diagnostics of one number a galaxy, NaN where a method gives none."""

_LEVELS = {"": 0.5, "_lo": 0.16, "_hi": 0.84}
_BAD = "bad_"
_GIVEN = "redshift_given"  # where "redshift" is the median of the posterior


def columns_of(
    result: PosteriorResult,
    photometry: Photometry,
    posterior: AmortizedPosterior,
    outliers: bool,
    uncertain: bool,
    rest_frame: BandSet | None = None,
    threads: int | None = None,
) -> pyarrow.Table:
    """One row a galaxy of everything but its draws; derived quantities are of all draws.

    Fluxes [nanomaggies] are NaN where a band is masked. There are columns on bad bands where there
    may be outliers, on the posterior of the redshift where any are uncertain, and on bands at rest
    where these are given.
    """
    import pyarrow

    n = len(result)
    columns: dict[str, np.ndarray] = {"row": photometry.rows, "id": result.ids}
    columns["redshift"] = result.redshift
    if uncertain:
        levels = list(_LEVELS.values())
        drawn = weighted_quantile(result.draw_redshift[..., None], result.weights, levels)[..., 0]
        drawn = np.where(result.usable, drawn, result.redshift)
        columns |= {f"redshift{end}": drawn[k] for k, end in enumerate(_LEVELS)}
        columns[_GIVEN], columns["redshift_sigma"] = result.redshift, photometry.redshift_sigma
        columns["redshift_cut"] = np.nan_to_num(result.diagnostics.get("redshift_cut", np.zeros(n)))
    model, names = posterior.model, list(QUANTITIES)
    if rest_frame is not None:
        names += at_rest(model, rest_frame).names
    quantiles_of = partial(_quantiles, model=model, rest_frame=rest_frame, count=len(names))
    quantiles = np.stack(list(share_out(quantiles_of, list(result), workers(threads))))
    for k, name in enumerate(names):
        columns |= {name + end: quantiles[:, level, k] for level, end in enumerate(_LEVELS)}
    for name in ("ess", "badge", "chi2_min", "log_evidence"):
        columns[name] = getattr(result, name)
    columns["problem"] = result.problems
    columns["exact"] = np.isin(result.badge, ["exact", "model cannot fit", "unfinished"])
    for name in _QUALITY:
        columns[name] = np.asarray(result.diagnostics.get(name, np.full(n, np.nan)), np.float64)
    suspect = np.full(n, "", dtype=object)
    usable = np.flatnonzero(posterior.check(photometry) == "")
    if len(usable):
        suspect[usable] = posterior.suspect_bands(photometry[usable])
    columns["suspect_band"] = suspect.astype(str)
    labels = photometry.bands.labels
    if outliers:  # where no galaxy has a posterior, nothing is told of them
        bad = result.diagnostics.get("bad_band", np.full(photometry.flux.shape, np.nan))
        columns["bad_band"], columns["bad_band_probability"] = worst_band(bad, labels)
        columns |= {_BAD + label: bad[:, k] for k, label in enumerate(labels)}
    for k, label in enumerate(labels):
        columns[f"flux_{label}"] = photometry.flux[:, k]
        columns[f"sigma_{label}"] = photometry.sigma[:, k]
    columns["ebv"] = photometry.ebv
    fields, arrays = list[Any](), list[Any]()
    for name, values in columns.items():
        array = pyarrow.array(values.tolist() if values.dtype.kind == "U" else values)
        fields.append(pyarrow.field(name, array.type, nullable=False))
        arrays.append(array)
    return pyarrow.Table.from_arrays(arrays, schema=pyarrow.schema(fields))


def _quantiles(
    one: PosteriorResult, model: SEDModel, rest_frame: BandSet | None, count: int
) -> np.ndarray:
    """Quantiles (3, count) of all quantities of a galaxy.

    Galaxies come one by one, so that the last digits of what is derived depend on no other.
    """
    if not one.usable[0]:
        return np.full((len(_LEVELS), count), np.nan)
    more = one.derived(model, rest_frame).values()
    values = np.concatenate([one.samples, np.stack(list(more), -1)], -1)
    return weighted_quantile(values, one.weights, list(_LEVELS.values()))[:, 0]


def as_photometry(rows: pyarrow.Table, bands: BandSet, floor: dict[str, float]) -> Photometry:
    """The galaxies of some rows, with the error floor by band that their uncertainties have."""
    flux, sigma = (
        np.column_stack([rows[f"{what}_{label}"].to_numpy() for label in bands.labels])
        for what in ("flux", "sigma")
    )
    uncertain = "redshift_sigma" in rows.column_names
    sigmas = rows["redshift_sigma"].to_numpy() if uncertain else np.zeros(len(flux))
    return Photometry.checked(
        bands,
        np.array([floor.get(label, 0.0) for label in bands.labels]),
        flux=flux,
        sigma=sigma,
        redshift=_given(rows).copy(),
        redshift_sigma=sigmas.copy(),
        ids=_words(rows, "id"),
        rows=rows["row"].to_numpy().copy(),
        mask=np.isfinite(flux) | np.isfinite(sigma),
        problems=_words(rows, "problem"),
        ebv=rows["ebv"].to_numpy().copy(),
    )


def as_result(
    rows: pyarrow.Table,
    kept: np.ndarray,
    weights: np.ndarray | None,
    redshift: np.ndarray | None,
    bands: BandSet,
    method: str,
    provenance: dict[str, Any],
) -> PosteriorResult:
    """The posteriors of some rows with their draws as they are kept (N, D, 12).

    Redshifts (N, D) are those of draws, where any of the catalogue are uncertain.
    """
    samples = decoded(kept)
    usable = np.isfinite(samples).all((1, 2))
    if weights is None:  # equal ones, in the network's precision
        equal = np.where(usable, np.float32(1.0 / samples.shape[1]), 0.0)
        weights = np.repeat(equal[:, None], samples.shape[1], 1)
    bad = [_BAD + label for label in bands.labels]
    diagnostics = {name: rows[name].to_numpy() for name in _QUALITY}
    if bad[0] in rows.column_names:
        diagnostics["bad_band"] = np.column_stack([rows[name].to_numpy() for name in bad])
    if redshift is not None:
        diagnostics["draw_redshift"] = redshift.astype(np.float64)
        diagnostics["redshift_cut"] = rows["redshift_cut"].to_numpy()
    return PosteriorResult(
        samples,
        weights,
        _given(rows),
        _words(rows, "id"),
        bands,
        method,
        _words(rows, "badge"),
        **{name: rows[name].to_numpy() for name in ("ess", "chi2_min", "log_evidence")},
        diagnostics=diagnostics,
        provenance=provenance,
        problems=_words(rows, "problem"),
    )


def as_table(rows: pyarrow.Table, meta: dict[str, Any]) -> Table:
    """Rows as a table with units and descriptions."""
    import astropy.units as u
    from astropy.table import Column, Table

    table = Table(meta=meta)
    for name in rows.column_names:
        text = rows.schema.field(name).type == "string"
        values = _words(rows, name) if text else rows[name].to_numpy()
        stem, end = (name[:-3], name[-3:]) if name[-3:] in _LEVELS else (name, "")
        column = Column(values, name)
        if name.startswith(("flux_", "sigma_")):
            column.unit = u.nmgy
        with suppress(InputError):
            quantity = get_quantity(stem)
            column.unit = quantity.column_unit
            column.description = f"{quantity.description}, quantile {_LEVELS[end]:g}"
        table[name] = column
    return table


def _given(rows: pyarrow.Table) -> np.ndarray:
    """Redshifts as they were measured."""
    return rows[_GIVEN if _GIVEN in rows.column_names else "redshift"].to_numpy()


def _words(rows: pyarrow.Table, name: str) -> np.ndarray:
    return np.array(rows[name].to_pylist(), dtype=np.str_)
