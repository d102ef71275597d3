"""SDSS photo flags of the Atlas's galaxies: asked of the SDSS by position, or from a file."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .._files import expanded, locked, read_json, write_json
from ..errors import InputError, SedflowError
from .files import read_table
from .sdss import match_positions
from .write import read_sealed, write_sealed, write_table

if TYPE_CHECKING:
    from astropy.table import Table

__all__ = ["ask_sdss", "fetch_flags", "read_flags"]

BATCH = 500  # positions a question
PAUSE = 1.0  # seconds between questions, so that others get answers too
TRIES = 3  # of a question
WAIT = 5.0  # seconds before a question is put again; doubles
RADIUS = 2.0  # arcsec
RELEASE = 17  # of the SDSS

_BITS = 2**64 - 1
_FLAGS = ("flags_r", "flags")


def ask_sdss(ra: np.ndarray, dec: np.ndarray) -> Table | None:
    """Ask the SDSS for the primary objects nearest to positions (N,) [deg]; None if there are none.

    The table has ``ra``, ``dec``, ``objID`` and ``flags_r``; its rows are in any order.
    """
    import astropy.units as u
    from astropy.coordinates import SkyCoord

    try:
        from astroquery.sdss import SDSS
    except ImportError as error:
        raise InputError(
            "Asking the SDSS needs astroquery: install it with pip install 'sedflow-lab[flags]', "
            "or give a file of flags."
        ) from error
    return SDSS.query_crossid(
        SkyCoord(ra, dec, unit="deg"),
        radius=RADIUS * u.arcsec,
        photoobj_fields=["ra", "dec", "objID", "flags_r"],
        data_release=RELEASE,
        cache=False,  # what has been answered is kept here
    )


def fetch_flags(
    ids: Any,
    ra: Any,
    dec: Any,
    path: str | Path,
    *,
    ask: Callable[[np.ndarray, np.ndarray], Table | None] = ask_sdss,
    progress: bool = True,
) -> Table:
    """Photo flags in band r of N galaxies from the SDSS, or from the file where they are kept.

    Answers are kept in ``<path>.partial`` as they come, and the same call goes on from there.

    Parameters
    ----------
    ids : array_like, shape (N,)
        NSAIDs.
    ra, dec : array_like, shape (N,)
        Positions [deg].
    path : path
        The file, which ends in .fits, .ecsv or .csv.
    ask : callable
        Answers a question, as `ask_sdss` does.
    progress : bool
        Show a progress bar.

    Returns
    -------
    astropy.table.Table
        ``nsaid``, ``ra``, ``dec``, ``objid`` and ``flags_r`` (int64, 0 without a match within
        2 arcsec), in the order of the galaxies.

    Raises
    ------
    SedflowError
        If the SDSS cannot be reached, or knows none of the galaxies.
    """
    from astropy.table import vstack
    from tqdm.auto import tqdm

    path = expanded(path)
    ids, ra, dec = np.asarray(ids).astype(str), np.asarray(ra, float), np.asarray(dec, float)
    if path.exists():
        return _checked(read_table(path), ids, path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path):
        folder = path.with_name(f"{path.name}.partial")
        folder.mkdir(exist_ok=True)
        _claim(folder, ids, ra, dec)
        parts, n = list[Any](), len(ids)
        with tqdm(total=n, unit=" galaxies", desc="photo flags", disable=not progress) as bar:
            for first in range(0, n, BATCH):
                rows = slice(first, first + BATCH)
                part = folder / f"galaxies-{first:09d}.ecsv"
                if (answer := _kept(part)) is None:
                    answer = _answer(ids[rows], ra[rows], dec[rows], ask, (first, n))
                    write_sealed(answer, part)
                    time.sleep(PAUSE)
                parts.append(answer)
                bar.update(len(answer))
        table = vstack(parts) if parts else _answer(ids, ra, dec, lambda *_: None, (0, 0))
        if n and not (table["flags_r"] != 0).any():
            _remove(folder)
            raise SedflowError(
                f"The SDSS has no object at any of the {n:,} positions: see whether they are in "
                "degrees, or give a file of flags."
            )
        write_table(table, path)
        _remove(folder)
    return table


def read_flags(path: str | Path, ids: Any, ra: Any, dec: Any) -> Table:
    """Photo flags of N galaxies from a file of one's own; the table is that of `fetch_flags`.

    Parameters
    ----------
    path : path
        A table with ``flags_r`` (or ``flags``), and with ``nsaid``, or else ``ra`` and ``dec``
        [deg]; names may be in any case. Those with ``nsaid`` are matched by it, the others by
        position, within 2 arcsec.
    ids, ra, dec : array_like, shape (N,)
        NSAIDs, as text, and positions [deg].

    Raises
    ------
    InputError
        If a column is missing, flags have lost bits, or no galaxy of the file is among these.
    """
    table = read_table(path)
    names = {name.lower(): name for name in reversed(table.colnames)}
    flags = next((names[name] for name in _FLAGS if name in names), None)
    if flags is None:
        raise InputError(
            f"The file {path} has no column flags_r: it is the 64-bit flags of band r."
        )
    values = _integers(table[flags], flags, path)
    ids, ra, dec = np.asarray(ids).astype(str), np.asarray(ra, float), np.asarray(dec, float)
    if "nsaid" in names:
        row_of = {_text(name): row for row, name in enumerate(table[names["nsaid"]])}
        index = np.array([row_of.get(name, -1) for name in ids], dtype=int)
    elif {"ra", "dec"} <= set(names):
        theirs = [
            np.ma.filled(np.ma.asarray(table[names[k]]).astype(float), np.nan)
            for k in ("ra", "dec")
        ]
        index = _match(ra, dec, *theirs)
    else:
        raise InputError(f"The file {path} has neither nsaid nor ra and dec: add one of them.")
    if len(ids) and (index < 0).all():
        raise InputError(f"No galaxy of the Atlas is in {path}: see its nsaid, or its ra and dec.")
    return _table(ids, ra, dec, index, values, np.zeros(len(values), np.int64))


def _match(ra: np.ndarray, dec: np.ndarray, other_ra: Any, other_dec: Any) -> np.ndarray:
    """Rows as of `match_positions`; -1 too where a position is missing."""
    here, there = (
        np.flatnonzero(np.isfinite(a) & np.isfinite(d) & (np.abs(d) <= 90))
        for a, d in ((ra, dec), (other_ra, other_dec))
    )
    index = np.full(len(ra), -1)
    if len(here) and len(there):
        found = match_positions(
            ra[here], dec[here], np.asarray(other_ra)[there], np.asarray(other_dec)[there], RADIUS
        )
        index[here] = np.where(found < 0, -1, there[found])
    return index


def _answer(
    ids: np.ndarray,
    ra: np.ndarray,
    dec: np.ndarray,
    ask: Callable[[np.ndarray, np.ndarray], Table | None],
    progress: tuple[int, int],
) -> Table:
    """Ask, again if need be, and match what comes to the galaxies."""
    known = np.isfinite(ra) & np.isfinite(dec) & (np.abs(dec) <= 90)
    for k in range(TRIES):
        if k:
            time.sleep(WAIT * 2 ** (k - 1))
        try:
            found = ask(ra[known], dec[known]) if known.any() else None
            if found is None:
                return _table(ids, ra, dec, np.full(len(ids), -1), *np.zeros((2, 0), np.int64))
            their_ra, their_dec, *numbers = _objects(found)
            return _table(ids, ra, dec, _match(ra, dec, their_ra, their_dec), *numbers)
        except InputError:
            raise
        except Exception as error:  # astroquery, and what it stands on, raise whatever they like
            reason = re.split(r"\.\s|\n", str(error).strip())[0][:120] or type(error).__name__
    first, n = progress
    raise SedflowError(
        f"The SDSS does not answer ({reason.rstrip('.')}): try again later, for the flags of "
        f"{first:,} of {n:,} galaxies are kept and the same call goes on from there, or give a "
        "file of flags."
    )


def _objects(found: Table) -> tuple[np.ndarray, ...]:
    """Right ascensions, declinations, flags and ids of the objects of an answer."""
    names = {name.lower(): name for name in found.colnames}
    if not {"ra", "dec", "flags_r", "objid"} <= set(names):
        raise ValueError("what it sends is no table of objects")
    positions = (np.asarray(found[names[name]], dtype=float) for name in ("ra", "dec"))
    numbers = (_integers(found[names[k]], k, "the answer") for k in ("flags_r", "objid"))
    return (*positions, *numbers)


def _table(
    ids: np.ndarray,
    ra: np.ndarray,
    dec: np.ndarray,
    index: np.ndarray,
    flags: np.ndarray,
    objids: np.ndarray,
) -> Table:
    """Table of galaxies, with the flags of the row that each is matched to."""
    import astropy.units as u
    from astropy.table import Table

    # Bit 63 is no flag; FITS has signed numbers of 64 bits, as the SDSS has.
    columns = [
        np.where(index >= 0, np.append(values, 0)[index], 0).astype(np.int64)
        for values in (flags, objids)
    ]
    table = Table([ids, ra, dec, *columns[::-1]], names=["nsaid", "ra", "dec", "objid", "flags_r"])
    table["ra"].unit = table["dec"].unit = u.deg
    return table


def _integers(column: Any, name: str, where: str | Path) -> np.ndarray:
    """Whole numbers of 64 bits, of numbers or of text; 0 where there is none."""
    values = np.ma.asarray(column)
    if values.dtype.kind in "US":
        try:
            whole = [int(_text(value) or 0) & _BITS for value in values.filled("")]
            return np.array(whole, dtype=np.uint64).view(np.int64)
        except ValueError:
            pass
    elif values.dtype.kind in "iu" or not values.size:
        return values.filled(0).astype(np.uint64).view(np.int64)
    raise InputError(
        f"The column {name} of {where} does not hold whole numbers: give the 64-bit flags as the "
        "SDSS has them, for anything else has lost bits."
    )


def _text(value: Any) -> str:
    if value is np.ma.masked:
        return ""
    return (value.decode() if isinstance(value, bytes) else str(value)).strip()


def _checked(table: Table, ids: np.ndarray, path: Path) -> Table:
    """Make sure that a file is of these galaxies."""
    wrong = (
        f"The file {path} does not hold the flags of these galaxies: delete it, or name another."
    )
    if not {"nsaid", "flags_r"} <= set(table.colnames) or len(table) != len(ids):
        raise InputError(wrong)
    if [_text(name) for name in table["nsaid"]] != ids.tolist():
        raise InputError(wrong)
    table["flags_r"] = _integers(table["flags_r"], "flags_r", path)
    return table


def _claim(folder: Path, *columns: np.ndarray) -> None:
    """Let a folder keep answers about these galaxies, unless it keeps others."""
    text = "\n".join(" ".join(map(repr, column.tolist())) for column in columns)
    questions = {
        "galaxies": hashlib.sha256(text.encode()).hexdigest()[:16],
        **{"batch": BATCH, "radius": RADIUS, "release": RELEASE},
    }
    manifest = folder / "questions.json"
    if manifest.exists():
        if (
            read_json(manifest, "what is kept of the SDSS's answers", "delete its folder")
            != questions
        ):
            raise InputError(f"{folder} keeps answers about other galaxies: delete it.")
    else:
        write_json(manifest, questions)


def _kept(part: Path) -> Table | None:
    """An answer that is kept; None if there is none, or it is damaged."""
    if not part.exists():
        return None
    try:
        return read_sealed(part)
    except InputError:
        return None  # it is asked for again


def _remove(folder: Path) -> None:
    for path in (*folder.glob("galaxies-*.ecsv"), folder / "questions.json"):
        path.unlink(missing_ok=True)
    folder.rmdir()
