"""Band sets: named groups of filters, their response curves and AB zero points."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError

__all__ = ["BAND_SETS", "Band", "BandSet", "check_same_filters", "get_bands", "read_band"]

SPEED_OF_LIGHT = 2.99792458e18  # Angstrom / s
AB_NANOMAGGY = 3.631e-29  # erg / s / cm^2 / Hz

_STARLIGHT_ENDS = 25_000.0  # Angstrom
_SHORTEST, _LONGEST = 900.0, 1e8  # Angstrom: from the Lyman limit to a centimetre
_LARGEST = 1e30  # of a highest response, and its inverse the smallest: products stay numbers
_SAME = 1e-4  # relative change of an effective wavelength that makes a filter another one


def _group(name: str, bands: str | Sequence[str]) -> tuple[str, ...]:
    return tuple(f"{name}-{band}" for band in bands)


_SDSS = _group("sdss2010", "ugriz")
_WISE = _group("wise2010", ("W1", "W2"))
_DECAM = _group("decam2014", "grz")

BAND_SETS: dict[str, tuple[str, ...]] = {
    "sdss-ugriz": _SDSS,
    "sdss-2mass": (*_SDSS, *_group("twomass", ("J", "H", "Ks"))),
    "sdss-wise": (*_SDSS, *_WISE),
    "galex-sdss": (*_group("galex", ("fuv", "nuv")), *_SDSS),
    "decam-grz": _DECAM,
    "legacy-south": (*_DECAM, *_WISE),
    "legacy-north": (*_group("BASS", "gr"), "MzLS-z", *_WISE),
    "des-grizy": _group("decam2014", "grizY"),
    "panstarrs-grizy": _group("panstarrs", "grizy"),
    "hsc-grizy": _group("hsc2017", "grizy"),
    "lsst-ugrizy": _group("lsst2023", "ugrizy"),
    "euclid": _group("Euclid", ("VIS", "Y", "J", "H")),
}
"""Named band sets, each a list of filters of speclite. DESI targets come from the Legacy Surveys,
south (DECam) and north (BASS and MzLS); only "galex-sdss" needs a wider grid than the shipped
one."""


@dataclass(frozen=True, eq=False)
class Band:
    """One filter: a name, a short label, and its response per photon.

    Attributes
    ----------
    wavelength : ndarray, shape (K,)
        Observed-frame wavelengths [Angstrom], rising.
    response : ndarray, shape (K,)
        Response per photon, in any unit; linear between the wavelengths, zero outside.

    Raises
    ------
    InputError
        If this is not a response curve, or one whose wavelengths cannot be in Angstrom.
    """

    name: str
    label: str
    wavelength: np.ndarray = field(repr=False)
    response: np.ndarray = field(repr=False)

    def __post_init__(self) -> None:
        wavelength, response = (
            np.asarray(a, dtype=np.float64) for a in (self.wavelength, self.response)
        )
        if wavelength.ndim != 1 or wavelength.shape != response.shape or len(wavelength) < 3:
            raise InputError(
                f"The filter {self.name} needs three or more wavelengths and as many responses, "
                f"its columns have the shapes {wavelength.shape} and {response.shape}."
            )
        finite = np.isfinite(wavelength).all() and np.isfinite(response).all()
        if not finite or (wavelength[1:] <= wavelength[:-1]).any() or wavelength[0] <= 0:
            raise InputError(
                f"The filter {self.name} needs finite values and positive, rising wavelengths."
            )
        if (response < 0).any() or not 1 / _LARGEST < response.max() < _LARGEST:
            raise InputError(
                f"The filter {self.name} needs responses that are 0 or more, some of them above "
                f"0 and none beyond {_LARGEST:g}, but they run from {response.min():g} to "
                f"{response.max():g}."
            )
        object.__setattr__(self, "wavelength", wavelength)
        object.__setattr__(self, "response", response)
        inside = 1.0 <= wavelength[0] and wavelength[-1] <= _LONGEST
        if not inside or self.effective_wavelength < _SHORTEST:
            raise InputError(
                f"The filter {self.name} has wavelengths of {wavelength[0]:.4g} to "
                f"{wavelength[-1]:.4g}, but Angstrom are expected: multiply nanometres by 10 and "
                "micrometres by 10000."
            )

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Band)
            and self.name == other.name
            and np.array_equal(self.wavelength, other.wavelength)
            and np.array_equal(self.response, other.response)
        )

    def __hash__(self) -> int:
        return hash((self.name, self.effective_wavelength))

    @cached_property
    def effective_wavelength(self) -> float:
        """Photon-weighted mean wavelength for a source with constant F_lambda [Angstrom]."""
        weight = self.response / self.response.max() * self.wavelength
        top = np.trapezoid(weight * self.wavelength, self.wavelength)
        return float(top / np.trapezoid(weight, self.wavelength))

    @property
    def ab_flux(self) -> float:
        """Photon-counting flux of a one-nanomaggy AB source, the band's zero point."""
        integral = np.trapezoid(self.response / self.wavelength, self.wavelength)
        return AB_NANOMAGGY * SPEED_OF_LIGHT * float(integral)

    def share(self, low: float, high: float) -> float:
        """Share of the light of a source with constant F_lambda that comes from between two edges.

        They are wavelengths [Angstrom].
        """
        light = self.response / self.response.max() * self.wavelength
        steps = 0.5 * (light[1:] + light[:-1]) * np.diff(self.wavelength)
        below = np.append(0.0, np.cumsum(steps)) / steps.sum()
        first, last = np.interp([low, high], self.wavelength, below)
        return float(last - first)

    @property
    def support(self) -> tuple[float, float]:
        """First and last wavelength [Angstrom] with a response."""
        used = np.flatnonzero(self.response > 0)
        first, last = max(used[0] - 1, 0), min(used[-1] + 1, len(self.wavelength) - 1)
        return float(self.wavelength[first]), float(self.wavelength[last])


