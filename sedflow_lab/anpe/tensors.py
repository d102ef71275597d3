"""Safetensors files that tell what they are and whether they are whole."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load as from_bytes
from safetensors.torch import save as to_bytes

from .._files import reading, write_bytes

__all__ = ["digest", "load_tensors", "save_tensors"]

_LARGEST = 1e12  # no number of ours comes near, and the square of it is still one


def digest(tensors: Mapping[str, torch.Tensor], about: str = "") -> str:
    """SHA-256 of tensors with their names, types and shapes, and of a text about them."""
    found = hashlib.sha256(about.encode())
    for name, tensor in sorted(tensors.items()):
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        found.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()


def save_tensors(
    path: str | Path, tensors: Mapping[str, torch.Tensor], about: Mapping[str, Any]
) -> None:
    """Write tensors, JSON-able values about them, and a checksum of all; in one step."""
    text = json.dumps(about)
    metadata = {"about": text, "sha256": digest(tensors, text)}
    plain = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
    write_bytes(path, _in_order(to_bytes(plain, metadata=metadata)))


def _in_order(data: bytes) -> bytes:
    """The same file with its header sorted: safetensors leaves the order to chance."""
    header, end = _header(data)
    text = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data[end:]


def _header(data: bytes) -> tuple[dict[str, Any], int]:
    """Header of a safetensors file, and where it ends."""
    end = 8 + int.from_bytes(data[:8], "little")
    return json.loads(data[8:end]), end


def load_tensors(
    path: str | Path, what: str, remedy: str, *, sealed: bool = True
) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Read what `save_tensors` wrote: the tensors, and the values about them.

    InputError says, in the words of `_files.read_json`, if it is missing, damaged, something else,
    or holds numbers that are none. Files from before there were checksums are not `sealed`; values
    about them are not read.
    """
    with reading(path, what, remedy):
        if not Path(path).is_file():
            raise ValueError("there is no such file")
        # Read at once: safetensors itself opens a file twice, and finds another the second time
        # where one is being replaced.
        data = Path(path).read_bytes()
        tensors = from_bytes(data)
        metadata = _header(data)[0].get("__metadata__", {})
        if sealed and metadata["sha256"] != digest(tensors, metadata["about"]):
            raise ValueError("its content is not what was written")
        for name, tensor in tensors.items():
            if tensor.is_floating_point() and not bool((tensor.abs() < _LARGEST).all()):
                raise ValueError(f"{name} holds numbers that are not finite, or huge")
        return tensors, json.loads(metadata["about"]) if sealed else {}
