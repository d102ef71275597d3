"""A catalogue of posteriors to look into: nothing is read before it is asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from ..observations.photometry import Photometry
from ..observations.write import write_table
from ..posterior.result import PosteriorResult
from ..quantities import QUANTITIES
from ..sps.rest_frame import names_at_rest
from .columns import as_photometry, as_result, as_table
from .store import Chunk, Store

if TYPE_CHECKING:
    import pyarrow
    from astropy.table import Table

__all__ = ["Catalogue", "open_catalogue"]

Which = str | int | Sequence[str] | Sequence[int] | np.ndarray
"""A galaxy, or some: by id where it is text, by number in the catalogue, from 0, otherwise."""


class Catalogue:
    """The posteriors of a catalogue that `infer_catalogue` wrote, or is writing.

    What has been read is remembered: open it again to see what has been written since.

    Attributes
    ----------
    settings : dict
        What the numbers depend on.
    provenance : dict
        What made them.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.settings = store.settings
        self.provenance = {**store.settings, **store.about}

    def __len__(self) -> int:
        """Galaxies of the catalogue, inferred or not yet."""
        return len(self._store)

    def __repr__(self) -> str:
        counts = ", ".join(f"{n} {badge!r}" for badge, n in self.badges.most_common())
        return (
            f"<Catalogue {self._store.address}: {self.done:,} of {len(self):,} galaxies inferred, "
            f"method {self.settings['method']!r}; badges: {counts or 'none'}>"
        )

    @property
    def bands(self) -> Any:
        """Bands of the photometry."""
        return self._store.bands

    @property
    def quantities(self) -> tuple[str, ...]:
        """Names of the parameters and derived quantities of the summary."""
        rest = self._store.rest_frame
        return (*QUANTITIES, *(() if rest is None else names_at_rest(rest, self.bands)))

    @cached_property
    def badges(self) -> Counter[str]:
        """How many galaxies have each badge."""
        return sum((Counter(part.to_pylist()) for part in self._parts("badge")), Counter())

    @property
    def done(self) -> int:
        """How many galaxies have been inferred, those with a problem among them."""
        return self.badges.total()

    @cached_property
    def usable(self) -> int:
        """How many galaxies have a posterior."""
        return sum(part.to_pylist().count("") for part in self._parts("problem"))

    @cached_property
    def ids(self) -> np.ndarray:
        """Names of the galaxies that have been inferred, in the order of the summary."""
        return np.array(self._read(["id"])["id"].to_pylist(), dtype=np.str_)

    @cached_property
    def summary(self) -> Table:
        """One row a galaxy that has been inferred: all but its draws.

        Medians and 68 % intervals of parameters and derived quantities, the badge, whether the
        posterior is ``exact``, diagnostics, the problem, and the photometry [nanomaggies].
        """
        return self.table()

    def table(self, *columns: str) -> Table:
        """Some columns of the summary alone, or all: of a large catalogue less is faster.

        Raises
        ------
        InputError
            If there is no such column, or the store is damaged.
        """
        return as_table(self._read(list(columns) or None), self._meta())

    def posterior(self, which: Which) -> PosteriorResult:
        """Posteriors with their draws, of one galaxy or several.

        Raises
        ------
        InputError
            If there is no such galaxy, it has not been inferred yet, its id is that of several,
            or draws were not kept.
        """
        if not self._store.arrays:
            raise InputError(
                f"{self._store.address} keeps no draws: infer the galaxies again from "
                "their photometry(), or make the catalogue with draws."
            )
        parts = []
        for number, places in self._places(which):
            chunk = self._chunk(number)
            assert chunk.samples is not None
            parts.append(
                as_result(
                    chunk.rows.take(places),
                    chunk.samples[places],
                    None if chunk.weights is None else chunk.weights[places],
                    None if chunk.redshift is None else chunk.redshift[places],
                    self.bands,
                    self.settings["method"],
                    self.provenance,
                )
            )
        return PosteriorResult.concatenate(parts)

    def photometry(self, which: Which) -> Photometry:
        """Photometry of one galaxy or several, as it was inferred.

        Raises
        ------
        InputError
            If there is no such galaxy, or it has not been inferred yet.
        """
        floor = self.settings.get("error_floor", {})
        parts = [
            as_photometry(self._table_of(number).take(places), self.bands, floor)
            for number, places in self._places(which)
        ]
        return Photometry.concatenate(parts)

    def to_fits(self, path: str | Path) -> None:
        """Write the summary as a table: FITS, or ECSV or CSV by the ending of the name."""
        write_table(self.summary, path)

    def _meta(self) -> dict[str, Any]:
        names = ("method", "draws", "seed", "network", "posterior", "sedflow_lab")
        meta = {name: self.provenance[name] for name in names} | {"bands": self.bands.name}
        for band, floor in self.settings.get("error_floor", {}).items():
            meta[f"error_floor_{band}"] = floor
        if "outliers" in self.settings:
            meta["outliers"] = self.settings["outliers"]["probability"]
        return meta

    @cached_property
    def _there(self) -> list[int]:
        """Chunks that were there when the catalogue was first looked at."""
        return [k for k in self._store.chunks if self._store.has(k)]

    def _parts(self, column: str) -> Iterator[pyarrow.ChunkedArray]:
        """A column, chunk by chunk: of many galaxies all of it may be too much."""
        return (self._table_of(number, [column])[column] for number in self._there)

    def _read(self, columns: list[str] | None) -> pyarrow.Table:
        """Columns of all chunks, one below the other."""
        import pyarrow

        if not self._there:
            return pyarrow.table({name: np.array([], np.str_) for name in columns or []})
        tables = [self._table_of(number, columns) for number in self._there]
        return pyarrow.concat_tables(tables).combine_chunks()

    def _table_of(self, number: int, columns: list[str] | None = None) -> pyarrow.Table:
        rows = self._store.rows(number, columns)
        if rows is None:
            raise InputError(self._missing(number))
        return rows.replace_schema_metadata(None)

    def _chunk(self, number: int) -> Chunk:
        chunk = self._store.read(number)
        if chunk is None:
            raise InputError(self._missing(number))
        return chunk

    def _missing(self, number: int) -> str:
        rows = self._store.of(number)
        return (
            f"The galaxies {rows[0]:,} to {rows[-1]:,} of {self._store.address} have not been "
            "inferred yet: run the same command again, or wait for it."
        )

    def _places(self, which: Which) -> list[tuple[int, list[int]]]:
        """Chunks, and places in them, of galaxies in their order."""
        several = [which] if isinstance(which, str | int | np.integer) else list(which)
        if not several:
            raise InputError("No galaxy was asked for: give an id, a number, or a list of them.")
        numbers, size = [self._number(one) for one in several], self._store.size
        return [
            (chunk, [number % size for number in group])
            for chunk, group in groupby(numbers, lambda number: number // size)
        ]

    def _number(self, one: str | int) -> int:
        """Number of a galaxy in the catalogue, from 0."""
        if not isinstance(one, str):
            if not -len(self) <= one < len(self):
                raise InputError(f"There is no galaxy {one} among {len(self):,}: count from 0.")
            return int(one) % len(self)
        found = np.flatnonzero(self.ids == one)
        size = self._store.size
        numbers = [self._there[k // size] * size + int(k) % size for k in found]
        if len(numbers) > 1:
            listed = ", ".join(map(str, numbers[:5]))
            raise InputError(
                f"{len(numbers)} galaxies are called {one!r}, the numbers {listed}: give a number."
            )
        if not numbers:
            left = len(self) - self.done
            later = f" among those inferred ({left:,} are left)" if left else ""
            raise InputError(f"There is no galaxy {one!r}{later}: see ids.")
        return numbers[0]


def open_catalogue(path: str | Path) -> Catalogue:
    """Open a catalogue of posteriors, such as ``atlas.zarr``, whether it is finished or not.

    Parameters
    ----------
    path : path or str
        The folder, or an address that fsspec knows, such as ``https://...`` or ``s3://...``.

    Raises
    ------
    InputError
        If there is none.
    """
    return Catalogue(Store.open(path))
