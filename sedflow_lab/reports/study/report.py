"""What a study found: one row a galaxy and method, and the figures that sum them up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy.table import Table

from ...errors import InputError
from ...parameters import NAMES
from ...posterior.result import PosteriorResult
from .store import NETWORK, Store

__all__ = ["CLAIMS", "Claim", "collect", "overall", "pick_cases", "within_floor"]

FLOORS = 2.0
"""Noise floors within which a marginal counts as the same."""


@dataclass(frozen=True)
class Claim:
    """What the exact or the fast posterior is hoped to reach.

    Attributes
    ----------
    text : str
    method : str
    value : str
        Column of `overall`.
    limit : float
    at_least : bool
        Whether the limit is a lower one.
    """

    text: str
    method: str
    value: str
    limit: float
    at_least: bool = False

    def met(self, measured: float) -> bool:
        """Whether the measured value reaches it."""
        return measured >= self.limit if self.at_least else measured <= self.limit


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
            known = {
                "sample": sample.name,
                "id": str(galaxy),
                "r": r[k],
                "chain": str(chain.badge[0]),
                "redshift": sample.photometry.redshift[k],
            }
            for method in ("mcmc", *NETWORK):
                result = chain if method == "mcmc" else store.load(sample.name, method, galaxy)
                if result is not None:
                    row = known | _numbers(result)
                    table = store.load_comparison(sample.name, method, galaxy)
                    rows.append(row | _distances(table))
    if not rows:
        raise InputError(f"The study in {store.folder} has no chain yet.")
    return Table(rows)


def _numbers(result: PosteriorResult) -> dict[str, Any]:
    found = {name: values[0] for name, values in result.diagnostics.items()}
    evaluations = found.get("n_evaluations", found.get("evaluations", np.nan))
    if result.method == "weighted":
        evaluations = result.samples.shape[1]
    if result.method == "fast":
        evaluations = 0
    return {
        "method": result.method,
        "badge": str(result.badge[0]),
        "ess": float(result.ess[0]),
        "seconds": float(found["seconds"]),
        "evaluations": float(evaluations),
        "log_evidence": float(result.log_evidence[0]),
        "chi2_min": float(result.chi2_min[0]),
    }


_PAIRED = ("js", "w1")
_PLAIN = ("shift", "width")


def _distances(table: Table | None) -> dict[str, float]:
    """Distances from the chain, NaN where there are none."""
    if table is None:
        names = [*_PAIRED, *(f"{name}_floor" for name in _PAIRED), *_PLAIN]
        keys = [f"{name}_{parameter}" for name in names for parameter in NAMES]
        return dict.fromkeys(["c2st", "c2st_floor", *keys], np.nan)
    values = {name: float(table.meta[name]) for name in ("c2st", "c2st_floor")}
    for row in table[: len(NAMES)]:
        for name in _PAIRED:
            values[f"{name}_{row['parameter']}"] = float(row[name])
            values[f"{name}_floor_{row['parameter']}"] = float(row[f"{name}_floor"])
        for name in _PLAIN:
            values[f"{name}_{row['parameter']}"] = float(row[name])
    return values


def columns(table: Table, name: str) -> np.ndarray:
    """A measure of all parameters, shape (rows, 12)."""
    return np.column_stack([np.asarray(table[f"{name}_{p}"], dtype=float) for p in NAMES])


def chosen(table: Table, sample: str, method: str) -> Table:
    """Rows of a sample and method that have been compared with a converged chain."""
    keep = (table["sample"] == sample) & (table["method"] == method)
    keep &= (table["chain"] == "converged") & np.isfinite(table["c2st"])
    return table[keep]


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
        for method in NETWORK:
            part = chosen(table, sample, method)
            if not len(part):
                continue
            inside = within_floor(part)
            rows.append(
                {
                    "sample": sample,
                    "method": method,
                    "galaxies": len(part),
                    "c2st": np.median(part["c2st"]),
                    "c2st_floor": np.nanmedian(part["c2st_floor"]),
                    "js": np.median(columns(part, "js")),
                    "js_floor": np.median(columns(part, "js_floor")),
                    "w1": np.median(columns(part, "w1")),
                    "w1_floor": np.median(columns(part, "w1_floor")),
                    "w1_95": np.quantile(columns(part, "w1"), 0.95),
                    "within": inside.mean(),
                    "within_worst": inside.min(),
                    "ess": np.median(part["ess"]),
                    "evaluations": np.median(part["evaluations"]),
                    "seconds": np.median(part["seconds"]),
                }
            )
    if not rows:
        raise InputError("No galaxy of the study has been compared with a converged chain yet.")
    return Table(rows)


def pick_cases(table: Table, sample: str, method: str = "fast") -> dict[str, str]:
    """Ids of the galaxies for which a method did best, in the middle, and worst, by C2ST."""
    part = chosen(table, sample, method)
    order = np.argsort(np.asarray(part["c2st"]), kind="stable")
    places = {"best": 0, "median": (len(order) - 1) // 2, "worst": len(order) - 1}
    return {name: str(part["id"][order[place]]) for name, place in places.items()}
