"""Where are posteriors right and where not: coverage by what is observed of a galaxy.

Scores of right posteriors are uniform not only on the whole, but for any group of galaxies that
is chosen by what was observed of them. A network can be right on average and wrong in every
corner.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from ..errors import InputError
from .bands import coverage_band
from .calibration_run import CalibrationRun
from .scoring import KINDS, SCORED
from .uniformity import holm

__all__ = ["Conditional", "CoverageMap", "conditional_coverage", "coverage_map", "covered"]

_FEWEST = 20


@dataclass(frozen=True)
class Conditional:
    """Coverage in K groups of simulations, sorted by one observable.

    It is the fraction of truths inside regions of a probability, by `scoring.SCORED`: central
    intervals of marginals, regions of highest density, the smaller of TARP's distances, and the
    better part of the fits.
    """

    observable: str
    level: float  # probability of the regions
    edges: np.ndarray  # (K + 1,), limits of the groups in the observable
    n: np.ndarray  # (K,), simulations in each group
    coverage: np.ndarray  # (K, 15)
    low: np.ndarray  # (K,), that of right posteriors is above with a probability of 97.5 %
    high: np.ndarray  # (K,), and below
    p_holm: np.ndarray  # (K, 15), of KS tests, corrected for all groups and quantities together
    efficiency: np.ndarray  # (K,), median of the sampling efficiency; NaN where it is not known


@dataclass(frozen=True)
class CoverageMap:
    """Coverage of the joint posterior in L x K cells of two observables.

    Coverage, of regions of highest density, and efficiency are NaN where there are fewer than 20
    simulations.
    """

    observables: tuple[str, str]
    level: float  # probability of the regions
    edges: tuple[np.ndarray, np.ndarray]  # (K + 1,) and (L + 1,), limits of the cells
    n: np.ndarray  # (L, K), simulations in each cell
    coverage: np.ndarray  # (L, K)
    efficiency: np.ndarray  # (L, K), median of the sampling efficiency
    z: np.ndarray  # (L, K), coverage less the level in standard errors


def covered(scores: np.ndarray, level: float) -> np.ndarray:
    """Whether truths are inside regions of a probability, from scores (N, 15); NaN stays NaN."""
    central, fit = (np.array([kind == name for kind in KINDS]) for name in ("rank", "fit"))
    beyond = np.where(central, 2 * np.abs(scores - 0.5), np.where(fit, 1 - scores, scores))
    return np.where(np.isfinite(scores), beyond <= level, np.nan)


def conditional_coverage(
    run: CalibrationRun, observable: str, bins: int | Sequence[float] = 5, level: float = 0.68
) -> Conditional:
    """Count coverage in groups of simulations that look alike.

    Parameters
    ----------
    run : CalibrationRun
        N simulations.
    observable : str
        See `CalibrationRun.observable`.
    bins : int or sequence of float
        Number of groups of equal size, or their limits.
    level : float
        Probability of the regions.

    Raises
    ------
    InputError
        If groups would have fewer than 20 simulations.
    """
    values = run.observable(observable)
    edges = _edges(values, bins)
    group = _groups(values, edges)
    inside = covered(run.scores, level)
    size = len(edges) - 1
    n = np.bincount(group[group >= 0], minlength=size)
    if n.min() < _FEWEST:
        raise InputError(
            f"A group by {observable} has {n.min()} simulations: take fewer groups, or more "
            f"simulations, for {_FEWEST} or more in each."
        )
    coverage, p = np.empty((size, len(SCORED))), np.empty((size, len(SCORED)))
    efficiency = np.empty(size)
    for k in range(size):
        rows = group == k
        coverage[k] = np.nanmean(inside[rows], axis=0)
        p[k] = [stats.kstest(c[np.isfinite(c)], "uniform").pvalue for c in run.scores[rows].T]
        efficiency[k] = _median(run.efficiency[rows])
    low, high = coverage_band(n, level)
    corrected = holm(p.ravel()).reshape(p.shape)
    return Conditional(observable, level, edges, n, coverage, low, high, corrected, efficiency)


def coverage_map(
    run: CalibrationRun,
    observables: tuple[str, str] = ("redshift", "snr"),
    bins: tuple[int, int] = (4, 4),
    level: float = 0.68,
) -> CoverageMap:
    """Map the coverage of the joint posterior over two observables.

    Parameters
    ----------
    run : CalibrationRun
    observables : tuple of str
        Of the two axes.
    bins : tuple of int
        Number of cells along them; their limits are quantiles of the simulations.
    level : float
    """
    values = [run.observable(name) for name in observables]
    x_edges, y_edges = (_edges(v, b) for v, b in zip(values, bins, strict=True))
    i, j = _groups(values[0], x_edges), _groups(values[1], y_edges)
    inside = covered(run.scores, level)[:, SCORED.index("HPD regions")]
    shape = (len(y_edges) - 1, len(x_edges) - 1)
    n = np.zeros(shape, dtype=int)
    coverage, efficiency = np.full(shape, np.nan), np.full(shape, np.nan)
    for row, column in np.ndindex(shape):
        cell = (i == column) & (j == row) & np.isfinite(inside)
        n[row, column] = cell.sum()
        if n[row, column] >= _FEWEST:
            coverage[row, column] = inside[cell].mean()
            efficiency[row, column] = _median(run.efficiency[cell])
    error = np.sqrt(level * (1 - level) / np.maximum(n, 1))
    z = (coverage - level) / error
    return CoverageMap(observables, level, (x_edges, y_edges), n, coverage, efficiency, z)


def _edges(values: np.ndarray, bins: int | Sequence[float]) -> np.ndarray:
    known = values[np.isfinite(values)]
    if isinstance(bins, int | np.integer):
        if bins < 1 or len(known) < bins * _FEWEST:
            raise InputError(
                f"{len(known)} simulations are too few for {bins} groups: {_FEWEST} or more are "
                "needed in each."
            )
        return np.quantile(known, np.linspace(0, 1, int(bins) + 1))
    edges = np.asarray(bins, dtype=np.float64)
    if edges.ndim != 1 or len(edges) < 2 or not (np.diff(edges) > 0).all():
        raise InputError("Limits of groups must be two or more numbers that increase.")
    return edges


def _groups(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Number of the group of each value, -1 for none; the last group holds its upper limit."""
    group = np.searchsorted(edges, values, side="right") - 1
    group[values == edges[-1]] = len(edges) - 2
    group[~np.isfinite(values) | (values < edges[0]) | (values > edges[-1])] = -1
    return group


def _median(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else float("nan")
