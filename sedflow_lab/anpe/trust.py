"""How far to trust a posterior: the numbers behind the badge, and the badge."""

from __future__ import annotations

import numpy as np
import torch
from scipy import stats

from .support import FALSE_ALARM_RATE

__all__ = ["badge", "chi2_limit", "pareto_k"]

MIN_EFFICIENCY = 0.1
"""Sampling efficiency below which a network's posterior is a rough guide only: there marginals
begin to differ from a converged chain by more than half a standard deviation."""

MAX_PARETO_K = 0.7
"""Above this the importance weights have no reliable mean (Vehtari et al. 2024)."""

_CHI2_PROBABILITY = 1e-4


def chi2_limit(n_bands: np.ndarray) -> np.ndarray:
    """Best χ² that a galaxy of the model exceeds with a probability below 1e-4.

    The model has more parameters than bands, so its best χ² is nearer zero than a χ²
    distribution with one degree of freedom per band: the limit is on the safe side.
    """
    return stats.chi2.isf(_CHI2_PROBABILITY, n_bands)


def pareto_k(log_weights: torch.Tensor) -> torch.Tensor:
    """Tail index of importance weights: the shape of a Pareto fitted to the largest ones.

    Parameters
    ----------
    log_weights : tensor, shape (G, D)

    Returns
    -------
    tensor, shape (G,)
        Below 0.5 the weights behave well, above 0.7 they cannot be relied on; NaN if fewer
        than five weights are in the tail.

    References
    ----------
    Zhang & Stephens 2009, Technometrics 51, 316 (the estimator); Vehtari et al. 2024,
    J. Mach. Learn. Res. 25, 72 (the limits, and the size of the tail).
    """
    n_draws = log_weights.shape[-1]
    n_tail = int(min(n_draws // 5, 3 * n_draws**0.5))
    if n_tail < 5:
        return torch.full_like(log_weights[..., 0], torch.nan)
    ordered = log_weights.double().clamp_min(-1e30).sort(-1).values
    ordered = torch.exp(ordered - ordered[..., -1:])
    excess = (ordered[..., -n_tail:] - ordered[..., -n_tail - 1, None]).clamp_min(1e-300)
    n_grid = 30 + int(n_tail**0.5)
    j = torch.arange(1, n_grid + 1, dtype=torch.float64, device=log_weights.device)
    quartile = excess[..., int(n_tail / 4 + 0.5) - 1, None]
    grid = (1 - torch.sqrt(n_grid / (j - 0.5))) / (3 * quartile) + 1 / excess[..., -1:]
    k = torch.log1p(-grid[..., None] * excess[..., None, :]).mean(-1)
    profile = n_tail * (torch.log(-grid / k) - k - 1)
    weight = torch.softmax(torch.nan_to_num(profile, nan=-1e30), -1)
    best = (grid * weight).sum(-1, keepdim=True)
    shape = torch.log1p(-best * excess).mean(-1)
    # A weak prior centred on 0.5, worth ten weights.
    return ((n_tail * shape + 10 * 0.5) / (n_tail + 10)).to(log_weights.dtype)


def badge(
    method: str,
    efficiency: np.ndarray,
    k: np.ndarray,
    chi2_min: np.ndarray,
    n_bands: np.ndarray,
    finished: np.ndarray | None = None,
    support: np.ndarray | None = None,
) -> np.ndarray:
    """One word for each galaxy.

    Parameters
    ----------
    method : str
        ``"fast"``, ``"weighted"`` or ``"exact"``.
    efficiency : ndarray, shape (N,)
        ESS per draw of the importance weights.
    k : ndarray, shape (N,)
        Pareto tail index of the weights.
    chi2_min : ndarray, shape (N,)
        Best χ² among the draws.
    n_bands : ndarray of int, shape (N,)
        Observed bands.
    finished : ndarray of bool, shape (N,), optional
        Whether the exact draws came to their end.
    support : ndarray, shape (N,), optional
        p-value of the photometry against the training set (`support.SupportScore`); the network
        by itself is not trusted beyond that.

    Returns
    -------
    ndarray of str, shape (N,)
    """
    good = (efficiency >= MIN_EFFICIENCY) & ~(k > MAX_PARETO_K)
    good &= chi2_min <= chi2_limit(n_bands)
    if support is not None:
        good &= ~(support < FALSE_ALARM_RATE)
    words = np.where(good, "ok", "refine").astype("<U16")
    if method == "exact":
        words = np.full(len(good), "exact", dtype="<U16")
        # Only the exact posterior has looked everywhere the model can go.
        words[chi2_min > chi2_limit(n_bands)] = "model cannot fit"
        if finished is not None:
            words[~finished] = "unfinished"
    return words
