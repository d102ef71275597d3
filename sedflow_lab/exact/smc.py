r"""Tempered sequential Monte Carlo: from a rough idea of a posterior to the exact one.

The densities

.. math:: \pi_\lambda(x) \propto g(x)^{1 - \lambda} p(x)^\lambda

lead from a mixture g (λ = 0), fitted to an approximate posterior, to the posterior p (λ = 1).
Each step raises λ until the effective sample size falls to 80 %, resamples, and moves the
particles (see `particles`). No move needs the network again, and the model makes half a million
evaluations a second: so the particles can go a long way.

References
----------
Del Moral, Doucet & Jasra 2006, J. R. Stat. Soc. B 68, 411 (SMC samplers).
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import torch

from .likelihood import effective_sample_size, importance_weights
from .mixture import StudentMixture
from .particles import Moves, resample, stopped

__all__ = ["SMCResult", "Target", "largest_step", "settle", "tempered_smc"]


class Target(Protocol):
    """Log density of points (G, P, d) of the galaxies with indices `rows` (G,), shape (G, P)."""

    def __call__(self, x: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """Evaluate the density."""
        ...


_ESS_TARGET = 0.8
_CYCLES = 4  # of moves at each temperature
_SHORT_ROUNDS, _SHORT = 2, 8  # rounds at the end, and cycles in each; then come long ones
_LONG = 24
_MAX_ROUNDS = 12
_MAX_ERROR = 0.015  # of the log evidence, at which the particles have settled
_START_SHARE = 0.1  # of the first mixture in later ones, so that no mode is forgotten


@dataclass(frozen=True)
class SMCResult:
    """Particles of G galaxies after their last move.

    Attributes
    ----------
    points : tensor, shape (G, D, d)
        Equally weighted draws from the exact posterior.
    log_evidence, log_evidence_error : tensor, shape (G,)
        Natural log of the evidence, and its standard error; from the points to which the last
        moves have jumped or could have. The error is infinite where there were none.
    ess : tensor, shape (G,)
        Effective sample size of the weights at the last temperature.
    temperatures, evaluations : tensor of int, shape (G,)
        Steps in λ, and evaluations of the target.
    jumps : tensor, shape (G,)
        Fraction of the particles that a cycle of moves takes to another point of the mixture.
    finished : tensor of bool, shape (G,)
        False where the run was stopped before its end, or the particles have not settled.
    """

    points: torch.Tensor
    log_evidence: torch.Tensor
    log_evidence_error: torch.Tensor
    ess: torch.Tensor
    temperatures: torch.Tensor
    evaluations: torch.Tensor
    jumps: torch.Tensor
    finished: torch.Tensor


def tempered_smc(
    target: Target,
    start: StudentMixture,
    particles: int,
    generator: torch.Generator,
    *,
    draws: int | None = None,
    max_temperatures: int = 100,
    stop: threading.Event | None = None,
) -> SMCResult:
    """Carry particles from a mixture to the posterior.

    Parameters
    ----------
    target : callable
        See `Target`.
    start : StudentMixture
        Of G galaxies. It must reach wherever the posterior does.
    particles : int
    generator : torch.Generator
    draws : int, optional
        Points that are wanted in the end; as many as there are particles when left out. More are
        collected while the particles go on moving.
    max_temperatures : int
        Give up on a galaxy after so many.
    stop : threading.Event, optional
        Set it to stop after the next cycle of moves.

    Returns
    -------
    SMCResult
    """
    points = start.sample(particles, generator)
    moves = Moves(points)
    power, ess = points.new_zeros(len(points)), points.new_zeros(len(points))
    temperatures = torch.zeros_like(power, dtype=torch.long)
    for _ in range(max_temperatures):
        active = torch.nonzero(power < 1)[:, 0]
        if len(active) == 0 or stopped(stop):
            break
        here, first = points[active], start.select(active)
        ratio = (target(here, active) - first.log_prob(here)).clamp_min(-1e30)
        moves.evaluations[active] += particles
        step = largest_step(ratio, 1 - power[active], _ESS_TARGET * particles)
        weights, _ = importance_weights(step[:, None] * ratio)
        ess[active] = effective_sample_size(weights)
        power[active] = torch.where(step >= 1 - power[active], 1.0, power[active] + step)
        temperatures[active] += 1
        fit = StudentMixture.fit(here, weights, generator).add(first, _START_SHARE)
        here = resample(here, weights, particles, generator)
        heat = power[active, None]

        def density(
            x: torch.Tensor,
            heat: torch.Tensor = heat,
            first: StudentMixture = first,
            rows: torch.Tensor = active,
        ) -> torch.Tensor:
            return (1 - heat) * first.log_prob(x) + heat * target(x, rows)

        points[active] = moves.move(here, active, density, fit, _CYCLES, generator, stop)
    draws = particles if draws is None else draws
    arrived = torch.nonzero(power >= 1)[:, 0]
    out = points.repeat(1, -(-draws // particles), 1)[:, :draws]
    settled = torch.zeros_like(power, dtype=torch.bool)
    if len(arrived):
        out[arrived], settled[arrived] = _settle(
            target,
            points[arrived],
            start.select(arrived),
            moves,
            arrived,
            draws,
            generator,
            stop,
        )
    return SMCResult(
        points=out,
        log_evidence=moves.log_evidence,
        log_evidence_error=moves.log_evidence_error,
        ess=ess,
        temperatures=temperatures,
        evaluations=moves.evaluations,
        jumps=moves.jumps / moves.cycles.clamp_min(1),
        finished=settled,
    )


def settle(
    target: Target,
    points: torch.Tensor,
    weights: torch.Tensor,
    reach: StudentMixture,
    particles: int,
    generator: torch.Generator,
    *,
    draws: int | None = None,
    stop: threading.Event | None = None,
) -> SMCResult:
    """Resample weighted draws of the posterior, and move them until copies have come apart.

    Parameters
    ----------
    target : callable
        See `Target`.
    points : tensor, shape (G, N, d)
    weights : tensor, shape (G, N)
        Importance weights that correct the points to the posterior.
    reach : StudentMixture
        Proposes points now and then wherever the posterior may be.
    particles : int
    generator : torch.Generator
    draws : int, optional
        As for `tempered_smc`.
    stop : threading.Event, optional

    Returns
    -------
    SMCResult
        With one temperature.
    """
    here = resample(points, weights, particles, generator)
    moves = Moves(here)
    rows = torch.arange(len(here), device=here.device)
    draws = particles if draws is None else draws
    here, settled = _settle(target, here, reach, moves, rows, draws, generator, stop)
    return SMCResult(
        points=here,
        log_evidence=moves.log_evidence,
        log_evidence_error=moves.log_evidence_error,
        ess=effective_sample_size(weights),
        temperatures=torch.ones_like(rows),
        evaluations=moves.evaluations,
        jumps=moves.jumps / moves.cycles.clamp_min(1),
        finished=settled,
    )


def _settle(
    density: Target,
    points: torch.Tensor,
    reach: StudentMixture,
    moves: Moves,
    rows: torch.Tensor,
    draws: int,
    generator: torch.Generator,
    stop: threading.Event | None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Moves at the posterior, until jumps reach all of it; points (G, draws, d), and whether so.

    The proposals of the jumps are fitted again as the particles spread. The error of the
    evidence tells how well they cover the posterior: it is large while a mode is short of
    particles.
    """
    n, particles, size = points.shape
    sets = -(-draws // particles)
    out = points.new_empty(n, sets * particles, size)
    local = torch.arange(n, device=points.device)
    for k in range(_MAX_ROUNDS):
        even = torch.full_like(points[..., 0], 1.0 / particles)
        fit = StudentMixture.fit(points, even, generator).add(reach.select(local), _START_SHARE)
        first = k < _SHORT_ROUNDS
        moved = moves.move(
            points,
            rows[local],
            partial(density, rows=rows[local]),
            fit,
            _SHORT if first else _LONG,
            generator,
            stop,
            1 if first else sets,
        )
        points = moved[:, -particles:]
        if first:
            continue
        out[local] = moved
        unsettled = moves.log_evidence_error[rows[local]] > _MAX_ERROR
        points, local = points[unsettled], local[unsettled]
        if len(local) == 0 or stopped(stop):
            break
    settled = torch.ones_like(rows, dtype=torch.bool)
    settled[local] = False
    return out[:, :draws], settled & (not stopped(stop))


def largest_step(ratio: torch.Tensor, most: torch.Tensor, ess: float) -> torch.Tensor:
    """Largest power of the weights, up to a limit, that leaves an effective sample size.

    Parameters
    ----------
    ratio : tensor, shape (G, P)
        Log weights.
    most : tensor, shape (G,)
        Limit of the power.
    ess : float

    Returns
    -------
    tensor, shape (G,)
    """

    def enough(step: torch.Tensor) -> torch.Tensor:
        return effective_sample_size(importance_weights(step[:, None] * ratio)[0]) >= ess

    low, high = torch.zeros_like(most), most.clone()
    for _ in range(40):
        middle = 0.5 * (low + high)
        good = enough(middle)
        low, high = torch.where(good, middle, low), torch.where(good, high, middle)
    return torch.where(enough(most), most, low.clamp_min(1e-8))
