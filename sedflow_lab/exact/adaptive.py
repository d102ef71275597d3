r"""Adaptive importance sampling: a mixture fitted again and again to all weighted points so far.

The first points are those of a defensive mixture. In each round a mixture g is fitted, new points
are drawn from it, and all are weighted anew by the posterior over the density of everything they
have come from,

.. math:: w(x) \propto p(x) \Big/ \Big[n_d\, d(x) + \sum_t n_t\, g_t(x)\Big],

with d the density of scattered points. (Of the network's draws only the first fit hears: its
density would have to be known at every point.) These weights serve the fits alone, for a mixture
is dense where the points are that it was fitted to. In the end fresh points are drawn from the
last one, and weighted together with the scattered points.

References
----------
Cornuet, Marin, Mira & Robert 2012, Scand. J. Stat. 39, 798 (AMIS).
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass

import torch

from .defensive import Pool
from .mixture import StudentMixture
from .particles import resample, stopped
from .ridge import StraightRidge, possible
from .scatter import is_young, log_density
from .weights import effective_sample_size, flatten, importance_weights

__all__ = ["Adapted", "adapt", "fit_mixture"]

_ROUND = 2000  # points a round
_ROUNDS = range(2, 8)
_ENOUGH = 1200.0  # effective points, after which no more rounds are needed
_ENOUGH_YOUNG = 100.0  # of young bursts alone: their mode may be small, or not found yet
_COMPONENTS = (10, 6)  # without young bursts, and with them
_LEAST_SHARE = 0.1  # of either kind
_MODES_SHARE = 0.2
_FIT_ESS = 500.0  # that weights are flattened to before a fit
_FITTED = 2000
_BATCH = 8192  # fresh points at a time


@dataclass(frozen=True)
class Adapted:
    """Weighted points of the posteriors of G galaxies.

    Attributes
    ----------
    points : tensor, shape (G, N, 11)
        In the coordinates of `ridge`.
    log_weights : tensor, shape (G, N)
        Their sum is the evidence.
    proposal : StudentMixture
        What most of them were drawn from.
    evaluations : int
        Evaluations of the model for each galaxy, those of the pool left out.
    """

    points: torch.Tensor
    log_weights: torch.Tensor
    proposal: StudentMixture
    evaluations: int


def adapt(
    target: StraightRidge,
    pool: Pool,
    ess: float,
    generator: torch.Generator,
    *,
    most: int,
    modes: StudentMixture | None = None,
    stop: threading.Event | None = None,
) -> Adapted:
    """Weighted points of posteriors, of an effective number where that can be had.

    Parameters
    ----------
    target : StraightRidge
    pool : Pool
    ess : float
        Effective sample size that is wanted.
    generator : torch.Generator
    most : int
        Fresh points of the last mixture at most: there are fewer where so many are not needed,
        and one batch where so many would not do.
    modes : StudentMixture, optional
        Has a share in all that points are drawn from, so that none is forgotten.
    stop : threading.Event, optional

    Returns
    -------
    Adapted
    """
    far, far_log_prob = pool.points[:, pool.n_drawn :], pool.log_prob[:, pool.n_drawn :]
    far_log_mixture = pool.log_scatter[:, pool.n_drawn :] + math.log(pool.n_scattered)
    proposal = _fit(pool.points, pool.weights, modes, generator)
    points, log_prob, log_mixture = far, far_log_prob, far_log_mixture
    past: list[StudentMixture] = []
    for done in range(1, _ROUNDS.stop):
        past.append(proposal)
        new = proposal.sample(_ROUND, generator)
        known = [log_density(new) + math.log(pool.n_scattered)]
        known += [g.log_prob(new) + math.log(_ROUND) for g in past]
        log_mixture = torch.logaddexp(log_mixture, proposal.log_prob(points) + math.log(_ROUND))
        log_mixture = torch.cat([log_mixture, torch.stack(known).logsumexp(0)], 1)
        points = torch.cat([points, new], 1)
        log_prob = torch.cat([log_prob, target(new)], 1)
        weights, _ = importance_weights(log_prob - log_mixture)
        proposal = _fit(points, weights, modes, generator)
        young = torch.where(is_young(points), log_prob - log_mixture, -torch.inf)
        enough = bool((effective_sample_size(weights) >= _ENOUGH).all())
        enough &= bool((effective_sample_size(importance_weights(young)[0]) >= _ENOUGH_YOUNG).all())
        if (done >= _ROUNDS.start and enough) or stopped(stop):
            break
    evaluations = done * _ROUND
    points, log_prob = far, far_log_prob
    log_mixture, log_proposal = far_log_mixture, proposal.log_prob(far)
    for fresh in range(_BATCH, most + 1, _BATCH):
        new = proposal.sample(_BATCH, generator)
        points = torch.cat([points, new], 1)
        log_prob = torch.cat([log_prob, target(new)], 1)
        known = [log_density(new) + math.log(pool.n_scattered)]
        log_mixture = torch.cat([log_mixture, *known], 1)
        log_proposal = torch.cat([log_proposal, proposal.log_prob(new)], 1)
        log_mean = torch.logaddexp(log_mixture, log_proposal + math.log(fresh))
        log_weights = possible(log_prob) - log_mean
        found = float(effective_sample_size(importance_weights(log_weights)[0]).min())
        if found >= ess or found * most < ess * fresh or stopped(stop):
            break
    return Adapted(points, log_weights, proposal, evaluations + fresh)


def _fit(
    points: torch.Tensor,
    weights: torch.Tensor,
    modes: StudentMixture | None,
    generator: torch.Generator,
) -> StudentMixture:
    fitted = fit_mixture(points, weights, generator)
    return fitted if modes is None else fitted.add(modes, _MODES_SHARE)


def fit_mixture(
    points: torch.Tensor, weights: torch.Tensor, generator: torch.Generator
) -> StudentMixture:
    """A mixture fitted to weighted points (G, N, d), young bursts and others apart.

    Each kind has components and a share of its own, however little weight it has so far: a small
    mode would get none among many, and be lost. Weights are flattened to where some hundreds
    count.
    """
    log_weights = torch.log(weights.clamp_min(1e-30))
    young = is_young(points)
    parts = []
    for mine, components in zip((~young, young), _COMPONENTS, strict=True):
        flat = flatten(torch.where(mine, log_weights, -torch.inf), _FIT_ESS)
        picked = resample(points, flat, _FITTED, generator)
        even = torch.full_like(picked[..., 0], 1.0 / _FITTED)
        parts.append(StudentMixture.fit(picked, even, generator, components))
    share = (weights * young).sum(1).clamp(_LEAST_SHARE, 1 - _LEAST_SHARE)
    return parts[0].add(parts[1], share)
