"""Catalogues read some thousand rows at a time, so that their length costs no memory."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator, Mapping, Sequence
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np

from .._files import expanded
from ..errors import InputError
from .files import (
    choose,
    encoding_of,
    fits_tables,
    kind_of,
    parse_lines,
    read_table,
    reading_table,
    without_headings,
)
from .limits import LIMIT_SIGMAS
from .nsa import VERSIONS, read_nsa
from .photometry import OnBad, Photometry
from .tables import has_columns

if TYPE_CHECKING:
    from astropy.table import Table

    from ..sps.bands import BandSet

__all__ = ["read_blocks"]

_ROWS = 4096  # of a block: of the Atlas 10 MB


def read_blocks(
    path: str | Path,
    bands: str | BandSet | Sequence[str] = "sdss-ugriz",
    columns: Mapping[str, str | None] | None = None,
    on_bad: OnBad = "flag",
    extinction: str | None = None,
    hdu: int | str | None = None,
    size: int = _ROWS,
    limit_sigmas: float = LIMIT_SIGMAS,
) -> Iterator[Photometry]:
    """Read photometry as `read_photometry` does, block by block; rows keep their numbers.

    FITS files are mapped into memory, and CSV, ECSV, TSV and Parquet are read as a stream; other
    files, and FITS files that are compressed, are read in whole. The NASA-Sloan Atlas is known by
    the name of its file.

    Parameters
    ----------
    path : path or str
        Or an address that fsspec knows, such as ``https://...``: the file is fetched first.
    bands, columns, on_bad, extinction, hdu, limit_sigmas
        As for `read_photometry`.
    size : int
        Rows of a block, about.

    Raises
    ------
    InputError
        If the file cannot be read, a column is missing, or a value is bad and `on_bad` says so.
    """
    from ..sps.bands import get_bands

    bands, path = get_bands(bands), _fetched(path)
    for version in VERSIONS:
        if path.name == f"nsa_{version}.fits" and not columns:
            yield from _atlas_blocks(path, version, bands, on_bad, size)
            return
    tables = _table_blocks(path, lambda table: has_columns(table, bands, columns), hdu, size)
    first = 0
    while True:
        with reading_table(path):
            table = next(tables, None)
        if table is None:
            break
        rows = np.arange(first, first + len(table))
        try:
            yield Photometry.from_table(
                table, bands, columns, on_bad, extinction, rows, None, limit_sigmas
            )
        except InputError as error:
            raise InputError(f"{path.name}: {error}") from error
        first += len(table)
    if first == 0:
        raise InputError(f"The file {path} has no rows: give a table with a header and rows.")


def _fetched(path: str | Path) -> Path:
    """The path of a file, fetched if it is an address."""
    if "://" not in str(path):
        return expanded(path)
    import fsspec

    try:
        return Path(fsspec.open_local(f"simplecache::{path}", simplecache={"same_names": True}))
    except Exception as error:  # each kind of address has errors of its own
        reason = str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__
        raise InputError(f"Cannot fetch {path} ({reason}): check the address.") from error


def _atlas_blocks(
    path: Path, version: str, bands: BandSet, on_bad: OnBad, size: int
) -> Iterator[Photometry]:
    first = 0
    while len(block := read_nsa(path, version, bands, slice(first, first + size), on_bad)):
        yield block
        first += len(block)


def _table_blocks(
    path: Path, has_columns: Callable[[Table], bool], hdu: int | str | None, size: int
) -> Iterator[Table]:
    kind, compressed = kind_of(path)
    if kind == "fits" and not compressed:
        yield from _fits_blocks(path, has_columns, hdu, size)
    elif kind == "parquet" and not compressed:
        yield from _parquet_blocks(path, size)
    elif kind in ("csv", "ecsv", "tab"):
        yield from _text_blocks(path, kind, compressed, size)
    else:
        table = read_table(path, has_columns, hdu)
        yield from (table[first : first + size] for first in range(0, len(table), size))


def _fits_blocks(
    path: Path, has_columns: Callable[[Table], bool], hdu: int | str | None, size: int
) -> Iterator[Table]:
    from astropy.io import fits
    from astropy.table import Table

    def piece(part: fits.BinTableHDU, first: int, last: int) -> Table:
        if isinstance(part, fits.TableHDU):  # text
            return Table.read(part)[first:last]
        return Table.read(fits.BinTableHDU(part.data[first:last], part.header))

    with fits.open(path, memmap=True) as hdus:
        tables = fits_tables(hdus, path)
        heads = {key: piece(part, 0, 1) for key, part in tables.items()}
        part = tables[choose(heads, path, has_columns, hdu)]
        for first in range(0, len(part.data), size):
            yield piece(part, first, first + size)


def _parquet_blocks(path: Path, size: int) -> Iterator[Table]:
    import pyarrow
    from astropy.table import Table
    from pyarrow import parquet

    with parquet.ParquetFile(path) as file:
        for batch in file.iter_batches(size):
            piece = BytesIO()
            parquet.write_table(pyarrow.Table.from_batches([batch]), piece)
            yield Table.read(BytesIO(piece.getvalue()), format="parquet")


def _text_blocks(path: Path, kind: str, compressed: bool, size: int) -> Iterator[Table]:
    opened = gzip.open if compressed else open
    with opened(path, "rb") as start:
        encoding = encoding_of(start.read(4))
    with opened(path, "rt", encoding=encoding) as file:
        head, units, first = _header(file, kind), dict[str, str](), 0
        records = _records(file)
        while lines := list(islice(records, size)):
            try:
                table = parse_lines(head + lines, kind)
            except Exception as error:
                if first == 0:
                    raise
                raise ValueError(f"in the {size} rows from {first} on, {error}") from error
            if kind != "ecsv" and first == 0:
                table = without_headings(table)
                units = {name: table[name].unit for name in table.colnames}
            for name, unit in units.items():
                table[name].unit = unit
            if len(table):
                yield table
            first += len(table)


def _header(file: IO[str], kind: str) -> list[str]:
    """Lines up to that of the names of columns."""
    head = list[str]()
    for line in file:
        head.append(line.rstrip("\n"))
        if line.strip() and (kind == "tab" or not line.startswith("#")):
            break
    return head


def _records(file: IO[str]) -> Iterator[str]:
    """Lines without their ends; those within quotes are joined."""
    record = ""
    for line in file:
        record += line
        if record.count('"') % 2 == 0:
            yield record.rstrip("\n")
            record = ""
    if record:
        yield record.rstrip("\n")
