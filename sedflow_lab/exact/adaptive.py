"""Adaptive importance sampling: proposals fitted again and again to all points so far.

References
----------
Cornuet, Marin, Mira & Robert 2012, Scand. J. Stat. 39, 798 (adaptive multiple importance
sampling); Veach & Guibas 1995, SIGGRAPH (the balance heuristic).
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass

import torch

from .likelihood import effective_sample_size, importance_weights
from .mixture import StudentMixture
from .particles import resample, stopped
from .ridge import MassRidge
from .scatter import log_density, scatter
from .smc import largest_step

__all__ = ["Pool", "adapt"]

_SCATTERED = 16_384
_EACH = 2000  # points of a round
_ROUNDS = 12
_ENOUGH = 1200.0  # effective points
_FITTED = 3000  # points to which a proposal is fitted
_COMPONENTS = 12
_DIVERSE = 500.0  # effective points that a fit needs, by a temperature if need be


@dataclass(frozen=True)
class Pool:
    """Weighted points of the exact posterior of G galaxies.

    Attributes
    ----------
    points : tensor, shape (G, N, 11)
        In the coordinates of the mass ridge.
    weights : tensor, shape (G, N)
        They sum to one. Proposals were fitted to some of the same points, so the weights of the
        best of them are a little low: good to start from, not to be the end.
    ess : tensor, shape (G,)
        Effective number of points.
    proposal : StudentMixture
        The last one.
    evaluations : int
        Of the model, for each galaxy.
    """

    points: torch.Tensor
    weights: torch.Tensor
    ess: torch.Tensor
    proposal: StudentMixture
    evaluations: int


def adapt(
    ridge: MassRidge,
    drawn: torch.Tensor,
    generator: torch.Generator,
    stop: threading.Event | None = None,
) -> Pool:
    """Find where the posterior is, from draws of a network and from points all over the prior.

    Parameters
    ----------
    ridge : MassRidge
        Log posterior of G galaxies.
    drawn : tensor, shape (G, D, 11)
        Where the posterior may be: hints, whose density does not count.
    generator : torch.Generator
    stop : threading.Event, optional
        Set it to stop after the round.
    """
    points = scatter(len(drawn), _SCATTERED, generator).to(drawn)
    log_prob = ridge(points)
    densities = [log_density(points)]
    counts = [_SCATTERED]
    half = _FITTED // 2
    hints = drawn[:, torch.arange(half) % drawn.shape[1]]
    better = resample(points, _flattened(log_prob - densities[0]), half, generator)
    proposal = _fit(torch.cat([hints, better], 1), generator)
    proposals: list[StudentMixture] = []
    for _ in range(_ROUNDS):
        new = proposal.sample(_EACH, generator)
        known = [log_density(new)] + [p.log_prob(new) for p in proposals]
        densities = [torch.cat(pair, 1) for pair in zip(densities, known, strict=True)]
        points = torch.cat([points, new], 1)
        log_prob = torch.cat([log_prob, ridge(new)], 1)
        densities.append(proposal.log_prob(points))
        proposals.append(proposal)
        counts.append(_EACH)
        log_weights = log_prob - _mixed(densities, counts)
        weights, _ = importance_weights(log_weights)
        ess = effective_sample_size(weights)
        if bool((ess >= _ENOUGH).all()) or stopped(stop):
            break
        proposal = _fit(resample(points, _flattened(log_weights), _FITTED, generator), generator)
    return Pool(points, weights, ess, proposal, points.shape[1])


def _fit(points: torch.Tensor, generator: torch.Generator) -> StudentMixture:
    even = torch.full_like(points[..., 0], 1.0 / points.shape[1])
    return StudentMixture.fit(points, even, generator, _COMPONENTS)


def _flattened(log_weights: torch.Tensor) -> torch.Tensor:
    """Weights at the highest power that leaves enough effective points for a fit."""
    power = largest_step(log_weights, torch.ones_like(log_weights[:, 0]), _DIVERSE)
    return importance_weights(power[:, None] * log_weights)[0]


def _mixed(densities: list[torch.Tensor], counts: list[int]) -> torch.Tensor:
    """Log density (G, N) of all proposals together, each by its share of the points."""
    total = sum(counts)
    shares = [math.log(count / total) for count in counts]
    return torch.logsumexp(torch.stack([d + s for d, s in zip(densities, shares, strict=True)]), 0)
