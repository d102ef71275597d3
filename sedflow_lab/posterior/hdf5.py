"""The HDF5 file of a posterior result: written in one step, read without pickle.

HDF5's library can crash or run for ever on a damaged file. So a block before HDF5's own holds the
checksum of all that follows it, and a file that has none is first read by another process.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from .._files import reading, write_bytes
from ..errors import InputError
from ..parameters import NAMES
from ..sps.bands import Band, BandSet
from .result import GALAXY_FIELDS, PosteriorResult

__all__ = ["BLOCK", "read", "seal", "verify", "write"]

_FORMAT = "sedflow_lab.PosteriorResult"
_VERSION = 1
BLOCK = 512
"""Bytes before those of HDF5, which hold the checksum."""

_SEAL = b"sedflow_lab sha256 "
_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_PATIENCE = 60.0, 1e-7  # seconds, and a second more for every 10 MB
_PROBE = """
import sys, h5py
def visit(name, thing):
    list(thing.attrs.items())
    if isinstance(thing, h5py.Dataset):
        thing[...]
with h5py.File(sys.argv[1], "r") as file:
    visit("", file)
    file.visititems(visit)
"""


def write(result: PosteriorResult, path: str | Path) -> None:
    """Write a result to one HDF5 file; a file of that name is replaced in one step."""
    image = io.BytesIO()  # HDF5 itself would end the process where the disk is full
    with h5py.File(image, "w", userblock_size=BLOCK) as file:
        _fill(file, result)
    write_bytes(path, seal(image))


def seal(image: io.BytesIO) -> memoryview:
    """The bytes of an HDF5 file that was made with room for `BLOCK`, with their checksum there."""
    whole = image.getbuffer()
    found = hashlib.sha256(whole[BLOCK:]).hexdigest()
    whole[:BLOCK] = (_SEAL + found.encode()).ljust(BLOCK, b"\0")
    return whole


def _fill(file: Any, result: PosteriorResult) -> None:
    file.attrs.update(format=_FORMAT, version=_VERSION, method=result.method)
    file.attrs.update(bands=result.bands.name, parameters=json.dumps(NAMES))
    file.attrs["provenance"] = json.dumps(result.provenance)
    # The response curves too: bands read from a user's file have no name to look up.
    for k, band in enumerate(result.bands.bands):
        group = file.create_group(f"bands/{k}")
        group.attrs.update(name=band.name, label=band.label)
        group["wavelength"], group["response"] = band.wavelength, band.response
    for name in GALAXY_FIELDS:
        _write_array(file, name, getattr(result, name))
    for name, array in result.diagnostics.items():
        _write_array(file, f"diagnostics/{name}", array)


def read(path: str | Path, kind: type[PosteriorResult]) -> PosteriorResult:
    """Read a result, of the class `kind`, that `write` wrote; InputError if it is none."""
    with reading(path, "a posterior result from", "infer again, or take another copy"):
        verify(path)
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
            fields: dict[str, Any] = {name: _read_array(file[name]) for name in GALAXY_FIELDS} | {
                "bands": BandSet(file.attrs["bands"], bands),
                "method": file.attrs["method"],
                "diagnostics": {k: _read_array(v) for k, v in file.get("diagnostics", {}).items()},
                "provenance": dict(json.loads(file.attrs["provenance"])),
            }
        for name in ("samples", "weights"):
            if not np.isfinite(fields[name][fields["problems"] == ""]).all():
                raise ValueError(f"{name} of a galaxy without a problem are not finite")
        return kind(**fields)


def _probe(path: str | Path) -> None:
    """Let another process read an HDF5 file first: it may crash, or have to be ended.

    OSError says if it cannot be read. A file that another process has locked is not judged.
    """
    least, a_byte = _PATIENCE
    try:
        done = subprocess.run(
            [sys.executable, "-c", _PROBE, os.fspath(path)],
            timeout=least + a_byte * os.path.getsize(path),
            capture_output=True,
            text=True,
            errors="replace",
        )
    except subprocess.TimeoutExpired:
        raise OSError("reading it does not end") from None
    if done.returncode and "BlockingIOError" not in done.stderr:
        raise OSError((done.stderr.strip().splitlines() or ["reading it crashes"])[-1])


def verify(path: str | Path) -> None:
    """Raise OSError or ValueError if HDF5 cannot be trusted with a file."""
    with open(path, "rb") as raw:
        block = raw.read(BLOCK)
        if block.startswith(_SEAL):  # the digest is of what is left to read
            found = hashlib.file_digest(raw, "sha256").hexdigest()
            if block[len(_SEAL) :].rstrip(b"\0").decode() != found:
                raise ValueError("its content is not what was written")
            return
    if not block.startswith(_SIGNATURE):
        raise ValueError("it is no HDF5 file of ours")
    _probe(path)  # it is from before there were checksums


def _write_array(file: Any, name: str, array: np.ndarray) -> None:
    if array.dtype.kind == "U":
        file.create_dataset(name, data=array.astype(object), dtype=h5py.string_dtype())
    else:
        file[name] = array


def _read_array(dataset: Any) -> np.ndarray:
    if h5py.check_string_dtype(dataset.dtype):
        return dataset.asstr()[...].astype(np.str_)
    return dataset[...]
