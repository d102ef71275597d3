r"""Tempered sequential Monte Carlo: from a rough idea of a posterior to the exact one.

The densities

.. math:: \pi_\lambda(x) \propto g(x)^{1 - \lambda} p(x)^\lambda

lead from a mixture g (λ = 0) to the posterior p (λ = 1). Each step raises λ until the effective
sample size falls to 80 %, resamples, and moves the particles (see `particles`). It costs more than
importance sampling, but finds its way to corners of the prior where no scattered point lies.

References
----------
Del Moral, Doucet & Jasra 2006, J. R. Stat. Soc. B 68, 411 (SMC samplers).
"""

from __future__ import annotations

import dataclasses
import threading

import torch

from .mixture import StudentMixture
from .particles import Moves, resample, stopped
from .settling import Settled, Target, settle_particles
from .weights import effective_sample_size, importance_weights

__all__ = ["tempered_smc"]

_ESS_TARGET = 0.8
_MOST_TEMPERATURES = 100
_CYCLES = 4  # of moves at each temperature
_START_SHARE = 0.1  # of the first mixture in later ones, so that no mode is forgotten


def tempered_smc(
    target: Target,
    start: StudentMixture,
    particles: int,
    generator: torch.Generator,
    *,
    draws: int | None = None,
    stop: threading.Event | None = None,
) -> Settled:
    """Carry particles from a mixture to the posterior.

    Parameters
    ----------
    target : callable
        See `Target`.
    start : StudentMixture
        Of G galaxies. It must reach wherever the posterior does.
    particles : int
    generator : torch.Generator
    draws, stop : optional
        As for `settle`.

    Returns
    -------
    Settled
    """
    points = start.sample(particles, generator)
    moves = Moves(points)
    power = points.new_zeros(len(points))
    for _ in range(_MOST_TEMPERATURES):
        active = torch.nonzero(power < 1)[:, 0]
        if len(active) == 0 or stopped(stop):
            break
        here, first = points[active], start.select(active)
        ratio = (target(here, active) - first.log_prob(here)).clamp_min(-1e30)
        moves.evaluations[active] += particles
        step = _largest_step(ratio, 1 - power[active], _ESS_TARGET * particles)
        weights, _ = importance_weights(step[:, None] * ratio)
        power[active] = torch.where(step >= 1 - power[active], 1.0, power[active] + step)
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
    arrived = power >= 1
    result = settle_particles(target, points, start, generator, draws, stop)
    return dataclasses.replace(
        result,
        evaluations=result.evaluations + moves.evaluations,
        finished=result.finished & arrived,
    )


def _largest_step(ratio: torch.Tensor, most: torch.Tensor, ess: float) -> torch.Tensor:
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
