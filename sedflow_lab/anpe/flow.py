"""The normalizing flow q(φ | x): coupling splines in the free coordinates, given photometry.

The mass only scales the flux. So the flow works on log M* + 0.4 M_anchor, where M_anchor is the
absolute magnitude of the anchor band: what is left to learn is the mass-to-light ratio. The other
ten coordinates are probits, which are standard normal under the prior.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import torch
from zuko.distributions import DiagNormal
from zuko.flows import Flow, UnconditionalDistribution
from zuko.flows.coupling import GeneralCouplingTransform
from zuko.nn import MLP
from zuko.transforms import MonotonicRQSTransform

from ..parameters import N_FREE
from .couplings import apply_couplings, invert_couplings
from .features import Features, Seen

__all__ = ["FlowConfig", "PosteriorFlow"]

_CHUNK = 4096  # points that go through the networks together: they fit into a core's cache


@dataclass(frozen=True)
class FlowConfig:
    """Size of the flow.

    Attributes
    ----------
    couplings : int
        Number of spline couplings.
    hidden : tuple of int
        Hidden layers of each coupling's network.
    bins : int
        Bins of each spline.
    embedding : tuple of int
        Layers of the network that reads the photometry, once per galaxy; the last is its output.
        Without any, couplings read the features themselves.
    mask_seed : int
        Which coordinates transform which, coupling by coupling.
    mass_offset : bool
        Whether the flow works on the mass-to-light ratio; else on the mass itself.
    """

    couplings: int = 8
    hidden: tuple[int, ...] = (128, 128)
    bins: int = 8
    embedding: tuple[int, ...] = (256, 256, 64)
    mask_seed: int = 0
    mass_offset: bool = True

    def to_dict(self) -> dict[str, object]:
        """JSON-able values."""
        return asdict(self)


class PosteriorFlow(torch.nn.Module):
    """Conditional density of the 11 free coordinates given photometry and redshift.

    Parameters
    ----------
    n_bands : int
    config : FlowConfig

    References
    ----------
    Durkan et al. 2019, arXiv:1906.04032 (neural spline flows); Dinh et al. 2017,
    arXiv:1605.08803 (couplings).
    """

    mass_mean: torch.Tensor
    mass_scale: torch.Tensor

    def __init__(self, n_bands: int, config: FlowConfig) -> None:
        super().__init__()
        self.config = config
        self.features = Features(n_bands)
        self.register_buffer("mass_mean", torch.zeros(()))
        self.register_buffer("mass_scale", torch.ones(()))
        layers = config.embedding
        self.embedding = (
            MLP(self.features.size, layers[-1], layers[:-1], activation=torch.nn.SiLU)
            if layers
            else torch.nn.Identity()
        )
        shared = {
            "features": N_FREE,
            "context": layers[-1] if layers else self.features.size,
            "hidden_features": list(config.hidden),
            "activation": torch.nn.SiLU,
        }
        # Given all else the mass is known to the photometric error, and its conditional is close
        # to a normal: one affine coupling takes this thinnest direction out first.
        transforms = [GeneralCouplingTransform(mask=torch.arange(N_FREE) != 0, **shared)]
        for mask in _masks(config):
            transforms.append(
                GeneralCouplingTransform(
                    mask=mask,
                    univariate=MonotonicRQSTransform,
                    shapes=[(config.bins,), (config.bins,), (config.bins - 1,)],
                    **shared,
                )
            )
        base = UnconditionalDistribution(
            DiagNormal, torch.zeros(N_FREE), torch.ones(N_FREE), buffer=True
        )
        self.flow = Flow(transforms, base)

    def context(self, seen: Seen) -> tuple[torch.Tensor, torch.Tensor]:
        """Embedded photometry (G, E) and mass offset (G,) of galaxies; see `Features`."""
        features, absolute = self.features(seen)
        scale = 0.4 if self.config.mass_offset else 0.0
        return self.embedding(features), scale * absolute

    def log_prob(
        self, phi: torch.Tensor, context: torch.Tensor, offset: torch.Tensor
    ) -> torch.Tensor:
        """Log density of free coordinates.

        Parameters
        ----------
        phi : tensor, shape (..., 11)
        context : tensor, shape (..., E)
        offset : tensor, shape (...)
            Like the context's, its dimensions broadcast: what the context adds to the networks is
            found once for all points that share it.

        Returns
        -------
        tensor, shape (...)
        """
        mass = (phi[..., :1] + offset[..., None] - self.mass_mean) / self.mass_scale
        psi = torch.cat([mass, phi[..., 1:]], dim=-1)
        latent, ladj = apply_couplings(self.flow.transform.transforms, psi, context)
        return _log_normal(latent) + ladj - torch.log(self.mass_scale)

    def from_latent(
        self, latent: torch.Tensor, context: torch.Tensor, offset: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Free coordinates of latent points, and the log density there, without gradients.

        Parameters
        ----------
        latent : tensor, shape (..., N, 11)
            Standard normal under q.
        context : tensor, shape (..., N, E) or (..., 1, E)
            With 1, what the context adds to the networks is found once for all points.
        offset : tensor, shape (..., N) or (..., 1)

        Returns
        -------
        phi : tensor, shape (..., N, 11)
        log_q : tensor, shape (..., N)
        """
        couplings = list(self.flow.transform.transforms)[::-1]
        size = max(1, _CHUNK // math.prod(latent.shape[:-2]))
        points, densities = [], []
        for i in range(0, latent.shape[-2], size):
            part = latent[..., i : i + size, :]
            given = context if context.shape[-2] == 1 else context[..., i : i + size, :]
            psi, ladj = invert_couplings(couplings, part, given)
            points.append(psi)
            densities.append(_log_normal(part) - ladj - torch.log(self.mass_scale))
        psi = torch.cat(points, -2)
        mass = psi[..., :1] * self.mass_scale + self.mass_mean - offset[..., None]
        return torch.cat([mass, psi[..., 1:]], dim=-1), torch.cat(densities, -1)


def _log_normal(latent: torch.Tensor) -> torch.Tensor:
    return -0.5 * (latent.square() + math.log(2 * math.pi)).sum(-1)


def _masks(config: FlowConfig) -> list[torch.Tensor]:
    """Balanced random halves, each followed by its complement."""
    generator = torch.Generator().manual_seed(config.mask_seed)
    masks: list[torch.Tensor] = []
    while len(masks) < config.couplings:
        mask = torch.zeros(N_FREE, dtype=torch.bool)
        mask[torch.randperm(N_FREE, generator=generator)[: (N_FREE + 1) // 2]] = True
        masks += [mask, ~mask]
    return masks[: config.couplings]
