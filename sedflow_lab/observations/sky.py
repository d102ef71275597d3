"""Where galaxies are on the sky: positions of tables, places that people type, the nearest one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from ..units import numbers

if TYPE_CHECKING:
    from astropy.table import Table

__all__ = ["nearest", "parse_place", "position_columns", "positions_of"]

_NAMES = (
    ("ra", "raj2000", "ra_j2000", "ra_icrs", "radeg", "ra_deg", "alpha_j2000", "alpha"),
    ("dec", "dej2000", "decj2000", "dec_j2000", "de_icrs", "dec_icrs", "decdeg", "dedeg"),
)
_PLACE = "187.2779 2.0524 (degrees) or 12:29:06.7 +02:03:08.6 (hours and degrees)"


def position_columns(table: Table) -> tuple[str, str] | None:
    """Names of the columns of right ascension and declination, in any case; None without them."""
    found = {re.sub("[^a-z0-9]+", "_", n.lower()).strip("_"): n for n in reversed(table.colnames)}
    ra, dec = (next((found[n] for n in names if n in found), None) for names in _NAMES)
    return (ra, dec) if ra is not None and dec is not None else None


def positions_of(table: Table) -> np.ndarray | None:
    """Right ascension and declination (N, 2) [deg, J2000] of a table's rows; None without them.

    Numbers without a unit are degrees; text with colons, spaces or letters is sexagesimal, with
    right ascensions in hours. What is no position is NaN.
    """
    names = position_columns(table)
    if names is None:
        return None
    ra, dec = _degrees(table[names[0]], "hourangle"), _degrees(table[names[1]], "deg")
    bad = ~((ra >= 0) & (ra <= 360) & (np.abs(dec) <= 90))
    places = np.column_stack([ra, dec])
    places[bad] = np.nan
    return None if bad.all() else places


def _degrees(column: Any, sexagesimal: str) -> np.ndarray:
    """Angles [deg] of a column."""
    import astropy.units as u
    from astropy.coordinates import Angle

    unit = getattr(column, "unit", None)
    try:
        values = numbers(getattr(column, "value", column), "position")
    except InputError:  # none of them is a number
        values = np.full(len(column), np.nan)
        for row, text in enumerate(np.asarray(column).astype(str)):
            try:
                values[row] = Angle(text, unit=sexagesimal).deg
            except (ValueError, u.UnitsError):
                continue  # this one stays NaN
        return values
    try:
        scale = 1.0 if unit is None else float(u.Unit(str(unit)).to(u.deg))
    except (ValueError, TypeError):
        scale = 1.0
    return np.asarray(scale * values)


def parse_place(text: str) -> tuple[float, float]:
    """Right ascension and declination [deg] of what somebody typed.

    Two plain numbers are degrees; with colons, letters or six parts they are sexagesimal, the
    right ascension in hours.

    Raises
    ------
    InputError
        If it is no place on the sky.
    """
    from astropy.coordinates import SkyCoord

    parts = text.replace(",", " ").split()
    plain = len(parts) == 2 and all(re.fullmatch(r"[-+]?\d*\.?\d+", part) for part in parts)
    try:
        if len(parts) not in (2, 6):
            raise ValueError
        place = SkyCoord(" ".join(parts), unit="deg" if plain else ("hourangle", "deg"))
        if plain and not 0 <= float(parts[0]) <= 360:
            raise ValueError
    except Exception as error:  # astropy raises whatever its parsers raise
        raise InputError(f"{text!r} is no place on the sky: give {_PLACE}.") from error
    return float(place.ra.deg), float(place.dec.deg)


def nearest(place: tuple[float, float], positions: np.ndarray) -> tuple[int, float]:
    """Row of the position (N, 2) [deg] nearest to a place, and its distance [arcsec].

    The distance is infinite where no position is known.
    """
    from astropy.coordinates import angular_separation

    ra, dec = np.radians(positions).T
    away = np.degrees(angular_separation(*np.radians(place), ra, dec)) * 3600
    away = np.where(np.isnan(away), np.inf, away)
    row = int(np.argmin(away))
    return row, float(away[row])
