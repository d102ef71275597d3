"""What people take home from a panel: the Python behind it, draws and figures as files."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np

from ...exact import Outliers
from ...observations.photometry import Photometry
from ...observations.write import encode_table
from ...quantities import NAMES, get_quantity
from ...sps import load_ssp_grid
from . import html
from .choice import Outcome

if TYPE_CHECKING:
    from astropy.table import Table

    from ...anpe import AmortizedPosterior
    from ...sps import SEDModel

__all__ = [
    "code_of",
    "draws_of",
    "figure_links_of",
    "links_of",
    "links_to",
    "loading_code",
    "netcdf_of",
]

_KINDS: Mapping[str, str] = {
    ".ecsv": "text/plain",
    ".csv": "text/csv",
    ".fits": "application/fits",
}


def loading_code(posterior: AmortizedPosterior) -> list[str]:
    """Lines of Python that load a posterior, with the stellar populations that it was made with."""
    bundle, grid = posterior.bundle, posterior.model.ssp
    name = repr(bundle.source or bundle.name)
    if grid.hash == load_ssp_grid().hash:
        return ["import sedflow_lab as sl", "", f"posterior = sl.load_posterior({name})"]
    missing = "" if grid.source else f"  # save {grid.title} there first: grid.save"
    return [
        "import sedflow_lab as sl",
        "from sedflow_lab.sps import load_ssp_grid",
        "",
        f"grid = load_ssp_grid({grid.source or f'{grid.name}.npz'!r}){missing}",
        f"posterior = sl.load_posterior({name}, ssp=grid)",
    ]


def code_of(
    posterior: AmortizedPosterior,
    photometry: Photometry,
    outcome: Outcome,
    seed: int = 0,
    floor: float = 0.0,
    outliers: Outliers | None = None,
    flat: tuple[str, ...] = (),
) -> str:
    """Python that makes the posterior of an outcome, to the last digit.

    Parameters
    ----------
    posterior : AmortizedPosterior
    photometry : Photometry
        One galaxy, as it was measured: without an error floor, and with all its bands.
    outcome : Outcome
    seed : int
    floor : float
        Fraction of the flux that was added to the uncertainties.
    outliers, flat
        As for `AmortizedPosterior.infer` and `PosteriorResult.reweight`.
    """
    result, labels = outcome.result, np.array(photometry.bands.labels)
    options = {"draws": result.samples.shape[1], "method": result.method, "seed": seed}
    more = "".join(f", {name}={value!r}" for name, value in options.items())
    allowed = outliers if result.method != "fast" else None
    if allowed is not None:
        more += f", outliers=sl.Outliers({allowed.probability!r})"
    uncertain = float(photometry.redshift_sigma[0])
    lines = [
        *loading_code(posterior),
        "galaxy = sl.Photometry(",
        f"    flux={_numbers(photometry.flux[0])},  # {', '.join(labels)} [nanomaggies]",
        f"    sigma={_numbers(photometry.sigma[0])},",
        f"    redshift={float(photometry.redshift[0])!r},",
        *([f"    redshift_sigma={uncertain!r},"] if uncertain else []),
        "    bands=posterior.bands,",
        f"    ids=[{str(photometry.ids[0])!r}],",
        *([f"    mask={photometry.mask[0].tolist()},"] if not photometry.mask.all() else []),
        ")",
    ]
    if floor:
        lines.append(f"galaxy = galaxy.with_error_floor({floor!r})")
    used = labels[outcome.photometry.mask[0]].tolist()
    if len(used) < photometry.mask.sum():
        lines.append(f"galaxy = galaxy.select_bands({', '.join(map(repr, used))})")
    lines.append(f"result = posterior.infer(galaxy{more})")
    if flat:
        lines.append(f"result = result.reweight({list(flat)!r}, posterior.model)")
    return "\n".join([*lines, "result.summary()"]) + "\n"


def draws_of(outcome: Outcome) -> Table:
    """Draws with their weights, and what derives from them."""
    table = outcome.result.to_table()
    more = {**outcome.values, **outcome.at_rest}
    for quantity in (get_quantity(name) for name in more if name not in NAMES):
        table[quantity.name] = more[quantity.name]
        table[quantity.name].unit = quantity.column_unit
        table[quantity.name].description = quantity.description
    return table


def netcdf_of(outcome: Outcome) -> bytes:
    """The draws as a NetCDF file (of version 3, which everything reads)."""
    from scipy.io import netcdf_file

    table, stream = draws_of(outcome), BytesIO()
    file = netcdf_file(stream, "w")
    file.createDimension("draw", len(table))
    for key, value in table.meta.items():
        setattr(file, key, str(value).encode())  # as UTF-8: text of scipy's is ASCII
    for name in table.colnames:
        column = file.createVariable(name, "d", ("draw",))
        column[:] = np.asarray(table[name], dtype=float)
        column.units = str(table[name].unit or "").encode()
        column.long_name = str(table[name].description or "").encode()
    file.flush()
    return stream.getvalue()


def links_of(outcome: Outcome) -> str:
    """Links, as HTML, that download the draws; the files are in the page, not on a server."""
    table, name = draws_of(outcome), _stem(outcome, "draws")
    nc = _link(name + ".nc", "application/netcdf", netcdf_of(outcome))
    return html.strip([f"{len(table):,} draws:", *links_to(table, name), nc])


def links_to(table: Table, name: str) -> list[str]:
    """Links, as HTML, that download a table under a name, in each format."""
    return [
        _link(name + suffix, kind, encode_table(table, suffix)) for suffix, kind in _KINDS.items()
    ]


def figure_links_of(
    outcomes: Sequence[Outcome], names: Sequence[str], model: SEDModel, zoom: bool = False
) -> str:
    """Links, as HTML, that download figures for a paper, of posteriors of one galaxy.

    Parameters
    ----------
    outcomes : sequence of Outcome
        The first of them goes with the galaxy's name, the others over it.
    names : sequence of str
        Quantities of the corner plot.
    model : SEDModel
    zoom : bool
        Whether axes show the posterior, and not all of the prior.
    """
    from ...plots import plot_corner, plot_galaxy

    results, one = [outcome.result for outcome in outcomes], outcomes[0].photometry
    figures = {
        "corner": plot_corner(results, parameters=list(names), model=model, zoom=zoom),
        "galaxy": plot_galaxy(one, results, model),
    }
    parts = []
    for what, figure in figures.items():
        for suffix, kind in ((".png", "image/png"), (".pdf", "application/pdf")):
            stream = BytesIO()
            figure.savefig(stream, format=suffix[1:], bbox_inches="tight")
            parts.append(_link(_stem(outcomes[0], what) + suffix, kind, stream.getvalue()))
    return html.strip(parts)


def _stem(outcome: Outcome, what: str) -> str:
    """Name of a file, without its ending."""
    return f"{what}-{outcome.result.ids[0]}-{outcome.result.method}"


def _link(name: str, kind: str, data: bytes) -> str:
    file, text = html.escape(name), base64.b64encode(data).decode()
    return f"<a download='{file}' href='data:{kind};base64,{text}'>{file}</a>"


def _numbers(values: Any) -> str:
    shown = ("float('nan')" if np.isnan(value) else repr(float(value)) for value in values)
    return f"[{', '.join(shown)}]"
