"""Files and folders that appear complete or not at all, and that are known when they are read."""

from __future__ import annotations

import errno
import glob
import hashlib
import json
import os
import platform
import re
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from .errors import InputError, WriteError

__all__ = [
    "cannot_write",
    "difference",
    "expanded",
    "fingerprint",
    "locked",
    "read_json",
    "reading",
    "replacing",
    "to_disk",
    "write_bytes",
    "write_json",
    "write_text",
    "writing",
]

_REMEDIES = {
    errno.ENOSPC: "make room on the disk, or write to another",
    errno.EDQUOT: "your quota is used up: make room, or write to another disk",
    errno.EFBIG: "files may not be that large here: raise the limit (ulimit -f), or write less",
    errno.EROFS: "write to another folder",
    errno.EACCES: "write to a folder of yours, or ask for permission",
    errno.EPERM: "write to a folder of yours, or ask for permission",
}
"""What to do about errors that are the machine's and not of what was asked for."""

_LOOK_AGAIN = 0.1  # seconds between looks at a lock

_SEAL = "sha256"
_LONGEST_JSON = 2**28  # bytes; ours have a thousandth of it


def expanded(path: str | Path) -> Path:
    """A path whose ~ is a user's home; as it is where no user is called so."""
    return Path(os.path.expanduser(path))


