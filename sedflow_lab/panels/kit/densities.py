"""Smooth densities of weighted draws, on a line and in a plane."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

from ...plots.palette import CREDIBLE
from ...posterior.weighting import weighted_quantile

__all__ = ["Limits", "credible", "marginal"]

Limits = tuple[float, float]


def marginal(
    x: np.ndarray, weights: np.ndarray, limits: Limits, ess: float
) -> tuple[np.ndarray, np.ndarray]:
    """Smoothed histogram of weighted draws (D,): edges (K + 1,) and density (K,) of its bins.

    Fewer effective draws are smoothed more (Scott's rule). The integral is the weight within the
    limits.
    """
    edges, width = _bins(x, weights, limits)
    counts = np.histogram(x, edges, weights=weights)[0] / np.diff(edges)
    # The filter reflects at the ends, so nothing leaks out of the prior.
    return edges, gaussian_filter(counts, width * max(ess, 1.0) ** (-1 / 5), mode="reflect")


def credible(
    x: np.ndarray,
    y: np.ndarray,
    weights: np.ndarray,
    limits: tuple[Limits, Limits],
    ess: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Density of weighted draws (D,) in a plane, and the densities that bound 95 and 68 %.

    Returns the middles of the bins in x (K,) and y (L,), the density (L, K), smoothed as in
    `marginal`, and two thresholds, increasing: the densest bins above them hold 95 and 68 %.
    """
    (x_edges, x_width), (y_edges, y_width) = (
        _bins(v, weights, limit) for v, limit in zip((x, y), limits, strict=True)
    )
    counts = np.histogram2d(y, x, [y_edges, x_edges], weights=weights)[0]
    factor = max(ess, 1.0) ** (-1 / 6)
    counts = gaussian_filter(counts, (y_width * factor, x_width * factor), mode="reflect")
    ordered = np.sort(counts, axis=None)[::-1]
    inside = np.cumsum(ordered) / max(ordered.sum(), np.finfo(float).tiny)
    index = np.searchsorted(inside, CREDIBLE[::-1]).clip(0, len(ordered) - 1)
    thresholds = ordered[index]
    least = float(np.finfo(float).tiny)  # where no draw is within the limits
    thresholds[1] = max(thresholds[1], thresholds[0] * (1 + 1e-9), least)
    middles = [0.5 * (edges[1:] + edges[:-1]) for edges in (x_edges, y_edges)]
    return middles[0], middles[1], counts, thresholds


def _bins(x: np.ndarray, weights: np.ndarray, limits: Limits) -> tuple[np.ndarray, float]:
    """Edges of as many bins as resolve the draws, and the spread of these in bins."""
    low, high = limits
    ends = weighted_quantile(x, weights, (0.025, 0.975))
    spread = max(float(ends[1] - ends[0]) / 4, 2e-3 * (high - low))
    n = int(np.clip(np.ceil(4 * (high - low) / spread), 30, 120))
    return np.linspace(low, high, n + 1), spread * n / (high - low)
