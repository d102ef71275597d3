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

from .._files import reading, replacing, write_bytes
from ..errors import InputError
from ..observations.download import download
from ..sps import SSPGrid
from .bundle import FILES, fetched_bundles, load_bundle, open_bundle, shelf, shipped_bundles

if TYPE_CHECKING:
    from astropy.table import Table

__all__ = ["digest_of", "fetch_network", "networks", "pack_network"]

_LARGEST = 200_000_000  # bytes of a file in an archive


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

    rows = [_row(name, "ships") for name in shipped_bundles()]
    rows += [_row(name, "fetched") for name in fetched_bundles()]
    table = Table(rows=rows)
    table["size"].unit = "MB"
    for name in ("efficiency", "ok"):
        table[name].info.format = ".2f"
    table["size"].info.format = ".1f"
    return table


def _row(name: str, origin: str) -> dict[str, Any]:
    row: dict[str, Any] = {"name": name, "bands": "", "redshift_max": float("nan"), "prior": ""}
    row |= {"size": float("nan"), "efficiency": float("nan"), "ok": float("nan"), "goals": ""}
    row |= {"origin": origin, "sha256": "", "problem": ""}
    try:
        with open_bundle(name) as folder:
            row["sha256"] = digest_of(folder)
        bundle = load_bundle(name, any_grid=True)[0]
    except InputError as error:
        return row | {"problem": str(error)}
    row |= {"bands": bundle.bands.name, "redshift_max": bundle.redshift_max, "prior": bundle.prior}
    return row | {"size": bundle.size / 1e6} | _figures(bundle.card)


def _figures(card: Mapping[str, Any]) -> dict[str, Any]:
    """The figures of a card, where there is one."""
    if not card:
        return {}
    found = card["galaxies"]["simulations"]
    middle = found["quantile_levels"].index(0.5)
    reached = [goal["reached"] for goal in card["goals"]]
    return {
        "efficiency": found["efficiency"][middle],
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
    known = name or Path(str(source).rstrip("/").rpartition("/")[2]).name.removesuffix(".zip")
    if not known or known != Path(known).name or known.startswith("."):
        raise InputError(f"A network cannot be called {known!r}: give another name (--name).")
    if known in shipped_bundles():
        raise InputError(f"A network called {known} ships: give another name (--name).")
    with ExitStack() as stack:
        work = Path(stack.enter_context(TemporaryDirectory()))
        path = Path(source).expanduser() if not remote else work / "network.zip"
        if remote:
            download(str(source), path, progress=progress, temporary=True)
        folder, digests = path, set[str]()
        if not path.is_dir():
            folder = work / known
            _unpack(path, folder, str(source))
            digests.add(hashlib.sha256(path.read_bytes()).hexdigest())
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
        target = shelf() / known
        if target.exists() and digest_of(target) != found:
            raise InputError(f"Another network called {known} is there: give a name (--name).")
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            with replacing(target) as partial:
                partial.mkdir()
                for file in _files_of(folder):
                    shutil.copyfile(file, partial / file.name)
    return target


def pack_network(name: str | Path, out: str | Path) -> str:
    """Write a network as a ZIP archive to be offered to others; return its SHA-256.

    Raises
    ------
    InputError
        If there is no such network, or the name of the archive does not end in .zip.
    """
    out = Path(out).expanduser()
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
    return [folder / name for name in FILES if (folder / name).exists()]


def _unpack(path: Path, folder: Path, source: str) -> None:
    """Take the files of a network out of an archive, and nothing else."""
    with (
        reading(source, "the archive of a network", "fetch it again or take another copy"),
        zipfile.ZipFile(path) as archive,
    ):
        inside = {Path(info.filename).name: info for info in archive.infolist()}
        folder.mkdir()
        for name in FILES:
            if (info := inside.get(name)) is None:
                continue
            if info.file_size > _LARGEST:
                raise ValueError(f"{name} would have {info.file_size:,} bytes")
            write_bytes(folder / name, archive.read(info))
