"""The file that keeps chains: emcee's HDF5, written in one step so that nothing can break it.

emcee's own backend opens its file at every step. Someone who reads it meanwhile ends the chain,
a kill may leave a file that nobody can read, and a full disk ends the process inside HDF5. Here
a chain is in memory, and the file is replaced every few seconds.
"""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
from emcee import State
from emcee import __version__ as emcee_version
from emcee.backends import Backend

from .._files import locked, reading, write_bytes
from ..errors import InputError, WriteError
from ..posterior.hdf5 import BLOCK, seal, verify

__all__ = ["FileBackend"]

_SECONDS = 5.0  # between writes, at least
_SHARE = 20  # how much longer to work than the last write took
_PATIENCE = 30.0  # seconds for which to wait for another process


class _Whole(NamedTuple):
    """Where a chain stands after a whole step: an interrupt may come in the midst of one."""

    iteration: int
    accepted: np.ndarray
    random_state: Any


class FileBackend(Backend):
    """A chain in memory, which begins as what the file holds of it and is kept there.

    The file, which need not exist, is one of emcee's `HDFBackend`; several chains share it, each
    in its group, also of several processes. InputError is raised if it cannot be read, WriteError
    if another process has it for long.
    """

    def __init__(self, path: str | Path, name: str) -> None:
        super().__init__()
        self.path, self.name = Path(path), name
        self._next = time.monotonic() + _SECONDS
        self._new: _Whole | None = None  # what the file does not have
        with _opened(self.path) as file:
            if file is not None and not all(_is_chain(group) for group in file.values()):
                raise InputError(f"{path} holds something else than chains: give another file.")
            if file is not None and name in file:
                with reading(path, "the chain in", "remove it to start anew"):
                    self._read(file[name])

    def _read(self, group: h5py.Group) -> None:
        iteration = int(group.attrs["iteration"])
        self.reset(group.attrs["nwalkers"], group.attrs["ndim"])
        self.chain, self.log_prob = group["chain"][:iteration], group["log_prob"][:iteration]
        self.accepted, self.iteration = group["accepted"][...], iteration
        state = [v for k, v in sorted(group.attrs.items()) if k.startswith("random_state_")]
        self.random_state = state
        shape = iteration, *self.shape
        if self.chain.shape != shape or self.log_prob.shape != shape[:2] or iteration < 0:
            raise ValueError("it holds another number of steps than it says")
        if self.accepted.shape != shape[1:2] or not np.isfinite(self.accepted).all():
            raise ValueError("what it says of accepted steps is damaged")
        if not (np.isfinite(self.chain).all() and np.isfinite(self.log_prob).all()):
            raise ValueError("it holds numbers that are not finite")
        np.random.RandomState().set_state(tuple(state))  # an error where it is none

    def save_step(self, state: State, accepted: Any) -> None:
        """Keep a step in memory, and the chain in the file where that was not done lately."""
        super().save_step(state, accepted)
        self._new = _Whole(self.iteration, self.accepted.copy(), self.random_state)
        if time.monotonic() > self._next:
            self.keep()

    def __exit__(self, *error: object) -> None:
        self.keep()

    def keep(self) -> None:
        """Write the chain to the file; the chains of others in it stay."""
        whole = self._new
        if whole is None:
            return
        began = time.monotonic()
        image = io.BytesIO()
        with locked(self.path, _PATIENCE):
            with h5py.File(image, "w", userblock_size=BLOCK) as new, _opened(self.path) as old:
                if old is not None:
                    for name in old.keys() - {self.name}:
                        old.copy(name, new)
                self._write(new.create_group(self.name), whole)
            write_bytes(self.path, seal(image))
        self._new = None
        ended = time.monotonic()
        self._next = ended + max(_SECONDS, _SHARE * (ended - began))

    def _write(self, group: h5py.Group, whole: _Whole) -> None:
        """Fill a group as emcee's backend does."""
        walkers, size = self.shape
        group.attrs.update(version=emcee_version, nwalkers=walkers, ndim=size)
        group.attrs.update(has_blobs=False, iteration=whole.iteration)
        group["accepted"] = whole.accepted
        for name in ("chain", "log_prob"):
            values = getattr(self, name)[: whole.iteration]
            group.create_dataset(name, data=values, maxshape=(None, *values.shape[1:]))
        for index, value in enumerate(whole.random_state or ()):
            group.attrs[f"random_state_{index}"] = value


def _is_chain(group: h5py.Group | h5py.Dataset) -> bool:
    return isinstance(group, h5py.Group) and "chain" in group


@contextmanager
def _opened(path: Path) -> Iterator[h5py.File | None]:
    """The file to read, once no other process writes it; None where there is none."""
    until = time.monotonic() + _PATIENCE
    while path.exists():
        try:
            if not path.is_file():
                raise ValueError("it is not a file")  # a pipe has no end
            verify(path)
            file = h5py.File(path, "r")
            break
        except BlockingIOError as error:
            if time.monotonic() > until:
                raise WriteError(
                    f"Another process has {path} open: end it, or give another file."
                ) from error
            time.sleep(0.1)
        except (OSError, ValueError) as error:
            raise InputError(
                f"{path} cannot be read as the HDF5 file of a chain ({error}): remove it to start "
                "anew."
            ) from error
    else:
        yield None
        return
    with file:
        yield file
