r"""From draws of the network to draws of the exact posterior.

Where enough of the draws carry weight, they are resampled by their importance weights and moved
until the copies have come apart. Elsewhere the network has missed something: then particles go
by tempered sequential Monte Carlo from a mixture that covers the network's draws, the better part
of a large sample of the prior, and the prior itself.

The particles live in the free coordinates with the mass measured from the best one for the rest,
in units of its error,

.. math:: u = \ln(10) \, S \, (\log M_* - \log \hat M(\phi_{1 \ldots 10})),
          \qquad S^2 = \sum_X (\hat f_X / \sigma_X)^2,

as the walkers of MCMC do (see `walkers`): the narrow bent ridge along which mass and
mass-to-light ratio trade places becomes a straight and round one.
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass

import torch

from .likelihood import LogPosterior, effective_sample_size, importance_weights
from .mixture import StudentMixture
from .particles import resample
from .smc import SMCResult, largest_step, settle, tempered_smc

__all__ = ["PARTICLES", "Refined", "refine"]

PARTICLES = 1000
"""Particles of a galaxy whose draws are only resampled."""

_MIN_ESS = 0.5  # of the particles, for draws to be resampled without tempering
_MAX_PARETO_K = 0.7
_TEMPERED_PARTICLES = 2000
_POOL = 20_000  # points of the prior among which the mixture looks for modes
_POOL_ESS = 500.0
_PRIOR_SHARE = 0.3
_NOTHING = -1e30  # log density of what is impossible


@dataclass(frozen=True)
class Refined:
    """Exact draws of G galaxies.

    Attributes
    ----------
    phi : tensor, shape (G, draws, 11)
        Free coordinates.
    ess, log_evidence, log_evidence_error : tensor, shape (G,)
        ESS of the last weights, as a share of the draws; the moves after that only add to it.
    temperatures, evaluations : tensor of int, shape (G,)
        Temperatures (1 where the draws were only resampled), and evaluations of the model.
    finished : tensor of bool, shape (G,)
        False where the run was stopped before its end.
    """

    phi: torch.Tensor
    ess: torch.Tensor
    log_evidence: torch.Tensor
    log_evidence_error: torch.Tensor
    temperatures: torch.Tensor
    evaluations: torch.Tensor
    finished: torch.Tensor


class _Scaled:
    """Log posterior in the coordinates (u, φ1, ..., φ10)."""

    def __init__(self, exact: LogPosterior) -> None:
        self.exact = exact
        # Where the flux is lost in the noise, the mass is free over some dex, not more.
        signal = exact.signal_to_noise.clamp_min(0.3)
        self.width = 1.0 / (math.log(10) * signal)

    def of(self, x: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """The same for points of some of the galaxies, by their indices."""
        return _Scaled(self.exact.select(rows))(x)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        profile = self.exact.profile(x)
        mass = profile.log_mstar + x[..., 0] * self.width[:, None]
        log_prior = self.exact.prior.log_prob_free(torch.cat([mass[..., None], x[..., 1:]], -1))
        log_prob = log_prior + profile.log_likelihood(mass) + torch.log(self.width)[:, None]
        # A finite floor, so that differences of what is impossible are not NaN.
        return torch.nan_to_num(log_prob, nan=_NOTHING).clamp_min(_NOTHING)

    def from_phi(self, phi: torch.Tensor) -> torch.Tensor:
        best = self.exact.profile(phi).log_mstar
        return torch.cat(
            [((phi[..., 0] - best) / self.width[:, None])[..., None], phi[..., 1:]], -1
        )

    def to_phi(self, x: torch.Tensor) -> torch.Tensor:
        mass = self.exact.profile(x).log_mstar + x[..., 0] * self.width[:, None]
        return torch.cat([mass[..., None], x[..., 1:]], -1)


def refine(
    exact: LogPosterior,
    phi: torch.Tensor,
    log_weights: torch.Tensor,
    pareto_k: torch.Tensor,
    draws: int,
    generator: torch.Generator,
    *,
    stop: threading.Event | None = None,
) -> Refined:
    """Turn draws of an approximate posterior into draws of the exact one.

    Parameters
    ----------
    exact : LogPosterior
        Of G galaxies.
    phi : tensor, shape (G, N, 11)
        Draws in free coordinates.
    log_weights : tensor, shape (G, N)
        Log of the exact posterior, with its likelihood's constant, over the density of the draws.
    pareto_k : tensor, shape (G,)
        Tail index of the weights.
    draws : int
        Exact draws wanted of each galaxy.
    generator : torch.Generator
    stop : threading.Event, optional

    Returns
    -------
    Refined
    """
    weights, _ = importance_weights(log_weights)
    ess = effective_sample_size(weights)
    good = (ess >= _MIN_ESS * PARTICLES) & (pareto_k <= _MAX_PARETO_K)
    evaluations = torch.full_like(good, phi.shape[1], dtype=torch.long)
    out = Refined(
        phi=phi.new_empty(len(phi), draws, phi.shape[-1]),
        ess=ess.clone(),
        log_evidence=ess.clone(),
        log_evidence_error=ess.clone(),
        temperatures=evaluations.clone(),
        evaluations=evaluations,
        finished=good.clone(),
    )

    def keep(rows: torch.Tensor, target: _Scaled, particles: int, moved: SMCResult) -> None:
        out.phi[rows] = target.to_phi(moved.points)
        out.ess[rows] = (moved.ess / particles).clamp_max(1.0) * draws
        out.evaluations[rows] += moved.evaluations
        for name in ("log_evidence", "log_evidence_error", "temperatures", "finished"):
            getattr(out, name)[rows] = getattr(moved, name)

    rows = torch.nonzero(good)[:, 0]
    if len(rows):
        target = _Scaled(exact.select(rows))
        points = target.from_phi(phi[rows])
        reach = _prior_mixture(points)
        moved = settle(
            target.of, points, weights[rows], reach, PARTICLES, generator, draws=draws, stop=stop
        )
        keep(rows, target, PARTICLES, moved)
    rows = torch.nonzero(~good)[:, 0]
    if len(rows):
        target = _Scaled(exact.select(rows))
        start = _first_mixture(target, phi[rows], generator)
        moved = tempered_smc(
            target.of, start, _TEMPERED_PARTICLES, generator, draws=draws, stop=stop
        )
        keep(rows, target, _TEMPERED_PARTICLES, moved)
        out.evaluations[rows] += _POOL
    return out


def _prior_mixture(points: torch.Tensor) -> StudentMixture:
    """The prior in the coordinates of the particles, the mass within its error."""
    n, _, size = points.shape
    eye = torch.eye(size, dtype=points.dtype, device=points.device)
    return StudentMixture(
        points.new_ones(n, 1), points.new_zeros(n, 1, size), eye.expand(n, 1, size, size).clone()
    )


def _first_mixture(
    target: _Scaled, phi: torch.Tensor, generator: torch.Generator
) -> StudentMixture:
    """Where tempering starts: fitted to the network's draws and to the better part of the prior.

    The network may have missed a mode. Among many points of the prior, at their best mass, some
    lie in it; a power of their likelihood picks enough of them for a fit.
    """
    drawn = target.from_phi(phi)
    n, n_drawn, size = drawn.shape
    shape = (n, _POOL, size)
    pool = torch.randn(shape, generator=generator, dtype=drawn.dtype, device=drawn.device)
    log_likelihood = target(pool) + 0.5 * pool.square().sum(-1)
    power = largest_step(log_likelihood, torch.ones_like(pool[:, 0, 0]), _POOL_ESS)
    weights, _ = importance_weights(power[:, None] * log_likelihood)
    picked = resample(pool, weights, n_drawn, generator)
    points = torch.cat([drawn, picked], 1)
    even = torch.full_like(points[..., 0], 1.0 / points.shape[1])
    fit = StudentMixture.fit(points, even, generator)
    return fit.add(_prior_mixture(points), _PRIOR_SHARE)
