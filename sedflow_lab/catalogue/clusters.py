"""Tasks of a catalogue in the workers of Dask.

Each task writes the chunks that it is about, so that a chunk has one writer and no result has to
travel.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from .._dask import spread, workers_of
from ..anpe import AmortizedPosterior, load_posterior
from ..errors import InputError
from ..sps import load_ssp_grid
from .passes import Perform
from .store import Store
from .work import Done, Task, work_on

__all__ = ["on_dask"]

_Sources = tuple[str, str, str | None]  # the store, the posterior, and its SSP grid


@contextmanager
def on_dask(
    store: Store, posterior: str | Path, ssp: str | Path | None, workers: int | None, scheduler: Any
) -> Iterator[Perform]:
    """Give what performs tasks in worker processes: new ones, or those of a scheduler.

    Parameters
    ----------
    store : Store
        In a folder that all workers see under the same path.
    posterior, ssp : str or path
        What each worker loads.
    workers, scheduler : optional
        As for `workers_of`.
    """
    sources = store.address, str(posterior), None if ssp is None else str(ssp)
    with workers_of(workers, scheduler) as client:
        yield partial(_perform, client, sources)


def _perform(
    client: Any, sources: _Sources, tasks: Iterator[Task], stop: threading.Event
) -> Iterator[Done]:
    return (done for done in spread(client, _work, sources, tasks, stop) if done is not None)


def _work(sources: _Sources, task: Task) -> Done | None:
    """Perform a task in a worker."""
    address, posterior, ssp = sources
    store, loaded = Store.open(address), _load(posterior, ssp)
    if loaded.bundle.hash != store.settings["network"]:
        raise InputError(f"The posterior {posterior} is another one on a worker.")
    return work_on(task, store, loaded, threads=1)


@lru_cache(maxsize=1)
def _load(posterior: str, ssp: str | None) -> AmortizedPosterior:
    """The posterior, loaded once by each worker."""
    return load_posterior(posterior, ssp=load_ssp_grid(ssp))
