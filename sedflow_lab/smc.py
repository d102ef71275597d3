r"""Tempered sequential Monte Carlo: from an approximate posterior to the exact one.

The approximation q is a map from standard normal latents ε to parameters. With the ratio
:math:`r(\epsilon) = \ln p(\theta) L(\theta) - \ln q(\theta)` at :math:`\theta = T(\epsilon)`, the
densities

.. math:: \pi_\lambda(\epsilon) \propto \mathcal N(\epsilon) \, e^{\lambda r(\epsilon)}

lead from q (λ = 0) to the exact posterior (λ = 1). Where q is good, ε is nearly standard normal
all the way and moves are easy. Each step raises λ until the effective sample size halves,
resamples, and moves the particles by Metropolis-Hastings.

References
----------
Del Moral, Doucet & Jasra 2006, J. R. Stat. Soc. B 68, 411 (SMC samplers);
ter Braak 2006, Stat. Comput. 16, 239 (differential-evolution moves);
Cotter et al. 2013, Stat. Sci. 28, 424 (preconditioned Crank-Nicolson moves).
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass

import torch

from .exact import effective_sample_size, importance_weights

__all__ = ["SMCResult", "Transport", "tempered_smc"]

Transport = Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]
"""Maps latents (G, P, d) of the galaxies with indices (G,) to points (G, P, d) and r (G, P)."""

_ESS_TARGET = 0.5
_ACCEPTED_PER_STEP = 5.0  # mean accepted moves a particle makes at each temperature
_ACCEPTED_AT_END = 6.0  # the same after the last one, times the number of temperatures
_MAX_MOVES = 120
_ACCEPTANCE = 0.25


@dataclass(frozen=True)
class SMCResult:
    """Particles of G galaxies after the last temperature.

    Attributes
    ----------
    points : tensor, shape (G, P, d)
        Equally weighted draws from the exact posterior.
    log_evidence, log_evidence_error : tensor, shape (G,)
        Natural log of the evidence, and its standard error from the spread of the weights.
    ess : tensor, shape (G,)
        Effective sample size of the weights at the last temperature.
    temperatures, evaluations : tensor of int, shape (G,)
        Steps in λ, and evaluations of the target.
    acceptance : tensor, shape (G,)
        Mean acceptance of the moves.
    finished : tensor of bool, shape (G,)
        False where the run was stopped before λ = 1.
    """

    points: torch.Tensor
    log_evidence: torch.Tensor
    log_evidence_error: torch.Tensor
    ess: torch.Tensor
    temperatures: torch.Tensor
    evaluations: torch.Tensor
    acceptance: torch.Tensor
    finished: torch.Tensor


@dataclass
class _State:
    """Particles of the galaxies that are still under way."""

    latent: torch.Tensor
    points: torch.Tensor
    ratio: torch.Tensor


def tempered_smc(
    transport: Transport,
    latent: torch.Tensor,
    generator: torch.Generator,
    *,
    max_temperatures: int = 60,
    stop: threading.Event | None = None,
) -> SMCResult:
    """Carry particles from the approximation to the exact posterior.

    Parameters
    ----------
    transport : callable
        See `Transport`.
    latent : tensor, shape (G, P, d)
        Draws from the standard normal: particles of the approximation.
    generator : torch.Generator
    max_temperatures : int
        Give up on a galaxy after so many.
    stop : threading.Event, optional
        Set it to stop at the next move.

    Returns
    -------
    SMCResult
    """
    n, n_particles, _ = latent.shape
    rows = torch.arange(n, device=latent.device)
    points, ratio = transport(latent, rows)
    everything = _State(latent.clone(), points, ratio)
    zeros = ratio.new_zeros(n)
    power, log_evidence, variance, ess, scale = (zeros.clone() for _ in range(5))
    scale += 2.38 / math.sqrt(2 * latent.shape[-1])
    accepted, moves = zeros.clone(), zeros.clone()
    temperatures = torch.zeros(n, dtype=torch.long, device=latent.device)
    for _ in range(max_temperatures):
        active = torch.nonzero(power < 1)[:, 0]
        if len(active) == 0 or (stop is not None and stop.is_set()):
            break
        state = _State(*(t[active] for t in vars(everything).values()))
        step = _next_step(state.ratio, power[active])
        log_weights = step[:, None] * state.ratio.clamp_min(-1e30)
        weights, log_mean = importance_weights(log_weights)
        ess[active] = effective_sample_size(weights)
        log_evidence[active] += log_mean
        variance[active] += 1 / ess[active] - 1 / n_particles
        power[active] += step
        power[active] = torch.where(power[active] > 1 - 1e-6, 1.0, power[active])
        temperatures[active] += 1
        chosen = _resample(weights, generator)
        state = _State(
            *(
                t.gather(1, chosen.reshape(*chosen.shape, *[1] * (t.ndim - 2)).expand_as(t))
                for t in vars(state).values()
            )
        )
        done = power[active] >= 1
        # The more temperatures it took, the worse was the start, and the longer the way from it.
        at_end = _ACCEPTED_AT_END * temperatures[active].to(power.dtype)
        wanted = torch.where(done, at_end, torch.full_like(at_end, _ACCEPTED_PER_STEP))
        gained = torch.zeros_like(wanted)
        for k in range(_MAX_MOVES):
            under_way = torch.nonzero(gained < wanted)[:, 0]
            if len(under_way) == 0 or (stop is not None and stop.is_set()):
                break
            rate = _move(
                state,
                under_way,
                power[active[under_way]],
                scale[active[under_way]],
                _for_rows(transport, active[under_way]),
                generator,
                crank_nicolson=k % 3 == 2,
            )
            gained[under_way] += rate
            moves[active[under_way]] += 1
            accepted[active[under_way]] += rate
            if k % 3 != 2:
                growth = torch.exp(0.5 * (rate - _ACCEPTANCE))
                scale[active[under_way]] = (scale[active[under_way]] * growth).clamp(0.02, 2.0)
        for name, tensor in vars(state).items():
            getattr(everything, name)[active] = tensor
    return SMCResult(
        points=everything.points,
        log_evidence=log_evidence,
        log_evidence_error=variance.clamp_min(0).sqrt(),
        ess=ess,
        temperatures=temperatures,
        evaluations=((moves + 1) * n_particles).long(),
        acceptance=accepted / moves.clamp_min(1),
        finished=power >= 1,
    )


def _for_rows(transport: Transport, rows: torch.Tensor) -> Transport:
    """The transport of some of the galaxies, counted from zero."""
    return lambda latent, local: transport(latent, rows[local])


def _next_step(ratio: torch.Tensor, power: torch.Tensor) -> torch.Tensor:
    """Largest rise of λ, up to 1, that keeps the effective sample size at half the particles."""
    n_particles = ratio.shape[1]
    finite = ratio.clamp_min(-1e30)

    def ess(step: torch.Tensor) -> torch.Tensor:
        return effective_sample_size(importance_weights(step[:, None] * finite)[0])

    rest = 1 - power
    low, high = torch.zeros_like(rest), rest.clone()
    enough = ess(high) >= _ESS_TARGET * n_particles
    for _ in range(40):
        middle = 0.5 * (low + high)
        good = ess(middle) >= _ESS_TARGET * n_particles
        low, high = torch.where(good, middle, low), torch.where(good, high, middle)
    return torch.where(enough, rest, low.clamp_min(1e-8))


def _resample(weights: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Systematic resampling: indices (G, P) of particles, in random order."""
    n, n_particles = weights.shape
    start = torch.rand(n, 1, generator=generator, dtype=weights.dtype)
    ticks = (start + torch.arange(n_particles, dtype=weights.dtype)) / n_particles
    cumulative = weights.cumsum(1)
    cumulative = cumulative / cumulative[:, -1:]
    chosen = torch.searchsorted(cumulative.contiguous(), ticks.contiguous())
    shuffle = torch.rand(n, n_particles, generator=generator).argsort(1)
    return chosen.clamp_max(n_particles - 1).gather(1, shuffle)