@dataclass(frozen=True)
class BandSet:
    """An ordered set of bands.

    Attributes
    ----------
    name : str
        Name of the set, or its filter names joined by commas.
    bands : tuple of Band

    Raises
    ------
    InputError
        If there is no band, or one twice.
    """

    name: str = field(compare=False)
    bands: tuple[Band, ...]

    def __post_init__(self) -> None:
        if not self.bands:
            raise InputError("A band set needs at least one band.")
        name, count = Counter(self.names).most_common(1)[0]
        if count > 1:
            raise InputError(
                f"The band set holds {count} filters called {name!r}: leave one out, or give "
                "filters of your own different labels (read_band)."
            )

    def __len__(self) -> int:
        return len(self.bands)

    @property
    def names(self) -> tuple[str, ...]:
        """Filter names, such as ``sdss2010-u``."""
        return tuple(band.name for band in self.bands)

    @property
    def labels(self) -> tuple[str, ...]:
        """Short labels, such as ``u``; bands that would share one are called by their names."""
        count = Counter(band.label for band in self.bands)
        return tuple(b.label if count[b.label] == 1 else b.name for b in self.bands)

    @property
    def effective_wavelength(self) -> np.ndarray:
        """Effective wavelengths [Angstrom], shape (B,)."""
        return np.array([band.effective_wavelength for band in self.bands])

    @property
    def dusty(self) -> tuple[str, ...]:
        """Labels of bands beyond 2.5 micron, where dust shines too and models of stars end."""
        far = self.effective_wavelength > _STARLIGHT_ENDS
        return tuple(label for label, is_far in zip(self.labels, far, strict=True) if is_far)

    def to_json(self) -> dict[str, Any]:
        """Describe the set for a JSON file: speclite's filters by name, others by their curves."""
        return {"name": self.name, "bands": [_band_to_json(band) for band in self.bands]}

    @classmethod
    def from_json(cls, description: Mapping[str, Any]) -> BandSet:
        """Rebuild the set that `to_json` described; InputError if it cannot be the same."""
        try:
            bands = tuple(_band_from_json(band) for band in description["bands"])
            return cls(str(description["name"]), bands)
        except InputError:
            raise
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise InputError(f"This is not the description of a band set: {error!r}.") from error


