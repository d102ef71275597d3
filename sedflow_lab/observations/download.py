"""Download a large file: streamed, resumed where it broke off, and put in place only when whole."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from email.message import Message
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from .._files import cannot_write, expanded, locked, to_disk, write_text, writing
from ..errors import InputError, SedflowError

__all__ = ["cache_folder", "download", "is_address"]

BLOCK = 1 << 18  # bytes
STALLS = 3  # tries in a row that bring nothing
WAIT = 1.0  # seconds before the next try, once nothing came; doubles


def cache_folder() -> Path:
    """Folder for downloads: ``$SEDFLOW_CACHE``, else the user's cache on this platform."""
    if folder := os.environ.get("SEDFLOW_CACHE"):
        return expanded(folder)
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "sedflow_lab"


def is_address(url: str) -> bool:
    """Whether a file may be asked for there: what else there is in it has to be escaped with %."""
    try:
        parts = urlsplit(url)
        known = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets or a port that are none
        return False
    return known and url.isascii() and url.isprintable() and " " not in url


def download(
    url: str,
    path: str | Path,
    check: Callable[[Path], None] | None = None,
    progress: bool = True,
    timeout: float = 30.0,
    temporary: bool = False,
) -> Path:
    """Download `url` to `path`.

    What has arrived is kept in ``<path>.part``, and beside it in ``<path>.part.json`` of which
    file it is a part. After a broken connection, in this call or an earlier one, only the rest is
    asked for (HTTP Range), if the server still has the same file (If-Range).

    A connection counts as broken after `timeout` seconds without a byte. `check` is called with the
    complete file before it is put in place; if it raises SedflowError, the file is deleted. Where
    the path is `temporary`, and of the caller's choice as the address is of the user's, errors do
    not advise to go on from what is kept there, to put the file there, or to give ``url=``.

    Raises
    ------
    SedflowError
        If the server cannot be reached, refuses, or sends the wrong content.
    WriteError
        If the disk is full or may not be written, or another process downloads the same.
    """
    if not is_address(url):
        raise InputError(f"The address {url!r} is not a web address: give one with http or https.")
    path = expanded(path)
    target = Path(os.path.realpath(path))  # what a link leads to may be on a larger disk
    part = target.with_name(target.name + ".part")
    target.parent.mkdir(parents=True, exist_ok=True)
    with locked(path):
        _receive(url, path, part, progress, timeout, temporary)
        if check is not None:
            try:
                check(part)
            except SedflowError:
                _forget(part)  # resuming it could never help
                raise
        with writing(path):
            to_disk(part)
            os.replace(part, target)
        _forget(part)
    return path


def _receive(
    url: str, path: Path, part: Path, progress: bool, timeout: float, temporary: bool
) -> None:
    """Fetch what is missing of a part, until it is complete or nothing comes any more."""
    another = "" if temporary else ", or give another one with url="
    stalls = most = 0
    while stalls < STALLS:
        if stalls:
            time.sleep(WAIT * 2 ** (stalls - 1))
        try:
            if _fetch(url, part, progress, timeout, another):
                break
            reason = "the connection broke off"
        except HTTPError as error:
            if error.code < 500 and error.code not in (408, 429):
                raise SedflowError(
                    f"The server answered {error.code} {error.reason} for {url}: check the "
                    f"address{another}."
                ) from error
            reason = f"the server answered {error.code} {error.reason}"
        except (URLError, HTTPException, OSError) as error:
            if isinstance(error, OSError) and (full := cannot_write(error, part)):
                raise full from error
            reason = str(getattr(error, "reason", error)) or type(error).__name__
        stalls = 0 if _size(part) > most else stalls + 1
        most = max(most, _size(part))  # what has come once and came to nothing is no progress
    else:
        advice = "check the connection and try again"
        if not temporary:
            kept = f"{_size(part) / 1e6:.1f} MB are kept and the same call goes on from there"
            advice += f" ({kept if _size(part) else 'nothing has arrived so far'}), or fetch the "
            advice += f"file another way and put it at {path}"
        raise SedflowError(f"Cannot download {url} ({reason}): {advice}.")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _record(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _forget(part: Path) -> None:
    part.unlink(missing_ok=True)
    _record(part).unlink(missing_ok=True)


def _known(part: Path) -> dict[str, Any]:
    """Of which file this is a part; nothing if that was never written down."""
    try:
        known = json.loads(_record(part).read_text())
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) and part.exists() else {}


def _described(url: str, headers: Message, start: int) -> dict[str, Any]:
    """What a server says of its file: its length, and what changes when the file does."""
    total = headers.get("Content-Range", "").rpartition("/")[2]
    if not total.isdigit() and (length := headers.get("Content-Length", "")).isdigit():
        total = str(start + int(length))
    tag = headers.get("ETag", "")
    # If-Range takes no weak tags: they may stay the same while bytes change.
    version = tag if tag and not tag.startswith("W/") else headers.get("Last-Modified")
    return {"url": url, "version": version, "total": int(total) if total.isdigit() else None}


def _fetch(url: str, part: Path, progress: bool, timeout: float, another: str) -> bool:
    """Ask for what is missing of `part`; return whether it is then complete.

    What is no such file is told with the advice of `another` address.
    """
    from tqdm.auto import tqdm

    known = _known(part)
    if not known or known.get("url") != url:
        _forget(part)  # nobody knows what it is a part of
    start = _size(part)
    request = Request(url, headers={"Accept-Encoding": "identity"})
    if start:
        request.add_header("Range", f"bytes={start}-")
        if known.get("version"):
            request.add_header("If-Range", known["version"])
    try:
        response = urlopen(request, timeout=timeout)
    except HTTPError as error:
        if error.code != 416:  # the range begins at or after the file's end
            raise
        if error.headers.get("Content-Range") == f"bytes */{start}" and known["total"] == start:
            return True
        _forget(part)
        return False
    with response:
        kind = response.headers.get("Content-Type", "")
        if kind.startswith("text/html"):
            raise SedflowError(
                f"What {url} sent is a web page and not the file: open the address in a browser "
                f"to see what it says{another}."
            )
        resumes = response.status == 206
        said = _described(url, response.headers, start if resumes else 0)
        asked = f"bytes {start}-"
        if resumes and not (
            said == known and response.headers.get("Content-Range", "").startswith(asked)
        ):
            _forget(part)
            raise OSError("the server's file has changed, or it sent another part of it")
        start = start if resumes else 0  # all of it comes again, perhaps of a newer file
        if not resumes:
            part.unlink(missing_ok=True)
            write_text(_record(part), json.dumps(said))
        with (
            open(part, "ab") as file,
            tqdm(
                desc=part.stem,
                initial=start,
                total=said["total"],
                unit="B",
                unit_scale=True,
                disable=not progress,
            ) as bar,
        ):
            while block := response.read(BLOCK):
                file.write(block)
                bar.update(len(block))
    if said["total"] is not None and _size(part) > said["total"]:
        _forget(part)
        raise OSError("the server sent more than it said")
    return said["total"] is None or _size(part) == said["total"]
