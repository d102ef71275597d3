"""What each method makes of a block of galaxies: draws, weights, and how far to trust them."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..exact.draws import PARTICLES, sample_exact
from ..exact.likelihood import LogPosterior, effective_sample_size, importance_weights
from ..observations.photometry import Photometry
from ..parameters import N_FREE, PARAMETERS, Prior
from ..posterior.result import PosteriorResult
from ..sps import SEDModel
from .features import Seen
from .flow import PosteriorFlow
from .support import Support
from .trust import badge, pareto_k

__all__ = ["Network", "blocks", "draws_of_network", "infer_block"]

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


@dataclass(frozen=True)
class Network:
    """A trained flow, with the physics that it learnt.

    Attributes
    ----------
    flow : PosteriorFlow
    model : SEDModel
    prior : Prior
    support : Support or None
        What its training set looks like.
    """

    flow: PosteriorFlow
    model: SEDModel
    prior: Prior
    support: Support | None

    def context(self, photometry: Photometry) -> tuple[torch.Tensor, torch.Tensor]:
        """Embedded photometry (G, E) and mass offset (G,) of usable galaxies."""
        with torch.no_grad():
            return self.flow.context(self._seen(photometry))

    def informative(self, photometry: Photometry) -> Seen:
        """Usable galaxies as arrays, with the bands that the flow takes for missing masked."""
        seen = self._seen(photometry)
        return seen._replace(mask=self.flow.features.observed(seen)).numpy()

    def draw(
        self, photometry: Photometry, draws: int, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Draws (G, draws, 11) inside the prior, and their normalised log density.

        What falls off the prior on the mass is drawn again. A network that puts almost nothing
        inside is a network that knows nothing of this galaxy; after many rounds what is left is
        put on the edge.
        """
        mass = PARAMETERS[0]

        def inside(points: torch.Tensor) -> torch.Tensor:
            return (points[..., 0] >= mass.low) & (points[..., 0] <= mass.high)

        context, offset = self.context(photometry)
        kind: dict[str, Any] = {"generator": generator, "device": context.device}
        with torch.no_grad():
            latent = torch.randn(len(context), draws, N_FREE, **kind)
            phi, log_q = self.flow.from_latent(latent, context[:, None], offset[:, None])
            outside = ~inside(phi)
            drawn = torch.full_like(offset, draws)
            kept = draws - outside.sum(1).to(drawn.dtype)
            for _ in range(_ROUNDS):
                rows = torch.nonzero(outside)[:, 0]
                if len(rows) == 0:
                    break
                latent = torch.randn(len(rows), N_FREE, **kind)
                points, density = self.flow.from_latent(latent, context[rows], offset[rows])
                phi[outside], log_q[outside] = points, density
                good = inside(points)
                drawn = drawn + torch.bincount(rows, minlength=len(drawn))
                kept = kept + torch.bincount(rows[good], minlength=len(drawn))
                outside[outside.clone()] = ~good
        phi[..., 0] = phi[..., 0].clamp(mass.low, mass.high)
        accepted = (kept / drawn).clamp_min(1.0 / (draws * _ROUNDS))
        return phi, log_q - torch.log(accepted)[:, None]

    def reported(self, phi: torch.Tensor) -> np.ndarray:
        """Reported parameters (..., 12) of free coordinates, in double precision."""
        return self.prior.from_free(phi.double().cpu().numpy())

    def _seen(self, photometry: Photometry) -> Seen:
        return Seen.of(photometry, self.model.cosmology, self.model.device)


def infer_block(
    network: Network,
    photometry: Photometry,
    draws: int,
    method: str,
    generator: torch.Generator,
    stop: threading.Event | None,
) -> PosteriorResult:
    """Posteriors of usable galaxies that fit into memory together."""
    if method == "auto":
        return _exact_where_needed(network, photometry, draws, generator, stop)
    target = LogPosterior(photometry, network.model, network.prior)
    n_draws = draws_of_network(draws, method)
    phi, log_q = network.draw(photometry, n_draws, generator)
    n_judged = min(n_draws, _TRIAL_DRAWS) if method == "fast" else n_draws
    with torch.no_grad():
        log_weights = target(phi[:, :n_judged]) - log_q[:, :n_judged]
        weights, log_evidence = importance_weights(log_weights)
        efficiency = effective_sample_size(weights) / n_judged
    diagnostics = {"efficiency": efficiency, "pareto_k": pareto_k(log_weights)}
    ess, finished = torch.full_like(efficiency, n_draws), None
    if method == "weighted":
        ess = efficiency * n_draws
    elif method == "exact":
        exact = sample_exact(
            target, phi, log_weights, diagnostics["pareto_k"], draws, generator, stop=stop
        )
        phi, ess, log_evidence = exact.phi, exact.ess, exact.log_evidence
        finished = exact.finished.cpu().numpy()
        for name in ("log_evidence_error", "temperatures", "evaluations"):
            diagnostics[name] = getattr(exact, name)
    if method != "weighted":
        weights = torch.full(phi.shape[:2], 1.0 / draws)
    with torch.no_grad():
        judged = phi if method == "weighted" else phi[:, :_TRIAL_DRAWS]
        chi2_min = _array(target.chi2(network.prior.from_free(judged)).amin(-1))
    arrays = {name: _array(value) for name, value in diagnostics.items()}
    if network.support is not None:
        arrays["support"] = network.support(network.informative(photometry)).p_value
    words = badge(
        method,
        arrays["efficiency"],
        arrays["pareto_k"],
        chi2_min,
        photometry.mask.sum(1),
        finished,
        arrays.get("support"),
    )
    return PosteriorResult.of(
        photometry,
        network.reported(phi),
        method,
        words,
        weights=_array(weights),
        ess=_array(ess),
        chi2_min=chi2_min,
        log_evidence=_array(log_evidence),
        diagnostics=arrays,
    )


def _exact_where_needed(
    network: Network,
    photometry: Photometry,
    draws: int,
    generator: torch.Generator,
    stop: threading.Event | None,
) -> PosteriorResult:
    """Fast posteriors, and exact ones for the galaxies that ask for them."""
    result = infer_block(network, photometry, draws, "fast", generator, stop)
    asking = np.flatnonzero(result.badge == "refine")
    for block in blocks(len(asking), draws_of_network(draws, "exact")):
        if stop is not None and stop.is_set():
            break
        rows = asking[block]
        result.put(rows, infer_block(network, photometry[rows], draws, "exact", generator, stop))
    return result


def _array(tensor: torch.Tensor) -> np.ndarray:
    return tensor.double().cpu().numpy()
