"""Posteriors of two parameters on a grid: exact, where the density is known at every point."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp

from ..errors import InputError

__all__ = ["Grid", "binned", "tabulate"]

_DEEP = 14.0  # below the maximum of the log density there is a share of 1e-6 or less
_REGIONS = 5  # along each of the two parameters


@dataclass(frozen=True, eq=False, repr=False)
class Grid:
    """Probabilities of the cells of a grid.

    Attributes
    ----------
    x, y : ndarray, shape (I,) and (J,)
        Centres of cells that are equally wide.
    probability : ndarray, shape (I, J)
        Of the cells; the sum is 1.
    log_integral : float
        Log of the integral of the density that was tabulated: the evidence, if it was the prior
        times the likelihood.
    """

    x: np.ndarray
    y: np.ndarray
    probability: np.ndarray
    log_integral: float

    @property
    def density(self) -> np.ndarray:
        """Probability density (I, J) at the centres."""
        return self.probability / (_step(self.x) * _step(self.y))

    def mean(self) -> np.ndarray:
        """Means (2,) of the parameters."""
        return np.array([self.probability.sum(1) @ self.x, self.probability.sum(0) @ self.y])

    def std(self) -> np.ndarray:
        """Standard deviations (2,) of the parameters."""
        square = [self.probability.sum(1) @ self.x**2, self.probability.sum(0) @ self.y**2]
        return np.sqrt(np.array(square) - self.mean() ** 2)

    def sample(self, draws: int, seed: int = 0) -> np.ndarray:
        """Draws (draws, 2): cells by their probability, and uniform within these."""
        rng = np.random.default_rng(seed)
        size = self.probability.shape
        cell = rng.choice(self.probability.size, draws, p=self.probability.ravel())
        i, j = np.unravel_index(cell, size)
        dx, dy = rng.random((2, draws)) - 0.5
        return np.stack([self.x[i] + dx * _step(self.x), self.y[j] + dy * _step(self.y)], 1)

    def distance(self, draws: np.ndarray) -> float:
        r"""Total variation between the grid's distribution and that of draws (n, 2), 0 to 1.

        The plane is cut into 25 regions of nearly equal probability: five slices in x, and each of
        these into five in y. The distance is half the sum of the differences of probability and of
        share of the draws. Draws by chance alone have a distance of about :math:`2 / \sqrt{n}`.
        """
        if not len(draws):
            return 1.0
        region = self._regions()
        expected = np.bincount(region.ravel(), self.probability.ravel(), _REGIONS**2)
        i = np.floor((draws[:, 0] - self.x[0]) / _step(self.x) + 0.5).astype(int)
        j = np.floor((draws[:, 1] - self.y[0]) / _step(self.y) + 0.5).astype(int)
        inside = (i >= 0) & (i < len(self.x)) & (j >= 0) & (j < len(self.y))
        found = np.bincount(region[i[inside], j[inside]], minlength=_REGIONS**2) / len(draws)
        outside = 1.0 - float(inside.mean())
        return 0.5 * (float(np.abs(found - expected).sum()) + outside)

    def level(self, share: float) -> float:
        """Density above which lies such a share of the probability."""
        ordered = np.sort(self.density, axis=None)[::-1]
        held = np.cumsum(np.sort(self.probability, axis=None)[::-1])
        return float(ordered[min(int(np.searchsorted(held, share)), len(ordered) - 1)])

    def _regions(self) -> np.ndarray:
        """Number of the region (I, J) of each cell."""
        across = self.probability.sum(1)
        slices = _quantile_of(across)
        region = np.empty(self.probability.shape, dtype=int)
        for k in range(_REGIONS):
            rows = np.flatnonzero(slices == k)
            region[rows] = k * _REGIONS + _quantile_of(self.probability[rows].sum(0))
        return region


def tabulate(
    log_density: Callable[[np.ndarray], np.ndarray],
    low: tuple[float, float],
    high: tuple[float, float],
    n: int = 100,
) -> Grid:
    """Tabulate a density of two parameters where it matters.

    A first grid between the limits finds where that is, a second one covers it.

    Parameters
    ----------
    log_density : callable
        From points (n, 2) to the log of a density (n,), which need not be normalised.
    low, high : tuple of float
        Limits of the two parameters.
    n : int
        Cells along each of them.

    Raises
    ------
    InputError
        If the density vanishes everywhere.
    """
    for _ in range(2):
        edges = [np.linspace(a, b, n + 1) for a, b in zip(low, high, strict=True)]
        x, y = (0.5 * (e[1:] + e[:-1]) for e in edges)
        points = np.stack(np.meshgrid(x, y, indexing="ij"), -1).reshape(-1, 2)
        found = np.asarray(log_density(points), dtype=np.float64).reshape(n, n)
        total = float(logsumexp(found))
        if not np.isfinite(total):
            raise InputError("The density is zero or not finite on the whole grid: widen it.")
        deep = found > found.max() - _DEEP
        spans = [_span(e, deep.any(axis)) for e, axis in zip(edges, (1, 0), strict=True)]
        low, high = (spans[0][0], spans[1][0]), (spans[0][1], spans[1][1])
    return Grid(x, y, np.exp(found - total), total + float(np.log(_step(x) * _step(y))))


def binned(draws: np.ndarray, n: int = 60) -> Grid:
    """Count draws (D, 2) in the cells of a grid that covers them: a posterior that was sampled."""
    edges = [np.linspace(column.min(), column.max(), n + 1) for column in draws.T]
    counts, _ = np.histogramdd(draws, edges)
    x, y = (0.5 * (e[1:] + e[:-1]) for e in edges)
    return Grid(x, y, counts / len(draws), 0.0)


def _step(centres: np.ndarray) -> float:
    return float(centres[1] - centres[0])


def _span(edges: np.ndarray, used: np.ndarray) -> tuple[float, float]:
    """Limits of the cells (K,) that are used and of one more on each side, from the edges."""
    where = np.flatnonzero(used)
    first, last = max(0, int(where[0]) - 1), min(len(used), int(where[-1]) + 2)
    return float(edges[first]), float(edges[last])


def _quantile_of(probability: np.ndarray) -> np.ndarray:
    """Which of `_REGIONS` equal shares of the total each cell (K,) belongs to."""
    middle = np.cumsum(probability) - 0.5 * probability
    share = middle / max(probability.sum(), np.finfo(float).tiny)
    return np.clip((_REGIONS * share).astype(int), 0, _REGIONS - 1)
