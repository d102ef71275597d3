"""The shelf of networks: those that ship, those that were fetched, and how to fetch another.

A network is the folder that `Bundle.save` writes. It travels as that folder or as a ZIP archive of
its files, and is known by one SHA-256, of the files' names and contents, however it travelled.
"""

from __future__ import annotations

import hashlib
import shutil
import zipfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from .._files import expanded, locked, reading, replacing, write_bytes
from ..errors import InputError
from ..observations.download import download, is_address
from ..sps import SSPGrid
from .bundle import FILES, fetched_bundles, load_bundle, open_bundle, shelf, shipped_bundles

if TYPE_CHECKING:
    from astropy.table import Table

__all__ = ["digest_of", "fetch_network", "networks", "pack_network"]

_LARGEST = 200_000_000  # bytes of a file in an archive
_LONGEST_NAME = 100  # bytes; a name that is written for a time is longer, and 255 are the end
_PATIENCE = 60.0  # seconds to wait for another process that fetches the same


def networks() -> Table:
    """What networks there are, one row each; any of them is loaded by its name.

    Returns
    -------
    astropy.table.Table
        ``name``; ``bands``; ``redshift_max``; ``prior``; ``size`` [MB]; from the calibration card
        the median sampling efficiency of simulations ``efficiency``, the share of these whose
        badge is "ok" ``ok``, and how many of its ``goals`` are reached, of how many; ``origin``,
        "ships" or "fetched"; ``sha256`` of its files; and the ``problem`` of one that cannot be
        loaded.
    """
    from astropy.table import Table

    with ExitStack() as stack:
        rows = [
            _row(name, "ships", stack.enter_context(open_bundle(name)))
            for name in shipped_bundles()
        ]
    for name in fetched_bundles():  # where they are: a folder here may be called the same
        rows.append(_row(name, "fetched", shelf() / name))
        if name in shipped_bundles():
            rows[-1]["problem"] = (
                f"Another network called {name} ships: give this one's folder, {shelf() / name}, "
                "or another name."
            )
    table = Table(rows=rows)
    table["size"].unit = "MB"
    for name in ("efficiency", "ok"):
        table[name].info.format = ".2f"
    table["size"].info.format = ".1f"
    return table


def _row(name: str, origin: str, folder: Path) -> dict[str, Any]:
    row: dict[str, Any] = {"name": name, "bands": "", "redshift_max": float("nan"), "prior": ""}
    row |= {"size": float("nan"), "efficiency": float("nan"), "ok": float("nan"), "goals": ""}
    row |= {"origin": origin, "sha256": "", "problem": ""}
    try:
        with reading(folder, "the network", "fetch it again"):
            row["sha256"] = digest_of(folder)
            bundle = load_bundle(folder, any_grid=True)[0]
            row |= {"bands": bundle.bands.name, "redshift_max": bundle.redshift_max}
            row |= {"prior": bundle.prior, "size": bundle.size / 1e6}
            return row | _figures(bundle.card, folder / FILES[-1])
    except InputError as error:
        return row | {"problem": str(error)}


