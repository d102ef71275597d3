"""Statistics of weighted draws, for many galaxies at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..errors import InputError

__all__ = ["kish_ess", "systematic_resample", "weighted_quantile"]

_BLOCK = 4_000_000  # numbers that are sorted at once: 32 MB an array


def kish_ess(weights: np.ndarray) -> np.ndarray:
    """Effective number of draws (Σw)² / Σw² along the last axis; 0 where all weights are."""
    square = np.square(weights).sum(-1)
    return weights.sum(-1) ** 2 / np.where(square > 0, square, 1.0)


def systematic_resample(weights: np.ndarray, n: int, seed: int = 0) -> np.ndarray:
    """Indices (N, n) of n equally weighted draws: each is taken ⌊n w⌋ or ⌈n w⌉ times, in order.

    Weights (N, D) may have any sum; a row of zeros gives arbitrary indices.

    References
    ----------
    Kitagawa 1996, J. Comput. Graph. Stat. 5, 1.
    """
    if n < 1:
        raise InputError(f"Resampling needs at least one draw, not {n}.")
    rows, draws = weights.shape
    start = np.random.default_rng(seed).random((rows, 1))
    ticks = (start + np.arange(n)) / n
    cumulative = np.cumsum(weights, axis=1)
    total = cumulative[:, -1:]
    cumulative /= np.where(total > 0, total, 1.0)
    # Row i is shifted by i, so that one sorted search serves all rows.
    shift = np.arange(rows)[:, None]
    found = np.searchsorted((cumulative + shift).ravel(), ticks + shift, side="right")
    return np.clip(found - draws * shift, 0, draws - 1)


def weighted_quantile(
    values: np.ndarray, weights: np.ndarray, q: float | Sequence[float]
) -> np.ndarray:
    """Weighted quantiles (N, P) of many sets of draws (N, D, P), (len(q), N, P) for a sequence.

    The k-th smallest draw lies at the probability :math:`(C_k - w_k/2) / C_D`, with C the
    cumulative weight; values between are interpolated linearly. With equal weights this is
    Hazen's definition. Draws of zero weight take no part; sets without weight give NaN.

    Values may be those of one set, (D, P) or (D,), with weights (D,): the result then lacks N, or
    N and P.
    """
    if weights.ndim == 1:
        one = weighted_quantile(values.reshape(1, len(weights), -1), weights[None], q)[..., 0, :]
        return one if values.ndim > 1 else one[..., 0]
    levels = np.atleast_1d(np.asarray(q, dtype=np.float64))
    if levels.min(initial=0.5) < 0 or levels.max(initial=0.5) > 1:
        raise InputError(f"Quantiles lie between 0 and 1, not {q}.")
    n, draws, size = values.shape
    out = np.empty((len(levels), n, size))
    step = max(1, _BLOCK // max(draws * size, 1))
    for first in range(0, n, step):
        rows = slice(first, first + step)
        out[:, rows] = _quantile_block(values[rows], weights[rows], levels)
    return out[0] if np.ndim(q) == 0 else out


def _quantile_block(values: np.ndarray, weights: np.ndarray, levels: np.ndarray) -> np.ndarray:
    used = weights > 0
    # Unused draws go to the far end of each row, beyond the last index that is looked up.
    keyed = np.where(used[..., None], values, np.inf)
    keyed[~used.any(axis=1)] = 0.0
    order = np.argsort(keyed, axis=1, kind="stable")  # draws of one value keep their order
    ranked = np.take_along_axis(keyed, order, axis=1)
    heavy = np.take_along_axis(np.broadcast_to(weights[..., None], values.shape), order, axis=1)
    cumulative = np.cumsum(heavy, axis=1)
    total = cumulative[:, -1:, :]
    position = (cumulative - 0.5 * heavy) / np.where(total > 0, total, 1.0)
    last = np.maximum(used.sum(axis=1) - 1, 0)[:, None, None]
    out = np.empty((len(levels), values.shape[0], values.shape[2]))
    for k, level in enumerate(levels):
        above = np.count_nonzero(position < level, axis=1)[:, None, :]
        low, high = np.clip(above - 1, 0, last), np.clip(above, 0, last)
        x0, x1 = (np.take_along_axis(ranked, at, axis=1)[:, 0] for at in (low, high))
        p0, p1 = (np.take_along_axis(position, at, axis=1)[:, 0] for at in (low, high))
        gap = np.where(p1 > p0, p1 - p0, 1.0)
        between = np.clip((level - p0) / gap, 0.0, 1.0)
        out[k] = x0 + between * (x1 - x0)
    out[:, ~used.any(axis=1)] = np.nan
    return out
