"""Checks of measured photometry: shapes, and values that cannot be used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from ..units import Measured, sigma_from, split_unit

if TYPE_CHECKING:
    from ..sps.bands import BandSet

__all__ = ["MIN_BANDS", "as_flux", "as_ids", "as_mask", "as_redshift", "as_sigma", "find_problems"]

MIN_BANDS = 2
"""A galaxy needs this many observed bands: with fewer it has no colour."""


def as_flux(flux: Measured, bands: BandSet, name: str = "flux") -> Measured:
    """Give fluxes two dimensions, (N, B), and check that there is one column a band."""
    values = np.atleast_2d(flux.values)
    if values.ndim != 2 or values.shape[1] != len(bands):
        raise InputError(
            f"{name} has the shape {flux.values.shape}, but {bands.name!r} needs {len(bands)} "
            f"columns ({', '.join(bands.labels)}): give one column a band, and NaN with "
            "on_bad='mask' for a band that was not observed."
        )
    return Measured(values, np.atleast_2d(flux.given), flux.what, flux.unit)


def as_sigma(sigma: Any, flux: Measured, bands: BandSet) -> Measured:
    """Convert uncertainties, one for every flux."""
    if not isinstance(sigma, Measured):
        values, unit = split_unit(sigma, "sigma")
        values = np.atleast_2d(values)
        if values.shape != flux.values.shape:
            raise InputError(
                f"flux has the shape {flux.values.shape} and sigma {values.shape}: "
                "give one uncertainty for every flux."
            )
        sigma = sigma_from(values, unit, flux, "sigma")
    return as_flux(sigma, bands, "sigma")


def as_redshift(redshift: Any, n: int) -> np.ndarray:
    """Read N redshifts."""
    values, unit = split_unit(redshift, "redshift")
    if unit is not None and str(unit) not in ("", "redshift"):
        raise InputError(f"The redshift has the unit {str(unit)!r}: give plain redshifts.")
    values = np.atleast_1d(values)
    if values.shape != (n,):
        raise InputError(
            f"redshift has the shape {values.shape} for {n} galaxies: give one a galaxy."
        )
    return values


def as_ids(ids: Any, n: int) -> np.ndarray:
    """Read N names; the default is row numbers."""
    names = np.arange(n).astype(str) if ids is None else np.atleast_1d(ids).astype(str)
    if names.shape != (n,):
        raise InputError(f"There are {names.size} ids for {n} galaxies: give one a galaxy.")
    return names


def as_mask(mask: Any, shape: tuple[int, int]) -> np.ndarray:
    """Read which bands are observed, (N, B); the default is all."""
    try:
        return np.broadcast_to(np.asarray(True if mask is None else mask, dtype=bool), shape).copy()
    except ValueError as error:
        raise InputError(
            f"mask has the shape {np.shape(mask)}, not {shape}: give True where a band of a "
            "galaxy was observed."
        ) from error


def find_problems(
    flux: Measured,
    sigma: Measured,
    redshift: np.ndarray,
    bands: BandSet,
    ids: np.ndarray,
    mask: np.ndarray,
    on_bad: str,
) -> tuple[np.ndarray, np.ndarray]:
    """Find values that cannot be used and raise, flag or mask them.

    Returns
    -------
    mask : ndarray
        (N, B), with bad bands masked where `on_bad` is ``'mask'`` and two good ones are left.
    problems : ndarray
        (N,) strings, '' where a galaxy can be used.

    Raises
    ------
    InputError
        For the first bad galaxy if `on_bad` is ``'raise'``.
    """
    good_flux = np.isfinite(flux.values)
    bad = mask & ~(good_flux & np.isfinite(sigma.values) & (sigma.values > 0))
    if on_bad == "mask":
        hide = bad & ((mask & ~bad).sum(axis=1) >= MIN_BANDS)[:, None]
        mask, bad = mask & ~hide, bad & ~hide
    bad_redshift = ~(np.isfinite(redshift) & (redshift > 0))
    observed = mask.sum(axis=1)
    rows = np.flatnonzero(bad.any(axis=1) | bad_redshift | (observed < MIN_BANDS))
    problems = [""] * len(mask)
    for row in rows.tolist():
        reasons = [
            (sigma if good_flux[row, band] else flux).describe(row, band, bands.labels[band])
            for band in np.flatnonzero(bad[row]).tolist()
        ]
        if bad_redshift[row]:
            reasons.append(f"the redshift is {redshift[row]:g} but must be finite and above 0")
        if observed[row] < MIN_BANDS:
            reasons.append(f"bands observed are {observed[row]} but must be {MIN_BANDS} or more")
        reason = f"alaxy {str(ids[row])!r} (row {row}, counting from 0): {'; '.join(reasons)}"
        if on_bad == "raise":
            others = f" (and {len(rows) - 1} more galaxies)" if len(rows) > 1 else ""
            raise InputError(
                f"G{reason}; correct this{others}, or use on_bad='mask' to leave out bad bands "
                "or on_bad='flag' to skip bad galaxies."
            )
        remedy = "correct it or mask the band" if bad[row].any() else "correct it"
        problems[row] = f"g{reason}; {remedy}"
    return mask, np.array(problems, dtype=str)
