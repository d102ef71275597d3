r"""The asinh magnitudes of the SDSS, "luptitudes" (Lupton, Gunn & Szalay 1999, AJ 118, 1406).

.. math:: m = -\frac{2.5}{\ln 10} \left[ \sinh^{-1}\frac{f / f_0}{2 b} + \ln b \right]

A magnitude of this kind is nearly the usual one for a bright source, and goes on below zero flux,
where the usual one ends. f_0 is taken to be that of AB magnitudes.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ..errors import InputError
from ..units import POGSON, Measured, flux_of_magnitude, is_blank, sigma_from

__all__ = ["SOFTENING", "flux_from_asinh", "sigma_from_asinh"]

SOFTENING = {
    "sdss2010-u": 1.4e-10,
    "sdss2010-g": 0.9e-10,
    "sdss2010-r": 1.2e-10,
    "sdss2010-i": 1.8e-10,
    "sdss2010-z": 7.4e-10,
}
"""Softening b of the SDSS's bands (Stoughton et al. 2002, AJ 123, 485, table 21)."""

_ZERO = flux_of_magnitude(0.0)  # nanomaggies
# Zero flux is magnitude 22.8 to 25.1; -20 sigma is 30. Beyond there are only codes for "none".
_BRIGHTEST, _FAINTEST = -20.0, 35.0


def flux_from_asinh(values: np.ndarray, band: str, name: str) -> Measured:
    """Fluxes of asinh magnitudes in a band of the SDSS; others soften otherwise, if at all."""
    if band not in SOFTENING:
        raise InputError(
            f"The {name} holds asinh magnitudes, but {band} is no filter of the SDSS "
            f"({', '.join(SOFTENING)}): give fluxes or magnitudes."
        )
    b = SOFTENING[band]
    real = np.where((values > _BRIGHTEST) & (values < _FAINTEST), values, np.nan)
    flux = 2 * b * _ZERO * np.sinh(-real / POGSON - np.log(b))
    return Measured(flux, values, ("asinh magnitude",), ("mag",))


def sigma_from_asinh(
    values: np.ndarray, unit: Any, flux: Measured, band: str, name: str
) -> Measured:
    """Uncertainties of fluxes from those of their asinh magnitudes, [sigma / f]_sinh."""
    slope = np.hypot(flux.values, 2 * SOFTENING[band] * _ZERO)
    unit = "mag" if is_blank(unit) else unit
    return sigma_from(values, unit, replace(flux, values=slope), name)
