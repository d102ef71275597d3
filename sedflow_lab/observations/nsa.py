"""The NASA-Sloan Atlas: the shipped galaxies, downloading and reading it, the paper's quality cuts.

Blanton et al. 2011, AJ, 142, 31; http://www.nsatlas.org.
"""

from __future__ import annotations

import warnings
from contextlib import ExitStack, contextmanager
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .._files import expanded, reading
from ..errors import InputError, SedflowError
from ..units import MAG_TO_FLUX, Measured, flux_from, sigma_from_ivar
from .download import cache_folder, download
from .files import check_rows
from .photometry import OnBad, Photometry
from .sdss import PHOTO_FLAGS, match_positions, paper_cuts, quality_cuts, quality_flags

if TYPE_CHECKING:
    from collections.abc import Iterator

    from astropy.io.fits import FITS_rec
    from astropy.table import Table

    from ..sps.bands import BandSet

__all__ = [
    "NSA_BANDS",
    "PHOTO_FLAGS",
    "VERSIONS",
    "download_nsa",
    "match_positions",
    "nsa_folder",
    "paper_cuts",
    "quality_cuts",
    "quality_flags",
    "read_nsa",
    "read_positions",
    "showcase",
    "showcase_table",
]


class Version(NamedTuple):
    """One release of the Atlas: where it is, and its columns of flux and inverse variance."""

    name: str
    url: str
    columns: tuple[str, ...]


_SERVER_0 = "http://sdss.physics.nyu.edu/mblanton/v0"
_SERVER_1 = "https://data.sdss.org/sas/dr14/sdss/atlas/v1"
_FLUX = "ELPETRO_FLUX"
_FILE = "the NASA-Sloan Atlas", "download it again"  # what it is, and the remedy

VERSIONS = {
    version.name: version
    for version in (
        Version("v0_1_2", f"{_SERVER_0}/nsa_v0_1_2.fits", ("NMGY", "NMGY_IVAR")),
        Version("v1_0_1", f"{_SERVER_1}/nsa_v1_0_1.fits", (_FLUX, f"{_FLUX}_IVAR", "EXTINCTION")),
    )
}
"""The releases that `read_nsa` understands."""

# The seven bands of the Atlas's columns, and what v0_1_2 has been given and v1_0_1 has not:
# offsets from SDSS to AB magnitudes, and error floors [mag] added in quadrature.
_BANDS = {
    "galex-fuv": (0, 0.0, 0.04),
    "galex-nuv": (1, 0.0, 0.04),
    "sdss2010-u": (2, -0.036, 0.05),
    "sdss2010-g": (3, 0.012, 0.02),
    "sdss2010-r": (4, 0.010, 0.02),
    "sdss2010-i": (5, 0.028, 0.02),
    "sdss2010-z": (6, 0.040, 0.03),
}

NSA_BANDS = tuple(_BANDS)
"""Filters of the Atlas."""


def showcase(bands: str | BandSet = "sdss-ugriz") -> Photometry:
    """Return 192 real galaxies that span colour and luminosity.

    Measured values of the NASA-Sloan Atlas v0_1_2 (cite Blanton et al. 2011), with ``NSAID`` as
    ids and ``ZDIST`` as redshift.

    Parameters
    ----------
    bands : str or BandSet, default ``"sdss-ugriz"``
        SDSS (``sdss2010-*``) and GALEX bands, such as ``"galex-sdss"``. Where GALEX has not looked
        the two are masked.

    Raises
    ------
    InputError
        If the Atlas has no such band.
    """
    from ..sps.bands import get_bands

    band_set = get_bands(bands)
    _check_bands(band_set)
    return Photometry.from_table(showcase_table(), bands=band_set, on_bad="mask")


def _check_bands(bands: BandSet) -> None:
    for name in bands.names:
        if name not in _BANDS:
            raise InputError(
                f"The Atlas has no band {name!r}: choose among {', '.join(_BANDS)}, such as "
                "bands='sdss-ugriz'."
            )


def showcase_table() -> Table:
    """All columns of the showcase galaxies, positions and GALEX F and N among them.

    The table's ``meta`` holds the citation and the acknowledgement that users owe.
    """
    from astropy.table import Table

    with as_file(files("sedflow_lab") / "data" / "showcase.ecsv") as path:
        return Table.read(path, format="ascii.ecsv")


