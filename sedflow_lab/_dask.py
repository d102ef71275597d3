"""The same work in many processes, on one machine or many, by dask.distributed.

Numbers do not depend on who computes them; a task whose worker dies is given to another.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from itertools import islice
from typing import Any

from .errors import InputError, SedflowError

__all__ = ["in_order", "spread", "workers_of"]

# Dask has workers give memory back to the system at once, only to ask for it again.
_KEEP_MEMORY = {
    "distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": 2**27,
    "distributed.nanny.pre-spawn-environ.MALLOC_MMAP_THRESHOLD_": 2**25,
}
_AHEAD = 2  # tasks for each thread: one to work on, and one to go on with


@contextmanager
def workers_of(workers: int | None, scheduler: Any) -> Iterator[Any]:
    """Give a Dask client of new worker processes, or of those of a scheduler.

    Parameters
    ----------
    workers : int, optional
        Processes of one thread to start on this machine.
    scheduler : str or dask.distributed.Client, optional
        Address of a scheduler, or a client of one.

    Raises
    ------
    InputError
        If Dask is not installed or the scheduler does not answer.
    """
    if workers is not None and workers < 1:
        raise InputError(f"The number of workers must be positive, it is {workers}.")
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
        yield scheduler


def spread(
    client: Any,
    work: Callable[[Any, Any], Any],
    common: Any,
    tasks: Iterator[Any],
    stop: threading.Event | None = None,
) -> Iterator[Any]:
    """Results of `work(common, task)` as they come, with few tasks waiting at a time.

    After a stop nothing is begun, and what has begun is waited for.

    Parameters
    ----------
    client : dask.distributed.Client
    work : callable
        A function of a module, which workers can import.
    common : object
        What all tasks need; it travels to each worker once.
    tasks : iterator
    stop : threading.Event, optional
    """
    from dask.distributed import CancelledError, KilledWorker, as_completed

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sending large graph", UserWarning)
        # A task, so that Dask makes it anew where the workers that had it are gone.
        common = client.submit(_given, common, pure=False)
    pending = as_completed(loop=client.loop)  # there may be other clients
    while True:
        stopped = stop is not None and stop.is_set()
        room = 0 if stopped else _AHEAD * max(1, sum(client.nthreads().values()))
        for task in islice(tasks, max(0, room - pending.count())):
            pending.add(client.submit(work, common, task, pure=False))
        if pending.is_empty():
            return
        try:
            result = next(pending).result()
        except (KilledWorker, CancelledError) as error:
            raise SedflowError(
                "Workers died again and again over the same work: see the scheduler's log, give "
                "the workers more memory, and run the same command again to go on."
            ) from error
        yield result


def _given(common: Any) -> Any:
    return common


def in_order(results: Iterator[tuple[int, Any]], first: int) -> Iterator[Any]:
    """Numbered results in the order of their numbers, which begin at `first` and leave none out."""
    waiting: dict[int, Any] = {}
    for number, result in results:
        waiting[number] = result
        while first in waiting:
            yield waiting.pop(first)
            first += 1
