"""What each method makes of a block of galaxies: draws, weights, and how far to trust them."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..exact.likelihood import LogPosterior, effective_sample_size, importance_weights
from ..exact.refine import PARTICLES, refine
from ..observations.photometry import Photometry
from ..parameters import N_FREE, PARAMETERS
from .flow import PosteriorFlow
from .trust import badge, pareto_k

if TYPE_CHECKING:
    from .amortized import AmortizedPosterior

__all__ = ["METHODS", "blocks", "draw_inside", "draws_of_network", "infer_block"]

METHODS = ("fast", "weighted", "exact", "auto")
"""Draws from the network, the same with importance weights, exact draws, or these where needed."""

_ROWS = 16_384  # draws that go through the network at once
_ROUNDS = 60  # of redrawing what fell off the prior on the mass
_PER_PARTICLE = 2  # draws of the network for each exact one
_TRIAL_DRAWS = 1000  # draws that judge the network's posterior when it is not weighted


def draws_of_network(draws: int, method: str) -> int:
    """How often to draw from the network for so many draws by a method."""
    return _PER_PARTICLE * PARTICLES if method == "exact" else draws


def blocks(n: int, draws: int) -> list[slice]:
    """Slices of the galaxies whose draws go through the network together."""
    size = max(1, _ROWS // max(1, draws))
    return [slice(i, i + size) for i in range(0, n, size)]


def infer_block(
    posterior: AmortizedPosterior,
    photometry: Photometry,
    draws: int,
    method: str,
    generator: torch.Generator,
    stop: threading.Event | None,
) -> dict[str, np.ndarray]:
    """Results of usable galaxies that fit into memory together, by name: one row a galaxy."""
    if method == "auto":
        return _infer_where_needed(posterior, photometry, draws, generator, stop)
    target = LogPosterior(photometry, posterior.model, posterior.prior)
    context, offset = posterior.context(photometry)
    n_draws = draws_of_network(draws, method)
    phi, log_q = draw_inside(posterior.flow, context, offset, n_draws, generator)
    with torch.no_grad():
        n_judged = min(n_draws, _TRIAL_DRAWS) if method == "fast" else n_draws
        log_target = target(phi[:, :n_judged])
        log_weights = log_target - log_q[:, :n_judged]
        weights, log_evidence = importance_weights(log_weights)
        efficiency = effective_sample_size(weights) / n_judged
        k = pareto_k(log_weights)
    result = {
        "efficiency": efficiency,
        "pareto_k": k,
        "log_evidence": log_evidence,
        "weights": torch.full(phi.shape[:2], 1.0 / n_draws),
        "ess": torch.full((len(photometry),), float(n_draws)),
    }
    finished = None
    if method == "weighted":
        result |= {"weights": weights, "ess": efficiency * n_draws}
    elif method == "exact":
        refined = refine(target, phi, log_weights, k, draws, generator, stop=stop)
        phi = refined.phi
        finished = refined.finished.cpu().numpy()
        result |= {
            "weights": torch.full(phi.shape[:2], 1.0 / draws),
            "ess": refined.ess,
            "log_evidence": refined.log_evidence,
            "log_evidence_error": refined.log_evidence_error,
            "temperatures": refined.temperatures,
            "evaluations": refined.evaluations,
        }
    judged = phi[:, :_TRIAL_DRAWS] if method != "weighted" else phi
    with torch.no_grad():
        chi2 = target.chi2(posterior.prior.from_free(judged)).amin(-1)
    arrays = {name: value.double().cpu().numpy() for name, value in result.items()}
    arrays["samples"] = posterior.prior.from_free(phi.double().cpu().numpy())
    arrays["chi2_min"] = chi2.double().cpu().numpy()
    support = posterior.support(photometry)
    if support is not None:
        arrays["support"] = support.p_value
    arrays["badge"] = badge(
        method,
        arrays["efficiency"],
        arrays["pareto_k"],
        arrays["chi2_min"],
        photometry.mask.sum(1),
        finished,
        arrays.get("support"),
    )
    return arrays


def _infer_where_needed(
    posterior: AmortizedPosterior,
    photometry: Photometry,
    draws: int,
    generator: torch.Generator,
    stop: threading.Event | None,
) -> dict[str, np.ndarray]:
    """Fast results, and exact ones for the galaxies that ask for them."""
    result = infer_block(posterior, photometry, draws, "fast", generator, stop)
    rows = np.flatnonzero(result["badge"] == "refine")
    for block in blocks(len(rows), draws_of_network(draws, "exact")):
        where = rows[block]
        if len(where) == 0 or (stop is not None and stop.is_set()):
            break
        refined = infer_block(posterior, photometry[where], draws, "exact", generator, stop)
        for name, values in refined.items():
            if name not in result:
                result[name] = np.full((len(photometry), *values.shape[1:]), np.nan)
            result[name][where] = values
    return result


def draw_inside(
    flow: PosteriorFlow,
    context: torch.Tensor,
    offset: torch.Tensor,
    n: int,
    generator: torch.Generator,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Draws (G, n, 11) inside the prior, and their normalised log density.

    What falls off the prior on the mass is drawn again. A network that puts almost nothing
    inside is a network that knows nothing of this galaxy; after many rounds what is left is
    put on the edge.
    """
    mass = PARAMETERS[0]

    def inside(points: torch.Tensor) -> torch.Tensor:
        return (points[..., 0] >= mass.low) & (points[..., 0] <= mass.high)

    kind: dict[str, Any] = {"generator": generator, "device": context.device}
    with torch.no_grad():
        latent = torch.randn(len(context), n, N_FREE, **kind)
        phi, log_q = flow.from_latent(latent, context[:, None], offset[:, None])
        outside = ~inside(phi)
        drawn = torch.full_like(offset, n)
        kept = n - outside.sum(1).to(drawn.dtype)
        for _ in range(_ROUNDS):
            rows = torch.nonzero(outside)[:, 0]
            if len(rows) == 0:
                break
            latent = torch.randn(len(rows), N_FREE, **kind)
            points, density = flow.from_latent(latent, context[rows], offset[rows])
            phi[outside], log_q[outside] = points, density
            good = inside(points)
            drawn = drawn + torch.bincount(rows, minlength=len(drawn))
            kept = kept + torch.bincount(rows[good], minlength=len(drawn))
            outside[outside.clone()] = ~good
    phi[..., 0] = phi[..., 0].clamp(mass.low, mass.high)
    accepted = (kept / drawn).clamp_min(1.0 / (n * _ROUNDS))
    return phi, log_q - torch.log(accepted)[:, None]
