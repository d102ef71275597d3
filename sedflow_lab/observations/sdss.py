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

_REJECTED = "PEAKCENTER NOTCHECKED PSF_FLUX_INTERP BAD_COUNTS_ERROR SATURATED NOPROFILE".split()


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


def quality_cuts(flags: Any) -> np.ndarray:
    """Whether photometry passes the quality cuts of Hahn & Melchior (2022), (N,) bool.

    Rejected are PEAKCENTER, NOTCHECKED, PSF_FLUX_INTERP, BAD_COUNTS_ERROR, SATURATED, NOPROFILE,
    and INTERP_CENTER together with COSMIC_RAY; BINNED1 is required. So a galaxy without an SDSS
    match, flags 0, does not pass. Flags are those of `quality_flags`, of band r.
    """
    has = quality_flags(flags)
    reject = [has[name] for name in _REJECTED] + [has["INTERP_CENTER"] & has["COSMIC_RAY"]]
    return has["BINNED1"] & ~np.logical_or.reduce(reject)


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
