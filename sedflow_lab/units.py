"""Magnitudes and constants; and from astronomers' units to AB nanomaggies, with what was given."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import InputError

if TYPE_CHECKING:
    from astropy.units import UnitBase

__all__ = [
    "AB_ZERO_POINT",
    "LN10",
    "L_SUN",
    "MICRON",
    "MPC",
    "NANOMAGGY_JY",
    "POGSON",
    "Measured",
    "flux_from",
    "flux_of_magnitude",
    "is_blank",
    "magnitude",
    "numbers",
    "sigma_from",
    "sigma_from_ivar",
    "split_unit",
    "words_among",
]

AB_ZERO_POINT = 22.5
"""AB magnitude of one nanomaggy."""

MICRON = 1e-4
"""One Angstrom in micron."""

NANOMAGGY_JY = 3.631e-6
"""One AB nanomaggy in Jy (a zero point of 3631 Jy)."""

LN10 = math.log(10.0)
"""Natural logarithm of ten."""

POGSON = 2.5 / LN10
"""Magnitudes per relative error of a flux."""

MAG_TO_FLUX = 0.4 * LN10
"""Relative flux error per magnitude error."""

L_SUN = 3.846e33
"""Solar luminosity [erg / s], as FSPS has it."""

MPC = 3.0856775814913673e24
"""Megaparsec [cm]."""

# Catalogues write -99, 99, -999 or 9999 for "no magnitude"; nothing real lies out here. -20 is
# 1e17 nanomaggies, the brightest flux that is taken (observations.checks).
_FAINTEST, _BRIGHTEST = 50.0, -20.0

_SHOWN = 40  # letters of a word that is no number

_RULES = {
    "flux": "finite",
    "magnitude": f"between {_BRIGHTEST:g} and {_FAINTEST:g}",
    "asinh magnitude": "between -20 and 35",
    "uncertainty": "finite and above 0",
    "inverse variance": "finite and above 0",
}

_ALLOWED = "nanomaggies, Jy, mJy, erg/s/cm2/Hz or AB magnitudes (astropy.units.ABmag)"


def magnitude(flux: Any) -> Any:
    """AB magnitudes of fluxes [nanomaggies] of any shape; NaN where the flux is not above 0."""
    if hasattr(flux, "new_tensor"):  # torch is not imported for this
        return AB_ZERO_POINT - 2.5 * flux.where(flux > 0, flux.new_tensor(np.nan)).log10()
    flux = np.asarray(flux, dtype=np.float64)
    return AB_ZERO_POINT - 2.5 * np.log10(np.where(flux > 0, flux, np.nan))


def flux_of_magnitude(magnitude: Any) -> Any:
    """Fluxes [nanomaggies] of AB magnitudes, the inverse of `magnitude`."""
    return 10 ** (0.4 * (AB_ZERO_POINT - magnitude))


@dataclass(frozen=True)
class Measured:
    """Numbers in nanomaggies beside the numbers as they were given."""

    values: np.ndarray  # fluxes or uncertainties, NaN where the input cannot be converted
    given: np.ndarray  # in its own unit, of the same shape
    what: tuple[str, ...]  # what it is, for messages: one entry, or one a band (last axis)
    unit: tuple[str, ...]
    words: Mapping[tuple[int, ...], str] = field(default_factory=dict)  # see `words_among`

    def describe(self, row: int, band: int, label: str, rule: str = "") -> str:
        """Say what a bad entry is and what it must be: the rule, if it is not the usual one."""
        if (row, band) in self.words:
            return self.words[row, band]
        what = self.what[band] if len(self.what) > 1 else self.what[0]
        unit = self.unit[band] if len(self.unit) > 1 else self.unit[0]
        return (
            f"the {what} in band {label} is {self.given[row, band]:.6g} {unit} "
            f"but must be {rule or _RULES[what]}"
        )

    @classmethod
    def stack(cls, columns: list[Measured]) -> Measured:
        """Put one-dimensional columns, one a band, side by side."""
        return cls(
            np.stack([column.values for column in columns], axis=-1),
            np.stack([column.given for column in columns], axis=-1),
            tuple(column.what[0] for column in columns),
            tuple(column.unit[0] for column in columns),
            {(*row, k): word for k, c in enumerate(columns) for row, word in c.words.items()},
        )

    def read_from(self, column: Any, name: str) -> Measured:
        """The same, with the words among the numbers of the column from which it is."""
        return replace(self, words=words_among(column, self.given, name))


def numbers(values: Any, name: str) -> np.ndarray:
    """Read numbers as float64; masked entries and text among numbers become NaN.

    Raises
    ------
    InputError
        If nothing in `values` is a number.
    """
    mask = getattr(values, "mask", None)
    try:
        data = np.asarray(getattr(values, "unmasked", values))
    except ValueError as error:
        raise InputError(
            f"The {name} has rows of different lengths: give a rectangular array of numbers."
        ) from error
    if data.dtype.kind in "OSU":
        read = [_number(value) for value in data.ravel()]
        if read and all(number is None for number in read):
            raise InputError(f"The {name} holds {str(data.flat[0])!r}: give numbers.")
        out = np.array([np.nan if x is None else x for x in read]).reshape(data.shape)
    elif data.dtype.kind in "fiub":
        out = data.astype(np.float64)
    else:
        raise InputError(f"The {name} is of type {data.dtype}: give real numbers.")
    if mask is not None and np.any(mask):
        out[np.broadcast_to(mask, out.shape)] = np.nan
    return out


def words_among(values: Any, numbers: np.ndarray, name: str) -> dict[tuple[int, ...], str]:
    """What to say of words which are NaN among the numbers of a name, by row; of blanks nothing."""
    data = np.asarray(getattr(values, "unmasked", values))
    if data.dtype.kind not in "OSU":
        return {}
    hidden = np.broadcast_to(getattr(values, "mask", False), data.shape)
    found = {}
    for at in zip(*np.nonzero(np.isnan(numbers) & ~hidden), strict=True):
        word = data[at].decode() if isinstance(data[at], bytes) else str(data[at])
        if _number(word) is None:
            shown = word.strip()[:_SHOWN]
            found[tuple(map(int, at))] = f"the {name} holds {shown!r}, which is no number"
    return found


def _number(value: Any) -> float | None:
    """Read one number; blanks are NaN, and None is text that means no number."""
    if value is None or value is np.ma.masked or str(value).strip() == "":
        return np.nan
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return None


def split_unit(values: Any, name: str) -> tuple[np.ndarray, Any]:
    """Split an array, Quantity, Magnitude or table column into float64 numbers and its unit."""
    unit = getattr(values, "unit", None)
    if unit is not None and hasattr(values, "value"):
        values = values.value  # a Magnitude does not give its numbers to numpy.asarray
    return numbers(values, name), unit


def flux_from(values: np.ndarray, unit: Any, name: str, kind: str = "flux") -> Measured:
    """Convert fluxes or AB magnitudes, called by a name in messages, to nanomaggies.

    They are known to be of a kind, ``'flux'`` or ``'mag'``: without a unit they are nanomaggies or
    AB magnitudes, and a bare ``mag`` is AB only for ``'mag'``.
    """
    import astropy.units as u

    parsed = _parse(unit, name)
    if parsed is None and kind == "flux":
        return Measured(values, values, ("flux",), ("nanomaggies",))
    if parsed is None or (parsed == u.mag and kind == "mag") or parsed == u.ABmag:
        zero_point = 10 ** (0.4 * AB_ZERO_POINT)
    elif isinstance(parsed, u.MagUnit):
        zero_point = _nanomaggies_per(parsed.physical_unit, name)
    else:
        with np.errstate(over="ignore"):  # what overflows is found out later
            flux = values * _nanomaggies_per(parsed, name)
        return Measured(flux, values, ("flux",), (str(unit),))
    real = (values > _BRIGHTEST) & (values < _FAINTEST)
    flux = np.full(values.shape, np.nan)
    flux[real] = zero_point * 10 ** (-0.4 * values[real])
    return Measured(flux, values, ("magnitude",), ("mag",))


def sigma_from(values: np.ndarray, unit: Any, flux: Measured, name: str) -> Measured:
    """Convert uncertainties to nanomaggies; without a unit they have that of the flux.

    Magnitude errors become 0.4 ln(10) abs(f) sigma_m.
    """
    import astropy.units as u

    parsed = _parse(unit, name)
    if parsed is None:
        is_mag, scale, shown = flux.what[0] == "magnitude", 1.0, flux.unit[0]
        if not is_mag and shown != "nanomaggies":
            scale = _nanomaggies_per(_parse(shown, name), name)
    else:
        is_mag = parsed == u.mag or isinstance(parsed, u.MagUnit)
        scale = 1.0 if is_mag else _nanomaggies_per(parsed, name)
        shown = "mag" if is_mag else str(unit)
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows is found out later
        sigma = (MAG_TO_FLUX * np.abs(flux.values) if is_mag else scale) * values
    return Measured(sigma, values, ("uncertainty",), (shown,))


def sigma_from_ivar(values: np.ndarray, unit: Any, flux: Measured, name: str) -> Measured:
    """Convert inverse variances to uncertainties [nanomaggies]: 0 gives infinity, below 0 NaN.

    Without a unit they have that of the flux, or of its magnitudes, to the power -2.
    """
    text = "" if is_blank(unit) else str(unit)
    if any(key in text.lower() for key in ("nmgy", "nanomagg")):
        of_flux: Any = "nanomaggies"
    else:
        parsed = _parse(unit, name)
        of_flux = None if parsed is None else parsed**-0.5
    with np.errstate(divide="ignore", invalid="ignore"):
        sigma = sigma_from(1.0 / np.sqrt(values), of_flux, flux, name)
    return Measured(sigma.values, values, ("inverse variance",), (text or f"{sigma.unit[0]}^-2",))


def is_blank(unit: Any) -> bool:
    """Whether there is no unit."""
    return unit is None or str(unit).strip(" -") == ""  # catalogues write '---' for no unit


def _parse(unit: Any, name: str) -> UnitBase | None:
    """Understand a unit, in astropy's spelling or as catalogues spell nanomaggies and AB."""
    if is_blank(unit):
        return None
    import astropy.units as u

    text = str(unit).strip().lower().replace(" ", "")
    if text in ("nanomaggies", "nanomaggy", "nanomaggys", "nmgy", "nanomaggie"):
        return u.nmgy
    if text in ("abmag", "magab", "mag(ab)", "mag_ab", "ab"):
        return u.ABmag
    try:
        return u.Unit(str(unit) if isinstance(unit, u.UnrecognizedUnit) else unit)
    except (ValueError, TypeError) as error:
        raise InputError(
            f"The unit {str(unit)!r} of the {name} is not known: give {_ALLOWED}."
        ) from error


def _nanomaggies_per(unit: UnitBase, name: str) -> float:
    import astropy.units as u

    if unit.is_equivalent(u.nmgy):
        return float(unit.to(u.nmgy))
    if unit.is_equivalent(u.Jy):
        return float(unit.to(u.Jy)) / NANOMAGGY_JY
    raise InputError(
        f"The {name} has the unit {str(unit)!r}, which cannot be turned into AB nanomaggies: "
        f"give {_ALLOWED}."
    )
