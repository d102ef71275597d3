"""What people take home from a panel: the Python behind what is shown, and the draws as files."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ...exact import Outliers
from ...observations.photometry import Photometry
from ...observations.write import encode_table
from ...quantities import DERIVED
from . import html
from .choice import Outcome

if TYPE_CHECKING:
    from astropy.table import Table

__all__ = ["code_of", "draws_of", "links_of"]

_KINDS: Mapping[str, str] = {
    ".ecsv": "text/plain",
    ".csv": "text/csv",
    ".fits": "application/fits",
}


def code_of(
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
    lines = [
        "import sedflow_lab as sl",
        "",
        f"posterior = sl.load_posterior({result.provenance['bundle']!r})",
        "galaxy = sl.Photometry(",
        f"    flux={_numbers(photometry.flux[0])},  # {', '.join(labels)} [nanomaggies]",
        f"    sigma={_numbers(photometry.sigma[0])},",
        f"    redshift={float(photometry.redshift[0])!r},",
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
    for quantity in DERIVED:
        table[quantity.name] = outcome.values[quantity.name]
        table[quantity.name].unit = quantity.column_unit
        table[quantity.name].description = quantity.description
    return table


def links_of(outcome: Outcome) -> str:
    """Links, as HTML, that download the draws; the files are in the page, not on a server."""
    table, name = draws_of(outcome), f"draws-{outcome.result.ids[0]}-{outcome.result.method}"
    parts = []
    for suffix, kind in _KINDS.items():
        data = base64.b64encode(encode_table(table, suffix)).decode()
        file = html.escape(name + suffix)
        parts.append(f"<a download='{file}' href='data:{kind};base64,{data}'>{file}</a>")
    return html.strip([f"{len(table):,} draws:", *parts])


def _numbers(values: Any) -> str:
    shown = ("float('nan')" if np.isnan(value) else repr(float(value)) for value in values)
    return f"[{', '.join(shown)}]"
