"""Write tables, in the formats that catalogues come in."""

from __future__ import annotations

import hashlib
import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .._files import expanded, reading, write_bytes
from ..errors import InputError

if TYPE_CHECKING:
    from astropy.table import Table

__all__ = ["encode_table", "read_sealed", "write_sealed", "write_table"]

_SEAL = b"# sha256: "
_FORMATS = {".ecsv": "ascii.ecsv", ".csv": "ascii.csv", ".fits": "fits"}


def write_table(table: Table, path: str | Path) -> None:
    """Write a table in the format of its name's ending; the file appears complete or not at all.

    Numbers in CSV files have seven digits, but for redshifts, which stay as they are.

    Raises
    ------
    InputError
        If the ending is not that of a table.
    WriteError
        If the disk is full or may not be written.
    """
    path = expanded(path)
    suffix = path.suffix.lower()
    if suffix not in _FORMATS:
        raise InputError(
            f"The table {path} cannot be written: give a name that ends in {', '.join(_FORMATS)}."
        )
    write_bytes(path, encode_table(table, suffix))


def encode_table(table: Table, suffix: str) -> bytes:
    """The bytes of a table as a file whose name ends in ``.ecsv``, ``.csv`` or ``.fits``."""
    table = table.copy()
    if suffix == ".fits":
        _spell_in_ascii(table)
    elif suffix == ".csv":
        for name in table.colnames:
            if table[name].dtype.kind == "f" and name != "redshift":
                table[name].info.format = table[name].info.format or ".7g"
    if suffix != ".fits":
        text = io.StringIO()
        table.write(text, format=_FORMATS[suffix])
        return text.getvalue().encode()
    image = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of long keywords
        table.write(image, format="fits")
    return image.getvalue()


def write_sealed(table: Table, path: str | Path) -> None:
    """Write a table as ECSV, in one step, with its checksum in a line of the header."""
    stream = io.StringIO()
    table.write(stream, format="ascii.ecsv")
    text = stream.getvalue().encode()
    head, rule, rest = text.partition(b"# ---\n")
    seal = _SEAL + hashlib.sha256(text).hexdigest().encode() + b"\n"
    write_bytes(path, head + rule + seal + rest)


def read_sealed(path: str | Path, remedy: str = "delete it, and make it again") -> Table:
    """Read a table that `write_sealed` wrote, or one from before there were checksums.

    Raises
    ------
    InputError
        If it is missing, damaged, or was changed after it was written.
    """
    from astropy.table import Table

    with reading(path, "the table", remedy):
        head, seal, rest = Path(path).read_bytes().partition(_SEAL)
        found, _, rest = rest.partition(b"\n")
        text = head + rest
        if seal and found.decode() != hashlib.sha256(text).hexdigest():
            raise ValueError("it was changed after it was written")
        return Table.read(text.decode(), format="ascii.ecsv")


def _spell_in_ascii(table: Table) -> None:
    """Change what FITS cannot hold: letters beyond ASCII, and the units that it does not know."""
    for name in table.colnames:
        column = table[name]
        if column.dtype.kind == "U":
            plain = np.char.replace(np.char.replace(column, "χ²", "chi2"), "σ", "sigma")
            table[name] = np.char.encode(plain, "ascii", "backslashreplace").astype(str)
        try:
            if column.unit is not None:
                column.unit.to_string("fits")
        except ValueError:
            column.description = f"{column.description or name} [{column.unit}]"
            column.unit = None