def _figures(card: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """The figures of a card, where there is one; InputError where it is none of ours."""
    if not card:
        return {}
    with reading(path, "the calibration card", "make it anew with sedflow-lab card"):
        found = card["galaxies"]["simulations"]
        middle = found["quantile_levels"].index(0.5)
        reached = [bool(g["reached"]) for g in card["goals"] if g["reached"] is not None]
        return {
            "efficiency": float(found["efficiency"][middle]),
            "ok": found["badges"].get("ok", 0) / found["galaxies"],
            "goals": f"{sum(reached)} of {len(reached)}",
        }


def fetch_network(
    source: str | Path,
    sha256: str | None = None,
    name: str | None = None,
    ssp: SSPGrid | None = None,
    progress: bool = True,
) -> Path:
    """Put a network on the shelf, from where its name loads it.

    Parameters
    ----------
    source : str or path
        Address of a ZIP archive (http or https), such an archive, or a folder.
    sha256 : str, optional
        What `digest_of` gives for it, or the SHA-256 of the archive. One from an address needs it:
        ask whoever offers it.
    name : str, optional
        Under which it is to be known; default, that of the folder or archive.
    ssp : SSPGrid, optional
        The grid that it was trained with; default, the shipped one.
    progress : bool
        Show a progress bar of the download.

    Returns
    -------
    Path
        Its folder.

    Raises
    ------
    InputError
        If it is not the network of that SHA-256, or none at all, or the name is taken.
    SedflowError
        If it cannot be downloaded.
    """
    remote = "://" in str(source)
    if remote and sha256 is None:
        raise InputError(
            f"{source} is an address: give the sha256 of the network as well, as whoever offers it "
            "says."
        )
    known = _checked_name(name or _name_in(str(source), remote))
    with ExitStack() as stack:
        work = Path(stack.enter_context(TemporaryDirectory()))
        path = expanded(source) if not remote else work / "network.zip"
        if remote:
            download(str(source), path, progress=progress, temporary=True)
        folder, digests = path, set[str]()
        if not path.is_dir():
            folder = work / known
            digests.add(_unpack(path, folder, str(source)))
        digests.add(found := digest_of(folder))
        if sha256 is not None and sha256.strip().lower() not in digests:
            raise InputError(
                f"{source} is not the network that was asked for: its SHA-256 is {found}, not "
                f"{sha256}. Do not use it; ask whoever offers it."
            )
        try:
            load_bundle(folder, ssp, any_grid=ssp is None)
        except InputError as error:
            raise InputError(str(error).replace(str(folder), str(source))) from None
        return _put(folder, shelf() / known, found)


def _name_in(source: str, remote: bool) -> str:
    """Name of the archive or folder; what follows a path in an address is no part of it."""
    path = urlsplit(source).path if remote and is_address(source) else source
    return Path(path.rstrip("/").rpartition("/")[2]).name.removesuffix(".zip")


def _checked_name(name: str) -> str:
    """A name that a folder can have, people can type, and none that ships has."""
    plain = name == Path(name).name == name.strip() and name.isprintable()
    if not name or not plain or name.startswith((".", "-")) or len(name.encode()) > _LONGEST_NAME:
        raise InputError(f"A network cannot be called {name!r}: give another name (--name).")
    if name in shipped_bundles():
        raise InputError(f"A network called {name} ships: give another name (--name).")
    return name


def _put(folder: Path, target: Path, digest: str) -> Path:
    """Copy a network onto the shelf; InputError if another is there."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise InputError(
            f"There is a file in the way of the folder {target.parent}: remove it, or set "
            "SEDFLOW_CACHE to another folder."
        ) from None
    with locked(target, patience=_PATIENCE):
        if not target.exists():
            with replacing(target) as partial:
                partial.mkdir()
                for file in _files_of(folder):
                    shutil.copyfile(file, partial / file.name)
        elif digest_of(target) != digest:
            raise InputError(
                f"Another network called {target.name} is there, or this one damaged: give a name "
                f"(--name), or remove {target}."
            )
    return target


def pack_network(name: str | Path, out: str | Path) -> str:
    """Write a network as a ZIP archive to be offered to others; return its SHA-256.

    Raises
    ------
    InputError
        If there is no such network, or the name of the archive does not end in .zip.
    """
    out = expanded(out)
    if out.suffix != ".zip":
        raise InputError(f"{out} is no name of an archive: give one that ends in .zip.")
    if not out.absolute().parent.is_dir():
        raise InputError(f"The folder {out.parent} does not exist: make it first.")
    load_bundle(name, any_grid=True)
    with open_bundle(name) as folder, replacing(out) as partial:
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in _files_of(folder):
                archive.write(file, file.name)
        return digest_of(folder)


def digest_of(folder: Path) -> str:
    """SHA-256 of a network: of the names, sizes and contents of its files, in order."""
    digest = hashlib.sha256()
    for file in _files_of(folder):
        content = file.read_bytes()
        digest.update(f"{file.name} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def _files_of(folder: Path) -> list[Path]:
    return [folder / name for name in FILES if (folder / name).is_file()]


def _unpack(path: Path, folder: Path, source: str) -> str:
    """Take the files of a network out of an archive, and nothing else; its SHA-256."""
    remedy = "give an archive that networks pack wrote, or fetch it again"
    with reading(source, "the archive of a network", remedy):
        with zipfile.ZipFile(path) as archive:
            inside = {_base(info.filename): info for info in archive.infolist()}
            folder.mkdir()
            for name in FILES:
                if (info := inside.get(name)) is None:
                    continue
                if info.file_size > _LARGEST:
                    raise ValueError(f"{name} would have {info.file_size:,} bytes")
                write_bytes(folder / name, archive.read(info))
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


def _base(name: str) -> str:
    """Name of a file in an archive without its folders, which some write as Windows does."""
    return name.replace("\\", "/").rpartition("/")[2]
