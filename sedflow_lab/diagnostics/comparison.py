"""Do two posteriors agree: distances between their marginals, and what chance alone makes of them.

References
----------
Lin 1991, IEEE Trans. Inf. Theory 37, 145 (Jensen-Shannon divergence; the distance is its root).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import wasserstein_distance

from .._weighting import systematic_resample, weighted_quantile
from ..errors import InputError
from ..parameters import NAMES

if TYPE_CHECKING:
    from astropy.table import Table

    from ..posterior import PosteriorResult

__all__ = ["compare", "js_distance"]

_BINS = 30
_FLOOR_DRAWS = 20_000


def js_distance(
    a: np.ndarray,
    b: np.ndarray,
    weights_a: np.ndarray | None = None,
    weights_b: np.ndarray | None = None,
) -> np.ndarray:
    """Jensen-Shannon distance of marginal distributions, in base 2: 0 if equal, 1 if apart.

    Both sets are binned at 30 quantiles of the pooled draws, so the result does not depend on
    the parameters' scales. Draws from the same distribution have a distance above zero by
    chance: compare with the noise floor.

    Parameters
    ----------
    a : ndarray, shape (D, P)
    b : ndarray, shape (E, P)
    weights_a, weights_b : ndarray, shape (D,) and (E,), optional

    Returns
    -------
    ndarray, shape (P,)
    """
    wa = np.full(len(a), 1 / len(a)) if weights_a is None else weights_a / weights_a.sum()
    wb = np.full(len(b), 1 / len(b)) if weights_b is None else weights_b / weights_b.sum()
    pooled, levels = np.concatenate([a, b]), np.linspace(0, 1, _BINS + 1)[1:-1].tolist()
    edges = weighted_quantile(pooled[None], np.concatenate([wa, wb])[None] / 2, levels)
    edges = edges.reshape(len(levels), -1)
    distances = []
    for k in range(a.shape[1]):
        cuts = np.unique(edges[:, k])
        p = np.bincount(np.searchsorted(cuts, a[:, k]), wa, len(cuts) + 1)
        q = np.bincount(np.searchsorted(cuts, b[:, k]), wb, len(cuts) + 1)
        divergence = 0.5 * (_relative_entropy(p, (p + q) / 2) + _relative_entropy(q, (p + q) / 2))
        distances.append(np.sqrt(max(divergence, 0.0)))
    return np.array(distances)


def _relative_entropy(p: np.ndarray, q: np.ndarray) -> float:
    some = p > 0
    return float(np.sum(p[some] * np.log2(p[some] / q[some])))


def compare(
    result: PosteriorResult, reference: PosteriorResult, galaxy: int = 0, seed: int = 0
) -> Table:
    """Compare a posterior with a reference, parameter by parameter.

    Parameters
    ----------
    result, reference : PosteriorResult
        Of the same galaxies; weights are respected.
    galaxy : int
        Row to compare.
    seed : int
        Of the halves that make the noise floor.

    Returns
    -------
    astropy.table.Table
        One row a parameter: ``js``, the Jensen-Shannon distance; ``js_floor``, the distance of
        two sets of as many effective draws that are both from the reference; ``shift``, the
        difference of medians in standard deviations of the reference; ``width``, the ratio of
        the 68 % intervals; ``w1``, the Wasserstein-1 distance in standard deviations.

    Raises
    ------
    InputError
        If the galaxies differ or one of them has no draws.
    """
    from astropy.table import Table

    a, b = result[galaxy], reference[galaxy]
    if a.ids[0] != b.ids[0]:
        raise InputError(f"Cannot compare galaxy {a.ids[0]} with galaxy {b.ids[0]}.")
    if not (np.isfinite(a.samples).all() and np.isfinite(b.samples).all()):
        raise InputError(f"Galaxy {a.ids[0]} has no draws to compare.")
    x, y, wx, wy = a.samples[0], b.samples[0], a.weights[0], b.weights[0]
    levels = (0.16, 0.5, 0.84)
    qx = np.reshape(weighted_quantile(x[None], wx[None], levels), (3, -1))
    qy = np.reshape(weighted_quantile(y[None], wy[None], levels), (3, -1))
    mean = np.average(y, axis=0, weights=wy)
    sigma = np.sqrt(np.average((y - mean) ** 2, axis=0, weights=wy))
    rng = np.random.default_rng(seed)
    n_x, n_y = (max(2, min(int(r.ess[0]), r.samples.shape[1], _FLOOR_DRAWS)) for r in (a, b))
    halves = [y[rng.choice(len(y), n, p=wy / wy.sum())] for n in (n_x, n_y)]
    drawn = x[systematic_resample(wx[None], max(2, n_x), seed)[0]]
    return Table(
        {
            "parameter": list(NAMES),
            "js": js_distance(drawn, y, None, wy),
            "js_floor": js_distance(*halves),
            "shift": (qx[1] - qy[1]) / sigma,
            "width": (qx[2] - qx[0]) / (qy[2] - qy[0]),
            "w1": [
                wasserstein_distance(x[:, k], y[:, k], wx, wy) / sigma[k] for k in range(len(NAMES))
            ],
        }
    )
