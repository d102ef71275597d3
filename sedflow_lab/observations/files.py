"""Files of tables, and other tables: ids stay as written, and numbers keep their units."""

from __future__ import annotations

import gzip
import os
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .._files import expanded
from ..errors import InputError
from .checks import PhotometryWarning
from .limits import LIMIT_SIGMAS
from .photometry import OnBad, Photometry
from .roles import ID_NAMES
from .tables import has_columns

if TYPE_CHECKING:
    from astropy.io.fits import BinTableHDU, HDUList, TableHDU
    from astropy.table import Table

    from ..sps.bands import BandSet

__all__ = [
    "as_table",
    "check_rows",
    "choose",
    "encoding_of",
    "fits_tables",
    "kind_of",
    "parse_lines",
    "read_photometry",
    "read_table",
    "reading_table",
    "without_headings",
]

# What a file is, is told by its first bytes, whatever its name; text by its name.
_MAGIC = {
    b"SIMPLE": "fits",
    b"PAR1": "parquet",
    b"<?xml": "votable",
    b"<VOTABLE": "votable",
    b"# %ECSV": "ecsv",
}
_ENDINGS = {
    "fits": ("fits", "fit"),
    "csv": ("csv", "ecsv"),
    "tab": ("tsv",),
    "text": ("txt", "dat", "ascii", "cat", "tbl", "mrt"),
    "votable": ("vot", "xml", "votable"),
    "parquet": ("parquet",),
}
_GIVE = (
    "give a table with a header that ends in .csv, .ecsv, .fits, .tsv, .txt, .dat, .cat, .tbl, "
    ".mrt, .vot, .xml or .parquet"
)
# Formats that say themselves what is text and what are numbers: CDS and MRT, and IPAC.
_DECLARES = re.compile(
    r"^Byte-by-byte Description|\A(\\.*\n)*\s*\|.*\|\s*\n\s*\|[A-Za-z| ]+\|\s*$", re.MULTILINE
)
_MISSING = ("null", "none", "n/a", "na", "nan", "masked", "indef")
_BYTE_ORDER_MARKS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}


def read_photometry(
    path: str | Path,
    bands: str | BandSet | Sequence[str] = "sdss-ugriz",
    columns: Mapping[str, str | None] | None = None,
    on_bad: OnBad = "raise",
    extinction: str | None = None,
    hdu: int | str | None = None,
    units: Mapping[str, str] | None = None,
    limit_sigmas: float = LIMIT_SIGMAS,
) -> Photometry:
    """Read photometry from a CSV, ECSV, FITS, VOTable, Parquet or text table.

    Columns are found by name as `Photometry.from_table` describes; a row of units below the
    header of a text file is honoured, and lines that begin with # are comments. A
    `PhotometryWarning` tells where most galaxies look wrong.

    Parameters
    ----------
    path : path
        Text ends in .csv, .ecsv, .tsv, .txt, .dat, .cat, .tbl or .mrt; .gz may follow.
    bands, columns, on_bad, extinction, units, limit_sigmas
        As for `Photometry.from_table`.
    hdu : int or str, optional
        The table of a FITS file or VOTable, by number or name; default, the one that has the
        columns.

    Raises
    ------
    InputError
        If the file cannot be read, a column is missing, or a value is bad.
    """
    from ..sps.bands import get_bands

    bands = get_bands(bands)
    table = read_table(path, lambda table: has_columns(table, bands, columns), hdu)
    name = Path(path).name
    try:
        photometry = Photometry.from_table(
            table, bands, columns, on_bad, extinction, None, units, limit_sigmas
        )
    except InputError as error:
        raise InputError(f"{name}: {error}") from error
    if photometry.warning:
        warnings.warn(f"{name}: {photometry.warning}", PhotometryWarning, stacklevel=2)
    return photometry


def read_table(
    path: str | Path,
    has_columns: Callable[[Table], bool] = lambda table: True,
    hdu: int | str | None = None,
) -> Table:
    """Read a table from a file; all but ECSV may be compressed with gzip as well.

    What text files hold stays text, that '007' is not read as 7; `units.numbers` reads numbers.

    It is CSV, ECSV, FITS, VOTable, Parquet, or text of any format that astropy can tell. Of several
    tables in one file that is taken which `hdu` names, or of which `has_columns` says that it has
    what is looked for.

    Raises
    ------
    InputError
        If it is a table and not a path; if the file is missing, empty, unreadable or without
        rows; if several tables of it have the columns, or none is the one that `hdu` names.
    """
    try:
        path = expanded(path)
    except TypeError as error:
        raise InputError(
            f"This {type(path).__name__} is not the path of a file: give a path to read_photometry "
            "or read_table, and what is a table already to Photometry.from_table."
        ) from error
    with reading_table(path):
        tables = _tables(path)
    table = tables[choose(tables, path, has_columns, hdu)]
    if len(table) == 0:
        raise InputError(f"The file {path} has no rows: give a table with a header and rows.")
    return table