def read_nsa(
    path: str | Path,
    version: str | None = None,
    bands: str | BandSet = "sdss-ugriz",
    rows: Any = None,
    on_bad: OnBad = "mask",
) -> Photometry:
    """Read the Atlas's FITS file; only the columns and rows asked for are brought into memory.

    Both releases give comparable input: AB nanomaggies corrected for Galactic extinction, with
    the Atlas's error floors, and the flow-model redshift ``ZDIST``. In v0_1_2 ``NMGY`` is that
    already. The elliptical-Petrosian ``ELPETRO_FLUX`` of v1_0_1 is corrected for ``EXTINCTION``
    and shifted to AB (u -0.036, g +0.012, r +0.010, i +0.028, z +0.040 mag), and error floors
    (F and N 0.04, u 0.05, g r i 0.02, z 0.03 mag) are added in quadrature. The two releases
    measure flux in different ways and number galaxies differently, so they still differ.

    Parameters
    ----------
    path : str or Path
        ``nsa_v0_1_2.fits`` or ``nsa_v1_0_1.fits``, see `download_nsa`.
    version : {'v0_1_2', 'v1_0_1'}, optional
        The release that the file must be; default, whichever it is.
    bands : str or BandSet
        SDSS (``sdss2010-*``) and GALEX bands.
    rows : slice, int array or bool array, optional
        Which galaxies; default all. Row numbers count from 0.
    on_bad : {'raise', 'flag', 'mask'}
        As for `Photometry`; an inverse variance of 0 means that the Atlas has no measurement.

    Raises
    ------
    InputError
        If the file is not the Atlas, is damaged, or lacks a band.
    """
    from ..sps.bands import get_bands

    bands = get_bands(bands)
    _check_bands(bands)
    index, offset, floor = (
        np.array(x) for x in zip(*(_BANDS[n] for n in bands.names), strict=True)
    )
    with _open(expanded(path)) as data:
        release = _release(data.names, version, path)
        rows = slice(None) if rows is None else rows
        try:
            numbers = np.arange(len(data))[rows]
            ids, redshift = data["NSAID"][rows].astype(str), data["ZDIST"][rows].astype(float)
        except IndexError as error:
            raise InputError(
                f"The rows asked for do not fit the {len(data)} rows of {path}: count from 0, or "
                "give a boolean array of that length."
            ) from error
        for name in release.columns:
            if data.dtype[name].shape != (len(_BANDS),):
                raise InputError(
                    f"The header of the file {path} is damaged, as {name} has not the Atlas's "
                    "seven bands: download it again."
                )
        columns = [data[name][rows][..., index].astype(float) for name in release.columns]
    flux, ivar = columns[:2]
    measured = flux_from(flux, None, "flux")
    sigma = sigma_from_ivar(ivar, None, measured, "ivar")
    if release.name == "v1_0_1":
        scale = 10 ** (0.4 * (columns[2] - offset))
        total = np.hypot(sigma.values, MAG_TO_FLUX * floor * flux) * scale
        measured = Measured(flux * scale, flux, measured.what, measured.unit)
        sigma = Measured(total, ivar, sigma.what, sigma.unit)
    return Photometry(measured, sigma, redshift, bands, ids, on_bad=on_bad, rows=numbers)


