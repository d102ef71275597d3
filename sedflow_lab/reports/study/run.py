"""Run a study: the chains, which take nearly all the time, and the network beside them."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from functools import partial
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ...anpe import AmortizedPosterior, load_posterior
from ...diagnostics.comparison import compare
from ...errors import InputError
from ...exact import Outliers
from ...samplers.ensemble import RECIPE
from ...samplers.mcmc import run_mcmc
from ...sps import load_ssp_grid
from .galaxies import Sample
from .store import NETWORK, Store

__all__ = ["chain_settings", "run_chains", "run_network"]

WALKERS, ENSEMBLES, DRAWS, MAX_STEPS = 256, 4, 4000, 20_000
"""Larger ensembles cost little more a step, as the model is quicker in large batches."""


class _Work(NamedTuple):
    """What is done for each row of a sample: this is what travels to another process."""

    task: Callable[[Store, Sample, AmortizedPosterior, int, Any], bool]
    store: Store
    sample: Sample
    posterior: str
    ssp: str | None

    def load(self) -> AmortizedPosterior:
        return load_posterior(self.posterior, ssp=load_ssp_grid(self.ssp))

    def begin(self) -> Callable[[int, Any], bool]:
        return partial(self.task, self.store, self.sample, self.load())


def chain_settings(posterior: AmortizedPosterior, seed: int) -> dict[str, Any]:
    """What the chains of a study depend on."""
    return {
        "bands": posterior.bands.name,
        "prior": posterior.prior.name,
        "birth_cloud_age": posterior.bundle.birth_cloud_age,
        "ssp_hash": posterior.bundle.ssp_hash,
        "start": "network and prior, in turn",
        "walkers": WALKERS,
        "ensembles": ENSEMBLES,
        "max_steps": MAX_STEPS,
        "draws": DRAWS,
        "seed": seed,
        "chain_recipe": RECIPE,
    }


def run_chains(
    store: Store,
    sample: Sample,
    posterior: str = "nsa-ugriz",
    ssp: str | None = None,
    *,
    workers: int = 1,
    progress: bool = False,
    stop: threading.Event | None = None,
) -> int:
    """Sample the exact posterior of every galaxy that has no chain yet with emcee.

    Half of the ensembles of each chain start from the network, half from the prior, so that it
    is called converged only where both lead to the same place.

    Parameters
    ----------
    store : Store
    sample : Sample
    posterior : str
        Name or folder of the network.
    ssp : str, optional
        File of the grid that it was trained with.
    workers : int
        Processes, each with one thread.
    progress : bool
        Show a progress bar.
    stop : threading.Event, optional
        Set it to stop within seconds; chains under way are given up.

    Returns
    -------
    int
        Galaxies that have no chain because it was stopped.
    """
    store.add(sample)
    ids = sample.photometry.ids
    todo = [row for row, i in enumerate(ids) if not store.path(sample.name, "mcmc", i).exists()]
    work = _Work(_chain, store, sample, posterior, ssp)
    return _each(work, todo, "mcmc", workers, progress, stop)


def run_network(
    store: Store,
    sample: Sample,
    posterior: str = "nsa-ugriz",
    ssp: str | None = None,
    *,
    methods: Sequence[str] = NETWORK,
    fresh: bool = False,
    workers: int = 1,
    progress: bool = False,
    stop: threading.Event | None = None,
) -> int:
    """Infer every galaxy that has a chain by methods of the network, and compare them with it.

    Parameters
    ----------
    methods : sequence of str
        Of `NETWORK`.
    fresh : bool
        Also where it has been done before.
    store, sample, posterior, ssp, workers, progress, stop
        As for `run_chains`.

    Returns
    -------
    int
        Galaxies that were not reached because it was stopped.

    Raises
    ------
    InputError
        If results of another network are there, which would not be replaced.
    """
    ids = sample.photometry.ids
    wanted: dict[int, list[str]] = {}
    for row, galaxy in enumerate(ids):
        if store.path(sample.name, "mcmc", galaxy).exists():
            for method in (m for m in methods if m in _methods(store)):
                if fresh or not store.path(sample.name, method, galaxy).exists():
                    wanted.setdefault(row, []).append(method)
    work = _Work(partial(_infer, methods=tuple(methods)), store, sample, posterior, ssp)
    anew = [(method, str(ids[row])) for row, names in wanted.items() for method in names]
    store.check_network(work.load().bundle.hash, sample.name, anew)
    # What an earlier run left is not taken for a result of this one.
    for row, names in wanted.items():
        for method in names:
            for suffix in (".ecsv", ".h5"):
                store.path(sample.name, method, ids[row], suffix).unlink(missing_ok=True)
    return _each(work, list(wanted), "network", workers, progress, stop)


def _each(
    work: _Work,
    rows: list[int],
    label: str,
    workers: int,
    progress: bool,
    stop: threading.Event | None,
) -> int:
    """Work on each row, here or in other processes; returns how many were not done."""
    from tqdm.auto import tqdm

    if workers < 1:
        raise InputError(f"The number of workers must be positive, it is {workers}.")
    todo = len(rows)
    if not todo:
        return 0
    what = f"{work.sample.name}: {label}"
    with tqdm(total=todo, unit=" galaxies", desc=what, disable=not progress) as bar:
        if workers == 1:
            do = work.begin()
            for row in rows:
                if (stop is not None and stop.is_set()) or not do(row, stop):
                    break
                todo -= 1
                bar.update()
            return todo
        context = get_context("spawn")
        halt = context.Event()
        with ProcessPoolExecutor(min(workers, todo), context, _begin, (work, halt)) as pool:
            pending: set[Future[bool]] = {pool.submit(_do, row) for row in rows}
            while pending:
                done, pending = wait(pending, timeout=0.2, return_when=FIRST_COMPLETED)
                if stop is not None and stop.is_set():
                    halt.set()
                    pending = {future for future in pending if not future.cancel()}
                finished = sum(future.result() for future in done if not future.cancelled())
                todo -= finished
                bar.update(finished)
    return todo


_here: dict[str, Any] = {}


def _begin(work: _Work, halt: Any) -> None:
    """Prepare a process: one thread, no Ctrl-C, which the parent handles, and no life after it."""
    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    _here.update(do=work.begin(), halt=halt)


def _end_with_parent() -> None:
    """End this process when its parent ends, which a kill would not tell it."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _do(row: int) -> bool:
    return not _here["halt"].is_set() and _here["do"](row, _here["halt"])


