"""What a command writes is none of what it reads, and no other command writes it meanwhile."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from .._files import expanded, locked
from ..errors import InputError

__all__ = ["claimed"]

_READ = (
    "catalog",
    "catalogue",
    "posterior",
    "ssp",
    "noise",
    "simulations",
    "lessons",
    "a",
    "b",
    "file",
    "source",
    "network",
)
_WRITTEN = ("out", "samples", "table", "work", "store")
_SHARED = ("backend",)  # several commands may keep chains in one file
_IN_WHOLE = "train"  # puts a folder in place of another


@contextmanager
def claimed(args: argparse.Namespace) -> Iterator[None]:
    """Hold the files and folders that a command writes, by the names of its arguments.

    Raises
    ------
    InputError
        If one of them is a file that the command reads, or writes under another option.
    WriteError
        If another process writes one of them.
    """
    read, written = _named(args, _READ), _named(args, (*_WRITTEN, *_SHARED))
    # What ships has a name, which is no path; simulations may be made first.
    read = [(name, path) for name, path in read if path.exists() or name == "simulations"]
    for k, (name, path) in enumerate(written):
        for other, given in (*read, *written[:k]):
            inside = _real(path) in _real(given).parents
            if _same(path, given) or (inside and args.command == _IN_WHOLE):
                raise InputError(
                    f"{path} is given for {name} and for {other}, and would be overwritten: "
                    f"give another {name}."
                )
    with ExitStack() as stack:
        for path in sorted({path for _, path in _named(args, _WRITTEN)}):
            stack.enter_context(locked(path))
        yield


def _named(args: argparse.Namespace, names: tuple[str, ...]) -> list[tuple[str, Path]]:
    """Arguments that are given and name a path, with the path."""
    given = [(name, getattr(args, name, None)) for name in names]
    return [(name, expanded(text)) for name, text in given if isinstance(text, str)]


def _same(a: Path, b: Path) -> bool:
    """Whether two paths lead to one place, by links and letters of either case, too."""
    try:
        return os.path.samefile(a, b)
    except OSError:  # one is not there
        return _real(a) == _real(b)


def _real(path: Path) -> Path:
    """Where links lead; one that leads to itself is its own end."""
    return Path(os.path.realpath(path))