def read_positions(path: str | Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """NSAIDs, as text, right ascensions and declinations [deg] of all galaxies of the Atlas's file.

    Raises
    ------
    InputError
        If the file is not the Atlas, is damaged, or has no positions.
    """
    with _open(expanded(path)) as data:
        _release(data.names, None, path)
        if not {"RA", "DEC"} <= set(data.names):
            raise InputError(f"The file {path} lacks RA or DEC: download the Atlas again.")
        return data["NSAID"].astype(str), data["RA"].astype(float), data["DEC"].astype(float)


@contextmanager
def _open(path: Path) -> Iterator[FITS_rec]:
    """Memory-map the Atlas's table; say in one sentence what is wrong with the file."""
    from astropy.io import fits

    if not path.is_file():
        raise InputError(
            f"The file {path} does not exist: fetch it with sedflow_lab.nsa.download_nsa()."
        )
    wrong = f"The file {path} is not a FITS file with a table: download the Atlas again."
    with ExitStack() as stack:
        with reading(path, *_FILE), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that the file is cut short is said below
            try:
                hdus = stack.enter_context(fits.open(path, memmap=True))
            except OSError as error:
                raise InputError(wrong) from error
            table = next((hdu for hdu in hdus if isinstance(hdu, fits.BinTableHDU)), None)
            if table is None:
                raise InputError(wrong)
            check_rows(table, path)
            info = table.fileinfo()
            end, size = info["datLoc"] + info["datSpan"], path.stat().st_size
            if size < end:
                raise InputError(
                    f"The file {path} is cut short, {size} of {end} bytes: download it again."
                )
            data = table.data
        yield data


def _check_end(path: Path) -> None:
    """Make sure that a FITS file ends where its headers say; nothing else is read."""
    from astropy.io import fits

    with reading(path, *_FILE), warnings.catch_warnings(), fits.open(path, memmap=True) as hdus:
        warnings.simplefilter("ignore")  # of what follows and is no header
        info = hdus[len(hdus) - 1].fileinfo()
    end, size = info["datLoc"] + info["datSpan"], path.stat().st_size
    if size != end:
        raise InputError(
            f"The file {path} should end after {end} bytes, not {size}: download it again."
        )


def _release(names: list[str], version: str | None, path: str | Path) -> Version:
    """Tell the release from the column names."""
    if version is not None and version not in VERSIONS:
        raise InputError(f"There is no version {version!r}: choose {' or '.join(VERSIONS)}.")
    for release in VERSIONS.values():
        if {"NSAID", "ZDIST", *release.columns} <= set(names):
            if version not in (None, release.name):
                raise InputError(
                    f"The file {path} is {release.name}, not {version}: leave version out, or "
                    "give the other file."
                )
            return release
    raise InputError(
        f"The file {path} is not the Atlas, as it lacks NSAID, ZDIST, or both of NMGY and "
        "ELPETRO_FLUX with what goes with them: fetch it with sedflow_lab.nsa.download_nsa()."
    )


def nsa_folder(folder: str | Path | None = None) -> Path:
    """Where the Atlas is kept: ``nsa`` in the cache folder, or another that is given."""
    return cache_folder() / "nsa" if folder is None else expanded(folder)


def download_nsa(
    version: str = "v0_1_2",
    folder: str | Path | None = None,
    url: str | None = None,
    progress: bool = True,
) -> Path:
    """Download the Atlas's FITS file (0.5 GB; v1_0_1 is larger), or find it where it is.

    A broken download goes on where it stopped when this is called again. A file is called the
    Atlas only once it is seen to be that, and whole; one that is there already is looked at too.

    Parameters
    ----------
    version : {'v0_1_2', 'v1_0_1'}
    folder : str or Path, optional
        Default ``nsa`` in ``$SEDFLOW_CACHE`` or the user's cache folder.
    url : str, optional
        A mirror to take the file from.
    progress : bool
        Show a progress bar.

    Returns
    -------
    Path
        The file, for `read_nsa`.

    Raises
    ------
    SedflowError
        If the server cannot be reached, refuses, or sends something else.
    """
    if version not in VERSIONS:
        raise InputError(f"There is no version {version!r}: choose {' or '.join(VERSIONS)}.")
    path = nsa_folder(folder) / f"nsa_{version}.fits"
    url = url or VERSIONS[version].url

    def check(part: Path) -> None:
        try:
            with _open(part) as data:
                _release(data.names, version, part)
            _check_end(part)
        except InputError as error:
            raise SedflowError(
                f"What {url} sent is not the NASA-Sloan Atlas {version} in full: try again, or "
                "give another address with url=."
            ) from error

    if path.is_file():
        try:
            check(path)
        except SedflowError as error:
            raise SedflowError(
                f"The file {path} is not the NASA-Sloan Atlas {version} in full: delete it, and "
                "download it again."
            ) from error
        return path
    return download(url, path, check, progress)
