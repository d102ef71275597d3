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

from .._files import reading, write_bytes
from ..errors import InputError

__all__ = ["SHIPPED_GRID", "SSPGrid", "load_ssp_grid", "write_npz"]

SHIPPED_GRID = "ssp_mist_miles_chabrier.npz"
"""File name of the grid in the package's data."""

_SHIPPED_PROVENANCE = {
    "code": "FSPS, recovered from the PROVABGS emulator of its spectra (Hahn et al. 2022)",
    "isochrones": "mist",
    "spectra": "miles",
    "imf": "Chabrier (2003)",
    "solar_metallicity": 0.0142,
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
        PROVABGS metallicity labels, rising. PROVABGS hands FSPS log10(Z / 0.019), so the label
        0.019 is the MIST solar model, whose true metallicity is 0.0142.
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
        How the grid was computed: isochrones, library, IMF, code and options.

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
            f"SSPGrid({len(age)} ages of {age[0]:.3g}-{age[-1]:.3g} Gyr, {len(metallicity)} "
            f"metallicities of {metallicity[0]:.2g}-{metallicity[-1]:.2g}, {len(wavelength)} "
            f"wavelengths of {wavelength[0]:.0f}-{wavelength[-1]:.0f} Angstrom, hash {self.hash})"
        )

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
    remedy = "build it again with sedflow-lab ssp build, or take another copy"
    with reading(path, "the SSP grid", remedy):
        with np.load(path, allow_pickle=False) as archive:
            missing = [name for name in _ARRAYS if name not in archive]
            if missing:
                raise InputError(f"{path} is not an SSP grid: it lacks {', '.join(missing)}.")
            arrays = {name: archive[name] for name in _ARRAYS}
            text = archive["provenance_json"].tobytes() if "provenance_json" in archive else b"{}"
        arrays["young_age_max_gyr"] = float(arrays["young_age_max_gyr"])
        return SSPGrid(**arrays, provenance=dict(json.loads(text)))


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
        return replace(load_ssp_grid(path), provenance=_SHIPPED_PROVENANCE)
