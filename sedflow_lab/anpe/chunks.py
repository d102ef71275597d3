"""Tensors kept in files of a fixed number of rows: an interrupted run goes on, to the same set."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from tqdm.auto import tqdm

from .._files import difference, fingerprint, read_json, reading, write_json
from ..errors import InputError
from .tensors import load_tensors, save_tensors

__all__ = ["Chunks", "Part", "Tensors"]

Part = tuple[int, range]
"""A file's number and its rows."""

Tensors = dict[str, torch.Tensor]

_MOST = 2**40  # rows, and the largest seed: products with it are still whole numbers


class Chunks(NamedTuple):
    """A folder of tensors, with their settings beside them, of which ``n`` is the number of rows.

    It and its files are called by what they hold, and `sedflow-lab command` makes it.
    """

    folder: Path
    what: str
    command: str
    size: int  # rows of a file

    def settings(self) -> dict[str, Any] | None:
        """What the set is made of, finished or not; None where there is none."""
        path, what = self._manifest, f"the settings of {self.what}"
        remedy = f"delete the folder and {self.command} again"
        if not path.exists():
            return None
        settings = read_json(path, what, remedy)
        with reading(path, what, remedy):
            if type(settings["n"]) is not int or not 0 < settings["n"] < _MOST:
                raise ValueError(f"n is {settings['n']!r}")
        return settings

    def fill(
        self,
        settings: dict[str, Any],
        made: Callable[[Iterator[Part]], Iterator[tuple[int, Tensors]]],
        progress: bool = False,
        stop: threading.Event | None = None,
    ) -> Tensors | None:
        """Tensors by name, of files that are there and of others, which `made` gives.

        It is told numbers and rows of the files that are missing, and gives their tensors in
        whatever order. None if `stop` is set before all are there; InputError if those there are
        of other settings.
        """
        for name, least in (("n", 1), ("seed", 0)):
            if not least <= settings[name] < _MOST:
                raise InputError(f"{name} is {settings[name]}: give {least} to {_MOST - 1:,}.")
        found = self.settings()
        if found is not None and (differing := difference(found, settings)):
            raise InputError(
                f"{self.folder} holds {self.what} that differ in {differing}: choose an empty "
                "folder or delete the old set."
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(self._manifest, settings)
        n, chunks = settings["n"], dict[int, Tensors]()
        rows = dict(enumerate(range(i, min(n, i + self.size)) for i in range(0, n, self.size)))

        def missing() -> Iterator[Part]:
            for part in rows.items():
                if stop is not None and stop.is_set():
                    return
                if part[0] not in chunks:
                    yield part

        with tqdm(total=n, unit=" galaxies", desc=self.command, disable=not progress) as bar:
            for index in rows:
                if self._path(index).exists():
                    try:
                        chunks[index] = self._read(index, settings)
                        bar.update(len(rows[index]))
                    except InputError as error:
                        warnings.warn(f"{error} It is made anew now.", stacklevel=3)
            for index, chunk in made(missing()):
                save_tensors(self._path(index), chunk, _identity(settings, index))
                chunks[index] = chunk
                bar.update(len(rows[index]))
        return _joined([chunks[index] for index in rows]) if len(chunks) == len(rows) else None

    def load(self, settings: dict[str, Any] | None) -> dict[str, torch.Tensor]:
        """Tensors by name of a set of these settings; InputError if it is not whole."""
        if settings is None:
            raise InputError(
                f"{self.folder} holds no {self.what}: make some with sedflow-lab {self.command}."
            )
        return _joined([self._read(i, settings) for i in range(-(-settings["n"] // self.size))])

    @property
    def _manifest(self) -> Path:
        return self.folder / f"{self.what}.json"

    def _path(self, index: int) -> Path:
        return self.folder / f"{self.what}-{index:05d}.safetensors"

    def _read(self, index: int, settings: dict[str, Any]) -> dict[str, torch.Tensor]:
        """Tensors of a file, which must be whole, in its place, and of these settings."""
        path, what = self._path(index), f"the {self.what}"
        remedy = f"run the same sedflow-lab {self.command} again, which makes this file anew"
        chunk, about = load_tensors(path, what, remedy)
        with reading(path, what, remedy):
            if wrong := difference(about, _identity(settings, index)):
                raise ValueError(f"they differ in {wrong}")
        return chunk


def _identity(settings: dict[str, Any], index: int) -> dict[str, Any]:
    return {"settings": fingerprint({"simulation_recipe": 1} | settings)[:16], "index": index}


def _joined(chunks: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    return {name: torch.cat([chunk[name] for chunk in chunks]) for name in chunks[0]}
