"""The same work in many processes, on one machine or many, by dask.distributed.

Each task writes the chunks that it is about, so that a chunk has one writer and no result has to
travel. Numbers do not depend on who computes them; a task whose worker dies is given to another.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import lru_cache, partial
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

from ..anpe import AmortizedPosterior, load_posterior
from ..errors import InputError, SedflowError
from ..sps import load_ssp_grid
from .passes import Perform
from .store import Store
from .work import Done, Task, work_on

__all__ = ["on_dask"]

# Dask has workers give memory back to the system at once, only to ask for it again.
_KEEP_MEMORY = {
    "distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": 2**27,
    "distributed.nanny.pre-spawn-environ.MALLOC_MMAP_THRESHOLD_": 2**25,
}
_AHEAD = 2  # tasks for each thread: one to work on, and one to go on with


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
    workers : int, optional
        Processes of one thread to start on this machine.
    scheduler : str or dask.distributed.Client, optional
        Address of a scheduler, or a client of one.

    Raises
    ------
    InputError
        If Dask is not installed or the scheduler does not answer.
    """
    if find_spec("distributed") is None:
        raise InputError(
            "Workers need Dask: install it with pip install 'sedflow-lab[dask]', or leave out "
            "workers and scheduler."
        )
    import dask
    from dask.distributed import Client, LocalCluster

    with ExitStack() as stack:
        if scheduler is None:
            stack.enter_context(dask.config.set(_KEEP_MEMORY))
            cluster = LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                dashboard_address=None,
                memory_limit=0,  # no worker needs much
                silence_logs="ERROR",
            )
            scheduler = stack.enter_context(cluster)
        if not isinstance(scheduler, Client):
            try:
                scheduler = stack.enter_context(Client(scheduler))
            except (OSError, ValueError) as error:
                raise InputError(
                    f"No Dask scheduler answers at {scheduler}: give its address, such as "
                    "tcp://host:8786, or --workers to start workers here."
                ) from error
        task = partial(_work, store.address, str(posterior), None if ssp is None else str(ssp))
        yield partial(_perform, scheduler, task)


def _perform(
    client: Any,
    work: Callable[[Task], Done | None],
    tasks: Iterator[Task],
    stop: threading.Event,
) -> Iterator[Done]:
    """Results as they come. After a stop nothing is begun, and what has begun is waited for."""
    from dask.distributed import KilledWorker, as_completed

    pending = as_completed()
    while True:
        room = 0 if stop.is_set() else _AHEAD * max(1, sum(client.nthreads().values()))
        for task in islice(tasks, max(0, room - pending.count())):
            pending.add(client.submit(work, task, pure=False))
        if pending.is_empty():
            return
        try:
            done = next(pending).result()
        except KilledWorker as error:
            raise SedflowError(
                "Workers died again and again over the same galaxies: see the scheduler's log, "
                "give the workers more memory, and run the same command again to go on."
            ) from error
        if done is not None:
            yield done


def _work(address: str, posterior: str, ssp: str | None, task: Task) -> Done | None:
    """Perform a task in a worker."""
    store, loaded = Store.open(address), _load(posterior, ssp)
    if loaded.bundle.hash != store.settings["network"]:
        raise InputError(f"The posterior {posterior} is another one on a worker.")
    return work_on(task, store, loaded, threads=1)


@lru_cache(maxsize=1)
def _load(posterior: str, ssp: str | None) -> AmortizedPosterior:
    """The posterior, loaded once by each worker."""
    return load_posterior(posterior, ssp=load_ssp_grid(ssp))
