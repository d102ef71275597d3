"""What a step of training sees: simulations with fresh noise, some of their bands hidden."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from ..observations.noise import NoiseModel
from ..sps.histories import Cosmology
from .features import Seen
from .flow import PosteriorFlow
from .simulate import SimulationSet

__all__ = ["Batch", "Loss", "observe_batch"]


@dataclass(frozen=True)
class Batch:
    """Noisy simulations: true free coordinates (N, 11), what the network sees, weights (N,)."""

    phi: torch.Tensor
    seen: Seen
    weights: torch.Tensor

    def loss(self, flow: PosteriorFlow) -> torch.Tensor:
        """Weighted mean of the negative log density of the true parameters."""
        return Loss(flow)(*self.tensors())

    def tensors(self) -> tuple[torch.Tensor, ...]:
        """All of it, side by side."""
        return self.phi, *self.seen, self.weights

    def rows(self, rows: torch.Tensor) -> Batch:
        """Some of the galaxies, by their numbers."""
        return Batch(self.phi[rows], self.seen.rows(rows), self.weights[rows])

    def joined(self, phi: torch.Tensor, seen: Seen, weights: torch.Tensor) -> Batch:
        """Itself and other galaxies."""
        return Batch(
            torch.cat([self.phi, phi]),
            Seen(*(torch.cat(pair) for pair in zip(self.seen, seen, strict=True))),
            torch.cat([self.weights, weights]),
        )


class Loss(torch.nn.Module):
    """The loss as a module of tensors only."""

    def __init__(self, flow: PosteriorFlow) -> None:
        super().__init__()
        self.flow = flow

    def forward(self, phi: torch.Tensor, *rest: torch.Tensor) -> torch.Tensor:
        """Weighted mean of the negative log density."""
        *seen, weights = rest
        return -(weights * self.flow.log_prob(phi, *self.flow.context(Seen(*seen)))).mean()


def observe_batch(
    simulations: SimulationSet,
    rows: torch.Tensor,
    noise: NoiseModel,
    cosmology: Cosmology,
    complete_fraction: float,
    generator: torch.Generator,
) -> Batch:
    """Give simulations fresh noise, and hide some bands of some of them."""
    redshift = simulations.redshift[rows]
    flux, sigma = noise.observe(simulations.flux[rows], generator)
    n, n_bands = flux.shape
    kind: dict[str, Any] = {"generator": generator, "device": flux.device}
    keep = torch.randint(2, n_bands + 1, (n, 1), **kind)
    keep.masked_fill_((torch.rand(n, **kind) < complete_fraction)[:, None], n_bands)
    order = torch.rand(n, n_bands, **kind).argsort(1).argsort(1)
    seen = Seen.at(redshift, flux, sigma, order < keep, cosmology)
    return Batch(simulations.phi[rows], seen, simulations.weights(rows))
