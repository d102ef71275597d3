"""Files and folders that appear complete or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["replacing", "write_text"]


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Give a path to write to, which replaces another in one step once all has been written.

    What is written is on the disk before it takes the name; after an error nothing is left of
    it, and what stood there before stays. Two processes do not get in each other's way.

    Parameters
    ----------
    path : path
        The file or folder to be. Its folder must exist.

    Yields
    ------
    Path
        Where to write it: in the same folder, with the same ending. Make either a file or a
        folder of it.
    """
    path = Path(path)
    partial = path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
    try:
        yield partial
        if partial.is_dir():
            for inner in partial.rglob("*"):
                if inner.is_file():
                    _to_disk(inner)
            shutil.rmtree(path, ignore_errors=True)
        else:
            _to_disk(partial)
        os.replace(partial, path)
    finally:
        if partial.is_dir():
            shutil.rmtree(partial, ignore_errors=True)
        else:
            partial.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write a text file in one step (see `replacing`)."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")


def _to_disk(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())
