"""Dust: the two-component model of Charlot & Fall with the attenuation curve of Kriek & Conroy.

References
----------
Charlot & Fall 2000, ApJ 539, 718; Calzetti et al. 2000, ApJ 533, 682;
Kriek & Conroy 2013, ApJL 775, L16; Conroy, Gunn & White 2009, ApJ 699, 486 (as in FSPS).
"""

from __future__ import annotations

import torch

__all__ = ["CALZETTI_BREAK", "attenuation", "birth_cloud_depth", "diffuse_depth"]

CALZETTI_BREAK = 6300.0
"""Wavelength [Å] where the two polynomials of the Calzetti curve meet, with a small step."""

_PIVOT = 5500.0
_R_V = 4.05


def _calzetti(wavelength: torch.Tensor) -> torch.Tensor:
    """k'(λ) of Calzetti et al. 2000 (equation 4), not below zero."""
    x = 1e4 / wavelength
    blue = 2.659 * (-2.156 + x * (1.509 + x * (-0.198 + x * 0.011))) + _R_V
    red = 2.659 * (-1.857 + 1.040 * x) + _R_V
    return torch.where(wavelength < CALZETTI_BREAK, blue, red).clamp_min(0.0)


def _bump(wavelength: torch.Tensor) -> torch.Tensor:
    """Drude profile of the 2175 Å feature, 350 Å wide, with unit peak."""
    width = (wavelength * 350.0).square()
    return width / ((wavelength.square() - 2175.0**2).square() + width)


def diffuse_depth(wavelength: torch.Tensor, n_dust: torch.Tensor) -> torch.Tensor:
    """Optical depth of the diffuse dust per unit of τ_ISM.

    Parameters
    ----------
    wavelength : tensor, shape (..., L)
        Rest-frame wavelengths [Å].
    n_dust : tensor, shape (..., 1) or broadcastable
        Slope offset from the Calzetti curve; it also sets the strength of the 2175 Å bump,
        E_b = 0.85 - 1.9 n (Kriek & Conroy 2013, equation 3).
    """
    curve = _calzetti(wavelength) + (0.85 - 1.9 * n_dust) * _bump(wavelength)
    return curve * torch.exp(n_dust * torch.log(wavelength / _PIVOT)) / _R_V


def birth_cloud_depth(wavelength: torch.Tensor) -> torch.Tensor:
    """Optical depth of birth clouds per unit of τ_BC: a power law of slope -1."""
    return _PIVOT / wavelength


def attenuation(
    wavelength: torch.Tensor, tau_bc: torch.Tensor, tau_ism: torch.Tensor, n_dust: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Transmitted fractions for all stars, and the additional one for young stars.

    Parameters
    ----------
    wavelength : tensor, shape (..., L)
        Rest-frame wavelengths [Å].
    tau_bc, tau_ism, n_dust : tensor, shape (...)
        Dust parameters.

    Returns
    -------
    diffuse, birth_cloud : tensor, shape (..., L)
        Old populations are dimmed by `diffuse`, young ones by ``diffuse * birth_cloud``.
    """
    diffuse = torch.exp(-tau_ism[..., None] * diffuse_depth(wavelength, n_dust[..., None]))
    birth_cloud = torch.exp(-tau_bc[..., None] * birth_cloud_depth(wavelength))
    return diffuse, birth_cloud
