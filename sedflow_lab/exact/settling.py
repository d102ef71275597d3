"""Particles that are resampled and moved until they are draws of the exact posterior.

Weighted points are resampled; then every particle jumps among points of a mixture, and steps
along differences of others (see `particles`). The mixtures are fitted again as the particles
spread. No move needs the network, and the model makes half a million evaluations a second: so
the particles can go a long way.

References
----------
Gilks & Berzuini 2001, J. R. Stat. Soc. B 63, 127 (resample and move).
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import torch

from .mixture import StudentMixture
from .particles import Moves, resample, stopped

__all__ = ["Settled", "Target", "settle", "settle_particles"]


class Target(Protocol):
    """Log density of points (G, P, d) of the galaxies with indices `rows` (G,), shape (G, P)."""

    def __call__(self, x: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """Evaluate the density."""
        ...


_SHORT_ROUNDS, _SHORT = 2, 8  # rounds, and cycles in each; then come long ones
_LONG = 24
_RECENT = 3  # sets of particles, some cycles apart, to which a mixture is fitted
_COMPONENTS = 12
_MAX_ROUNDS = 12
_MAX_ERROR = 0.02  # of the log evidence, at which the particles have settled
_REACH_SHARE = 0.1  # of the reach in each mixture, so that no mode is forgotten


@dataclass(frozen=True)
class Settled:
    """Particles of G galaxies after their last move.

    Attributes
    ----------
    points : tensor, shape (G, D, d)
        Equally weighted draws from the exact posterior.
    log_evidence, log_evidence_error : tensor, shape (G,)
        Natural log of the evidence, and its standard error; from the points to which moves have
        jumped or could have. The error is infinite where there were none.
    evaluations : tensor of int, shape (G,)
        Of the target.
    finished : tensor of bool, shape (G,)
        False where the run was stopped before its end, or the particles have not settled.
    """

    points: torch.Tensor
    log_evidence: torch.Tensor
    log_evidence_error: torch.Tensor
    evaluations: torch.Tensor
    finished: torch.Tensor


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
) -> Settled:
    """Resample weighted draws of the posterior, and move them until copies have come apart.

    Parameters
    ----------
    target : callable
        See `Target`.
    points : tensor, shape (G, N, d)
    weights : tensor, shape (G, N)
        Normalised. The moves forgive weights that are not quite those of the posterior.
    reach : StudentMixture
        Proposes points now and then wherever the posterior may be.
    particles : int
    generator : torch.Generator
    draws : int, optional
        Points that are wanted in the end; as many as there are particles when left out. More are
        collected while the particles go on moving.
    stop : threading.Event, optional
        Set it to stop after the next cycle of moves.

    Returns
    -------
    Settled
    """
    return settle_particles(
        target, resample(points, weights, particles, generator), reach, generator, draws, stop
    )


def settle_particles(
    target: Target,
    points: torch.Tensor,
    reach: StudentMixture,
    generator: torch.Generator,
    draws: int | None,
    stop: threading.Event | None,
) -> Settled:
    """What `settle` does with particles (G, P, d), wherever they come from."""
    moves = Moves(points)
    n, particles, size = points.shape
    sets = 1 if draws is None else -(-draws // particles)
    out = points.new_empty(n, sets * particles, size)
    rows = torch.arange(n, device=points.device)
    recent = points
    for k in range(_MAX_ROUNDS):
        even = torch.full_like(recent[..., 0], 1.0 / recent.shape[1])
        fit = StudentMixture.fit(recent, even, generator, _COMPONENTS)
        fit = fit.add(reach.select(rows), _REACH_SHARE)
        first = k < _SHORT_ROUNDS
        moved = moves.move(
            points,
            rows,
            partial(target, rows=rows),
            fit,
            _SHORT if first else _LONG,
            generator,
            stop,
            1 if first else max(sets, _RECENT),
        )
        points, recent = moved[:, -particles:], moved[:, -_RECENT * particles :]
        if first:
            continue
        out[rows] = moved[:, -sets * particles :]
        # The error of the evidence is large while a mode is short of particles.
        unsettled = moves.log_evidence_error[rows] > _MAX_ERROR
        points, recent, rows = points[unsettled], recent[unsettled], rows[unsettled]
        if len(rows) == 0 or stopped(stop):
            break
    settled = torch.ones(n, dtype=torch.bool, device=out.device)
    settled[rows] = False
    return Settled(
        points=out[:, :draws],
        log_evidence=moves.log_evidence,
        log_evidence_error=moves.log_evidence_error,
        evaluations=moves.evaluations,
        finished=settled & (not stopped(stop)),
    )
