"""Dust: the two-component model of Charlot & Fall with the attenuation curve of Kriek & Conroy.

References
----------
Charlot & Fall 2000, ApJ 539, 718; Calzetti et al. 2000, ApJ 533, 682;
Kriek & Conroy 2013, ApJL 775, L16; Conroy, Gunn & White 2009, ApJ 699, 486 (as in FSPS).
"""

from __future__ import annotations

import torch

__all__ = ["CALZETTI_BREAK", "attenuation", "dust_curves"]

CALZETTI_BREAK = 6300.0
"""Wavelength [Å] where the two polynomials of the Calzetti curve meet, with a small step."""

_PIVOT = 5500.0
_R_V = 4.05


def dust_curves(wavelength: torch.Tensor, blue: torch.Tensor | None = None) -> torch.Tensor:
    """What `attenuation` needs to know (..., 4, L) of rest-frame wavelengths (..., L) [Å].

    That is the terms of the negative optical depth at τ = 1 without and with n, that of birth
    clouds (a power law of slope -1), and the logarithm of the wavelength over 5500 Å. The
    polynomial of Calzetti et al. for less than 6300 Å is used there, or where `blue` (..., L) says.
    """
    if blue is None:
        blue = wavelength < CALZETTI_BREAK
    x = 1e4 / wavelength
    # k' of Calzetti et al. 2000, equation 4, not below zero.
    below = 2.659 * (-2.156 + x * (1.509 + x * (-0.198 + x * 0.011))) + _R_V
    above = 2.659 * (-1.857 + 1.040 * x) + _R_V
    calzetti = torch.where(blue, below, above).clamp_min(0.0)
    # The 2175 Å bump is a Drude profile 350 Å wide; its strength depends on the slope,
    # E_b = 0.85 - 1.9 n (Kriek & Conroy 2013, equation 3).
    width = (wavelength * 350.0).square()
    bump = width / ((wavelength.square() - 2175.0**2).square() + width)
    pivot = wavelength / _PIVOT
    return torch.stack(
        [-(calzetti + 0.85 * bump) / _R_V, 1.9 * bump / _R_V, -1.0 / pivot, torch.log(pivot)],
        dim=-2,
    )


def attenuation(
    curves: torch.Tensor, tau_bc: torch.Tensor, tau_ism: torch.Tensor, n_dust: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Transmitted fractions (..., L) for all stars, and the additional one for young stars.

    Parameters
    ----------
    curves : tensor, shape (..., 4, L)
        What `dust_curves` returned.
    tau_bc, tau_ism, n_dust : tensor, shape (..., 1)
        Optical depths of birth clouds and of diffuse dust at 5500 Å, and the offset of its slope
        from the Calzetti curve.
    """
    calzetti, bump, cloud, log_pivot = curves.unbind(-2)
    depth = torch.addcmul(calzetti, n_dust, bump) * torch.exp(n_dust * log_pivot)
    return torch.exp(tau_ism * depth), torch.exp(tau_bc * cloud)
