r"""From draws of the network to draws of the exact posterior.

Draws of the network and points that owe it nothing are weighted together (`defensive`), and a
mixture is fitted to them in rounds (`adaptive`). Where points of that mixture carry the weights
well, they are resampled by them and moved along until copies have come apart. Where they do not,
rounds begin anew with the modes that least squares find (`modes`); if these points do not carry the
weights either, a thousand particles jump from point to point of ever better mixtures until they
have settled (`settling`). Where they do not, or the network is far off, or the model cannot fit and
the posterior lies in a corner of the prior, which few scattered points and searches know, particles
are carried there through temperatures, from the prior and the modes (`smc`).
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass, replace
from functools import partial

import torch

from ..parameters import PARAMETERS
from .adaptive import Adapted, adapt, fit_mixture
from .defensive import Pool
from .likelihood import LogPosterior
from .mixture import StudentMixture
from .modes import Modes, find_modes
from .particles import Moves, resample, stopped
from .profile import with_mass
from .ridge import StraightRidge
from .scatter import FAR_SCALE, is_young
from .settling import Settled, settle
from .smc import tempered_smc
from .weights import MAX_PARETO_K, effective_sample_size, flatten, importance_weights, pareto_k

__all__ = ["ExactDraws", "nearest_chi2", "sample_exact"]

_PARTICLES = 1000
_START_ESS = 500.0
_MARGIN = 1.5  # effective points for each draw that is resampled from them
_COST = 40  # points for each draw, beyond which particles come cheaper
# Share of the posterior that a mode may have whose weights are heavy: one of a fifth was found to
# be below 0.02 by 3 of 1,248 seeds, with 0.006 as the least.
_SMALL = 0.003
_STEPS = 6  # that take copies apart
_PRIOR_SHARE = 0.3  # of where particles may jump
_MODES_SHARE = 0.2  # of where particles may jump, or begin
_TEMPERED = 2000  # particles
_POOR_CHI2 = 20.0  # of the likeliest point known: of a hundred galaxies of the model one is above
_FAR_OFF = 0.7  # distance of a network that may have missed more than scattered points find
_NEAREST = 4096
_LOOKED_AT = 64


@dataclass(frozen=True)
class ExactDraws:
    """Draws of the exact posteriors of G galaxies.

    Attributes
    ----------
    phi : tensor, shape (G, draws, n_free)
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
    wanted, most = _MARGIN * at_least, _COST * at_least
    rounds = partial(adapt, target, pool, wanted, generator, most=most, stop=stop)
    found = rounds()
    evaluations = pool.n_drawn + pool.n_scattered + found.evaluations
    spent = torch.full_like(pool.distance, evaluations, dtype=torch.long)
    known = (_best_chi2(target, found) <= _POOR_CHI2) & (pool.distance <= _FAR_OFF)
    good, modes = known & _carries(found, at_least), None
    if not good.all() and not stopped(stop):
        modes = find_modes(target, generator)
        spent += modes.evaluations
        # Searches miss one narrow mode in some, too: they do not stand in for temperatures.
        if known.all():
            found = rounds(modes=modes.mixture)
            spent += found.evaluations
            good = _carries(found, at_least)
    if good.all():
        weights, log_mean = importance_weights(found.log_weights)
        n, ess = weights.shape[1], effective_sample_size(weights)
        points = resample(found.points, weights, draws, generator)
        moves = Moves(points)
        points = moves.step(points, target, _STEPS, generator)
        log_evidence, error = log_mean + math.log(n), (1 / ess - 1 / n).sqrt()
        finished, moved = good & (not stopped(stop)), moves.evaluations
    else:
        there = _move(target, pool, found, modes, bool(known.all()), draws, generator, stop)
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


def _carries(found: Adapted, at_least: int) -> torch.Tensor:
    """Whether points carry the weights well (G,), those of young bursts by themselves too."""
    weights, _ = importance_weights(found.log_weights)
    good = effective_sample_size(weights) >= _MARGIN * at_least
    good &= pareto_k(found.log_weights) <= MAX_PARETO_K
    # A mode of young bursts may hide behind the good weights of the others.
    young = is_young(found.points)
    small = (weights * young).sum(1) <= _SMALL
    return good & (small | (pareto_k(found.log_weights.where(young, -torch.inf)) <= MAX_PARETO_K))


def _move(
    target: StraightRidge,
    pool: Pool,
    found: Adapted,
    modes: Modes | None,
    known: bool,
    draws: int,
    generator: torch.Generator,
    stop: threading.Event | None,
) -> Settled:
    """Particles that settle, where all modes are known, or else tempered ones."""
    prior = _prior_mixture(found.points)

    def widened(mixture: StudentMixture) -> StudentMixture:
        wide = mixture.add(prior, _PRIOR_SHARE)
        return wide if modes is None else wide.add(modes.mixture, _MODES_SHARE)

    spent = torch.zeros_like(pool.distance, dtype=torch.long)
    if known:
        even, reach = flatten(found.log_weights, _START_ESS), widened(found.proposal)
        moved = settle(
            target.of, found.points, even, reach, _PARTICLES, generator, draws=draws, stop=stop
        )
        if moved.finished.all() or stopped(stop):
            return moved
        spent = moved.evaluations
    start = widened(fit_mixture(pool.points, pool.weights, generator))
    moved = tempered_smc(target.of, start, _TEMPERED, generator, draws=draws, stop=stop)
    return replace(moved, evaluations=moved.evaluations + spent)


def _best_chi2(target: StraightRidge, found: Adapted) -> torch.Tensor:
    """Smallest χ² (G,) among the points of largest weight."""
    rows = found.log_weights.topk(_LOOKED_AT, dim=1).indices
    points = found.points.gather(1, rows[..., None].expand(-1, -1, found.points.shape[-1]))
    return target.exact.best_chi2(*target.exact.reported(target.place(points)[0]))


def nearest_chi2(exact: LogPosterior, generator: torch.Generator) -> torch.Tensor:
    """Smallest χ² (G,) among points of the prior, each at its best mass within the prior.

    Whatever is orders of magnitude beyond any real galaxy here is no galaxy, or in another unit:
    no search would end well.
    """
    shape = (exact.n_galaxies, _NEAREST, exact.n_free)
    points = torch.randn(shape, generator=generator, device=generator.device)
    with torch.no_grad():
        mass = exact.profile(points).log_mstar.clamp(PARAMETERS[0].low, PARAMETERS[0].high)
        return exact.chi2(*exact.reported(with_mass(points, mass))).amin(1)


def _prior_mixture(points: torch.Tensor) -> StudentMixture:
    """The prior in the coordinates of the particles; the mass within its error, or far from it."""
    n, _, size = points.shape
    roots = torch.eye(size, dtype=points.dtype, device=points.device).repeat(n, 2, 1, 1)
    roots[:, 1, 0, 0] = FAR_SCALE
    return StudentMixture(points.new_full((n, 2), 0.5), points.new_zeros(n, 2, size), roots)
