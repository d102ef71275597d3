"""Tables of measured galaxies: find the columns that hold the photometry."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..errors import InputError
from ..units import (
    Measured,
    flux_from,
    is_blank,
    numbers,
    sigma_from,
    sigma_from_ivar,
    split_unit,
)
from .checks import as_redshift
from .luptitudes import flux_from_asinh, sigma_from_asinh

if TYPE_CHECKING:
    from astropy.table import Table

    from ..sps.bands import BandSet

__all__ = ["ID_NAMES", "Measurements", "has_columns", "measurements", "understood"]

# Names of a value column, in order of preference, and which kind of values it holds.
_VALUES = {
    "flux": "flux",
    "nmgy": "flux",
    "nanomaggies": "flux",
    "mag": "mag",
    "abmag": "mag",
    "magnitude": "mag",
    "asinhmag": "asinhmag",
}
_REDSHIFTS = ("redshift", "zdist", "z_redshift", "zspec", "z_spec", "specz", "zphot", "z_phot")
_EBVS = ("ebv", "e_bv", "e_b_v", "ebv_sfd", "sfd_ebv")
_LOOKED_FOR = {
    "flux": ("sigma", "ivar", "flux_err", "nmgy_ivar"),
    "mag": ("mag_err", "magerr", "sigma_mag", "ivar"),
    "asinhmag": ("asinhmag_err",),
}
_ROLES = ("flux", "mag", "asinhmag", "sigma", "ivar", "mag_err", "asinhmag_err")

ID_NAMES = ("id", "name", "nsaid", "iauname", "objid")
"""Names of a column of ids, in order of preference."""

# The NASA-Sloan Atlas keeps seven bands in one column, and calls GALEX's F and N.
_NSA_VECTORS = ("nmgy", "nmgy_ivar")
_NSA_BANDS = ("F", "N", "u", "g", "r", "i", "z")
_ALIASES = {"fuv": "f", "nuv": "n"}


class Measurements(NamedTuple):
    """What a table says of N galaxies in B bands; None where it says nothing."""

    flux: Measured  # (N, B)
    sigma: Measured
    redshift: np.ndarray  # (N,)
    ids: np.ndarray
    mask: np.ndarray  # (N, B), False where a band was not observed
    ebv: np.ndarray | None
    corrected: np.ndarray | None  # E(B-V) for which the fluxes have been corrected


def measurements(
    table: Table,
    bands: BandSet,
    columns: Mapping[str, str | None] | None,
    rows: np.ndarray,
    units: Mapping[str, str] | None = None,
) -> Measurements:
    """Take fluxes, uncertainties, redshifts and ids from a table, as `Photometry.from_table` says.

    Bands are called by their labels in column names, and galaxies without an id by their row
    numbers (N,). InputError says which column is missing.
    """
    table = _with_units(_with_nsa_bands(table), units or {})
    finder = _Finder(table, bands.labels, columns or {})
    n, fluxes, sigmas = len(table), [], []
    mask = np.ones((n, len(bands)), dtype=bool)
    for band, (key, filter_name) in enumerate(zip(finder.keys, bands.names, strict=True)):
        if finder.is_unobserved(key):
            nothing = np.full(n, np.nan)
            mask[:, band] = False
            fluxes.append(Measured(nothing, nothing, ("flux",), ("nanomaggies",)))
            sigmas.append(Measured(nothing, nothing, ("uncertainty",), ("nanomaggies",)))
            continue
        flux, sigma = finder.band(key, filter_name)
        fluxes.append(flux)
        sigmas.append(sigma)
        observed = finder.find([f"observed_{key}"])
        if observed is not None:
            mask[:, band] = _truths(finder.column(observed))
    return Measurements(
        Measured.stack(fluxes),
        Measured.stack(sigmas),
        finder.redshift(),
        finder.ids(rows),
        mask,
        finder.numbers(finder.columns.get("ebv") or finder.find(_EBVS)),
        finder.numbers(finder.find(["ebv_corrected"])),
    )


def has_columns(
    table: Table, bands: BandSet, columns: Mapping[str, str | None] | None = None
) -> bool:
    """Whether a table has all columns that `measurements` needs."""
    try:
        finder = _Finder(_with_nsa_bands(table), bands.labels, columns or {})
        finder.redshift_column()
        for key in (key for key in finder.keys if not finder.is_unobserved(key)):
            finder.band_columns(key)
    except InputError:
        return False
    return True


def understood(
    table: Table,
    bands: BandSet,
    columns: Mapping[str, str | None] | None = None,
    units: Mapping[str, str] | None = None,
) -> dict[str, tuple[str, str]]:
    """Columns that `measurements` takes, by role: their names, and the units that they say.

    Roles are those of `Photometry.from_table`; one that has no column is left out.
    """
    table = _with_units(_with_nsa_bands(table), units or {})
    finder = _Finder(table, bands.labels, columns or {})
    names: dict[str, str | None] = {"id": finder.columns.get("id") or finder.find(ID_NAMES)}
    with suppress(InputError):
        names["redshift"] = finder.redshift_column()
    names["ebv"] = finder.columns.get("ebv") or finder.find(_EBVS)
    for key in (key for key in finder.keys if not finder.is_unobserved(key)):
        with suppress(InputError):
            value, kind, style = finder.value_column(key)
            names[f"{kind}_{key}"] = value
            error, role = finder.error_column(key, kind, style)
            names[f"{role}_{key}"] = error
    return {r: (name, _unit(table[name])) for r, name in names.items() if name is not None}


class _Finder:
    """Finds the columns of a table by role."""

    def __init__(self, table: Table, keys: Sequence[str], columns: Mapping[str, str | None]):
        self.table, self.keys, self.columns = table, keys, columns
        self.names = {}
        for name in reversed(table.colnames):  # of names alike but for case the first one counts
            self.names[_plain(name)] = name
        self._check_columns()

    def _check_columns(self) -> None:
        roles = ["redshift", "id", "ebv"]
        for key in self.keys:
            roles += [f"{role}_{key}" for role in _ROLES]
        for role, name in self.columns.items():
            if role not in roles:
                raise InputError(
                    f"The role {role!r} in columns is not known{_closest(role, roles)}: use "
                    f"{', '.join(roles[:10])} and so on for each band."
                )
            if name is not None and name not in self.table.colnames:
                raise InputError(
                    f"The table has no column {name!r}, which columns names for {role!r}"
                    f"{_closest(name, self.table.colnames)}: the table has {self._listing()}."
                )

    def find(self, candidates: Sequence[str]) -> str | None:
        """Name of the first candidate in the table: exactly as spelt, else in any case."""
        for candidate in candidates:
            if candidate in self.table.colnames:
                return candidate
            if _plain(candidate) in self.names:
                return self.names[_plain(candidate)]
        return None

    def is_unobserved(self, key: str) -> bool:
        return any(self.columns.get(f"{r}_{key}", "") is None for r in ("flux", "mag", "asinhmag"))

    def column(self, name: str) -> Any:
        """A column that holds one value a row."""
        column = self.table[name]
        if len(shape := np.shape(column)) != 1:
            raise InputError(
                f"The column {name!r} holds {' x '.join(map(str, shape[1:]))} values a row: give "
                "one a row, in a column for each band."
            )
        return column

    def numbers(self, name: str | None) -> np.ndarray | None:
        return None if name is None else numbers(self.column(name), f"column {name!r}")

    def band_columns(self, key: str) -> tuple[str, str, str, str]:
        """Columns of value and uncertainty of one band, the value's kind, the other's role."""
        value, kind, style = self.value_column(key)
        error, role = self.error_column(key, kind, style)
        if error is None:
            looked = [f"{name}_{key}" for name in _LOOKED_FOR[kind]]
            raise self._missing(f"uncertainty of band {key}", f"sigma_{key}", looked)
        return value, error, kind, role

    def band(self, key: str, filter_name: str) -> tuple[Measured, Measured]:
        """Flux and uncertainty of one band, 1-D."""
        value, error, kind, role = self.band_columns(key)
        name, name_of_error = f"column {value!r}", f"column {error!r}"
        values, unit = split_unit(self.column(value), name)
        errors, unit_of_error = split_unit(self.column(error), name_of_error)
        if kind == "asinhmag":
            flux = flux_from_asinh(values, filter_name, name)
            return flux, sigma_from_asinh(errors, unit_of_error, flux, filter_name, name_of_error)
        flux = flux_from(values, unit, name, kind)
        if role == "ivar":
            return flux, sigma_from_ivar(errors, unit_of_error, flux, name_of_error)
        if role == "mag_err" and not _unit(self.table[error]):
            unit_of_error = "mag"
        return flux, sigma_from(errors, unit_of_error, flux, name_of_error)

    def value_column(self, key: str) -> tuple[str, str, str | None]:
        """Column of the flux, the kind of its values, and the style of its name ('nmgy')."""
        for kind in ("flux", "mag", "asinhmag"):
            if explicit := self.columns.get(f"{kind}_{key}"):
                return explicit, kind, None
        found: list[tuple[str, str, str | None]] = []
        for style, kind in _VALUES.items():
            if name := self.find(_spellings(style, key)):
                found.append((name, kind, style))
        if (bare := self.find([key])) and (unit := _unit(self.table[bare])):
            found.append((bare, "mag" if re.search("mag(?!g)", unit) else "flux", None))
        # A flux that has no uncertainty may stand beside a magnitude that has one.
        for column in found:
            if self.error_column(key, *column[1:])[0]:
                return column
        if found:
            return found[0]
        looked = [f"{style}_{key}" for style in _VALUES]
        raise self._missing(f"flux of band {key}", f"flux_{key}", looked, can_be_none=True)

    def error_column(self, key: str, kind: str, style: str | None) -> tuple[str | None, str]:
        for role in ("asinhmag_err",) if kind == "asinhmag" else ("sigma", "ivar", "mag_err"):
            if name := self.columns.get(f"{role}_{key}"):
                return name, role
        for role, candidates in _error_names(key, kind, style).items():
            name = self.find(candidates)
            if name is not None:
                return name, role
        return None, ""

    def redshift_column(self) -> str:
        name = self.columns.get("redshift") or self.find(_REDSHIFTS)
        if name is None and not self._z_is_a_band():
            name = self.find(["z"])
        if name is None:
            raise self._missing("redshift", "redshift", [*_REDSHIFTS, "z"])
        return name

    def redshift(self) -> np.ndarray:
        column = self.column(name := self.redshift_column())
        return as_redshift(column, len(self.table), f"column {name!r}")

    def _z_is_a_band(self) -> bool:
        """Whether a column 'z' holds the z band: it has a unit, or stands beside 'u', 'g', ..."""
        name = self.find(["z"])
        if name is None or "z" not in self.keys:
            return False
        return _unit(self.table[name]) != "" or any(
            self.find([key]) for key in self.keys if key != "z"
        )

    def ids(self, rows: np.ndarray) -> np.ndarray:
        name = self.columns.get("id") or self.find(ID_NAMES)
        if name is None:
            return rows.astype(str)
        column = self.column(name)
        missing = np.broadcast_to(getattr(column, "mask", False), len(column))
        text = (v.decode() if isinstance(v, bytes) else str(v) for v in np.asarray(column))
        return np.array([str(rows[i]) if missing[i] else t.strip() for i, t in enumerate(text)])

    def _missing(
        self, what: str, role: str, looked: Sequence[str], can_be_none: bool = False
    ) -> InputError:
        unobserved = (
            f", or columns={{{role!r}: None}} if the band was not observed" if can_be_none else ""
        )
        return InputError(
            f"The table has no column for the {what}: looked for {', '.join(looked)} (in any case) "
            f"among {self._listing()}{_closest(role, self.table.colnames)}; rename the column or "
            f"pass columns={{{role!r}: 'its name'}}{unobserved}."
        )

    def _listing(self) -> str:
        names = self.table.colnames
        more = f" and {len(names) - 24} more" if len(names) > 24 else ""
        return ", ".join(names[:24]) + more


def _unit(column: Any) -> str:
    unit = getattr(column, "unit", None)
    return "" if is_blank(unit) else str(unit)


def _truths(column: Any) -> np.ndarray:
    """Read booleans; text files hold them as words."""
    values = np.asarray(column)
    if values.dtype.kind in "OSU":
        return np.isin(np.char.lower(values.astype(str)), ["true", "t", "yes", "1"])
    return values.astype(bool)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def _spellings(prefix: str, key: str) -> list[str]:
    keys = [key, *filter(None, [_ALIASES.get(key)])]
    return [f"{prefix}_{k}" for k in keys] + [f"{k}_{prefix}" for k in keys]


def _error_names(key: str, kind: str, style: str | None) -> dict[str, list[str]]:
    """Names that an uncertainty may have, by role, best first."""
    styles = [style] if style else [s for s, k in _VALUES.items() if k == kind]
    sigma, ivar = [], []
    for s in styles:
        for prefix in (f"sigma_{s}", f"{s}_sigma", f"{s}_err", f"{s}err", f"{s}_error"):
            sigma += _spellings(prefix, key)
        ivar += _spellings(f"{s}_ivar", key) + _spellings(f"ivar_{s}", key)
    # 'z_err' beside 'flux_z' is the redshift's error; beside a bare column 'z' with a unit it is
    # the band's.
    plain = [f"err_{key}"] if style else [f"err_{key}", f"{key}_err", f"{key}_sigma"]
    if kind == "asinhmag":
        return {"asinhmag_err": sigma}
    if kind == "mag":
        return {"mag_err": sigma + plain, "ivar": [*ivar, f"ivar_{key}"]}
    return {"sigma": [f"sigma_{key}", *sigma, *plain], "ivar": [f"ivar_{key}", *ivar]}


def _with_units(table: Table, units: Mapping[str, str]) -> Table:
    """Table with other units of some columns, by their names."""
    from astropy.table import Column

    if units:
        table = table.copy(copy_data=False)
    for name, unit in units.items():
        if name not in table.colnames:
            raise InputError(
                f"The table has no column {name!r}, for which units has {unit!r}"
                f"{_closest(name, table.colnames)}: give names of its columns."
            )
        if hasattr(table[name], "value") and not isinstance(table[name], Column):
            table[name] = Column(table[name].value)  # a Quantity would be converted
        table[name].unit = unit or None
    return table


def _closest(name: str, names: Sequence[str]) -> str:
    plain = {_plain(other): other for other in names}
    matches = difflib.get_close_matches(_plain(name), list(plain), n=1, cutoff=0.6)
    return f" (closest: {plain[matches[0]]!r})" if matches else ""


def _with_nsa_bands(table: Table) -> Table:
    """Split the Atlas's seven-band columns NMGY and NMGY_IVAR into one column a band."""
    vectors = [
        name
        for name in table.colnames
        if _plain(name) in _NSA_VECTORS and table[name].shape[1:] == (len(_NSA_BANDS),)
    ]
    if not vectors:
        return table
    table = table.copy(copy_data=False)
    for name in vectors:
        for k, band in enumerate(_NSA_BANDS):
            if f"{name}_{band}" not in table.colnames:
                table[f"{name}_{band}"] = table[name][:, k]
    return table
