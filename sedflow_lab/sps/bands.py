"""Band sets: named groups of filters, their response curves and AB zero points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from ..errors import InputError

__all__ = ["BAND_SETS", "Band", "BandSet", "get_bands", "read_band"]

SPEED_OF_LIGHT = 2.99792458e18  # Angstrom / s
AB_NANOMAGGY = 3.631e-29  # erg / s / cm^2 / Hz

BAND_SETS: dict[str, tuple[str, ...]] = {
    "sdss-ugriz": tuple(f"sdss2010-{b}" for b in "ugriz"),
    "galex-sdss": ("galex-fuv", "galex-nuv", *(f"sdss2010-{b}" for b in "ugriz")),
    "decam-grz": tuple(f"decam2014-{b}" for b in "grz"),
    "lsst-ugrizy": tuple(f"lsst2016-{b}" for b in "ugrizy"),
    "wise": ("wise2010-W1", "wise2010-W2"),
    "decam-wise": (*(f"decam2014-{b}" for b in "grz"), "wise2010-W1", "wise2010-W2"),
}
"""Named band sets, each a list of filter names."""


@dataclass(frozen=True)
class Band:
    """One filter: a name, a short label, and its response per photon.

    Attributes
    ----------
    wavelength : ndarray, shape (K,)
        Observed-frame wavelengths [Angstrom], rising.
    response : ndarray, shape (K,)
        Response per photon, in any unit; linear between the wavelengths, zero outside.
    """

    name: str
    label: str
    wavelength: np.ndarray
    response: np.ndarray

    @property
    def effective_wavelength(self) -> float:
        """Photon-weighted mean wavelength for a source with constant F_lambda [Angstrom]."""
        weight = self.response * self.wavelength
        top = np.trapezoid(weight * self.wavelength, self.wavelength)
        return float(top / np.trapezoid(weight, self.wavelength))

    @property
    def ab_flux(self) -> float:
        """Photon-counting flux of a one-nanomaggy AB source, the band's zero point."""
        integral = np.trapezoid(self.response / self.wavelength, self.wavelength)
        return AB_NANOMAGGY * SPEED_OF_LIGHT * float(integral)

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
    """

    name: str
    bands: tuple[Band, ...]

    def __len__(self) -> int:
        return len(self.bands)

    @property
    def names(self) -> tuple[str, ...]:
        """Filter names, such as ``sdss2010-u``."""
        return tuple(band.name for band in self.bands)

    @property
    def labels(self) -> tuple[str, ...]:
        """Short labels, such as ``u``."""
        return tuple(band.label for band in self.bands)

    @property
    def effective_wavelength(self) -> np.ndarray:
        """Effective wavelengths [Angstrom], shape (B,)."""
        return np.array([band.effective_wavelength for band in self.bands])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BandSet) and self.names == other.names

    def __hash__(self) -> int:
        return hash(self.names)


def get_bands(bands: str | BandSet | Sequence[str | Band]) -> BandSet:
    """Return a band set by name, or made of filters.

    Parameters
    ----------
    bands : str, BandSet or sequence
        A name in `BAND_SETS`, one filter name of `speclite`, or a sequence of filter names
        and of bands read by `read_band`.

    Raises
    ------
    InputError
        If a name is unknown.
    """
    if isinstance(bands, BandSet):
        return bands
    if isinstance(bands, str):
        if bands in BAND_SETS:
            return BandSet(bands, tuple(_speclite_band(n) for n in BAND_SETS[bands]))
        bands = bands.split(",")
    members = tuple(b if isinstance(b, Band) else _speclite_band(b.strip()) for b in bands)
    if not members:
        raise InputError("A band set needs at least one band.")
    names = [band.name for band in members]
    for name, known in BAND_SETS.items():
        if tuple(names) == known:
            return BandSet(name, members)
    return BandSet(",".join(names), members)


def read_band(path: str | Path, label: str | None = None) -> Band:
    """Read a filter from a text file of two columns: wavelength [Angstrom], photon response.

    Lines that begin with ``#`` are comments. The label defaults to the file's stem.

    Raises
    ------
    InputError
        If the file cannot be read or is not a response curve.
    """
    path = Path(path)
    try:
        table = np.loadtxt(path, comments="#", ndmin=2, delimiter="," if _is_csv(path) else None)
    except (OSError, ValueError) as error:
        raise InputError(f"Cannot read the filter {path}: {error}") from error
    if table.shape[1] != 2 or len(table) < 3:
        raise InputError(
            f"The filter {path} needs two columns and three rows, it has {table.shape}."
        )
    wavelength, response = table.T
    if not np.isfinite(table).all() or (np.diff(wavelength) <= 0).any() or wavelength[0] <= 0:
        raise InputError(
            f"The filter {path} needs finite values and rising wavelengths [Angstrom]."
        )
    if (response < 0).any() or not (response > 0).any():
        raise InputError(f"The filter {path} needs a response that is not negative nor all zero.")
    return Band(path.stem, label or path.stem, wavelength, response)


def _is_csv(path: Path) -> bool:
    return path.suffix.lower() == ".csv"


@cache
def _speclite_band(name: str) -> Band:
    from speclite import filters

    try:
        response = filters.load_filter(name)
    except (ValueError, RuntimeError) as error:
        known = ", ".join(BAND_SETS)
        raise InputError(
            f"There is no filter or band set {name!r}: use a speclite filter such as "
            f"'sdss2010-r', a file read by read_band, or one of the sets {known}."
        ) from error
    return Band(
        name,
        name.rsplit("-", 1)[-1],
        np.asarray(response.wavelength, dtype=float),
        np.asarray(response.response, dtype=float),
    )
