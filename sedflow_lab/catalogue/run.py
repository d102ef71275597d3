"""Infer a catalogue: parts that fit into memory, and one table of them all."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..anpe import AmortizedPosterior
from ..observations.photometry import Photometry

if TYPE_CHECKING:
    from astropy.table import Table

__all__ = ["infer_catalogue"]

_DRAWS_AT_ONCE = 2_000_000  # of galaxies that are in memory together: 200 MB


def infer_catalogue(
    posterior: AmortizedPosterior,
    photometry: Photometry,
    draws: int = 1000,
    method: str = "fast",
    seed: int = 0,
    *,
    samples: str | Path | None = None,
    progress: bool = False,
    stop: threading.Event | None = None,
    threads: int | None = None,
    tell: Callable[[str], None] = lambda text: None,
) -> Table:
    """Infer every galaxy of a catalogue; those that cannot be inferred are flagged.

    Parameters
    ----------
    posterior : AmortizedPosterior
    photometry : Photometry
        N galaxies.
    draws, method, seed, progress, stop, threads
        As for `AmortizedPosterior.infer`.
    samples : path, optional
        HDF5 file for all draws, for which all have to fit into memory.
    tell : callable
        Called with a sentence on each part, where there are several.

    Returns
    -------
    astropy.table.Table
        One row a galaxy, in their order: `PosteriorResult.summary`.
    """
    from astropy.table import vstack

    n = len(photometry)
    size = n if samples else max(1, _DRAWS_AT_ONCE // max(1, draws))
    tables = []
    for first in range(0, n, size):
        if n > size:
            tell(f"galaxies {first + 1:,} to {min(first + size, n):,} of {n:,}")
        result = posterior.infer(
            photometry[first : first + size],
            draws,
            method,
            seed,
            on_bad="flag",
            progress=progress,
            stop=stop,
            threads=threads,
        )
        tables.append(result.summary())
        if samples:
            result.save(samples)
    table = vstack(tables, metadata_conflicts="silent")
    table.meta |= {"draws": draws, "seed": seed}
    # Rows are counted in the catalogue, not in its parts.
    problems = posterior.check(photometry)
    table["problem"] = np.where(problems != "", problems, table["problem"])
    return table