def get_bands(bands: str | BandSet | Band | Sequence[str | Path | Band]) -> BandSet:
    """Return a band set by name, or made of filters.

    Parameters
    ----------
    bands : str, Band, BandSet or sequence
        A name in `BAND_SETS`; or filters, each a name that speclite knows, the path of a file for
        `read_band` (with an extension, such as ``mine.txt``), or a `Band`. Filters come as a
        sequence, or in one string with commas.

    Raises
    ------
    InputError
        If a name is unknown, or a file is not a filter.

    Examples
    --------
    >>> get_bands("decam-grz").labels
    ('g', 'r', 'z')
    >>> get_bands("sdss2010-g,decam2014-g,decam2014-r").labels
    ('sdss2010-g', 'decam2014-g', 'r')
    """
    if isinstance(bands, BandSet):
        return bands
    if isinstance(bands, str):
        bands = BAND_SETS.get(bands, bands.split(","))
    elif isinstance(bands, Band | Path):
        bands = (bands,)
    members = tuple(_band(b) for b in bands)
    names = tuple(band.name for band in members)
    known = (name for name, filters in BAND_SETS.items() if filters == names)
    return BandSet(next(known, ",".join(names)), members)


def check_same_filters(bands: BandSet, name: str) -> None:
    """Refuse a band set for data that say they are of the band set `name`, if filters differ.

    Columns are found by labels, which surveys share: the g of DECam is not that of SDSS.
    """
    said = BAND_SETS.get(name, tuple(name.split(",")))
    filters = {member.rsplit("-", 1)[-1]: member for member in said}
    for band in bands.bands:
        other = filters.get(band.label, band.name)
        if other != band.name and band.name not in said:
            raise InputError(
                f"The table says that its bands are {name}, but {bands.name} was asked for, whose "
                f"{band.label} is {band.name} and not {other}: ask for the table's bands, or "
                "delete 'bands' from its metadata if they are wrong."
            )


def read_band(path: str | Path, label: str | None = None) -> Band:
    """Read a filter from a text file of two columns: wavelength [Angstrom], photon response.

    Columns are divided by spaces, in ``.csv`` files by commas. Lines that begin with ``#`` are
    comments. The label, also the filter's name, defaults to the file's name without extension.

    Raises
    ------
    InputError
        If the file cannot be read or is not a response curve.
    """
    path = Path(path)
    delimiter = "," if path.suffix.lower() == ".csv" else None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an empty file: what follows says so
            table = np.loadtxt(path, ndmin=2, delimiter=delimiter)
    except (OSError, ValueError) as error:
        raise InputError(
            f"Cannot read the filter {path}: {error} (two columns of numbers are needed, with "
            "# before comments)."
        ) from error
    if table.shape[1] != 2:
        raise InputError(f"The filter {path} needs two columns, it has {table.shape[1]}.")
    if table[0, 0] > table[-1, 0]:  # some curves are listed from red to blue
        table = table[::-1]
    return Band(label or path.stem, label or path.stem, *np.ascontiguousarray(table.T))


def _band(item: str | Path | Band) -> Band:
    if isinstance(item, Band):
        return item
    if isinstance(item, str | Path):
        name = str(item).strip()
        return read_band(name) if Path(name).suffix else _speclite_band(name)
    raise InputError(f"A band is a filter's name, a file or a Band, not {item!r}.")


def _band_to_json(band: Band) -> dict[str, Any]:
    try:
        if band == _speclite_band(band.name):
            return {"filter": band.name, "effective_wavelength_aa": band.effective_wavelength}
    except InputError:
        pass  # not a filter of speclite
    curve = {"wavelength_aa": band.wavelength.tolist(), "response": band.response.tolist()}
    return {"name": band.name, "label": band.label, **curve}


def _band_from_json(entry: Mapping[str, Any]) -> Band:
    if "filter" not in entry:
        curve = (entry["wavelength_aa"], entry["response"])
        return Band(str(entry["name"]), str(entry["label"]), *curve)
    band, wavelength = _speclite_band(str(entry["filter"])), entry["effective_wavelength_aa"]
    if not abs(band.effective_wavelength / wavelength - 1) < _SAME:
        raise InputError(
            f"The filter {band.name} had an effective wavelength of {wavelength:.2f} Angstrom "
            f"when this was saved, but speclite now puts it at {band.effective_wavelength:.2f}: "
            "install the version of speclite that was used then."
        )
    return band


@cache
def _speclite_band(name: str) -> Band:
    from speclite import filters

    try:
        response = filters.load_filter(name)
    except (ValueError, RuntimeError) as error:
        raise InputError(
            f"There is no filter or band set {name!r}: use one of speclite's filters, such as "
            "'sdss2010-r', a file of two columns (wavelength in Angstrom, response), such as "
            f"'mine.txt', or one of the band sets {', '.join(BAND_SETS)}."
        ) from error
    return Band(name, name.rsplit("-", 1)[-1], response.wavelength, response.response)
