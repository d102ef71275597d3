r"""From draws of the network to draws of the exact posterior.

Draws of the network and points that owe it nothing are weighted together (`defensive`), and a
mixture is fitted to them in rounds (`adaptive`). Where points of that mixture carry the weights
well, they are resampled by them and moved along until copies have come apart. Elsewhere a
thousand particles jump from point to point of ever better mixtures until they have settled.
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass

import torch

from ..parameters import N_FREE, PARAMETERS
from .adaptive import adapt
from .defensive import Pool
from .likelihood import LogPosterior
from .mixture import StudentMixture
from .particles import Moves, resample, stopped
from .profile import with_mass
from .ridge import StraightRidge
from .settling import settle
from .weights import MAX_PARETO_K, effective_sample_size, flatten, importance_weights, pareto_k

__all__ = ["ExactDraws", "nearest_chi2", "sample_exact"]

_PARTICLES = 1000
_START_ESS = 500.0
_MARGIN = 1.5  # effective points for each draw that is resampled from them
_COST = 40  # points for each draw, beyond which particles come cheaper
_STEPS = 6  # that take copies apart
_PRIOR_SHARE = 0.3  # of where particles may jump
_NEAREST = 4096


@dataclass(frozen=True)
class ExactDraws:
    """Draws of the exact posteriors of G galaxies.

    Attributes
    ----------
    phi : tensor, shape (G, draws, 11)
        Free coordinates.
    ess, log_evidence, log_evidence_error : tensor, shape (G,)
        The effective sample size is that of the points which gave the evidence.
    evaluations : tensor of int, shape (G,)
        Of the model.
    finished : tensor of bool, shape (G,)
        False where the run was stopped before its end, or particles have not settled.
    """

    phi: torch.Tensor
    ess: torch.Tensor
    log_evidence: torch.Tensor
    log_evidence_error: torch.Tensor
    evaluations: torch.Tensor
    finished: torch.Tensor


def sample_exact(
    target: StraightRidge,
    pool: Pool,
    draws: int,
    generator: torch.Generator,
    *,
    stop: threading.Event | None = None,
) -> ExactDraws:
    """Draws of the exact posterior from a first idea of it.

    Parameters
    ----------
    target : StraightRidge
        Of G galaxies. Particles move for all of them if one needs them.
    pool : Pool
    draws : int
        Wanted of each galaxy.
    generator : torch.Generator
    stop : threading.Event, optional

    Returns
    -------
    ExactDraws
    """
    at_least = max(draws, _PARTICLES)
    found = adapt(target, pool, _MARGIN * at_least, generator, most=_COST * at_least, stop=stop)
    weights, log_mean = importance_weights(found.log_weights)
    n = weights.shape[1]
    ess = effective_sample_size(weights)
    spent = pool.n_drawn + pool.n_scattered + found.evaluations
    good = (ess >= _MARGIN * at_least) & (pareto_k(found.log_weights) <= MAX_PARETO_K)
    if good.all():
        points = resample(found.points, weights, draws, generator)
        moves = Moves(points)
        points = moves.step(points, target, _STEPS, generator)
        log_evidence, error = log_mean + math.log(n), (1 / ess - 1 / n).sqrt()
        finished, moved = good & (not stopped(stop)), moves.evaluations
    else:
        even = flatten(found.log_weights, _START_ESS)
        reach = found.proposal.add(_prior_mixture(found.points), _PRIOR_SHARE)
        there = settle(
            target.of, found.points, even, reach, _PARTICLES, generator, draws=draws, stop=stop
        )
        points, finished, moved = there.points, there.finished, there.evaluations
        log_evidence, error = there.log_evidence, there.log_evidence_error
    return ExactDraws(
        phi=target.place(points)[0],
        ess=(1 / error.square()).clamp(1.0, draws),
        log_evidence=log_evidence,
        log_evidence_error=error,
        evaluations=moved + spent,
        finished=finished,
    )


def nearest_chi2(exact: LogPosterior, generator: torch.Generator) -> torch.Tensor:
    """Smallest χ² (G,) among points of the prior, each at its best mass within the prior.

    Whatever is orders of magnitude beyond any real galaxy here is no galaxy, or in another unit:
    no search would end well.
    """
    shape = (exact.n_galaxies, _NEAREST, N_FREE)
    points = torch.randn(shape, generator=generator, device=generator.device)
    with torch.no_grad():
        mass = exact.profile(points).log_mstar.clamp(PARAMETERS[0].low, PARAMETERS[0].high)
        return exact.chi2(exact.prior.from_free(with_mass(points, mass))).amin(1)


def _prior_mixture(points: torch.Tensor) -> StudentMixture:
    """The prior in the coordinates of the particles, the mass within its error."""
    n, _, size = points.shape
    eye = torch.eye(size, dtype=points.dtype, device=points.device)
    return StudentMixture(
        points.new_ones(n, 1), points.new_zeros(n, 1, size), eye.expand(n, 1, size, size).clone()
    )
