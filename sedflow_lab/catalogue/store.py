"""A store of posteriors: draws in a Zarr array, and a Parquet table for each chunk of rows.

A chunk is the unit of all work. Its draws are written first and its table last, which has their
checksum: a chunk is there when both are, and belong to each other and to the settings of the store.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .._files import expanded, fingerprint, reading, replacing, write_bytes
from ..errors import InputError
from ..parameters import N_THETA
from ..sps.bands import BandSet
from .encoding import largest_error

if TYPE_CHECKING:
    import pyarrow

__all__ = ["Chunk", "Store"]

_NAME = "sedflow_lab"  # of our attributes
_FORMAT = 1
_OF, _DIGESTS, _CONTENT = b"chunk_of", b"draws", b"content"  # metadata of a table
_LOOKS = 5  # at a chunk that is being replaced


@dataclass(frozen=True)
class Chunk:
    """What is known of consecutive galaxies.

    Attributes
    ----------
    rows : pyarrow.Table
        One row a galaxy, see `columns.columns_of`.
    samples : ndarray, shape (n, D, 12), or None
        Draws as they are kept.
    weights, redshift : ndarray, shape (n, D), or None
        Weights, where draws have any, and redshifts, where any of the catalogue are uncertain.
    """

    rows: pyarrow.Table
    samples: np.ndarray | None = None
    weights: np.ndarray | None = None
    redshift: np.ndarray | None = None


@dataclass(frozen=True)
class Store:
    """A store, and what its posteriors are of.

    Attributes
    ----------
    address : str
        Its folder, or an address that fsspec knows, to read from.
    settings : dict
        What the numbers depend on: stores that differ in it hold other numbers.
    about : dict
        What else made them.
    """

    address: str
    settings: dict[str, Any]
    about: dict[str, Any]

    @classmethod
    def create(cls, folder: Path, settings: dict[str, Any], about: dict[str, Any]) -> Store:
        """Make an empty store; it appears complete or not at all."""
        _check_packages()
        import zarr

        n, draws, chunk, keep = (settings[k] for k in ("galaxies", "draws", "chunk", "keep"))
        with replacing(folder) as partial:
            values = {"format": _FORMAT, "settings": settings, "about": about}
            attributes = {_NAME: values}
            group = zarr.create_group(partial, zarr_format=3, attributes=attributes)
            for name in _arrays(settings):
                inner = (N_THETA,) if name == "samples" else ()
                kind = keep if name == "samples" else "float32"
                group.create_array(
                    name,
                    shape=(n, draws, *inner),
                    chunks=(chunk, draws, *inner),
                    dtype=kind,
                    fill_value=np.nan if kind == "float32" else 65_535,
                    attributes={"largest_error": largest_error(keep)} if inner else {},
                )
            (partial / "summary").mkdir()
        return cls.open(str(folder))

    @classmethod
    def open(cls, address: str | Path) -> Store:
        """Open a store; InputError if it is none."""
        _check_packages()
        address = str(address).rstrip("/")
        if "://" not in address:
            address = str(expanded(address).absolute())
        with reading(address, "the catalogue's store", "give the folder that infer wrote"):
            values = json.loads(_get(f"{address}/zarr.json"))["attributes"][_NAME]
            if values["format"] != _FORMAT:
                raise ValueError(f"its format is {values['format']}, and not {_FORMAT}")
            return cls(address, values["settings"], values["about"])

    def __len__(self) -> int:
        return int(self.settings["galaxies"])

    @property
    def size(self) -> int:
        """Galaxies of a chunk."""
        return int(self.settings["chunk"])

    @property
    def chunks(self) -> range:
        """Numbers of all chunks, whether they are there or not."""
        return range(-(-len(self) // self.size))

    @cached_property
    def bands(self) -> BandSet:
        """Bands of the photometry."""
        return BandSet.from_json(self.settings["bands"])

    @cached_property
    def rest_frame(self) -> BandSet | None:
        """Bands at rest that the tables have quantities of."""
        found = self.settings.get("rest_frame")
        return None if found is None else BandSet.from_json(found)

    @property
    def arrays(self) -> tuple[str, ...]:
        """Names of the arrays of draws."""
        return _arrays(self.settings)

    @property
    def uncertain(self) -> bool:
        """Whether any of the redshifts are uncertain."""
        return bool(self.settings.get("uncertain_redshifts"))

    def of(self, number: int) -> range:
        """Rows of a chunk."""
        return range(number * self.size, min(len(self), (number + 1) * self.size))

    def name(self, number: int) -> str:
        """Where the table of a chunk is, in the store."""
        return f"summary/{number * self.size:012d}.parquet"

    def has(self, number: int) -> bool:
        """Whether a chunk is there."""
        where = f"{self.address}/{self.name(number)}"
        if "://" not in where:
            return Path(where).exists()
        import fsspec

        system, path = fsspec.core.url_to_fs(where)
        return bool(system.exists(path))

    def rows(self, number: int, columns: list[str] | None = None) -> pyarrow.Table | None:
        """The table of a chunk, or some columns; None where it is not there.

        Raises
        ------
        InputError
            If it is damaged or of something else.
        """
        from pyarrow import parquet

        where = f"{self.address}/{self.name(number)}"
        with reading(where, "the part", "run the same command again, which makes it anew"):
            with suppress(FileNotFoundError):
                content = BytesIO(_get(where))
                with parquet.ParquetFile(content, page_checksum_verification=True) as file:
                    about = file.schema_arrow.metadata or {}
                    if about.get(_OF, b"").decode() != self._identity(number):
                        raise ValueError("it is a part of something else")
                    for name in columns or []:
                        if name not in file.schema_arrow.names:
                            raise InputError(f"{where} has no column {name!r}: see its summary.")
                    table = file.read(columns, use_threads=False)
                if len(table) != len(self.of(number)):
                    raise ValueError("rows are missing")
                # Pages have checksums, but what says how to read them has none.
                if columns is None and about.get(_CONTENT, b"").decode() != _digest(table):
                    raise ValueError("it was changed after it was written")
                return table
        return None

    def read(self, number: int) -> Chunk | None:
        """A chunk with its draws, which belong together; None where it is not there.

        Another process may be replacing it: it is looked at again then.

        Raises
        ------
        InputError
            If it is damaged.
        """
        for look in range(_LOOKS):
            if (rows := self.rows(number)) is None:
                return None
            try:
                found = {name: self._draws(name, number, rows) for name in self.arrays}
            except InputError:
                if look == _LOOKS - 1:
                    raise
            else:
                return Chunk(rows, **found)
        raise AssertionError("unreachable")

    def state(self, number: int) -> pyarrow.Table | None:
        """Badges and distances of a chunk that is there and whole; None where it is not there.

        Raises
        ------
        InputError
            If any of it is damaged.
        """
        rows = self.rows(number)  # in whole, so that all of it is looked at
        if rows is None:
            return None
        for name in self.arrays:
            self._whole(name, number, rows)
        return rows.select(["badge", "distance"])

    def write(self, number: int, chunk: Chunk) -> None:
        """Write a chunk, or put another in its place."""
        from pyarrow import parquet

        folder, digests = Path(self.address), {}
        for name in self.arrays:
            values = getattr(chunk, name)
            content = self._encode(name, number, values)
            path = folder / self._key(name, number)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(path, content)
            digests[name] = self._digest_of(name, content)
        metadata = {
            _OF: self._identity(number),
            _DIGESTS: json.dumps(digests),
            _CONTENT: _digest(chunk.rows),
        }
        out = BytesIO()
        parquet.write_table(
            chunk.rows.replace_schema_metadata(metadata).combine_chunks(),
            out,
            compression="zstd",
            use_dictionary=["badge", "problem", "suspect_band"],
            write_page_checksum=True,
        )
        write_bytes(folder / self.name(number), out.getvalue())

    def _identity(self, number: int) -> str:
        """What a chunk belongs to: the settings, and its place."""
        return fingerprint({"settings": self.settings, "number": number})[:32]

    def _key(self, name: str, number: int) -> str:
        inner = "/0/0" if name == "samples" else "/0"
        return f"{name}/c/{number}{inner}"

    def _whole(self, name: str, number: int, rows: pyarrow.Table) -> bytes:
        """The bytes of an array of a chunk; InputError if they are not those of its table."""
        where = f"{self.address}/{self._key(name, number)}"
        with reading(where, "the draws", "run the same command again, which makes them anew"):
            content = _get(where)
            wanted = json.loads(rows.schema.metadata[_DIGESTS])[name]
            if self._digest_of(name, content) != wanted:
                raise ValueError(
                    f"they, or {name}/zarr.json that says how to read them, are not as written"
                )
            return content

    def _digest_of(self, name: str, content: bytes) -> str:
        """Checksum of the bytes of an array, and of what says how to read them."""
        return hashlib.blake2b(self._metadata[name] + content, digest_size=16).hexdigest()

    @cached_property
    def _metadata(self) -> dict[str, bytes]:
        """What Zarr says of each array."""
        found = {}
        for name in self.arrays:
            with self._reading_metadata(name) as where:
                found[name] = _get(where)
        return found

    @contextmanager
    def _reading_metadata(self, name: str) -> Iterator[str]:
        """Where Zarr says of an array what it is; InputError if that cannot be used."""
        where = f"{self.address}/{name}/zarr.json"
        remedy = "copy it from a store with the same settings, or infer into another store"
        with reading(where, "what says how to read the draws", remedy):
            yield where

    # Zarr turns arrays into bytes and back; the bytes are ours to write in one step, and to fetch.

    def _encode(self, name: str, number: int, values: np.ndarray) -> bytes:
        array, memory = self._in_memory(name, {})
        rows = self.of(number)
        array[rows.start : rows.stop] = values
        return memory[self._key(name, number).partition("/")[2]].to_bytes()

    def _draws(self, name: str, number: int, rows: pyarrow.Table) -> np.ndarray:
        key = self._key(name, number).partition("/")[2]
        array, _ = self._in_memory(name, {key: self._whole(name, number, rows)})
        at = self.of(number)
        return np.asarray(array[at.start : at.stop])

    def _in_memory(self, name: str, chunks: dict[str, bytes]) -> tuple[Any, dict[str, Any]]:
        import zarr
        from zarr.core.buffer import default_buffer_prototype
        from zarr.storage import MemoryStore

        kind = default_buffer_prototype().buffer
        contents = {"zarr.json": self._metadata[name], **chunks}
        memory: dict[str, Any] = {key: kind.from_bytes(value) for key, value in contents.items()}
        with self._reading_metadata(name):
            array = zarr.open_array(MemoryStore(memory), mode="r+")
        return array.with_config({"write_empty_chunks": True}), memory


def _arrays(settings: dict[str, Any]) -> tuple[str, ...]:
    """Names of the arrays of draws of a store with some settings."""
    if settings["keep"] == "none":
        return ()
    weights = settings["method"] == "weighted"
    known = {"samples": True, "weights": weights, "redshift": "uncertain_redshifts" in settings}
    return tuple(name for name, there in known.items() if there)


def _digest(table: pyarrow.Table) -> str:
    """Checksum of the values of a table."""
    return hashlib.blake2b(repr(table.to_pydict()).encode(), digest_size=16).hexdigest()


def _check_packages() -> None:
    """InputError if what reads and writes stores is not installed."""
    for package in ("zarr", "pyarrow", "fsspec"):
        if find_spec(package) is None:
            raise InputError(
                f"Stores of catalogues need {package}: install it with pip install "
                "'sedflow-lab[catalogue]'."
            )


def _get(address: str) -> bytes:
    """Bytes of a file or an address; FileNotFoundError where there are none."""
    if "://" not in address:
        return Path(address).read_bytes()
    import fsspec

    system, path = fsspec.core.url_to_fs(address)
    return bytes(system.cat_file(path))
