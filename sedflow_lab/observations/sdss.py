"""SDSS photo flags: the quality cuts of the paper, and matching flags to galaxies by position.

The flags are not in the Atlas; they come from ``PhotoObjAll`` of the SDSS.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import InputError

__all__ = ["PHOTO_FLAGS", "match_positions", "quality_cuts", "quality_flags"]

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


def quality_flags(flags: Any) -> dict[str, np.ndarray]:
    """Read the bits in `PHOTO_FLAGS` from SDSS photo flags.

    Parameters
    ----------
    flags : array_like of int64 or uint64, shape (N,)
        ``flags`` of ``PhotoObjAll`` (``flags_r``: of band r).

    Returns
    -------
    dict of str to ndarray
        (N,) bool for each name.

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


def quality_cuts(flags: Any) -> np.ndarray:
    """Apply the photometric quality cuts of Hahn & Melchior (2022) to SDSS photo flags.

    Rejected are PEAKCENTER, NOTCHECKED, PSF_FLUX_INTERP, BAD_COUNTS_ERROR, SATURATED, NOPROFILE,
    and INTERP_CENTER together with COSMIC_RAY; BINNED1 is required. So a galaxy without an SDSS
    match, flags 0, does not pass.

    Parameters
    ----------
    flags : array_like of int64 or uint64, shape (N,)
        ``flags_r`` of ``PhotoObjAll``.

    Returns
    -------
    ndarray
        (N,) bool, True where the photometry is good.
    """
    has = quality_flags(flags)
    reject = has["INTERP_CENTER"] & has["COSMIC_RAY"]
    for name in (
        "PEAKCENTER",
        "NOTCHECKED",
        "PSF_FLUX_INTERP",
        "BAD_COUNTS_ERROR",
        "SATURATED",
        "NOPROFILE",
    ):
        reject = reject | has[name]
    return has["BINNED1"] & ~reject


def match_positions(
    ra: Any, dec: Any, other_ra: Any, other_dec: Any, radius: float = 2.0
) -> np.ndarray:
    """Find for each position the nearest one of another list.

    Parameters
    ----------
    ra, dec : array_like, shape (N,)
        Positions [deg].
    other_ra, other_dec : array_like, shape (M,)
        Positions among which to look [deg], such as those of SDSS ``PhotoObjAll``.
    radius : float
        Largest separation [arcsec].

    Returns
    -------
    ndarray
        (N,) int, rows of the other list; -1 where none is near enough.
    """
    import astropy.units as u
    from astropy.coordinates import SkyCoord

    if np.size(other_ra) == 0:
        return np.full(np.size(ra), -1)
    here = SkyCoord(np.atleast_1d(ra), np.atleast_1d(dec), unit="deg")
    there = SkyCoord(np.atleast_1d(other_ra), np.atleast_1d(other_dec), unit="deg")
    index, separation, _ = here.match_to_catalog_sky(there)
    return np.where(separation <= radius * u.arcsec, index, -1)