def _chain(
    store: Store, sample: Sample, posterior: AmortizedPosterior, row: int, stop: Any
) -> bool:
    result = run_mcmc(
        sample.photometry[row],
        posterior.model,
        posterior.prior,
        outliers=_outliers(store),
        start=(posterior, "prior"),
        walkers=WALKERS,
        ensembles=ENSEMBLES,
        max_steps=MAX_STEPS,
        draws=DRAWS,
        seed=int(store.settings()["seed"]),
        stop=stop,
    )
    if result.badge[0] == "unfinished":
        return False
    store.save(sample.name, result)
    return True


def _infer(
    store: Store,
    sample: Sample,
    posterior: AmortizedPosterior,
    row: int,
    stop: Any,
    methods: Sequence[str],
) -> bool:
    galaxy = sample.photometry[row]
    chain = store.load(sample.name, "mcmc", str(galaxy.ids[0]))
    assert chain is not None  # only rows with a chain come here
    floors: dict[int, float] = {}
    for method in (m for m in methods if m in _methods(store)):
        if store.path(sample.name, method, str(galaxy.ids[0])).exists():
            continue
        if stop is not None and stop.is_set():
            return False
        began = time.perf_counter()
        result = posterior.infer(
            galaxy,
            DRAWS,
            method,
            seed=int(store.settings()["seed"]),
            outliers=_outliers(store),
            on_bad="flag",
            stop=stop,
        )
        result.diagnostics["seconds"] = np.array([time.perf_counter() - began])
        if result.badge[0] == "unfinished" and stop is not None and stop.is_set():
            return False
        if result.usable[0] and chain.usable[0]:
            # Halves of the chain that are no longer than the result's draws are all the same.
            size = min(int(result.ess[0]), DRAWS // 2)
            table = compare(
                result, chain, posterior.model, classifier=True, c2st_floor=floors.get(size)
            )
            floors[size] = table.meta["c2st_floor"]
            store.save_comparison(sample.name, method, table)
        store.save(sample.name, result)
    return True


def _outliers(store: Store) -> Outliers | None:
    """Bands that may be bad, as the study says."""
    known = store.settings().get("outliers")
    return None if known is None else Outliers(**known)


def _methods(store: Store) -> tuple[str, ...]:
    """Methods of the network: its own draws know nothing of bad bands."""
    return NETWORK if _outliers(store) is None else NETWORK[1:]


def open_store(
    folder: str | Path,
    posterior: AmortizedPosterior,
    seed: int,
    allowed: Mapping[str, Any] | None = None,
) -> Store:
    """Open or make the folder of a study for a network.

    Parameters
    ----------
    folder : path
    posterior : AmortizedPosterior
    seed : int
    allowed : mapping, optional
        Error floor and outliers, as `Photometry.settings` and `Outliers.settings` give them.
    """
    return Store.create(folder, chain_settings(posterior, seed) | dict(allowed or {}))