@contextmanager
def reading_table(path: Path) -> Iterator[None]:
    """Say in one sentence what is wrong with the file of a table."""
    # os.path has answers for names that are too long, too; a pipe is there, but is read once only.
    if not os.path.isfile(path):
        there = "is no plain file" if os.path.exists(path) else "does not exist"
        what = "is a folder, not a file" if os.path.isdir(path) else there
        raise InputError(f"The file {path} {what}: give the path of a CSV, ECSV or FITS table.")
    if path.stat().st_size == 0:
        raise InputError(f"The file {path} is empty: give a table with a header and rows.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # units unknown to astropy are dealt with in units.py
            yield
    except InputError:
        raise
    except Exception as error:  # astropy's readers raise whatever their parsers raise
        raise InputError(
            f"The file {path} cannot be read as a table ({_reason(error)}): {_GIVE}."
        ) from error


def as_table(table: Any) -> Table:
    """Make an astropy Table of a table, a row of one, a DataFrame, a dict or a structured array."""
    from astropy.table import Row, Table

    if isinstance(table, Row):
        table = table.table[table.index : table.index + 1]
    if isinstance(table, Table):
        return table
    try:
        if hasattr(table, "iloc"):
            if any(name is not None for name in table.index.names):
                table = table.reset_index()  # a named index is a column
            return Table.from_pandas(table)
        return Table(table)
    except Exception as error:  # astropy and pandas raise whatever their parts raise
        raise InputError(
            f"This {type(table).__name__} is not a table ({_reason(error)})"
            ": give an astropy Table, or a file's path to read_photometry."
        ) from error


def _reason(error: Exception) -> str:
    """What others' errors say, in short: some say a lot."""
    first = re.split(r"\.\s|\n", str(error).strip())[0].rstrip(".:")[:120]
    return "no format fits it" if "guess table format" in first else first or type(error).__name__


def choose(
    tables: dict[tuple[int, str], Table],
    path: Path,
    has_columns: Callable[[Table], bool],
    hdu: int | str | None,
) -> tuple[int, str]:
    """Number and name of the one table that is asked for, or that has the columns."""
    listed = ", ".join(f"{number} {name!r}" if name else f"{number}" for number, name in tables)
    if hdu is not None:
        for number, name in tables:
            if str(hdu).lower() in (str(number), name.lower()):
                return number, name
        raise InputError(f"The file {path} has no table {hdu!r}: its tables are {listed}.")
    good = [key for key, table in tables.items() if len(tables) == 1 or has_columns(table)]
    if len(good) > 1:
        raise InputError(
            f"The file {path} has {len(good)} tables with the columns asked for among its tables "
            f"{listed}: choose one with hdu=."
        )
    if not tables:
        raise InputError(f"The file {path} holds no table: {_GIVE}.")
    return (good or list(tables))[0]


def kind_of(path: Path) -> tuple[str, bool]:
    """What a table's file is (fits, csv, ecsv, tab, text, votable or parquet), and if by gzip."""
    ending = re.sub(r"\.gz$", "", path.name.lower()).rpartition(".")[2]
    with open(path, "rb") as file:
        compressed = file.read(2) == b"\x1f\x8b"
    with gzip.open(path) if compressed else open(path, "rb") as stream:
        start = stream.read(64)
    kinds = [
        kind
        for magic, kind in _MAGIC.items()
        if start.lstrip(b"\xef\xbb\xbf \r\n").startswith(magic)
    ]
    kinds += [kind for kind, endings in _ENDINGS.items() if ending in endings]
    if not kinds:
        raise InputError(f"The file {path} cannot be read, as .{ending} is no table: {_GIVE}.")
    return kinds[0], compressed


def _tables(path: Path) -> dict[tuple[int, str], Table]:
    """All tables of a file by their number and name."""
    from astropy.io import fits
    from astropy.table import Table

    kind, compressed = kind_of(path)
    if kind == "fits":
        with fits.open(path) as hdus:
            return {key: Table.read(hdu) for key, hdu in fits_tables(hdus, path).items()}
    content = gzip.decompress(path.read_bytes()) if compressed else path.read_bytes()
    if kind == "votable":
        from astropy.io import votable

        return {
            (number, table.name or ""): table.to_table(use_names_over_ids=True)
            for number, table in enumerate(votable.parse(BytesIO(content)).iter_tables())
        }
    if kind != "parquet":
        return {(0, ""): _from_text(_decode(content, path), kind)}
    if find_spec("pyarrow") is None:
        raise InputError(
            "Parquet needs pyarrow: install it with pip install pyarrow, or give a FITS or CSV "
            "table."
        )
    return {(0, ""): Table.read(BytesIO(content), format="parquet")}


def fits_tables(hdus: HDUList, path: Path) -> dict[tuple[int, str], BinTableHDU | TableHDU]:
    """All tables of an open FITS file by their number and name; their rows are checked."""
    from astropy.io import fits

    kinds = fits.BinTableHDU | fits.TableHDU
    tables = {(k, hdu.name): hdu for k, hdu in enumerate(hdus) if isinstance(hdu, kinds)}
    for hdu in tables.values():
        check_rows(hdu, path)
    return tables


def check_rows(hdu: BinTableHDU | TableHDU, path: Path) -> None:
    """Refuse a FITS table whose columns do not fill its rows, as they must (FITS 4.0, 7.3).

    The format of a column is damaged then, and astropy would take the numbers of those that follow
    from other places.
    """
    from astropy.io import fits

    if not isinstance(hdu, fits.BinTableHDU):
        return  # columns of text say where they begin
    width, row = hdu.columns.dtype.itemsize, hdu.header["NAXIS1"]
    if width != row:
        raise InputError(
            f"The header of the file {path} is damaged, as the columns of a table take {width} "
            f"bytes of rows that have {row}: get the file again."
        )


def encoding_of(content: bytes) -> str:
    """Encoding of a text, by its first bytes."""
    return next((e for m, e in _BYTE_ORDER_MARKS.items() if content.startswith(m)), "utf-8")


def _decode(content: bytes, path: Path) -> str:
    try:
        return content.decode(encoding_of(content))
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise InputError(
            f"The file {path} cannot be read, as line {line} is no text in UTF-8: save it in that "
            "encoding, or give a FITS table."
        ) from error


def _from_text(text: str, kind: str) -> Table:
    from astropy.io import ascii

    # str.splitlines would split ids at rarer marks too.
    lines = re.split(r"\r\n?|\n", text.rstrip("\r\n"))
    if kind == "text" and _DECLARES.search(text):
        return ascii.read(lines)
    table = parse_lines(lines, kind)
    return table if kind == "ecsv" else without_headings(table)


def parse_lines(lines: list[str], kind: str) -> Table:
    """Make a table of the lines of a text of a kind."""
    from astropy.io import ascii

    if kind == "ecsv":
        return ascii.read(lines, format="ecsv")  # says itself what is text and what are numbers
    how = {"csv": {"format": "csv", "comment": "#"}, "tab": {"format": "tab"}}.get(kind, {})
    return ascii.read(lines, converters={"*": str}, **how)


def without_headings(table: Table) -> Table:
    """Take a row of units and one of dashes from below the header, as VizieR's tables have them."""
    for _ in range(2):
        if len(table) == 0:
            break
        cells = {name: _cell(table[name], 0) for name in table.colnames}
        if any(len(cell) > 2 for cell in cells.values()) and not "".join(cells.values()).strip("-"):
            table = table[1:]
        elif _are_units(cells, table[1:]):
            table = table[1:]
            for name, cell in cells.items():
                if cell.strip("-") and not table[name].unit:
                    table[name].unit = re.sub(r"^[\[(](.*)[\])]$", r"\1", cell)
    return table


def _cell(column: Any, row: int) -> str:
    value = column[row]
    return "" if value is np.ma.masked else str(value).strip()


def _are_units(cells: dict[str, str], rest: Table) -> bool:
    """Whether a row has words where all others have numbers: that is no galaxy.

    A galaxy without any measurement has words such as NULL.
    """
    heads = [
        cell
        for name, cell in cells.items()
        if name.lower() not in ID_NAMES
        and any(_is_number(_cell(rest[name], row)) for row in range(min(len(rest), 100)))
    ]
    words = [cell for cell in heads if cell.strip("-") and cell.lower() not in _MISSING]
    return bool(words) and not any(_is_number(cell) for cell in heads)


def _is_number(text: str) -> bool:
    try:
        return bool(np.isfinite(float(text)))
    except ValueError:
        return False
