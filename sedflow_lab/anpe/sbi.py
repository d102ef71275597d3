"""The amortized posterior as an object of the `sbi` package, for users of its tools.

sbi sees the free coordinates as parameters and, as the observation, one vector of fluxes, their
uncertainties and the redshift: 2 B + 1 numbers. A band that was not observed has an infinite
uncertainty (and any flux).
"""

from __future__ import annotations

import numpy as np
import torch
from sbi.inference.posteriors import DirectPosterior
from sbi.neural_nets.estimators import ConditionalDensityEstimator
from sbi.utils import MultipleIndependent
from torch.distributions import Independent, Normal, Uniform

from ..observations.photometry import Photometry
from ..parameters import N_FREE, PARAMETERS
from ..sps.histories import Cosmology
from .features import Seen
from .flow import PosteriorFlow

__all__ = ["FlowEstimator", "free_prior", "observation_vector", "to_direct_posterior"]


def free_prior() -> MultipleIndependent:
    """The prior in the free coordinates: uniform in log M*, standard normal in the probits."""
    mass = Uniform(torch.tensor([PARAMETERS[0].low]), torch.tensor([PARAMETERS[0].high]))
    rest = Independent(Normal(torch.zeros(N_FREE - 1), torch.ones(N_FREE - 1)), 1)
    return MultipleIndependent([mass, rest], validate_args=False)


class FlowEstimator(ConditionalDensityEstimator):
    """The trained flow behind sbi's interface for conditional densities."""

    def __init__(self, flow: PosteriorFlow, cosmology: Cosmology) -> None:
        self._n_bands = flow.features.n_bands
        super().__init__(flow, torch.Size([N_FREE]), torch.Size([2 * self._n_bands + 1]))
        self._cosmology = cosmology

    def _context(self, condition: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        n = self._n_bands
        flux, sigma, redshift = condition[..., :n], condition[..., n : 2 * n], condition[..., -1]
        return self.net.context(
            Seen.at(redshift, flux, sigma, torch.isfinite(sigma), self._cosmology)
        )

    def log_prob(self, input: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """Log density of inputs (S, N, 11) under conditions (N, 2 B + 1), shape (S, N)."""
        context, offset = self._context(condition)
        shape = input.shape[:-1]
        return self.net.log_prob(input, context.expand(*shape, -1), offset.expand(shape))

    def loss(self, input: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """Negative log density of inputs (N, 11) under conditions (N, 2 B + 1), shape (N,)."""
        return -self.log_prob(input[None], condition)[0]

    def sample(self, sample_shape: torch.Size, condition: torch.Tensor) -> torch.Tensor:
        """Draws of shape (*sample_shape, N, 11)."""
        return self.sample_and_log_prob(sample_shape, condition)[0]

    def sample_and_log_prob(
        self, sample_shape: torch.Size, condition: torch.Tensor, **kwargs: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Draws (*sample_shape, N, 11) and their log density."""
        context, offset = self._context(condition)
        latent = torch.randn(*sample_shape, *offset.shape, N_FREE)
        with torch.no_grad():
            return self.net.from_latent(latent, context, offset)


def observation_vector(photometry: Photometry) -> torch.Tensor:
    """Observations (N, 2 B + 1) as sbi gets them: fluxes, uncertainties, redshift."""
    mask = photometry.mask
    flux = np.where(mask, photometry.flux, 0.0)
    sigma = np.where(mask, photometry.sigma, np.inf)
    table = np.concatenate([flux, sigma, photometry.redshift[:, None]], axis=1)
    return torch.as_tensor(table, dtype=torch.float32)


def to_direct_posterior(
    flow: PosteriorFlow, cosmology: Cosmology, photometry: Photometry
) -> DirectPosterior:
    """An sbi posterior whose default observation is the first galaxy of `photometry`."""
    # The coordinates are free already: sbi's own map to unconstrained space is not needed.
    estimator = FlowEstimator(flow, cosmology)
    direct = DirectPosterior(estimator, free_prior(), enable_transform=False)
    direct.set_default_x(observation_vector(photometry)[:1])
    return direct
