"""What the explorer draws: spectra, photometry, histories and dust of a few galaxies at once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ...sps import SEDModel
from ...sps.dust import attenuation, dust_curves

__all__ = ["ATTENUATION_UM", "Curves", "make_curves"]

ATTENUATION_UM = np.geomspace(0.12, 2.6, 160)
"""Rest-frame wavelengths [micron] of the attenuation curves: the 2175 Å bump is among them."""

_MICRON = 1e-4  # micron per Angstrom
_ZERO_POINT = 22.5
_YOUNGEST = 10**-2.05  # Gyr: the youngest stars are one population up to here
_REDDEST = 2.6  # micron
_PIXEL = 2.5e-3  # of the spectra, in ln λ


@dataclass(frozen=True, eq=False)
class Curves:
    """What the model makes of N galaxies, ready to draw.

    Attributes
    ----------
    spectrum_x, spectrum : ndarray, shape (N, L)
        Observed wavelengths [micron] and AB magnitudes of the spectra, in bins of ln λ.
    photometry : ndarray, shape (N, B)
        AB magnitudes in the bands.
    time, sfr, metallicity : ndarray, shape (N, 2 T)
        Lookback times [Gyr], two for each time bin, its star-formation rate [Msun/yr] and its
        metallicity (PROVABGS label); undefined (NaN) before the Big Bang.
    attenuation : ndarray, shape (N, 2, K)
        Magnitudes that dust takes at `ATTENUATION_UM`, from stars outside and inside of birth
        clouds.
    """

    spectrum_x: np.ndarray
    spectrum: np.ndarray
    photometry: np.ndarray
    time: np.ndarray
    sfr: np.ndarray
    metallicity: np.ndarray
    attenuation: np.ndarray


def make_curves(model: SEDModel, theta: np.ndarray, redshift: np.ndarray) -> Curves:
    """Compute all that is drawn of galaxies.

    Parameters
    ----------
    model : SEDModel
    theta : ndarray, shape (N, 12)
    redshift : ndarray, shape (N,)

    Returns
    -------
    Curves
    """
    with torch.no_grad():
        wavelength, spectrum = model.observed_spectrum(theta, redshift)
        flux = model.photometry(theta, redshift)
        time_gyr, sfr, metallicity = _steps(model, theta, redshift)
        starts, counts = _pixels(model)
        wavelength, spectrum = (
            np.add.reduceat(array, starts, axis=1)[:, : len(counts)] / counts
            for array in (wavelength, spectrum)
        )
        return Curves(
            wavelength * _MICRON,
            _magnitude(spectrum),
            _magnitude(flux),
            time_gyr,
            sfr,
            metallicity,
            _attenuation(theta),
        )


def _pixels(model: SEDModel) -> tuple[np.ndarray, np.ndarray]:
    """Where bins of the spectrum begin, and how many of its wavelengths each averages.

    Finer spectra than a screen has pixels would only slow the figures down. The last beginning
    is the end of what is shown.
    """
    reddest = max(_REDDEST, 1.1 * max(band.support[1] for band in model.bands.bands) * _MICRON)
    position = np.floor(np.log(model.wavelength) / _PIXEL)
    starts = np.flatnonzero(np.diff(position, prepend=-1))
    starts = starts[model.wavelength[starts] * _MICRON < reddest]
    return starts, np.diff(starts)


def _magnitude(flux: np.ndarray) -> np.ndarray:
    """AB magnitudes of nanomaggies; fluxes that underflow are far out of any figure."""
    return _ZERO_POINT - 2.5 * np.log10(np.maximum(flux, 1e-30))


def _steps(
    model: SEDModel, theta: np.ndarray, redshift: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Histories as steps: times, star-formation rates and metallicities, each (N, 2 T)."""
    history = model.histories(theta, redshift)
    age = model.cosmology.age(model.check_inputs(theta, redshift)[1]).double().numpy()
    edges = np.maximum(history.edges_gyr, _YOUNGEST)
    used = np.flatnonzero(np.diff(edges) > 0)
    start, stop = edges[used], edges[used + 1]
    # The model means over whole bins; the oldest has stars after the Big Bang only.
    share = ((age[:, None] - start) / (stop - start)).clip(0, 1)
    before = share <= 0
    sfr = history.sfr[:, used] / np.where(before, 1.0, share)
    ends = np.stack([np.broadcast_to(start, share.shape), np.minimum(stop, age[:, None])], axis=-1)
    columns = []
    for values in (sfr, history.metallicity[:, used]):
        columns.append(np.repeat(np.where(before, np.nan, values), 2, axis=1))
    ends = np.where(before[..., None], np.nan, ends)
    return ends.reshape(len(theta), -1), columns[0], columns[1]


def _attenuation(theta: np.ndarray) -> np.ndarray:
    """Magnitudes (N, 2, K) that dust takes from old and from young stars."""
    curves = dust_curves(torch.as_tensor(ATTENUATION_UM / _MICRON))
    parts: list[Any] = [torch.as_tensor(theta[:, k : k + 1]) for k in (9, 10, 11)]
    diffuse, cloud = (part.numpy() for part in attenuation(curves, *parts))
    old = -2.5 / math.log(10) * np.log(np.maximum(diffuse, 1e-300))
    young = -2.5 / math.log(10) * np.log(np.maximum(cloud, 1e-300))
    return np.stack([old, old + young], axis=1)
