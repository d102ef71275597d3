"""What a study found: one row a galaxy and method, and the figures that sum them up."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from astropy.table import Table

from ...errors import InputError
from ...parameters import NAMES
from ...posterior.result import PosteriorResult
from .store import NETWORK, Store

__all__ = ["CLAIMS", "Claim", "collect", "overall", "pick_cases", "within_floor"]

FLOORS = 2.0
"""Noise floors within which a marginal counts as the same."""


class Claim(NamedTuple):
    """What the exact or the fast posterior is hoped to reach."""

    text: str
    method: str
    value: str  # column of `overall`
    limit: float
    at_least: bool = False  # whether the limit is a lower one


CLAIMS = (
    Claim("median C2ST of the exact posterior", "exact", "c2st", 0.52),
    Claim("median C2ST of the fast posterior", "fast", "c2st", 0.60),
    Claim(
        "galaxies whose exact marginal is within 2x the noise floor, in the worst parameter",
        "exact",
        "within_worst",
        0.95,
        at_least=True,
    ),
)
"""What was set out to be shown."""


def collect(store: Store) -> Table:
    """One row for each galaxy and method, emcee among them.

    Returns
    -------
    astropy.table.Table
        ``sample``, ``id``, ``redshift``, ``r`` [mag], ``method``, ``badge``, ``chain`` (the badge
        of the chain), ``ess`` (of the 4000 draws), ``seconds``, ``evaluations``,
        ``log_evidence``, ``chi2_min``, ``c2st``, ``c2st_floor``; and for each parameter
        ``js_``, ``js_floor_``, ``w1_``, ``w1_floor_``, ``shift_`` and ``width_``, as
        `diagnostics.comparison.compare` has them.

    Raises
    ------
    InputError
        If there is nothing to report.
    """
    rows: list[dict[str, Any]] = []
    for sample in store.samples():
        label = sample.photometry.bands.labels
        r = sample.photometry.magnitude[:, label.index("r") if "r" in label else 0]
        for k, galaxy in enumerate(sample.photometry.ids):
            chain = store.load(sample.name, "mcmc", galaxy)
            if chain is None:
                continue
            known = {"sample": sample.name, "id": str(galaxy), "r": r[k]}
            known |= {"chain": str(chain.badge[0]), "redshift": sample.photometry.redshift[k]}
            for method in ("mcmc", *NETWORK):
                result = chain if method == "mcmc" else store.load(sample.name, method, galaxy)
                if result is not None:
                    table = store.load_comparison(sample.name, method, galaxy)
                    rows.append(known | _numbers(result) | _distances(table))
    if not rows:
        raise InputError(f"The study in {store.folder} has no chain yet.")
    return Table(rows)


def _numbers(result: PosteriorResult) -> dict[str, Any]:
    found = {name: values[0] for name, values in result.diagnostics.items()}
    evaluations = found.get("n_evaluations", found.get("evaluations", np.nan))
    evaluations = {"weighted": result.samples.shape[1], "fast": 0}.get(result.method, evaluations)
    return {
        "method": result.method,
        "badge": str(result.badge[0]),
        "ess": float(result.ess[0]),
        "seconds": float(found["seconds"]),
        "evaluations": float(evaluations),
        "log_evidence": float(result.log_evidence[0]),
        "chi2_min": float(result.chi2_min[0]),
    }


def _distances(table: Table | None) -> dict[str, float]:
    """Distances from the chain, NaN where there are none."""
    found: Any = {} if table is None else table.meta
    values = {name: float(found.get(name, np.nan)) for name in ("c2st", "c2st_floor")}
    for measure in ("js", "w1", "js_floor", "w1_floor", "shift", "width"):
        for k, name in enumerate(NAMES):
            values[f"{measure}_{name}"] = np.nan if table is None else float(table[measure][k])
    return values


def columns(table: Table, name: str) -> np.ndarray:
    """A measure of all parameters, shape (rows, 12)."""
    return np.column_stack([np.asarray(table[f"{name}_{p}"], dtype=float) for p in NAMES])


def chosen(table: Table, sample: str, method: str) -> Table:
    """Rows of a sample and method that have been compared with a converged chain."""
    keep = (table["sample"] == sample) & (table["method"] == method)
    keep &= (table["chain"] == "converged") & np.isfinite(table["c2st"])
    return table[keep]


def by_method(table: Table, sample: str) -> dict[str, Table]:
    """What `chosen` finds of the methods that have any."""
    parts = {method: chosen(table, sample, method) for method in NETWORK}
    return {method: part for method, part in parts.items() if len(part)}


def within_floor(part: Table) -> np.ndarray:
    """Share of galaxies whose JS distance is within twice the noise floor, by parameter (12,)."""
    return (columns(part, "js") <= FLOORS * columns(part, "js_floor")).mean(axis=0)


def overall(table: Table) -> Table:
    """One row for each sample and method: medians over galaxies and parameters.

    Returns
    -------
    astropy.table.Table
        ``sample``, ``method``, ``galaxies`` (compared with a converged chain), ``c2st`` and
        ``c2st_floor`` (medians), ``js``, ``js_floor``, ``w1``, ``w1_floor`` [σ] (medians),
        ``w1_95`` (95 % of marginals are nearer), ``within`` and ``within_worst`` (share of
        marginals with JS within twice the noise floor: of all, and in the worst parameter),
        ``ess``, ``evaluations``, ``seconds`` (medians).
    """
    rows = []
    for sample in dict.fromkeys(table["sample"]):
        for method, part in by_method(table, sample).items():
            inside = within_floor(part)
            row = {"sample": sample, "method": method, "galaxies": len(part)}
            row |= {name: np.nanmedian(part[name]) for name in ("c2st", "c2st_floor")}
            for name in ("js", "js_floor", "w1", "w1_floor"):
                row[name] = np.median(columns(part, name))
            row["w1_95"] = np.quantile(columns(part, "w1"), 0.95)
            row |= {"within": inside.mean(), "within_worst": inside.min()}
            rows.append(row | {n: np.median(part[n]) for n in ("ess", "evaluations", "seconds")})
    if not rows:
        raise InputError("No galaxy of the study has been compared with a converged chain yet.")
    return Table(rows)


def pick_cases(table: Table, sample: str, method: str = "fast") -> dict[str, str]:
    """Ids of the galaxies for which a method did best, in the middle, and worst, by C2ST."""
    part = chosen(table, sample, method)
    order = np.argsort(np.asarray(part["c2st"]), kind="stable")
    places = {"best": 0, "median": (len(order) - 1) // 2, "worst": len(order) - 1}
    return {name: str(part["id"][order[place]]) for name, place in places.items()}
