"""What the explorer draws: spectra, photometry, histories and dust of a few galaxies at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from ...parameters import split
from ...sps import SEDModel
from ...sps.dust import attenuation, dust_curves
from ...sps.histories import N_YOUNG_BINS
from ...units import MICRON, POGSON, magnitude

__all__ = ["ATTENUATION_UM", "Curves", "make_curves"]

ATTENUATION_UM = np.geomspace(0.12, 2.6, 160)
"""Rest-frame wavelengths [micron] of the attenuation curves: the 2175 Å bump is among them."""

_REDDEST = 2.6  # micron
_PIXEL = 2.5e-3  # of the spectra, in ln λ


@dataclass(frozen=True, eq=False)
class Curves:
    """What the model makes of N galaxies, ready to draw; NaN before the Big Bang."""

    spectrum_x: np.ndarray  # (N, L), observed wavelengths [micron], in bins of ln λ
    spectrum: np.ndarray  # (N, L), AB magnitudes
    photometry: np.ndarray  # (N, B), AB magnitudes
    time: np.ndarray  # (N, 2 T), lookback times [Gyr], two for each time bin
    sfr: np.ndarray  # (N, 2 T), star-formation rates [Msun/yr]
    metallicity: np.ndarray  # (N, 2 T), PROVABGS labels
    attenuation: np.ndarray  # (N, 2, K), magnitudes that dust takes out of and in birth clouds


def make_curves(model: SEDModel, theta: np.ndarray, redshift: np.ndarray) -> Curves:
    """Compute all that is drawn of galaxies, of parameters (N, 12) and redshifts (N,)."""
    with torch.no_grad():
        wavelength, spectrum = model.observed_spectrum(theta, redshift)
        flux = model.photometry(theta, redshift)
        edges, *steps = (a[:, N_YOUNG_BINS:] for a in model.histories(theta, redshift).steps())
        sfr, metallicity = (np.repeat(values, 2, axis=1) for values in steps)
        time_gyr = np.where(np.isnan(sfr), np.nan, np.repeat(edges, 2, axis=1)[:, 1:-1])
        starts, counts = _pixels(model)
        wavelength, spectrum = (
            np.add.reduceat(array, starts, axis=1)[:, : len(counts)] / counts
            for array in (wavelength, spectrum)
        )
        seen = wavelength * MICRON, _magnitude(spectrum), _magnitude(flux)
        return Curves(*seen, time_gyr, sfr, metallicity, _attenuation(theta))


def _pixels(model: SEDModel) -> tuple[np.ndarray, np.ndarray]:
    """Where bins of the spectrum begin, and how many of its wavelengths each averages.

    Finer spectra than a screen has pixels would only slow the figures down. The last beginning
    is the end of what is shown.
    """
    reddest = max(_REDDEST, 1.1 * max(band.support[1] for band in model.bands.bands) * MICRON)
    position = np.floor(np.log(model.wavelength) / _PIXEL)
    starts = np.flatnonzero(np.diff(position, prepend=-1))
    starts = starts[model.wavelength[starts] * MICRON < reddest]
    return starts, np.diff(starts)


def _magnitude(flux: np.ndarray) -> np.ndarray:
    """AB magnitudes of nanomaggies; fluxes that underflow are far out of any figure."""
    return magnitude(np.maximum(flux, 1e-30))


def _attenuation(theta: np.ndarray) -> np.ndarray:
    """Magnitudes (N, 2, K) that dust takes from old and from young stars."""
    curves = dust_curves(torch.as_tensor(ATTENUATION_UM / MICRON))
    named = split(torch.as_tensor(theta)[:, None])
    passed = attenuation(curves, named.tau_bc, named.tau_ism, named.n_dust)
    old, young = (-POGSON * np.log(np.maximum(part.numpy(), 1e-300)) for part in passed)
    return np.stack([old, old + young], axis=1)
