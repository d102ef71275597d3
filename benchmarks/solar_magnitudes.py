"""Absolute AB magnitudes of the Sun in the filters of all named band sets, for `sps/sun.py`.

    pip download --no-deps astro-sedpy && unzip -j astro_sedpy*.whl 'sedpy/data/sun_kurucz93.fits'
    python benchmarks/solar_magnitudes.py sun_kurucz93.fits

The file is STScI's model of the Sun (Kurucz 1993, scaled by Colina, Bohlin & Castelli 1996), a
flux at the Earth; any copy of it will do. Bessell's B and V, and 2MASS's Ks, come last, to compare
with Willmer (2018, ApJS 236, 47), who has 5.31, 4.80 and 5.08.
"""

from __future__ import annotations

import argparse

import numpy as np
from astropy import units as u
from astropy.io import fits

from sedflow_lab.errors import InputError
from sedflow_lab.sps.bands import BAND_SETS, Band, get_bands
from sedflow_lab.units import magnitude

CHECKS = ("bessell-B", "bessell-V", "twomass-Ks")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("spectrum", help="FITS table of WAVELENGTH [Angstrom] and FLUX [FLAM]")
    table = fits.getdata(parser.parse_args().spectrum)
    wavelength, flux = (np.asarray(table[name], float) for name in ("WAVELENGTH", "FLUX"))
    good = np.isfinite(flux)
    modulus = 5 * np.log10((10 * u.pc / u.au).to_value(u.one))
    seen = dict.fromkeys(name for filters in BAND_SETS.values() for name in filters)
    for name in (*seen, *CHECKS):
        try:
            band = get_bands([name]).bands[0]
        except InputError:
            continue
        if band.support[1] < wavelength[good][-1]:
            value = magnitude(folded(band, wavelength[good], flux[good])) + modulus
            print(f'    "{name}": {value:.2f},')


def folded(band: Band, wavelength: np.ndarray, flux: np.ndarray) -> float:
    """Flux [nanomaggies] of a spectrum in a band, both linear between their wavelengths."""
    inside = (wavelength > band.wavelength[0]) & (wavelength < band.wavelength[-1])
    x = np.union1d(band.wavelength, wavelength[inside])
    response = np.interp(x, band.wavelength, band.response)
    return float(np.trapezoid(np.interp(x, wavelength, flux) * response * x, x) / band.ab_flux)


if __name__ == "__main__":
    main()
