"""Tables of measured galaxies, and what they say of the photometry."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..errors import InputError
from ..units import Measured
from .limits import LIMIT_SIGMAS, with_limit
from .roles import EBVS, ID_NAMES, Finder, closest, plain_name, unit_of

if TYPE_CHECKING:
    from astropy.table import Column, Table

    from ..sps.bands import BandSet
    from .photometry import Photometry

__all__ = ["Measurements", "has_columns", "measurements", "table_of", "understood"]

# The NASA-Sloan Atlas keeps seven bands in one column, and calls GALEX's F and N.
_NSA_VECTORS = ("nmgy", "nmgy_ivar")
_NSA_BANDS = ("F", "N", "u", "g", "r", "i", "z")


class Measurements(NamedTuple):
    """What a table says of N galaxies in B bands; None where it says nothing."""

    flux: Measured  # (N, B)
    sigma: Measured
    redshift: Column  # (N,)
    redshift_sigma: Column | None
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
    limit_sigmas: float = LIMIT_SIGMAS,
) -> Measurements:
    """Take fluxes, uncertainties, redshifts and ids from a table, as `Photometry.from_table` says.

    Bands are called by their labels in column names, and galaxies without an id by their row
    numbers (N,). InputError says which column is missing.
    """
    table = _with_units(_with_nsa_bands(table), units or {})
    finder = Finder(table, bands.labels, columns or {})
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
        if (limit := finder.limit(key, flux)) is not None:
            flux, sigma = with_limit(flux, sigma, limit, limit_sigmas, key)
        fluxes.append(flux)
        sigmas.append(sigma)
        observed = finder.find([f"observed_{key}"])
        if observed is not None:
            mask[:, band] = _truths(finder.column(observed))
    return Measurements(
        Measured.stack(fluxes),
        Measured.stack(sigmas),
        finder.redshift(),
        finder.redshift_sigma(),
        finder.ids(rows),
        mask,
        finder.numbers(finder.columns.get("ebv") or finder.find(EBVS)),
        finder.numbers(finder.find(["ebv_corrected"])),
    )


def table_of(photometry: Photometry) -> Table:
    """The table from which `measurements` takes the same galaxies (see `Photometry.to_table`)."""
    import astropy.units as u
    from astropy.table import Table

    table = Table({"id": photometry.ids, "redshift": photometry.redshift})
    if photometry.redshift_sigma.any():
        table["redshift_sigma"] = photometry.redshift_sigma
    for band, key in enumerate(photometry.bands.labels):
        for name, values in (("flux", photometry.flux), ("sigma", photometry.sigma)):
            table[f"{name}_{key}"] = values[:, band]
            table[f"{name}_{key}"].unit = u.nmgy
        if not photometry.mask.all():
            table[f"observed_{key}"] = photometry.mask[:, band]
    if photometry.ebv.any():
        table["ebv_corrected"] = photometry.ebv
    if not photometry.usable.all():
        table["problems"] = photometry.problems
    table.meta.update(bands=photometry.bands.name, **photometry.settings())
    return table


def has_columns(
    table: Table, bands: BandSet, columns: Mapping[str, str | None] | None = None
) -> bool:
    """Whether a table has all columns that `measurements` needs."""
    try:
        finder = Finder(_with_nsa_bands(table), bands.labels, columns or {})
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
    finder = Finder(table, bands.labels, columns or {})
    names: dict[str, str | None] = {"id": finder.columns.get("id") or finder.find(ID_NAMES)}
    with suppress(InputError):
        names["redshift"] = finder.redshift_column()
        names["redshift_sigma"] = finder.redshift_sigma_column()
    names["ebv"] = finder.columns.get("ebv") or finder.find(EBVS)
    for key in (key for key in finder.keys if not finder.is_unobserved(key)):
        with suppress(InputError):
            value, kind, style = finder.value_column(key)
            names[f"{kind}_{key}"] = value
            error, role = finder.error_column(key, kind, style)
            names[f"{role}_{key}"] = error
            names[f"limit_{key}"] = finder.limit_column(key)
    return {r: (name, unit_of(table[name])) for r, name in names.items() if name is not None}


def _truths(column: Any) -> np.ndarray:
    """Read booleans; text files hold them as words."""
    values = np.asarray(column)
    if values.dtype.kind in "OSU":
        return np.isin(np.char.lower(values.astype(str)), ["true", "t", "yes", "1"])
    return values.astype(bool)


def _with_units(table: Table, units: Mapping[str, str]) -> Table:
    """Table with other units of some columns, by their names."""
    from astropy.table import Column

    if units:
        table = table.copy(copy_data=False)
    for name, unit in units.items():
        if name not in table.colnames:
            raise InputError(
                f"The table has no column {name!r}, for which units has {unit!r}"
                f"{closest(name, table.colnames)}: give names of its columns."
            )
        if hasattr(table[name], "value") and not isinstance(table[name], Column):
            table[name] = Column(table[name].value)  # a Quantity would be converted
        table[name].unit = unit or None
    return table


def _with_nsa_bands(table: Table) -> Table:
    """Split the Atlas's seven-band columns NMGY and NMGY_IVAR into one column a band."""
    vectors = [
        name
        for name in table.colnames
        if plain_name(name) in _NSA_VECTORS and table[name].shape[1:] == (len(_NSA_BANDS),)
    ]
    if not vectors:
        return table
    table = table.copy(copy_data=False)
    for name in vectors:
        for k, band in enumerate(_NSA_BANDS):
            if f"{name}_{band}" not in table.colnames:
                table[f"{name}_{band}"] = table[name][:, k]
    return table
