"""Curves and histograms of scores, and the bands in which those of right posteriors stay.

References
----------
Säilynoja, Bürkner & Vehtari 2022, Stat. Comput. 32, 32 (simultaneous bands of the curve).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy import stats

from ..errors import InputError

__all__ = [
    "coverage_band",
    "default_bins",
    "finite_columns",
    "histogram",
    "histogram_band",
    "pp_band",
    "pp_curve",
]


def pp_curve(scores: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """Fraction of scores up to each point of a grid: the p–p curve, or expected coverage.

    Parameters
    ----------
    scores : ndarray, shape (N,) or (N, Q)
        NaNs are left out.
    grid : ndarray, shape (G,)

    Returns
    -------
    ndarray, shape (G,) or (G, Q)
    """
    columns = [
        np.searchsorted(np.sort(column), grid, side="right") / max(len(column), 1)
        for column in finite_columns(scores)
    ]
    return columns[0] if np.ndim(scores) == 1 else np.stack(columns, axis=1)


def pp_band(n: int, grid: np.ndarray, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Band that holds the whole curve of n uniform scores with a probability just above `level`.

    Parameters
    ----------
    n : int
        Number of scores.
    grid : ndarray, shape (G,)
    level : float

    Returns
    -------
    low, high : ndarray, shape (G,)
    """
    points = np.asarray(grid, dtype=np.float64)
    if n < 1 or points.ndim != 1 or points.min() < 0 or points.max() > 1:
        raise InputError("A band needs one score or more, and a grid between 0 and 1.")
    share = _pointwise(n, tuple(np.unique(points[(points > 0) & (points < 1)])), level)
    low, high = stats.binom.interval(share, n, points)
    return low / n, high / n


@lru_cache(maxsize=256)
def _pointwise(n: int, inner: tuple[float, ...], level: float) -> float:
    """Level at each point of the narrowest band that holds the whole curve."""
    grid = np.array(inner)
    low, high = level, 1.0 - 1e-12
    # Binomial intervals are steps: a difference in the level that changes none is enough.
    while high - low > 1e-6 * (1.0 - high):
        middle = 1.0 - np.sqrt((1.0 - low) * (1.0 - high))
        held = _chance(n, grid, *stats.binom.interval(middle, n, grid))
        low, high = (middle, high) if held < level else (low, middle)
    return float(high)


def _chance(n: int, grid: np.ndarray, low: np.ndarray, high: np.ndarray) -> float:
    """Probability that as many of n uniform scores lie below every point as a band allows.

    These counts are a Poisson process of which n events are known to have happened by 1, so
    that each step to the next point is a convolution, cut to the band.
    """
    low, high = (np.concatenate([[0], counts, [n]]).astype(int) for counts in (low, high))
    chance = np.ones(1)
    for k, mean in enumerate(n * np.diff(grid, prepend=0.0, append=1.0)):
        step = stats.poisson.pmf(np.arange(high[k + 1] - low[k] + 1), mean)
        chance = np.convolve(chance, step)[low[k + 1] - low[k] :]
        chance = chance[: high[k + 1] - low[k + 1] + 1]
    return float(chance[0] / stats.poisson.pmf(n, n))


def coverage_band(n: np.ndarray, level: float) -> np.ndarray:
    """Fractions (2, ...) between which regions of a probability hold 95 % of n truths, each."""
    return np.stack(stats.binom.interval(0.95, n, level)) / np.maximum(n, 1)


def default_bins(n: int) -> int:
    """Bins for n scores: 20 scores or more in each, but not more than 20 bins."""
    return int(np.clip(n // 20, 4, 20))


def histogram(scores: np.ndarray, bins: int | None = None) -> np.ndarray:
    """Counts of scores in equal bins from 0 to 1: the rank histogram.

    Parameters
    ----------
    scores : ndarray, shape (N,) or (N, Q)
        NaNs are left out.
    bins : int, optional
        Default: `default_bins`.

    Returns
    -------
    ndarray of int, shape (bins,) or (bins, Q)
    """
    bins = default_bins(len(scores)) if bins is None else bins
    columns = [np.histogram(column, bins, (0.0, 1.0))[0] for column in finite_columns(scores)]
    return columns[0] if np.ndim(scores) == 1 else np.stack(columns, axis=1)


def histogram_band(n: int, bins: int, level: float = 0.95) -> tuple[float, float]:
    """Counts between which all bins of n uniform scores lie with at least the probability `level`.

    All bins do at once, by Bonferroni's bound.
    """
    low, high = stats.binom.interval(1.0 - (1.0 - level) / bins, n, 1.0 / bins)
    return float(low), float(high)


def finite_columns(scores: np.ndarray) -> list[np.ndarray]:
    """Scores (N,) or (N, Q) that are not NaN, quantity by quantity."""
    two = np.asarray(scores, dtype=np.float64)
    two = two[:, None] if two.ndim == 1 else two
    return [column[np.isfinite(column)] for column in two.T]