def _move(
    state: _State,
    rows: torch.Tensor,
    power: torch.Tensor,
    scale: torch.Tensor,
    transport: Transport,
    generator: torch.Generator,
    *,
    crank_nicolson: bool,
) -> torch.Tensor:
    """One Metropolis-Hastings move of every particle of some galaxies; returns the acceptance.

    Half the particles move along differences within the other half, then the halves swap: so
    a proposal does not depend on the particles that it moves. Every third move is a
    Crank-Nicolson step, which leaves the normal unchanged and reaches beyond the population.
    """
    n_particles = state.ratio.shape[1]
    half = n_particles // 2
    local = torch.arange(len(rows))
    rate = torch.zeros_like(power)
    for first, second in ((slice(0, half), slice(half, None)), (slice(half, None), slice(0, half))):
        here, ratio = state.latent[rows, first], state.ratio[rows, first]
        shape = here.shape
        jump = torch.randn(shape, generator=generator, dtype=here.dtype)
        if crank_nicolson:
            width = (scale * 0.8).clamp(0.05, 0.9)[:, None, None]
            proposal = torch.sqrt(1 - width**2) * here + width * jump
            log_normal = torch.zeros_like(ratio)
        else:
            others = state.latent[rows, second]
            pair = torch.randint(others.shape[1], (2, *shape[:2]), generator=generator)
            a, b = (others.gather(1, p[..., None].expand(shape)) for p in pair)
            stretch = torch.exp(0.4 * torch.randn(shape[:2], generator=generator))[..., None]
            proposal = here + scale[:, None, None] * stretch * (a - b) + 1e-3 * jump
            log_normal = 0.5 * (here.square() - proposal.square()).sum(-1)
        points, new_ratio = transport(proposal, local)
        log_alpha = log_normal + power[:, None] * (new_ratio - ratio)
        log_u = torch.log(torch.rand(shape[:2], generator=generator))
        accept = (log_u < log_alpha) & torch.isfinite(new_ratio)
        keep = accept[..., None]
        state.latent[rows, first] = torch.where(keep, proposal, here)
        state.points[rows, first] = torch.where(keep, points, state.points[rows, first])
        state.ratio[rows, first] = torch.where(accept, new_ratio, ratio)
        rate += accept.to(rate.dtype).sum(1) / n_particles
    return rate
