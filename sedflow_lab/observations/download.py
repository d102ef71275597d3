"""Download a large file: streamed, resumed where it broke off, and put in place only when whole."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from ..errors import InputError, SedflowError

__all__ = ["cache_folder", "download"]

BLOCK = 1 << 18  # bytes
STALLS = 3  # tries in a row that bring nothing
WAIT = 1.0  # seconds before the next try, once nothing came; doubles


def cache_folder() -> Path:
    """Folder for downloads: ``$SEDFLOW_CACHE``, else the user's cache on this platform."""
    if folder := os.environ.get("SEDFLOW_CACHE"):
        return Path(folder).expanduser()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "sedflow_lab"


def download(
    url: str,
    path: str | Path,
    check: Callable[[Path], None] | None = None,
    progress: bool = True,
    timeout: float = 30.0,
) -> Path:
    """Download `url` to `path`.

    What has arrived is kept in ``<path>.part``. After a broken connection, in this call or an
    earlier one, only the rest is asked for (HTTP Range).

    Parameters
    ----------
    url : str
        An http or https address.
    path : str or Path
        Where the file goes; its folder is made if needed.
    check : callable, optional
        Called with the complete file before it is put in place; raises SedflowError if the
        content is wrong, and the file is then deleted.
    progress : bool
        Show a progress bar.
    timeout : float
        Seconds without a byte after which a connection counts as broken.

    Raises
    ------
    SedflowError
        If the server cannot be reached, refuses, or sends the wrong content.
    """
    if not url.startswith(("http://", "https://")):
        raise InputError(f"The address {url!r} is not a web address: give one with http or https.")
    path = Path(path).expanduser()
    part = path.with_name(path.name + ".part")
    path.parent.mkdir(parents=True, exist_ok=True)
    stalls = 0
    while stalls < STALLS:
        if stalls:
            time.sleep(WAIT * 2 ** (stalls - 1))
        before = _size(part)
        try:
            if _fetch(url, part, progress, timeout):
                break
            reason = "the connection broke off"
        except HTTPError as error:
            if error.code < 500:
                raise SedflowError(
                    f"The server answered {error.code} {error.reason} for {url}: check the "
                    "address, or give another one with url=."
                ) from error
            reason = f"the server answered {error.code} {error.reason}"
        except (URLError, HTTPException, OSError) as error:
            reason = str(getattr(error, "reason", error)) or type(error).__name__
        stalls = 0 if _size(part) > before else stalls + 1
    else:
        kept = f"{_size(part) / 1e6:.1f} MB are kept and the same call goes on from there"
        raise SedflowError(
            f"Cannot download {url} ({reason}): check the connection and try again "
            f"({kept if _size(part) else 'nothing has arrived so far'}), or fetch the file "
            f"another way and put it at {path}."
        )
    if check is not None:
        try:
            check(part)
        except SedflowError:
            part.unlink()  # resuming it could never help
            raise
    os.replace(part, path)
    return path


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _fetch(url: str, part: Path, progress: bool, timeout: float) -> bool:
    """Ask for what is missing of `part`; return whether it is then complete."""
    from tqdm.auto import tqdm

    start = _size(part)
    request = Request(url, headers={"Range": f"bytes={start}-"} if start else {})
    try:
        response = urlopen(request, timeout=timeout)
    except HTTPError as error:
        if error.code != 416:  # the range begins at or after the file's end
            raise
        if error.headers.get("Content-Range") == f"bytes */{start}":
            return True
        part.unlink()
        return False
    with response:
        ranged = response.headers.get("Content-Range", "")
        resumes = response.status == 206 and ranged.startswith(f"bytes {start}-")
        start = start if resumes else 0  # a server that knows no ranges sends all of it again
        length = response.headers.get("Content-Length")
        total = None if length is None else start + int(length)
        with (
            open(part, "ab" if resumes else "wb") as file,
            tqdm(
                desc=part.stem,
                initial=start,
                total=total,
                unit="B",
                unit_scale=True,
                disable=not progress,
            ) as bar,
        ):
            while block := response.read(BLOCK):
                file.write(block)
                bar.update(len(block))
    return total is None or _size(part) >= total
