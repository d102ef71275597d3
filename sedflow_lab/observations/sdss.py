"""SDSS photo flags: the quality cuts of the paper, and matching flags to galaxies by position.

The flags are not in the Atlas; they come from ``PhotoObjAll`` of the SDSS.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import InputError

__all__ = [
    "PAPER_CUTS",
    "PHOTO_FLAGS",
    "match_positions",
    "paper_cuts",
    "quality_cuts",
    "quality_flags",
]

PHOTO_FLAGS = {
    "PEAKCENTER": 5,
    "NOPROFILE": 7,
    "COSMIC_RAY": 12,
    "SATURATED": 18,
    "NOTCHECKED": 19,
    "BINNED1": 28,
    "BAD_COUNTS_ERROR": 40,
    "INTERP_CENTER": 44,
    "PSF_FLUX_INTERP": 47,
}
"""Bits of the 64-bit ``flags`` of SDSS ``PhotoObjAll`` that the paper's cuts look at."""

PAPER_CUTS = {
    "in_sdss": "the SDSS has an object at its position",
    "peakcenter": "its centre was found, and is not only its brightest pixel",
    "notchecked": "all its pixels were searched for peaks",
    "psf_flux_interp": "at most a fifth of its light as a point source is interpolated",
    "bad_counts_error": "enough good pixels for an error of its flux",
    "cosmic_ray": "no cosmic ray with interpolated pixels at its centre",
    "saturated": "no saturated pixels",
    "noprofile": "large enough, and far enough from the edge, for a profile",
    "binned1": "detected at 5 sigma in the image as it is",
}
"""What each cut of `paper_cuts` asks of a galaxy."""


def quality_flags(flags: Any) -> dict[str, np.ndarray]:
    """Whether each bit in `PHOTO_FLAGS` is set (N,), by name.

    Parameters
    ----------
    flags : array_like of int64 or uint64, shape (N,)
        ``flags`` of ``PhotoObjAll`` (``flags_r``: of band r).

    Raises
    ------
    InputError
        If the flags are not 64-bit integers: floats have lost the lower bits.
    """
    flags = np.ma.filled(np.ma.asarray(flags), 0)
    if flags.size and not (flags.dtype.kind in "iu" and flags.dtype.itemsize == 8):
        raise InputError(
            f"The flags are of type {flags.dtype}: give 64-bit integers, anything else loses bits."
        )
    flags = flags.astype(np.uint64)  # bit 63 makes a signed number negative; this keeps all bits
    return {
        name: (flags >> np.uint64(bit)) & np.uint64(1) == 1 for name, bit in PHOTO_FLAGS.items()
    }


def paper_cuts(flags: Any) -> dict[str, np.ndarray]:
    """Whether galaxies pass each of the quality cuts of Hahn & Melchior (2022), (N,) bool by name.

    What the cuts ask for is in `PAPER_CUTS`. Rejected are PEAKCENTER, NOTCHECKED,
    PSF_FLUX_INTERP, BAD_COUNTS_ERROR, SATURATED, NOPROFILE, and INTERP_CENTER together with
    COSMIC_RAY; BINNED1 is required. Flags are those of `quality_flags`, of band r, and 0 where
    there is no SDSS match.
    """
    has = quality_flags(flags)
    cuts = {
        "in_sdss": np.ma.filled(np.ma.asarray(flags), 0) != 0,
        "cosmic_ray": ~(has["INTERP_CENTER"] & has["COSMIC_RAY"]),
        "binned1": has["BINNED1"],
    }
    return {name: cuts[name] if name in cuts else ~has[name.upper()] for name in PAPER_CUTS}


def quality_cuts(flags: Any) -> np.ndarray:
    """Whether photometry passes all of `paper_cuts`, (N,) bool."""
    return np.logical_and.reduce(list(paper_cuts(flags).values()))


def match_positions(
    ra: Any, dec: Any, other_ra: Any, other_dec: Any, radius: float = 2.0
) -> np.ndarray:
    """Rows (N,) of another list that are nearest to positions (N,) [deg].

    They are -1 where none of the other positions (M,) [deg], such as those of SDSS
    ``PhotoObjAll``, is as near as the radius [arcsec].
    """
    import astropy.units as u
    from astropy.coordinates import SkyCoord

    if np.size(other_ra) == 0:
        return np.full(np.size(ra), -1)
    here = SkyCoord(np.atleast_1d(ra), np.atleast_1d(dec), unit="deg")
    there = SkyCoord(np.atleast_1d(other_ra), np.atleast_1d(other_dec), unit="deg")
    index, separation, _ = here.match_to_catalog_sky(there)
    return np.where(separation <= radius * u.arcsec, index, -1)
