"""The HDF5 file of a posterior result: written in one step, read without pickle."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from .._files import write_bytes
from ..errors import InputError
from ..parameters import NAMES
from ..sps.bands import Band, BandSet

if TYPE_CHECKING:
    from .result import PosteriorResult

__all__ = ["read", "write"]

_FORMAT = "sedflow_lab.PosteriorResult"
_VERSION = 1
_ARRAYS = tuple("samples weights redshift ids badge ess chi2_min log_evidence problems".split())


def write(result: PosteriorResult, path: str | Path) -> None:
    """Write a result to one HDF5 file; a file of that name is replaced in one step."""
    image = io.BytesIO()  # HDF5 itself would end the process where the disk is full
    with h5py.File(image, "w") as file:
        file.attrs["format"] = _FORMAT
        file.attrs["version"] = _VERSION
        file.attrs["method"] = result.method
        file.attrs["bands"] = result.bands.name
        file.attrs["parameters"] = json.dumps(NAMES)
        file.attrs["provenance"] = json.dumps(result.provenance)
        # The response curves too: bands read from a user's file have no name to look up.
        for k, band in enumerate(result.bands.bands):
            group = file.create_group(f"bands/{k}")
            group.attrs.update(name=band.name, label=band.label)
            group["wavelength"], group["response"] = band.wavelength, band.response
        for name in _ARRAYS:
            _write_array(file, name, getattr(result, name))
        for name, array in result.diagnostics.items():
            _write_array(file, f"diagnostics/{name}", array)
    write_bytes(path, image.getbuffer())


def read(path: str | Path) -> dict[str, Any]:
    """Read the fields of a result that `write` wrote.

    Raises
    ------
    InputError
        If the file is missing, damaged, or something else.
    """
    try:
        with h5py.File(path, "r") as file:
            found = file.attrs.get("format"), file.attrs.get("version")
            if found != (_FORMAT, _VERSION):
                raise InputError(
                    f"{path} is not a posterior result of version {_VERSION} "
                    f"(its format and version are {found}): read it with what wrote it."
                )
            if tuple(json.loads(file.attrs["parameters"])) != NAMES:
                raise InputError(f"{path} holds other parameters than {', '.join(NAMES)}.")
            groups = [file["bands"][str(k)] for k in range(len(file["bands"]))]
            bands = tuple(
                Band(g.attrs["name"], g.attrs["label"], g["wavelength"][:], g["response"][:])
                for g in groups
            )
            return {name: _read_array(file[name]) for name in _ARRAYS} | {
                "bands": BandSet(file.attrs["bands"], bands),
                "method": file.attrs["method"],
                "diagnostics": {k: _read_array(v) for k, v in file.get("diagnostics", {}).items()},
                "provenance": json.loads(file.attrs["provenance"]),
            }
    except (OSError, KeyError) as error:
        raise InputError(f"Cannot read a posterior result from {path}: {error}.") from error


def _write_array(file: Any, name: str, array: np.ndarray) -> None:
    if array.dtype.kind == "U":
        file.create_dataset(name, data=array.astype(object), dtype=h5py.string_dtype())
    else:
        file[name] = array


def _read_array(dataset: Any) -> np.ndarray:
    if h5py.check_string_dtype(dataset.dtype):
        return dataset.asstr()[...].astype(np.str_)
    return dataset[...]
