"""Build the grid of simple stellar populations with FSPS itself, through python-fsps.

python-fsps 0.4 is FSPS 3, with the MIST isochrones and MILES spectra of PROVABGS. python-fsps 0.5
is FSPS 4: MIST 2.5, whose solar metallicity is 0.0185, and C3K spectra, or others that it was
compiled with.

FSPS puts populations of any age on the line between its own nodes in log age (`sfh_weight.f90`),
and of any metallicity on the line between its own nodes in log Z (`ztinterp.f90`). So does
`SEDModel`: a grid of FSPS's own nodes gives what FSPS would give at any age and metallicity.

References
----------
Conroy, Gunn & White 2009, ApJ 699, 486; Conroy & Gunn 2010, ApJ 712, 833 (FSPS);
https://python-fsps.readthedocs.io.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from .._arrays import open_arrays
from .._files import expanded, read_json, reading, write_json
from ..errors import InputError
from .histories import N_YOUNG_BINS, TIME_EDGES, youngest_bins
from .ssp import SOLAR_LABEL, WAVELENGTH_RANGE, SSPGrid, nodes_around, write_npz

__all__ = ["PROVABGS_FSPS", "build_ssp_grid"]

PROVABGS_FSPS = {"isochrones": "mist", "spectra": "miles", "solar_metallicity": 0.0142}
"""What FSPS was compiled with for PROVABGS; FSPS 4 (python-fsps 0.5) has others."""

_OPTIONS: dict[str, Any] = {
    "zcontinuous": 0,  # metallicities are FSPS's own, by index
    "imf_type": 1,  # Chabrier
    "sfh": 0,  # simple stellar populations
    "add_neb_emission": False,
    "add_dust_emission": False,
    "dust1": 0.0,
    "dust2": 0.0,
}

_NEBULAR: dict[str, Any] = {"add_neb_emission": True, "gas_logu": -2.0}

_DATA = (
    "clone its data, 'git clone --depth 1 --branch v{0} --recurse-submodules --shallow-submodules "
    "https://github.com/dfm/python-fsps', and set the environment variable SPS_HOME to the folder "
    "python-fsps/src/fsps/libfsps in it."
)
_STEPS_3 = f"Two steps get FSPS 3: (1) pip install 'sedflow_lab[fsps]'; (2) {_DATA}"
_STEPS_4 = (
    "Two steps get FSPS 4, whose stars are others (accept them with other_libraries=True): (1) pip "
    f"install 'fsps>=0.5'; (2) {_DATA}"
)

# Run apart: FSPS ends the whole process, with exit code 0, when it misses a data file.
_PROBE = """
import json, sys
import fsps
sp = fsps.StellarPopulation(**json.loads(sys.argv[1]))
isochrones, spectra = (name.decode().strip() for name in sp.libraries[:2])
print(json.dumps({
    "isochrones": isochrones,
    "spectra": spectra,
    "solar_metallicity": float(sp.solar_metallicity),
    "mixtures": int(getattr(sp, "n_afe", 1)),
    "zlegend": [float(z) for z in sp.zlegend],
    "log_age": [float(t) for t in sp.ssp_ages],
}))
"""


def build_ssp_grid(
    path: str | Path,
    *,
    wavelength_range: tuple[float, float] = WAVELENGTH_RANGE,
    other_libraries: bool = False,
    nebular: bool = False,
    progress: bool = True,
) -> SSPGrid:
    """Compute a grid with FSPS, write it to `path` and return it.

    Finished metallicities are kept in the folder ``<path>.parts`` until the grid is whole: a
    build that was stopped goes on where it was.

    Parameters
    ----------
    path : str or Path
        The ``.npz`` file to write; it appears only when complete.
    wavelength_range : tuple of float, default (1000, 60000)
        Rest-frame wavelengths to keep [Angstrom].
    other_libraries : bool, default False
        Accept an FSPS with other isochrones or spectra than PROVABGS's (see `PROVABGS_FSPS`), such
        as FSPS 4. Metallicity labels then still mean 0.019 for FSPS's solar model, whose true
        metallicity the provenance gives.
    nebular : bool, default False
        Let gas that young stars ionise shine, lines and continuum (FSPS's ``add_neb_emission``):
        gas as metal-rich as the stars, of FSPS's default ionisation parameter, 10^-2. In the model
        it lies behind the same dust as the stars that it surrounds.
    progress : bool, default True
        Show a progress bar.

    Returns
    -------
    SSPGrid
        Every age node of FSPS from 8 Myr to the age of the universe, and every metallicity node.

    Raises
    ------
    InputError
        If python-fsps or FSPS's data files are missing, or are not those of PROVABGS, or if
        python-fsps was compiled for several mixtures of elements.

    Notes
    -----
    Spectra are those of ``get_spectrum(peraa=True)``, as in PROVABGS: python-fsps converts to
    wavelengths with a speed of light rounded to 3e18 Angstrom/s, which makes them 0.07 % bright.

    FSPS has nebular emission of gas between a hundredth and 1.6 times the Sun's metallicity; beyond
    these ends it takes that of the ends.

    Examples
    --------
    >>> grid = build_ssp_grid("full_grid.npz")
    >>> model = SEDModel(bands="galex-sdss", ssp=grid)
    """
    path = expanded(path)
    low, high = (float(edge) for edge in wavelength_range)
    if not 0 < low < high:
        raise InputError(f"wavelength_range must rise from above 0, it is {low:g} to {high:g}.")
    options = _OPTIONS | (_NEBULAR if nebular else {})
    fsps = _probe(options, other_libraries)
    if fsps.pop("mixtures") > 1:
        raise InputError(
            f"This python-fsps {fsps['python_fsps']} was compiled for several mixtures of elements "
            "(AFE_FLAG=1), of which the first one is not the Sun's: install it without."
        )
    if not other_libraries:
        _require_provabgs(fsps)
    nodes = 10.0 ** (np.array(fsps.pop("log_age")) - 9)
    ages = nodes[nodes_around(nodes, float(TIME_EDGES[N_YOUNG_BINS]), float(TIME_EDGES[-1]))]
    labels = np.array(fsps.pop("zlegend")) / fsps["solar_metallicity"] * SOLAR_LABEL
    settings = {
        "code": f"FSPS through python-fsps {fsps['python_fsps']}",
        **fsps,
        "imf": "Chabrier (2003)",
        "nebular": nebular,
        "options": options,
        "wavelength_range_aa": [low, high],
    }
    parts = _prepare_parts(path, settings)
    _compute_parts(parts, ages, labels, options, (low, high), progress)
    grid = _assemble(parts, ages, labels, settings)
    grid.save(path)
    _clear(parts)
    with suppress(OSError):  # someone keeps other files there
        parts.rmdir()
    return grid


def _probe(options: dict[str, Any], other_libraries: bool) -> dict[str, Any]:
    """Ask the installed FSPS what it is."""
    if find_spec("fsps") is None:
        steps = _STEPS_4.format("0.5.0") if other_libraries else _STEPS_3.format("0.4.7")
        raise InputError(f"Building a grid needs python-fsps, which is not installed. {steps}")
    release = "0.4.7"
    with suppress(PackageNotFoundError):
        release = version("fsps")
    steps = (_STEPS_3 if release.startswith("0.4.") else _STEPS_4).format(release)
    if not os.environ.get("SPS_HOME"):
        raise InputError(
            f"Building a grid needs the data of python-fsps {release}, but SPS_HOME is not set. "
            f"{steps}"
        )
    command = [sys.executable, "-c", _PROBE, json.dumps(options)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    try:
        return {"python_fsps": release, **json.loads(done.stdout.splitlines()[-1])}
    except (IndexError, ValueError):
        reason = lines[-1] if lines else f"it ended with code {done.returncode}"
        raise InputError(
            f"FSPS does not start with SPS_HOME={os.environ['SPS_HOME']!r}: {reason}. Its data "
            f"files are missing or of another version than python-fsps {release}. {steps}"
        ) from None


def _require_provabgs(fsps: dict[str, Any]) -> None:
    # FSPS keeps the solar metallicity in single precision.
    rounded = {**fsps, "solar_metallicity": round(fsps["solar_metallicity"], 6)}
    if any(rounded[key] != value for key, value in PROVABGS_FSPS.items()):
        found, wanted = (
            f"{s['isochrones']} isochrones of solar metallicity {s['solar_metallicity']} and "
            f"{s['spectra']} spectra"
            for s in (rounded, PROVABGS_FSPS)
        )
        raise InputError(
            f"python-fsps {fsps['python_fsps']} has {found}, but PROVABGS stands on {wanted}: "
            "install them (pip install 'fsps>=0.4.7,<0.5', with the data of its version in "
            "SPS_HOME), or accept other populations with other_libraries=True."
        )


def _prepare_parts(path: Path, settings: dict[str, Any]) -> Path:
    """Folder for finished metallicities, emptied if they were computed with other settings."""
    parts = path.with_name(path.name + ".parts")
    record = parts / "settings.json"
    try:
        same = read_json(record, "the settings of parts", "start anew") == settings
    except InputError:
        same = False
    if not same:
        _clear(parts)
        parts.mkdir(parents=True, exist_ok=True)
        write_json(record, settings)
    return parts


def _clear(parts: Path) -> None:
    for file in (*parts.glob("metallicity_*"), *parts.glob("settings.json")):
        file.unlink()


def _part(parts: Path, index: int) -> Path:
    return parts / f"metallicity_{index + 1:02d}.npz"


def _compute_parts(
    parts: Path,
    ages: np.ndarray,
    labels: np.ndarray,
    options: dict[str, Any],
    wavelength_range: tuple[float, float],
    progress: bool,
) -> None:
    """Compute the metallicities that are not there yet, one file each."""
    missing = [i for i in range(len(labels)) if not _part(parts, i).exists()]
    if not missing:
        return
    import fsps
    from tqdm.auto import tqdm

    young, weights = youngest_bins()
    population = fsps.StellarPopulation(**options)
    wavelength = population.wavelengths
    keep = (wavelength >= wavelength_range[0]) & (wavelength <= wavelength_range[1])
    n_each = len(young) + len(ages)
    bar = tqdm(
        total=len(labels) * n_each,
        initial=(len(labels) - len(missing)) * n_each,
        desc="FSPS",
        unit="spectrum",
        disable=not progress,
    )
    with bar:
        for index in missing:
            spectra, masses = [], []
            if options["add_neb_emission"]:  # gas as metal-rich as the stars
                population.params["gas_logz"] = float(np.log10(labels[index] / SOLAR_LABEL))
            for age in (*young, *ages):
                _, spectrum = population.get_spectrum(zmet=index + 1, tage=float(age), peraa=True)
                spectra.append(spectrum[keep])
                masses.append(float(population.stellar_mass))
                bar.update()
            write_npz(
                _part(parts, index),
                wavelength=wavelength[keep],
                young=(weights @ np.array(spectra[: len(young)])).astype(np.float32),
                ssp=np.array(spectra[len(young) :], dtype=np.float32),
                surviving_mass=np.array(masses[len(young) :]),
            )


def _assemble(
    parts: Path, ages: np.ndarray, metallicity: np.ndarray, settings: dict[str, Any]
) -> SSPGrid:
    columns: dict[str, list[np.ndarray]] = {"young": [], "ssp": [], "surviving_mass": []}
    for index in range(len(metallicity)):
        path = _part(parts, index)
        with (
            reading(path, "the part of a grid", "delete it, and build the grid again"),
            open_arrays(path) as part,
        ):
            wavelength = part["wavelength"]
            for name, column in columns.items():
                column.append(part[name])
    return SSPGrid(
        age_gyr=ages,
        metallicity=metallicity,
        wavelength_aa=wavelength,
        ssp_lsun_per_aa=np.stack(columns["ssp"], axis=1),
        young_lsun_per_aa=np.stack(columns["young"]),
        young_age_max_gyr=float(TIME_EDGES[N_YOUNG_BINS]),
        surviving_mass=np.stack(columns["surviving_mass"], axis=1),
        provenance={**settings, "date": datetime.now(UTC).isoformat(timespec="seconds")},
    )
