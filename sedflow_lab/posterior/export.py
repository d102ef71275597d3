"""Results as other packages hold them: astropy's tables, ArviZ's groups."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from ..quantities import NAMES, PARAMETERS, get_quantity
from .weighting import weighted_quantile

if TYPE_CHECKING:
    from astropy.table import Table

    from ..sps.bands import BandSet
    from ..sps.model import SEDModel
    from .result import PosteriorResult

__all__ = ["draws_table", "summary_table", "to_arviz", "worst_band"]


def summary_table(
    result: PosteriorResult,
    levels: tuple[float, float, float],
    model: SEDModel | None,
    rest_frame: str | BandSet | None,
) -> Table:
    """One row a galaxy (see `PosteriorResult.summary`); the band most likely bad, if any may be."""
    from astropy.table import Column, Table

    table = Table({"id": result.ids, "redshift": result.redshift})
    if "draw_redshift" in result.diagnostics:
        drawn = weighted_quantile(result.draw_redshift[..., None], result.weights, list(levels))
        for suffix, k in (("", 1), ("_lo", 0), ("_hi", 2)):
            found = np.where(result.usable, drawn[k, :, 0], result.redshift)
            description = f"redshift, quantile {levels[k]:g} of the posterior"
            table[f"redshift{suffix}"] = Column(found, description=description)
        table["redshift_cut"] = np.nan_to_num(result.diagnostics["redshift_cut"])
        table["redshift_cut"].description = "share of the redshift's normal prior that is cut off"
    quantiles = np.moveaxis(result.quantile(levels), -1, 0)
    values = dict(zip(NAMES, quantiles, strict=True))
    if model is not None:
        for name, each in result.derived(model, rest_frame).items():
            values[name] = weighted_quantile(each[..., None], result.weights, list(levels))[..., 0]
    for name, found in values.items():
        quantity = get_quantity(name)
        for suffix, k in (("", 1), ("_lo", 0), ("_hi", 2)):
            table[name + suffix] = Column(
                found[k],
                unit=quantity.column_unit,
                description=f"{quantity.description}, quantile {levels[k]:g}",
            )
    for name in ("ess", "badge", "chi2_min", "log_evidence"):
        table[name] = getattr(result, name)
    if "bad_band" in result.diagnostics:
        worst, probability = worst_band(result.diagnostics["bad_band"], result.bands.labels)
        table["bad_band"], table["bad_band_probability"] = worst, probability
    table["problem"] = result.problems
    table.meta.update(method=result.method, bands=result.bands.name)
    return table


def worst_band(bad: np.ndarray, labels: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Label (N,) of the band most likely bad, and that probability (N,), of those of all (N, B).

    It is empty and NaN where nothing is known.
    """
    known = np.isfinite(bad).any(1)
    worst = np.where(known, np.nan_to_num(bad, nan=-1.0).argmax(1), len(labels))
    return np.array([*labels, ""])[worst], np.where(known, np.nan_to_num(bad).max(1), np.nan)


def draws_table(one: PosteriorResult) -> Table:
    """One row a draw of one galaxy (see `PosteriorResult.to_table`)."""
    from astropy.table import Column, Table

    columns = [
        Column(one.samples[0, :, k], p.name, unit=p.column_unit, description=p.description)
        for k, p in enumerate(PARAMETERS)
    ]
    table = Table(columns)
    if "draw_redshift" in one.diagnostics:
        table["redshift"] = one.draw_redshift[0]
    table["weight"] = one.weights[0]
    table.meta.update(id=str(one.ids[0]), **_about(one))
    return table


def to_arviz(one: PosteriorResult, seed: int) -> Any:
    """Draws of one galaxy for ArviZ (see `PosteriorResult.to_arviz`)."""
    import arviz

    if not one.usable[0]:
        raise InputError(f"Galaxy {one.ids[0]} has no posterior: {one.problems[0]}")
    uncertain = "draw_redshift" in one.diagnostics
    names = [*NAMES, "redshift"] if uncertain else NAMES

    def columns(one: PosteriorResult) -> np.ndarray:
        return np.column_stack([one.samples[0], one.draw_redshift[0]])[:, : len(names)]

    if np.ptp(one.weights) > 1e-9 * one.weights.max():
        one = one.resample(one.samples.shape[1], seed)
        chains = [columns(one)]
    else:
        labels = one.diagnostics.get("draw_chain", np.zeros_like(one.weights))[0]
        chains = [columns(one)[labels == label] for label in np.unique(labels)]
    length = min(len(chain) for chain in chains)
    array = np.stack([chain[:length] for chain in chains])
    attributes = {"galaxy": str(one.ids[0]), **_about(one)}
    draws = {name: array[..., k] for k, name in enumerate(names)}
    if int(arviz.__version__.partition(".")[0]) < 1:
        return arviz.from_dict(posterior=draws, posterior_attrs=attributes)
    return arviz.from_dict({"posterior": draws}, attrs={"posterior": attributes})


def _about(one: PosteriorResult) -> dict[str, Any]:
    return {
        "redshift": float(one.redshift[0]),
        "method": one.method,
        "badge": str(one.badge[0]),
        "bands": one.bands.name,
    }
