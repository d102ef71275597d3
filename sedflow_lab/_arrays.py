"""NumPy in, NumPy out; torch in, torch out: the conversion all numerical entry points share."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import numpy as np
import torch
from numpy.lib.npyio import NpzFile

from .errors import InputError

__all__ = [
    "ArrayLike",
    "check_device",
    "is_torch",
    "like_input",
    "open_arrays",
    "to_tensor",
    "with_rows",
]

ArrayLike: TypeAlias = "np.ndarray | torch.Tensor"
"""What public numerical functions take and return: they answer in the kind they were asked in."""

T = TypeVar("T")


def is_torch(*arrays: Any) -> bool:
    """Whether any of the arguments is a tensor, so that the answer should be one too."""
    return any(isinstance(array, torch.Tensor) for array in arrays)


def to_tensor(
    array: Any, dtype: torch.dtype | None = None, device: torch.device | str | None = None
) -> torch.Tensor:
    """View or copy an array as a tensor; NumPy and Python numbers become float64 by default."""
    if not isinstance(array, torch.Tensor):
        # Torch has no read-only tensors and warns: arrays such as Photometry.flux are copied.
        array = torch.as_tensor(np.require(np.asarray(array, dtype=np.float64), requirements="W"))
    return array.to(dtype=dtype, device=device)


def like_input(result: torch.Tensor, *inputs: Any) -> Any:
    """Return `result` as a tensor if any input was one, else as a float64 NumPy array."""
    if is_torch(*inputs):
        return result
    return result.detach().cpu().numpy().astype(np.float64, copy=False)


def check_device(name: str) -> None:
    """Make sure that something can be computed on a device.

    Raises
    ------
    InputError
        If it cannot.
    """
    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise InputError(f"Cannot compute on the device {name!r} ({reason}).") from error


def with_rows(array: np.ndarray, rows: Any, values: Any) -> np.ndarray:
    """An array with some rows replaced: the same one, or a wider one where words are longer."""
    if array.dtype.kind == "U" and array.dtype < values.dtype:
        array = array.astype(values.dtype)
    elif not array.flags.writeable:
        array = array.copy()
    array[rows] = values
    return array


def open_arrays(path: str | Path) -> NpzFile:
    """Open an .npz file of numbers; ValueError for any other file.

    Of these NumPy would say that they hold a pickle, and how to load it.
    """
    with open(path, "rb") as file:
        if file.read(2) != b"PK":
            raise ValueError("it is no .npz file")
    return np.load(path, allow_pickle=False)
