"""Importance weights: how many effective points they leave, how heavy their tail is, and choices.

References
----------
Kish 1965, Survey Sampling (the effective sample size); Fearnhead & Clifford 2003, J. R. Stat.
Soc. B 65, 887 (thinning); Vehtari et al. 2024, J. Mach. Learn. Res. 25, 72 (the tail).
"""

from __future__ import annotations

import math

import torch

from .particles import resample

__all__ = [
    "MAX_PARETO_K",
    "effective_sample_size",
    "flatten",
    "importance_weights",
    "pareto_k",
    "thin",
]

MAX_PARETO_K = 0.7
"""Above this importance weights have no reliable mean (Vehtari et al. 2024)."""


_HALVINGS = 16  # of the range in which a power is looked for


def importance_weights(log_weights: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Normalised weights and the log of their mean.

    Parameters
    ----------
    log_weights : tensor, shape (..., D)
        Log of target over proposal.

    Returns
    -------
    weights : tensor, shape (..., D)
        Sum to one; all equal where every log weight is minus infinity.
    log_mean : tensor, shape (...)
        Log of the mean weight: the evidence, if the proposal is normalised.
    """
    finite = torch.isfinite(log_weights)
    safe = torch.where(finite, log_weights, -torch.inf)
    none = ~finite.any(-1, keepdim=True)
    safe = torch.where(none, torch.zeros_like(safe), safe)
    log_mean = torch.logsumexp(safe, -1) - math.log(log_weights.shape[-1])
    log_mean = torch.where(none[..., 0], -torch.inf, log_mean)
    return torch.softmax(safe, -1), log_mean


def effective_sample_size(weights: torch.Tensor) -> torch.Tensor:
    """Effective sample size (Kish 1965), 1 / Σ w², of normalised weights (..., D)."""
    return 1.0 / weights.square().sum(-1)


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


def flatten(log_weights: torch.Tensor, ess: float) -> torch.Tensor:
    """Normalised weights (G, N), to a power below one where too few of them count.

    Parameters
    ----------
    log_weights : tensor, shape (G, N)
    ess : float
        Effective sample size at least; it must be below N.
    """
    known = torch.where(torch.isfinite(log_weights), log_weights, -torch.inf)

    def enough(power: torch.Tensor) -> torch.Tensor:
        # The effective size is the square of the sum of weights over the sum of squares.
        one, two = (torch.logsumexp(k * power * known, -1, keepdim=True) for k in (1, 2))
        return 2 * one - two >= math.log(ess)

    low, high = torch.zeros_like(known[:, :1]), torch.ones_like(known[:, :1])
    if enough(high).all():
        return importance_weights(known)[0]
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        good = enough(middle)
        low, high = torch.where(good, middle, low), torch.where(good, high, middle)
    return importance_weights(low * known)[0]


def thin(
    weights: torch.Tensor, n: int, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Fewer points that stand for all, without bias and with the least variance.

    Points whose weight is above a threshold c stay with their weight. The others stay with
    probability w / c, and then have the weight c.

    Parameters
    ----------
    weights : tensor, shape (N,)
        Normalised.
    n : int
        Points wanted, at most N.
    generator : torch.Generator

    Returns
    -------
    rows : tensor of int, shape (n,)
        In random order; the largest again, at no weight, where fewer than n have any.
    weights : tensor, shape (n,)
    """
    ordered, order = weights.double().sort(descending=True)
    # Points of no weight may be impossible, such as those beyond the prior.
    order = torch.where(ordered > 0, order, order[0])
    ordered = ordered.clamp_min(1e-30)
    left = ordered.flip(0).cumsum(0).flip(0)  # of the k-th largest and all below it
    threshold = left[:n] / torch.arange(n, 0, -1, device=weights.device)
    kept = int((ordered[:n] > threshold).sum())  # fewer than n: the last threshold is above all
    below = resample(order[None, kept:, None], ordered[None, kept:], n - kept, generator)[0, :, 0]
    rows = torch.cat([order[:kept], below])
    thinned = torch.cat([ordered[:kept], threshold[kept : kept + 1].expand(n - kept)])
    mixed = torch.rand(n, generator=generator, device=weights.device).argsort()
    return rows[mixed], (thinned / thinned.sum())[mixed].to(weights.dtype)
