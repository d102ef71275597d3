"""How bright the Sun is in bands: the unit of luminosities.

The spectrum is the model of Kurucz (1993) that Colina, Bohlin & Castelli (1996, STScI report
CAL/SCS-008) scaled to the V flux of the Sun, folded with speclite's filters by
``benchmarks/solar_magnitudes.py``. Against Willmer (2018, ApJS 236, 47) it is 0.03 mag fainter in
B, the same in V and 0.06 mag fainter in Ks; his own errors are 3 to 4 %. The ultraviolet is left
out, where the chromosphere shines.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["SOLAR_MAGNITUDE"]

# A table, to be read across.
# fmt: off
SOLAR_MAGNITUDE: Mapping[str, float] = {
    "sdss2010-u": 6.38, "sdss2010-g": 5.13, "sdss2010-r": 4.65, "sdss2010-i": 4.54,
    "sdss2010-z": 4.51,
    "twomass-J": 4.56, "twomass-H": 4.71, "twomass-Ks": 5.14,
    "wise2010-W1": 5.95, "wise2010-W2": 6.62,
    "decam2014-g": 5.07, "decam2014-r": 4.62, "decam2014-i": 4.53, "decam2014-z": 4.51,
    "decam2014-Y": 4.51,
    "BASS-g": 5.10, "BASS-r": 4.62, "MzLS-z": 4.51,
    "panstarrs-g": 5.05, "panstarrs-r": 4.65, "panstarrs-i": 4.53, "panstarrs-z": 4.52,
    "panstarrs-y": 4.51,
    "hsc2017-g": 5.08, "hsc2017-r": 4.65, "hsc2017-i": 4.53, "hsc2017-z": 4.51, "hsc2017-y": 4.51,
    "lsst2023-u": 6.28, "lsst2023-g": 5.08, "lsst2023-r": 4.65, "lsst2023-i": 4.53,
    "lsst2023-z": 4.52, "lsst2023-y": 4.51,
    "Euclid-VIS": 4.58, "Euclid-Y": 4.53, "Euclid-J": 4.59, "Euclid-H": 4.80,
}
# fmt: on
"""Absolute AB magnitudes of the Sun, by filter."""
