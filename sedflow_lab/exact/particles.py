"""Moves of particles that leave a density unchanged: jumps to a mixture, and local ones.

Jumps go to points of a mixture that was fitted to the particles, and carry them from mode to
mode; local moves go along differences of other particles. Both take all particles of all galaxies
at once.

References
----------
Andrieu, Lee & Vihola 2018, Bernoulli 24, 842 (iterated sampling-importance-resampling);
ter Braak 2006, Stat. Comput. 16, 239 (differential evolution).
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Any

import torch

from .mixture import StudentMixture
from .ridge import IMPOSSIBLE

__all__ = ["Density", "Moves", "resample", "stopped"]

Density = Callable[[torch.Tensor], torch.Tensor]
"""Log density, up to a constant, of points (G, P, d): (G, P)."""

_TRIES = 6  # points of the mixture among which each particle chooses
_APART = 8  # cycles between sets of points that are kept
_WHOLE = 0.1  # share of local moves that go a whole difference
_ACCEPTANCE = 0.25


def stopped(stop: threading.Event | None) -> bool:
    """Whether someone has asked to stop."""
    return stop is not None and stop.is_set()


def resample(
    points: torch.Tensor, weights: torch.Tensor, n: int, generator: torch.Generator
) -> torch.Tensor:
    """Systematic resampling of points (G, N, d) by weights (G, N), shape (G, n, d), shuffled."""
    kind: dict[str, Any] = {
        "generator": generator,
        "dtype": weights.dtype,
        "device": weights.device,
    }
    start = torch.rand(len(weights), 1, **kind)
    ticks = (start + torch.arange(n, dtype=weights.dtype, device=weights.device)) / n
    cumulative = weights.cumsum(1)
    cumulative = (cumulative / cumulative[:, -1:]).contiguous()
    chosen = torch.searchsorted(cumulative, ticks.contiguous()).clamp_max(weights.shape[1] - 1)
    chosen = chosen.gather(1, torch.rand(len(weights), n, **kind).argsort(1))
    return points.gather(1, chosen[..., None].expand(-1, -1, points.shape[-1]))


class Moves:
    """Moves of the particles of G galaxies, with what they have cost and brought to light.

    Parameters
    ----------
    points : tensor, shape (G, P, d)
        Only their number and kind count.

    Attributes
    ----------
    evaluations : tensor of int, shape (G,)
        Evaluations of the density.
    log_evidence, log_evidence_error : tensor, shape (G,)
        Log of the integral of the density, and its error: jumps go to points of known mixtures,
        and the mean of density over mixture there is that integral.
    """

    def __init__(self, points: torch.Tensor) -> None:
        n, _, size = points.shape
        self.scale = points.new_full((n,), 1.19 / math.sqrt(2 * size))
        self.evaluations = torch.zeros(n, dtype=torch.long, device=points.device)
        # Of the weights of all points of the mixtures, of their squares, and their number.
        self._log_sums = points.new_full((2, n), -torch.inf)
        self._proposed = points.new_zeros(n)

    @property
    def log_evidence(self) -> torch.Tensor:
        """Log of the mean weight (G,) of all points of the mixtures; NaN if there were none."""
        return self._log_sums[0] - torch.log(self._proposed)

    @property
    def log_evidence_error(self) -> torch.Tensor:
        """Its standard error (G,)."""
        return _error(self._log_sums, self._proposed)

    def move(
        self,
        points: torch.Tensor,
        rows: torch.Tensor,
        density: Density,
        proposal: StudentMixture,
        cycles: int,
        generator: torch.Generator,
        stop: threading.Event | None,
        sets: int = 1,
    ) -> torch.Tensor:
        """Some cycles of moves of the particles (G, P, d) of the galaxies with indices `rows`.

        Returned are the points (G, sets P, d) at the end and, where more sets are wanted, some
        cycles before: far enough apart for the particles to have forgotten where they were.
        """
        walk = _Walk(points, density, self.scale[rows], generator)
        kept = []
        for left in reversed(range(max(cycles, sets * _APART))):
            if stopped(stop):
                break
            walk.cycle(proposal)
            if left % _APART == 0 and left < sets * _APART:
                kept.append(walk.points)
        kept += [walk.points] * (sets - len(kept))
        self.scale[rows] = walk.scale
        self.evaluations[rows] += walk.evaluations
        # The first mixtures may have been so poor that the last one knows more than all together.
        last, n_last = walk.log_sums, torch.full_like(walk.scale, walk.proposed)
        both = torch.logaddexp(self._log_sums[:, rows], last)
        n_both = self._proposed[rows] + n_last
        alone = _error(last, n_last) < _error(both, n_both)
        self._log_sums[:, rows] = torch.where(alone, last, both)
        self._proposed[rows] = torch.where(alone, n_last, n_both)
        return torch.cat(kept, 1)

    def step(
        self, points: torch.Tensor, density: Density, cycles: int, generator: torch.Generator
    ) -> torch.Tensor:
        """Local moves alone, of draws (G, P, d) of the density of which some are copies."""
        walk = _Walk(points, density, self.scale, generator)
        for _ in range(cycles):
            walk.step()
        self.evaluations += walk.evaluations
        return walk.points


def _error(log_sums: torch.Tensor, proposed: torch.Tensor) -> torch.Tensor:
    """Relative error (G,) of the mean of weights, from logs (2, G) of their sum and of squares."""
    total, squares = log_sums
    relative = torch.exp(squares - 2 * total) - 1 / proposed
    return torch.where(proposed > 0, relative.clamp_min(0).sqrt(), torch.inf).nan_to_num(torch.inf)


class _Walk:
    """Particles of some galaxies, and the moves that leave one density of each unchanged."""

    def __init__(
        self,
        points: torch.Tensor,
        density: Density,
        scale: torch.Tensor,
        generator: torch.Generator,
    ) -> None:
        self.points, self.density, self.generator = points, density, generator
        self.log_prob = density(points)
        self.scale = scale
        self.evaluations = points.shape[1]
        self.log_sums = torch.full((2, len(scale)), -torch.inf, device=scale.device)
        self.proposed = 0

    def cycle(self, proposal: StudentMixture) -> None:
        """One jump and one local move of every particle."""
        self._jump(proposal)
        self.step()

    def _random(self, *shape: int) -> torch.Tensor:
        like = self.log_prob
        return torch.rand(shape, generator=self.generator, dtype=like.dtype, device=like.device)

    def _normal(self, *shape: int) -> torch.Tensor:
        like = self.log_prob
        return torch.randn(shape, generator=self.generator, dtype=like.dtype, device=like.device)

    def _jump(self, proposal: StudentMixture) -> None:
        """Let every particle choose between its place and points drawn from a mixture."""
        n, count, size = self.points.shape
        new = proposal.sample(_TRIES * count, self.generator)
        points = torch.cat([self.points, new], 1)
        log_prob = torch.cat([self.log_prob, self.density(new)], 1)
        log_weight = (log_prob - proposal.log_prob(points)).reshape(n, 1 + _TRIES, count)
        for power, total in enumerate(self.log_sums, 1):
            now = torch.logsumexp(power * log_weight[:, 1:].flatten(1), 1)
            total.copy_(torch.logaddexp(total, now))
        self.proposed += _TRIES * count
        self.evaluations += _TRIES * count
        # The largest of the log weights plus Gumbel noise is a draw in proportion to the weights.
        uniform = self._random(n, 1 + _TRIES, count).clamp(1e-30, 1 - 1e-7)
        chosen = (log_weight - torch.log(-torch.log(uniform))).argmax(1)
        index = chosen * count + torch.arange(count, device=chosen.device)
        self.points = points.gather(1, index[..., None].expand(-1, -1, size))
        self.log_prob = log_prob.gather(1, index)

    def step(self) -> None:
        """Move half the particles along differences within the other half, then swap.

        So a proposal does not depend on the particles that it moves. One in ten goes the whole
        difference, from mode to mode; the length of the others adapts to what is accepted.
        """
        n, count, size = self.points.shape
        halves = torch.arange(count, device=self.points.device).tensor_split(2)
        accepted = torch.zeros_like(self.scale)
        for mine, others in (halves, halves[::-1]):
            here, pool = self.points[:, mine], self.points[:, others]
            pair = (self._random(2, n, len(mine)) * len(others)).long()
            a, b = (pool.gather(1, p[..., None].expand(-1, -1, size)) for p in pair)
            length = self.scale[:, None] * torch.exp(0.5 * self._normal(n, len(mine)))
            length = torch.where(self._random(n, len(mine)) < _WHOLE, 1.0, length)
            # The jitter lets particles leave the plane in which those of a small group lie.
            new = here + length[..., None] * (a - b) + 1e-4 * self._normal(*here.shape)
            log_prob = self.density(new)
            take = torch.log(self._random(n, len(mine))) < log_prob - self.log_prob[:, mine]
            take &= log_prob > IMPOSSIBLE  # or where all is impossible, particles run away
            self.points[:, mine] = torch.where(take[..., None], new, here)
            self.log_prob[:, mine] = torch.where(take, log_prob, self.log_prob[:, mine])
            accepted += take.to(accepted.dtype).sum(1) / count
        self.evaluations += count
        self.scale = (self.scale * torch.exp(0.5 * (accepted - _ACCEPTANCE))).clamp(0.02, 1.0)
