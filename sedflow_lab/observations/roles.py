"""The columns of a table by their roles: flux and uncertainty of each band, redshift, id."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

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
    from astropy.table import Column, Table

__all__ = ["EBVS", "ID_NAMES", "Finder", "closest", "plain_name", "unit_of"]

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
EBVS = ("ebv", "e_bv", "e_b_v", "ebv_sfd", "sfd_ebv")
_LOOKED_FOR = {
    "flux": ("sigma", "ivar", "flux_err", "nmgy_ivar"),
    "mag": ("mag_err", "magerr", "sigma_mag", "ivar"),
    "asinhmag": ("asinhmag_err",),
}
_LIMITS = ("limit", "flux_limit", "upper_limit", "mag_limit")
# Words in names of limits: "image" and "nanomaggies" speak of no magnitudes.
_SAYS_FLUX = re.compile("flux|nmgy|maggie|jy")
_SAYS_MAGNITUDE = re.compile("mag(nitudes?|s|ab|lim[a-z]*)?(?![a-z])")
_SINGLE = ("redshift", "id", "ebv", "redshift_sigma")
_ROLES = ("flux", "mag", "asinhmag", "sigma", "ivar", "mag_err", "asinhmag_err", "limit")

ID_NAMES = ("id", "name", "nsaid", "iauname", "objid")
"""Names of a column of ids, in order of preference."""

# Of GALEX, which the NASA-Sloan Atlas calls F and N.
_ALIASES = {"fuv": "f", "nuv": "n"}


class Finder:
    """Finds the columns of a table by role."""

    def __init__(self, table: Table, keys: Sequence[str], columns: Mapping[str, str | None]):
        self.table, self.keys, self.columns = table, keys, columns
        self.names = {}
        for name in reversed(table.colnames):  # of names alike but for case the first one counts
            self.names[plain_name(name)] = name
        self._check_columns()

    def _check_columns(self) -> None:
        roles = list(_SINGLE)
        for key in self.keys:
            roles += [f"{role}_{key}" for role in _ROLES]
        for role, name in self.columns.items():
            if role not in roles:
                raise InputError(
                    f"The role {role!r} in columns is not known{closest(str(role), roles)}: use "
                    f"{', '.join(roles[:10])} and so on for each band."
                )
            if name is not None and name not in self.table.colnames:
                raise InputError(
                    f"The table has no column {name!r}, which columns names for {role!r}"
                    f"{closest(str(name), self.table.colnames)}: the table has {self._listing()}."
                )

    def find(self, candidates: Sequence[str]) -> str | None:
        """Name of the first candidate in the table: exactly as spelt, else in any case."""
        for candidate in candidates:
            if candidate in self.table.colnames:
                return candidate
            if plain_name(candidate) in self.names:
                return self.names[plain_name(candidate)]
        return None

    def is_unobserved(self, key: str) -> bool:
        """Whether the caller says that a band was not observed."""
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
        """Numbers of a column, None where there is none."""
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
            sigma = sigma_from_asinh(errors, unit_of_error, flux, filter_name, name_of_error)
        else:
            flux = flux_from(values, unit, name, kind)
            if role == "mag_err" and not unit_of(self.table[error]):
                unit_of_error = "mag"
            make = sigma_from_ivar if role == "ivar" else sigma_from
            sigma = make(errors, unit_of_error, flux, name_of_error)
        flux = flux.read_from(self.table[value], name)
        return flux, sigma.read_from(self.table[error], name_of_error)

    def value_column(self, key: str) -> tuple[str, str, str | None]:
        """Column of the flux, the kind of its values, and the style of its name ('nmgy')."""
        for kind in ("flux", "mag", "asinhmag"):
            if explicit := self.columns.get(f"{kind}_{key}"):
                return explicit, kind, None
        found: list[tuple[str, str, str | None]] = []
        for style, kind in _VALUES.items():
            if name := self.find(_spellings(style, key)):
                found.append((name, kind, style))
        if (bare := self.find([key])) and (unit := unit_of(self.table[bare])):
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
        """Column of the uncertainty of a band's value, and its role; None where there is none."""
        for role in ("asinhmag_err",) if kind == "asinhmag" else ("sigma", "ivar", "mag_err"):
            if name := self.columns.get(f"{role}_{key}"):
                return name, role
        for role, candidates in _error_names(key, kind, style).items():
            name = self.find(candidates)
            if name is not None:
                return name, role
        return None, ""

    def redshift_column(self) -> str:
        """Column of the redshift."""
        name = self.columns.get("redshift") or self.find(_REDSHIFTS)
        if name is None and not self._z_is_a_band():
            name = self.find(["z"])
        if name is None:
            raise self._missing("redshift", "redshift", [*_REDSHIFTS, "z"])
        return name

    def redshift(self) -> Column:
        """Redshifts (N,), which can be read."""
        return self._redshifts(self.redshift_column())

    def _redshifts(self, name: str) -> Column:
        as_redshift(column := self.column(name), len(self.table), f"column {name!r}")
        return column

    def redshift_sigma_column(self) -> str | None:
        """Column of the redshift's uncertainty; None where there is none."""
        if "redshift_sigma" in self.columns:
            return self.columns["redshift_sigma"]
        return self.find(["redshift_sigma", *self._redshift_errors(self.redshift_column())])

    def redshift_sigma(self) -> Column | None:
        """Uncertainties (N,) of the redshifts, None where there is no column of them."""
        name = self.redshift_sigma_column()
        return None if name is None else self._redshifts(name)

    def _redshift_errors(self, redshift: str) -> list[str]:
        """Names that the uncertainty of a redshift may have, which are made of its column's."""
        name, errors = plain_name(redshift), list[str]()
        if name != "z":  # 'sigma_z' and 'err_z' are those of the z band
            errors += [f"{name}_sigma", f"sigma_{name}", f"err_{name}"]
            errors += [f"{name}_err", f"{name}err", f"{name}_error", f"e_{name}"]
        bare = any(self.find([f"{key}_err"]) for key in self.keys if key != "z")
        if name in ("z", "redshift") and not bare and not self._z_is_a_band():
            errors += ["z_err", "zerr", "z_error", "e_z"]
        return errors

    def limit_column(self, key: str) -> str | None:
        """Column of upper limits on a band's flux; None where there is none."""
        if f"limit_{key}" in self.columns:
            return self.columns[f"limit_{key}"]
        return self.find([name for prefix in _LIMITS for name in _spellings(prefix, key)])

    def limit(self, key: str, flux: Measured) -> Measured | None:
        """Upper limits of one band, 1-D; without a unit they have that of its flux.

        A name that says what they are, such as flux_limit_u beside magnitudes, is believed.
        """
        if (column := self.limit_column(key)) is None:
            return None
        values, unit = split_unit(self.column(column), name := f"column {column!r}")
        plain, of_magnitudes = plain_name(column), "magnitude" in flux.what[0]
        is_flux, is_magnitude = _SAYS_FLUX.search(plain), _SAYS_MAGNITUDE.search(plain)
        magnitudes = not is_flux and bool(of_magnitudes or is_magnitude)
        if is_blank(unit) and not magnitudes and not of_magnitudes:
            unit = flux.unit[0]
        return flux_from(values, unit, name, "mag" if magnitudes else "flux")

    def _z_is_a_band(self) -> bool:
        """Whether a column 'z' holds the z band: it has a unit, or stands beside 'u', 'g', ..."""
        name = self.find(["z"])
        if name is None or "z" not in self.keys:
            return False
        return unit_of(self.table[name]) != "" or any(
            self.find([key]) for key in self.keys if key != "z"
        )

    def ids(self, rows: np.ndarray) -> np.ndarray:
        """Names (N,); row numbers where there are none."""
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
            f"among {self._listing()}{closest(role, self.table.colnames)}; rename the column or "
            f"pass columns={{{role!r}: 'its name'}}{unobserved}."
        )

    def _listing(self) -> str:
        names = self.table.colnames
        more = f" and {len(names) - 24} more" if len(names) > 24 else ""
        return ", ".join(names[:24]) + more


def unit_of(column: Any) -> str:
    """The unit of a column as text, empty where it has none."""
    unit = getattr(column, "unit", None)
    return "" if is_blank(unit) else str(unit)


def plain_name(name: str) -> str:
    """A name in lower case, words joined by underscores."""
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


def closest(name: str, names: Sequence[str]) -> str:
    """A hint in parentheses at the name that is most like another, empty where none is."""
    plain = {plain_name(other): other for other in names}
    matches = difflib.get_close_matches(plain_name(name), list(plain), n=1, cutoff=0.6)
    return f" (closest: {plain[matches[0]]!r})" if matches else ""
