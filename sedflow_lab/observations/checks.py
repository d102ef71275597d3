"""Checks of measured photometry: shapes, values that cannot be used, catalogues that look wrong.

What is measured is computed with in single precision, which ends at 3e38 and resolves one part in
1e7. The limits below are far outside of what is ever measured, and well inside of that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from ..units import AB_ZERO_POINT, Measured, is_blank, sigma_from, split_unit, words_among

if TYPE_CHECKING:
    from ..sps.bands import BandSet

__all__ = [
    "MAX_FLUX",
    "MAX_REDSHIFT",
    "MAX_SNR",
    "MIN_BANDS",
    "MIN_REDSHIFT",
    "MIN_SIGMA",
    "PhotometryWarning",
    "as_error_floor",
    "as_flux",
    "as_ids",
    "as_index",
    "as_mask",
    "as_redshift",
    "as_redshift_sigma",
    "as_rows",
    "as_sigma",
    "band_index",
    "find_problems",
    "redshift_words",
    "what_looks_wrong",
]

MIN_BANDS = 2
"""A galaxy needs this many observed bands: with fewer it has no colour."""

MAX_FLUX = 1e17
"""Largest flux and uncertainty [nanomaggies]: -20 mag, brighter than the full Moon. Squares are
1e34, and sums of them over any number of bands stay below 3e38."""

MIN_SIGMA = 1e-13
"""Smallest uncertainty [nanomaggies]: 55 mag. Its inverse square is 1e26, and a model of 1e5
nanomaggies (10 mag) has a chi-squared of 1e36 beside it."""

MAX_SNR = 1e7
"""Largest signal-to-noise ratio: beyond it the uncertainty is below the rounding of the flux."""

MIN_REDSHIFT, MAX_REDSHIFT = 1e-5, 30.0
"""Redshifts that give a distance: from 40 kpc, where Hubble's law has no meaning left (and fluxes,
which grow as the inverse square, begin to overflow), to before any galaxy. 99 means unknown."""

_REDSHIFT_SIGMA = f"from 0, where the redshift is known, to {MAX_REDSHIFT:g}"

# A galaxy of 1e7 solar masses has -11 mag, the brightest of clusters -25 mag; an error of 0.0002
# mag is a tenth of what the best photometry of galaxies reaches.
_FAINTEST, _BRIGHTEST = -6.0, -29.0
_BEST_SNR, _WORST_SNR = 5000.0, 0.2
_HUBBLE_DISTANCE = 4400.0  # Mpc
_FEW, _MANY = 3, 10  # galaxies that make a catalogue, and one that is not read line by line


class PhotometryWarning(UserWarning):
    """Most galaxies of a catalogue look wrong, as they do after a mistake of units."""


def as_flux(flux: Measured, bands: BandSet, name: str = "flux") -> Measured:
    """Give fluxes two dimensions, (N, B), and check that there is one column a band."""
    values = np.atleast_2d(flux.values)
    if values.ndim != 2 or values.shape[1] != len(bands):
        raise InputError(
            f"{name} has the shape {flux.values.shape}, but {bands.name!r} needs {len(bands)} "
            f"columns ({', '.join(bands.labels)}): give one column a band, and NaN with "
            "on_bad='mask' for a band that was not observed."
        )
    return replace(flux, values=values, given=np.atleast_2d(flux.given))


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


def as_error_floor(floor: float | Mapping[str, float], bands: BandSet) -> np.ndarray:
    """Read the error floor of each band (B,), a fraction of the flux, 0 in bands not named."""
    named = floor if isinstance(floor, Mapping) else dict.fromkeys(bands.names, floor)
    floors = np.zeros(len(bands))
    for name, value in named.items():
        if not 0 <= value < 1:
            raise InputError(
                f"The error floor of band {name} is {value}: give a fraction of the flux, such as "
                "0.05 for 5 %."
            )
        floors[band_index(bands, name)] = value
    return floors


def band_index(bands: BandSet, name: str) -> int:
    """Number of a band by its label or filter name."""
    for known in (bands.names, bands.labels):
        if name in known:
            return known.index(name)
    raise InputError(
        f"There is no band {name!r} in {bands.name!r}: use one of {', '.join(bands.labels)}."
    )


def as_index(index: Any, n: int) -> Any:
    """Selection of some of n galaxies: a slice, mask or numbers; a single number is a list."""
    if isinstance(index, (int, np.integer)) and not isinstance(index, bool):
        if not -n <= index < n:
            raise IndexError(f"Galaxy {index} was asked for, but there are {n}.")
        return [int(index)]
    if isinstance(index, slice):
        return index
    index = np.asarray(index)
    if index.size == 0 and index.dtype != bool:
        index = index.astype(int)
    if index.ndim != 1 or index.dtype.kind not in "bui":
        raise IndexError("Select galaxies by a number, slice, boolean mask or numbers.")
    return index


def as_redshift(redshift: Any, n: int, name: str = "redshift") -> np.ndarray:
    """Read N redshifts."""
    values = np.atleast_1d(_without_unit(redshift, name))
    if values.shape != (n,):
        raise InputError(
            f"{name} has the shape {values.shape} for {n} galaxies: give one a galaxy."
        )
    return values


def _without_unit(redshift: Any, name: str) -> np.ndarray:
    """Read redshifts of any shape, which have no unit."""
    values, unit = split_unit(redshift, name)
    if not is_blank(unit) and str(unit) != "redshift":
        velocity = ", as velocities are made of them in several ways, of which z = v/c is but one"
        raise InputError(
            f"The {name} has the unit {str(unit)!r}: give plain redshifts"
            f"{velocity if _is_velocity(str(unit)) else ''}."
        )
    return values


def as_redshift_sigma(sigma: Any, n: int, strict: bool = False) -> np.ndarray:
    """Read the uncertainties of N redshifts, or one for all; the default is 0, known exactly.

    Strict raises InputError where one cannot be used.
    """
    values = np.zeros(n) if sigma is None else _without_unit(sigma, "redshift_sigma")
    values = as_redshift(np.full(n, values) if values.ndim == 0 else values, n, "redshift_sigma")
    if strict and not _is_redshift_sigma(values).all():
        bad = values[~_is_redshift_sigma(values)][0]
        raise InputError(f"An uncertainty of a redshift is {bad:g} but must be {_REDSHIFT_SIGMA}.")
    return values


def redshift_words(*pairs: tuple[Any, np.ndarray]) -> dict[tuple[int, ...], str]:
    """Words (see `words_among`) in place of redshifts and of their uncertainties, at (row, 0 or 1).

    Each is given as it came and as numbers (N,).
    """
    found = dict[tuple[int, ...], str]()
    for which, (given, numbers) in enumerate(pairs):
        column = getattr(given, "name", None)
        name = ("redshift", "redshift_sigma")[which] if column is None else f"column {column!r}"
        found |= {(*row, which): word for row, word in words_among(given, numbers, name).items()}
    return found


def _is_redshift_sigma(values: np.ndarray) -> np.ndarray:
    return (values >= 0) & (values <= MAX_REDSHIFT)


def _is_velocity(unit: str) -> bool:
    import astropy.units as u

    return bool(u.Unit(unit, parse_strict="silent").is_equivalent(u.km / u.s))


def as_rows(rows: Any, n: int) -> np.ndarray:
    """Read the row numbers of N galaxies; the default is 0, 1, ..."""
    numbers = np.arange(n) if rows is None else np.atleast_1d(rows)
    if numbers.shape != (n,) or numbers.dtype.kind not in "iu":
        raise InputError(f"rows are not whole numbers, one for each of {n} galaxies: correct them.")
    return numbers.astype(np.int64)


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
    redshift_sigma: np.ndarray,
    bands: BandSet,
    ids: np.ndarray,
    rows: np.ndarray,
    mask: np.ndarray,
    on_bad: str,
    words: Mapping[tuple[int, ...], str],
) -> tuple[np.ndarray, np.ndarray]:
    """Find values that cannot be used: mask (N, B) and problems (N,), '' where a galaxy is usable.

    Where `on_bad` is ``'raise'``, InputError is raised for the first bad galaxy; where it is
    ``'mask'``, bad bands are masked if two good ones are left. Words are those among redshifts
    and their uncertainties (see `redshift_words`).
    """
    faults = _faults(flux, sigma)
    bad = mask & np.logical_or.reduce([where for where, _, _ in faults])
    if on_bad == "mask":
        hide = bad & ((mask & ~bad).sum(axis=1) >= MIN_BANDS)[:, None]
        mask, bad = mask & ~hide, bad & ~hide
    bad_redshift = ~((redshift >= MIN_REDSHIFT) & (redshift <= MAX_REDSHIFT))
    bad_sigma = ~_is_redshift_sigma(redshift_sigma)
    observed = mask.sum(axis=1)
    found = np.flatnonzero(bad.any(axis=1) | bad_redshift | bad_sigma | (observed < MIN_BANDS))
    problems = [""] * len(mask)
    for i in found.tolist():
        reasons = []
        for band in np.flatnonzero(bad[i]).tolist():
            measured, rule = next((m, rule) for where, m, rule in faults if where[i, band])
            reasons.append(measured.describe(i, band, bands.labels[band], rule))
        if bad_redshift[i]:
            rule = f"the redshift is {redshift[i]:g} but must be {_redshifts(redshift[i])}"
            reasons.append(words.get((i, 0), rule))
        if bad_sigma[i]:
            rule = f"{redshift_sigma[i]:g} but must be {_REDSHIFT_SIGMA}"
            reasons.append(words.get((i, 1), f"the redshift's uncertainty is {rule}"))
        if observed[i] < MIN_BANDS:
            reasons.append(f"bands observed are {observed[i]} but must be {MIN_BANDS} or more")
        reason = f"alaxy {str(ids[i])!r} (row {rows[i]}, counting from 0): {'; '.join(reasons)}"
        if on_bad == "raise":
            others = f" (and {len(found) - 1} more galaxies)" if len(found) > 1 else ""
            raise InputError(
                f"G{reason}; correct this{others}, or use on_bad='mask' to leave out bad bands "
                "or on_bad='flag' to skip bad galaxies."
            )
        remedy = "correct it or mask the band" if bad[i].any() else "correct it"
        problems[i] = f"g{reason}; {remedy}"
    return mask, np.array(problems, dtype=str)


def _faults(flux: Measured, sigma: Measured) -> list[tuple[np.ndarray, Measured, str]]:
    """What can be wrong: where it is (N, B), whose fault it is, and the rule that is broken.

    Of several faults of one value the first counts; '' is the general rule of what is measured.
    """
    f, s = np.abs(flux.values), sigma.values
    with np.errstate(all="ignore"):
        return [
            (~np.isfinite(f), flux, ""),
            (f > MAX_FLUX, flux, f"no brighter than {MAX_FLUX:g} nanomaggies"),
            (~(np.isfinite(s) & (s > 0)), sigma, ""),
            (s > MAX_FLUX, sigma, "masked, as it carries no information"),
            (s < MIN_SIGMA, sigma, f"that of {MIN_SIGMA:g} nanomaggies or more"),
            (f > MAX_SNR * s, sigma, f"that of a signal-to-noise ratio of {MAX_SNR:g} or less"),
        ]


def _redshifts(redshift: float) -> str:
    """The rule that a bad redshift breaks."""
    if np.isfinite(redshift) and redshift > 0:
        return f"between {MIN_REDSHIFT:g} and {MAX_REDSHIFT:g}"
    return "finite and above 0"


def what_looks_wrong(
    flux: np.ndarray, sigma: np.ndarray, redshift: np.ndarray, problems: np.ndarray
) -> str:
    """Say what is wrong with most galaxies of a catalogue; '' where nothing is.

    Fluxes and uncertainties (N, B) [nanomaggies] are NaN where a band is masked; galaxies with a
    problem do not count.
    """
    n, usable = len(redshift), problems == ""
    if n < _FEW:
        return ""
    if 2 * usable.sum() < n:
        if n < _MANY:  # the reason of each is told
            return ""
        return f"{n - usable.sum():,} of {n:,} galaxies cannot be used: {problems[~usable][0]}."
    flux, z = flux[usable], redshift[usable]
    snr = np.nanmedian(np.abs(flux) / sigma[usable], axis=1)
    apparent = AB_ZERO_POINT - 2.5 * np.log10(np.fmax.reduce(flux, axis=1).clip(MIN_SIGMA))
    absolute = apparent - 25 - 5 * np.log10(_HUBBLE_DISTANCE * z * (1 + z / 2))
    typical = f"median {np.median(apparent):.1f} mag at z = {np.median(z):.3g}"
    ratio = f"median {np.median(snr):.3g}"
    fluxes = "check that the fluxes are nanomaggies, or give their unit"
    errors = "check that the uncertainties have the unit of the fluxes, or give theirs"
    for wrong, what, remedy in (
        (absolute > _FAINTEST, f"fainter than {_FAINTEST:g} mag (absolute; {typical})", fluxes),
        (absolute < _BRIGHTEST, f"brighter than {_BRIGHTEST:g} mag (absolute; {typical})", fluxes),
        (snr > _BEST_SNR, f"of a signal-to-noise ratio above {_BEST_SNR:g} ({ratio})", errors),
        (snr < _WORST_SNR, f"of a signal-to-noise ratio below {_WORST_SNR:g} ({ratio})", errors),
    ):
        if 2 * wrong.sum() > n:
            return f"{wrong.sum():,} of {n:,} galaxies are {what}: {remedy}."
    return ""
