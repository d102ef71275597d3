r"""The likelihood of a galaxy as a function of its mass alone, which is a factor on the flux."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from .outliers import BandTerms

__all__ = [
    "FAINT",
    "REFERENCE_MASS",
    "MassProfile",
    "OutlierProfile",
    "library_of",
    "log_best_factor",
    "with_mass",
]

REFERENCE_MASS = 10.0
"""Log of the mass at which the model is evaluated: other masses only scale the flux."""

FAINT = 0.3
"""Amplitude, in its own σ, below which a fit of the mass means nothing."""


def library_of(x: Any) -> Any:
    """NumPy for its arrays, in which emcee and nautilus compute, else torch."""
    return np if isinstance(x, np.ndarray) else torch


def with_mass(points: Any, log_mstar: Any) -> Any:
    """Points (..., 11) with other log masses, or whatever stands in their first place, (...)."""
    library = library_of(points)
    first = library.zeros_like(points[..., :1])
    first[..., 0] = log_mstar
    return library.concatenate([first, points[..., 1:]], -1)


def log_best_factor(best: Any, norm: Any) -> Any:
    """Log of the best factor on the flux; where that is lost in the noise, of 0.3 σ of it.

    Parameters
    ----------
    best, norm : array or tensor
        As in `MassProfile`.
    """
    library = library_of(best)
    return library.log10(library.maximum(best, FAINT / library.sqrt(norm)))


@dataclass(frozen=True)
class MassProfile:
    r"""The likelihood as a function of the mass: Gaussian in flux, on which the mass is a factor.

    .. math:: \ln L(A) = \ln L_\mathrm{max} - \tfrac12 N (A - A_\mathrm{max})^2,
              \qquad A = M_* / 10^{10} M_\odot

    Attributes
    ----------
    best, norm, log_likelihood_max : tensor, shape (G, D)
        :math:`A_\mathrm{max}`, which noise can make negative, N and :math:`\ln L_\mathrm{max}`.
    """

    best: torch.Tensor
    norm: torch.Tensor
    log_likelihood_max: torch.Tensor

    @property
    def log_mstar(self) -> torch.Tensor:
        """Log of the best mass (G, D); where the flux is lost in the noise, of 0.3 σ of it."""
        return REFERENCE_MASS + log_best_factor(self.best, self.norm)

    def log_likelihood(self, log_mstar: torch.Tensor) -> torch.Tensor:
        """Log likelihood (G, D) at masses (G, D)."""
        return self.log_likelihood_max - 0.5 * self.norm * (_factor(log_mstar) - self.best).square()


@dataclass(frozen=True)
class OutlierProfile(MassProfile):
    """The likelihood as a function of the mass where any band may be bad: exact at every mass.

    `best` fits the bands that are good, `norm` is that of all bands.

    Attributes
    ----------
    model, data : tensor, shape (G, D, B) and (G, 1, B)
        Fluxes over uncertainties, of the model at the reference mass.
    terms : BandTerms
    constant : tensor, shape (G, 1)
    """

    model: torch.Tensor
    data: torch.Tensor
    terms: BandTerms
    constant: torch.Tensor

    def log_likelihood(self, log_mstar: torch.Tensor) -> torch.Tensor:
        """Log likelihood (G, D) at masses (G, D)."""
        residuals = _factor(log_mstar)[..., None] * self.model - self.data
        return self.constant + self.terms.log_likelihood(residuals)


def _factor(log_mstar: torch.Tensor) -> torch.Tensor:
    return 10.0 ** (log_mstar - REFERENCE_MASS).clamp(-30.0, 15.0)
