r"""From draws of the network to draws of the exact posterior.

Where enough of the draws carry weight, they are resampled by their importance weights and moved
until the copies have come apart. Elsewhere the network has missed something: then particles go
by tempered sequential Monte Carlo from a mixture that covers the network's draws, the better part
of a large sample of the prior, and the prior itself.

The particles live in the coordinates of `ridge`.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

import torch

from ..parameters import N_FREE, PARAMETERS
from .likelihood import LogPosterior, effective_sample_size, importance_weights
from .mixture import StudentMixture
from .particles import resample
from .profile import with_mass
from .ridge import MassRidge
from .smc import SMCResult, largest_step, settle, tempered_smc

__all__ = ["PARTICLES", "ExactDraws", "nearest_chi2", "sample_exact"]

PARTICLES = 1000
"""Particles of a galaxy whose draws are only resampled."""

_MIN_ESS = 0.5  # of the particles, for draws to be resampled without tempering
_MAX_PARETO_K = 0.7
_TEMPERED_PARTICLES = 2000
_POOL = 20_000  # points of the prior among which the mixture looks for modes
_POOL_ESS = 500.0
_NEAREST = 4096
_PRIOR_SHARE = 0.3


@dataclass(frozen=True)
class ExactDraws:
    """Draws of the exact posteriors of G galaxies.

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


def sample_exact(
    exact: LogPosterior,
    phi: torch.Tensor,
    log_weights: torch.Tensor,
    pareto_k: torch.Tensor,
    draws: int,
    generator: torch.Generator,
    *,
    stop: threading.Event | None = None,
) -> ExactDraws:
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
    ExactDraws
    """
    weights, _ = importance_weights(log_weights)
    ess = effective_sample_size(weights)
    good = (ess >= _MIN_ESS * PARTICLES) & (pareto_k <= _MAX_PARETO_K)
    evaluations = torch.full_like(good, phi.shape[1], dtype=torch.long)
    out = ExactDraws(
        phi=phi.new_empty(len(phi), draws, phi.shape[-1]),
        ess=ess.clone(),
        log_evidence=ess.clone(),
        log_evidence_error=ess.clone(),
        temperatures=evaluations.clone(),
        evaluations=evaluations,
        finished=good.clone(),
    )

    def keep(rows: torch.Tensor, target: MassRidge, particles: int, moved: SMCResult) -> None:
        out.phi[rows] = target.to_phi(moved.points)
        out.ess[rows] = (moved.ess / particles).clamp_max(1.0) * draws
        out.evaluations[rows] += moved.evaluations
        for name in ("log_evidence", "log_evidence_error", "temperatures", "finished"):
            getattr(out, name)[rows] = getattr(moved, name)

    rows = torch.nonzero(good)[:, 0]
    if len(rows):
        target = MassRidge(exact.select(rows))
        points = target.from_phi(phi[rows])
        reach = _prior_mixture(points)
        moved = settle(
            target.of, points, weights[rows], reach, PARTICLES, generator, draws=draws, stop=stop
        )
        keep(rows, target, PARTICLES, moved)
    rows = torch.nonzero(~good)[:, 0]
    if len(rows):
        target = MassRidge(exact.select(rows))
        start = _first_mixture(target, phi[rows], generator)
        moved = tempered_smc(
            target.of, start, _TEMPERED_PARTICLES, generator, draws=draws, stop=stop
        )
        keep(rows, target, _TEMPERED_PARTICLES, moved)
        out.evaluations[rows] += _POOL
    return out


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


def _first_mixture(
    target: MassRidge, phi: torch.Tensor, generator: torch.Generator
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