def cannot_write(error: OSError, path: str | Path | None = None) -> WriteError | None:
    """The sentence on a disk that is full or may not be written; None for other errors."""
    remedy = _REMEDIES.get(error.errno or 0)
    if remedy is None:
        return None
    where = path or error.filename
    what = "write" if where is None else f"write {where}"
    return WriteError(f"Cannot {what} ({os.strerror(error.errno or 0)}): {remedy}.")


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Give a path to write to, which replaces another in one step once all has been written.

    What is written is on the disk before it takes the name; after an error nothing is left of
    it, and what stood there before stays. Two processes do not get in each other's way, and what
    one that was killed has left is removed by the next that writes the same.

    The path to write to is in the same folder, which must exist, with the same ending. Make either
    a file or a folder of it. Let Python write it, not a library of its own: some end the process,
    or say something else, where the disk is full. A link stays, and what it leads to is replaced.

    Raises
    ------
    InputError
        If the path has no name, or an impossible one, or is that of a device or a pipe.
    WriteError
        If the disk is full or may not be written.
    """
    asked, path = path, _target(path)
    mine = f".{path.stem}.{_host()}-"
    partial, before = (
        path.with_name(f"{mine}{os.getpid()}{word}.partial{path.suffix}") for word in ("", ".old")
    )
    _remove_orphans(path.parent, mine, f".partial{path.suffix}")
    try:
        with writing(asked):
            yield partial
            if partial.is_dir():
                for inner in partial.rglob("*"):
                    if inner.is_file():
                        to_disk(inner)
                if path.is_dir():  # away at once, and not file by file
                    os.replace(path, before)
            else:
                to_disk(partial)
            os.replace(partial, path)
    except OSError as error:
        if error.filename is None or Path(error.filename) != partial:
            raise
        raise OSError(error.errno, error.strerror, str(asked)) from error
    finally:
        _remove(partial)
        if os.path.exists(before) and not path.exists():  # an error came between the two steps
            os.replace(before, path)
        _remove(before)


def _target(path: str | Path) -> Path:
    """Where a path to write to leads; InputError where no file or folder can be."""
    if not (path := Path(path)).name or "\0" in str(path):
        raise InputError(f"Nothing can be written to {str(path)!r}: give a name.")
    if _is_device(path):
        # Who may write everywhere would put a file in its place, /dev/null for the whole machine.
        raise InputError(f"{path} is a device or a pipe: give the name of a file or a folder.")
    return Path(os.path.realpath(path))


def _is_device(path: str | Path) -> bool:
    """Whether there is something that is no file and no folder: a device, a pipe or a socket."""
    return os.path.exists(path) and not (os.path.isfile(path) or os.path.isdir(path))


@contextmanager
def writing(path: str | Path) -> Iterator[None]:
    """Turn the errors of a disk that is full or may not be written into a `WriteError`."""
    try:
        yield
    except OSError as error:
        if (sentence := cannot_write(error, path)) is not None:
            raise sentence from error
        raise


def write_bytes(path: str | Path, data: bytes | memoryview) -> None:
    """Write a file in one step (see `replacing`)."""
    with replacing(path) as partial:
        partial.write_bytes(data)


def write_text(path: str | Path, text: str) -> None:
    """Write a text file in one step (see `replacing`)."""
    write_bytes(path, text.encode())


@contextmanager
def locked(path: str | Path, patience: float = 0.0) -> Iterator[None]:
    """Keep other processes from writing the same file or folder meanwhile.

    The lock is one of the operating system, on a file beside it: it ends with the process,
    however that ends. Where there can be none, as on some network disks, there is none. The file or
    folder need not exist; `patience` is how long to wait for another process [s].

    Raises
    ------
    InputError
        If the path has no name, or an impossible one, or is that of a device or a pipe.
    WriteError
        If another process has it.
    """
    target = _target(path)
    beside = target.with_name(f".{target.name}.lock")
    until = time.monotonic() + patience
    while (lock := _lock(beside)) is _BUSY:
        if time.monotonic() >= until:
            raise WriteError(
                f"Another process{_owner(beside)} is writing {path}: wait until it has ended, or "
                "write to another place."
            )
        time.sleep(_LOOK_AGAIN)
    try:
        yield
    finally:
        if lock is not None:
            with suppress(OSError):
                beside.unlink()
            os.close(lock)


_BUSY = -1


def _lock(beside: Path) -> int | None:
    """Descriptor of the file of a lock that is now ours, `_BUSY`, or None if it cannot be had."""
    try:
        descriptor = os.open(beside, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError:
        return None
    try:
        _lock_descriptor(descriptor)
        # Who had it before may have removed the file between our opening and locking it.
        if not beside.exists() or not os.path.samestat(os.fstat(descriptor), beside.stat()):
            os.close(descriptor)
            return _lock(beside)
        os.truncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()} on {platform.node()}".encode())
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK):
            os.close(descriptor)
            return _BUSY
    return descriptor


if sys.platform == "win32":
    import msvcrt

    def _lock_descriptor(descriptor: int) -> None:
        os.lseek(descriptor, 1 << 20, os.SEEK_SET)  # away from what others read
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        os.lseek(descriptor, 0, os.SEEK_SET)

else:
    import fcntl

    def _lock_descriptor(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _owner(beside: Path) -> str:
    """Who has a lock, in brackets, where it can be told."""
    with suppress(OSError):
        if owner := beside.read_text(errors="replace").strip():
            return f" ({owner})"
    return ""


def _host() -> str:
    return re.sub(r"\W", "", platform.node()) or "here"


def _remove_orphans(folder: Path, start: str, end: str) -> None:
    """Remove what processes of this machine began to write that are no more."""
    if os.name != "posix":  # where a process cannot be asked whether it lives
        return
    for partial in folder.glob(f"{glob.escape(start)}*{glob.escape(end)}"):
        process = partial.name[len(start) : -len(end)].removesuffix(".old")
        if process.isdecimal() and not _lives(int(process)):
            _remove(partial)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True


def _remove(partial: Path) -> None:
    if os.path.isdir(partial):  # not so either where the name is too long
        shutil.rmtree(partial, ignore_errors=True)
    else:
        with suppress(OSError):
            partial.unlink()


def write_json(path: str | Path, values: Mapping[str, Any], indent: int | None = 2) -> None:
    """Write a JSON file in one step, sealed with a checksum of its values (see `read_json`)."""
    write_text(path, json.dumps({**values, _SEAL: fingerprint(values)}, indent=indent) + "\n")


def read_json(path: str | Path, what: str, remedy: str, *, sealed: bool = False) -> dict[str, Any]:
    """Read the values of a JSON file that holds an object; without its seal, if it has one.

    Parameters
    ----------
    path : path
    what : str
        What the file is, as in "the noise model".
    remedy : str
        What to do if it cannot be read, as in "fit it again".
    sealed : bool
        Whether it must have a seal: a hand, or a version from before there were seals, gives none.

    Raises
    ------
    InputError
        If it is missing, damaged, something else, or was changed after it was sealed.
    """
    path = Path(path)
    with reading(path, what, remedy):
        if path.exists() and not path.is_file():
            raise ValueError("it is not a file")
        if path.stat().st_size > _LONGEST_JSON:
            raise ValueError("it is far too large")
        values = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(values, dict):
            raise ValueError("it holds no names and values")
        seal = values.pop(_SEAL, None)
        if seal is None and (sealed or _is_seal_misnamed(values)):
            raise ValueError("it has lost its checksum")
        if seal is not None and seal != fingerprint(values):
            raise ValueError("it was changed after it was written")
        return values


def _is_seal_misnamed(values: dict[str, Any]) -> bool:
    """Whether the last value, where seals are written, is that of the others."""
    *others, last = values.items() or [("", None)]
    return last[1] == fingerprint(dict(others))


@contextmanager
def reading(path: str | Path, what: str, remedy: str) -> Iterator[None]:
    """Turn whatever goes wrong while a file is read and understood into one sentence.

    A damaged file can fail in any layer, from zlib to the constructor of what it describes, so
    every exception counts, but not a disk that is full. An `InputError` that names the file stays
    as it is. What the file is, and the remedy, are worded as for `read_json`.
    """
    try:
        if _is_device(path):
            raise ValueError("it is not a file")  # a device may have no end, a pipe no beginning
        yield
    except WriteError:
        raise
    except Exception as error:
        if isinstance(error, InputError) and str(path) in str(error):
            raise
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        if isinstance(error, OSError):
            reason = error.strerror or reason
        elif isinstance(error, KeyError):
            reason = f"it lacks {reason}"
        raise InputError(f"Cannot read {what} {path} ({reason}): {remedy}.") from error


def fingerprint(values: Mapping[str, Any]) -> str:
    """SHA-256 of JSON-able values, whatever the order of their names."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def difference(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """In what the settings of a store differ from those wanted, in words; empty if in nothing.

    A store that does not tell the version of a recipe is of the first.
    """
    words = []
    for name in sorted({*found, *wanted}):
        least = 1 if name.endswith("recipe") else None
        there, here = found.get(name, least), wanted.get(name, least)
        if isinstance(there, Mapping) and isinstance(here, Mapping):
            words += [f"{inner} of {name}"] if (inner := difference(there, here)) else []
        elif there != here:
            plain = all(x is None or isinstance(x, str | int | float) for x in (there, here))
            words.append(f"{name} ({there} there, {here} here)" if plain else name)
    return ", ".join(words)


def to_disk(path: Path) -> None:
    """Have a file written to the disk itself, before hours of work are called kept."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())
