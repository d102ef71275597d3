"""Calibration runs: simulate, infer, score, batch by batch; resumable, and small on disk."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .._dask import in_order, spread, workers_of
from .._files import difference
from .._threads import limited
from .._version import __version__
from ..anpe.simulate import simulation_settings
from ..errors import InputError
from ..methods import RECIPE
from ..observations.photometry import Photometry
from .calibration_run import CalibrationRun
from .mocks import Fault, draw_mocks, narrow_result
from .scoring import score_result

if TYPE_CHECKING:
    from ..anpe import AmortizedPosterior
    from ..posterior.result import PosteriorResult

__all__ = ["METHODS", "replay", "run_calibration"]

METHODS = ("fast", "weighted", "exact", "mcmc")
"""Kinds of posterior that can be calibrated."""

_DRAWS_AT_ONCE = 32_768
_MOCKS = 32  # galaxies that are drawn from one seed
_SAVE_SECONDS = 10.0

_Batch = tuple[int, int]  # its number, and how many galaxies it has


def run_calibration(
    posterior: AmortizedPosterior,
    method: str = "fast",
    simulations: int = 1000,
    draws: int = 1000,
    seed: int = 0,
    *,
    fault: Fault | None = None,
    path: str | Path | None = None,
    progress: bool = False,
    workers: int | None = None,
    scheduler: Any = None,
    stop: threading.Event | None = None,
    callback: Callable[[CalibrationRun], None] | None = None,
) -> CalibrationRun:
    """Simulate galaxies with the model and noise of the posterior, infer them, score the truths.

    Parameters
    ----------
    posterior : AmortizedPosterior
    method : str
        One of `METHODS`; MCMC starts at draws of the network.
    simulations, draws : int
        Galaxies, and draws for each.
    seed : int
        The same seed gives the same numbers, with or without interruptions.
    fault : Fault, optional
        What to do wrong on purpose.
    path : path, optional
        File to keep the run in, and to go on from: an interrupted run, or a shorter one.
    progress : bool
        Show a progress bar.
    workers : int, optional
        Processes of one thread each, by Dask; default, this process with all its cores.
    scheduler : str or dask.distributed.Client, optional
        Address of a Dask scheduler, or a client of one, whose workers are to do it.
    stop : threading.Event, optional
        Set it to end after the batches in hand, or within one where methods can, with what there
        is.
    callback : callable, optional
        Called with the run so far after every batch.

    Raises
    ------
    InputError
        If a setting does not suit, or the file holds a run of other settings.
    """
    from tqdm.auto import tqdm

    if method not in METHODS:
        raise InputError(f"There is no method {method!r}: choose one of {', '.join(METHODS)}.")
    if simulations < 1 or draws < 50:
        raise InputError(
            f"{simulations} simulations of {draws} draws: take one simulation or more, and 50 "
            "draws or more."
        )
    settings = _settings(posterior, method, draws, seed, fault or Fault())
    size = _batch_size(method, draws)
    parts = _resume(path, posterior, settings, simulations, size)
    done = sum(len(part) for part in parts)
    last = -(-simulations // size) if done < simulations else 0

    def batches() -> Iterator[_Batch]:
        for number in range(done // size, last):
            if stop is not None and stop.is_set():
                return
            yield number, min(size, simulations - number * size)

    saved = time.monotonic()
    bar = tqdm(total=simulations, initial=done, unit=" galaxies", desc=method, disable=not progress)
    with bar, ExitStack() as stack:
        common = posterior, settings
        if workers is None and scheduler is None:
            made: Iterator[tuple[int, CalibrationRun | None]] = (
                (k, _run_batch(*common, k, n, stop)) for k, n in batches()
            )
        else:
            client = stack.enter_context(workers_of(workers, scheduler))
            made = spread(client, _work, common, batches(), stop)
        for part in in_order(made, done // size):
            if part is None:  # stopped within the batch
                break
            parts = [CalibrationRun.concatenate([*parts, part])]
            bar.update(len(part))
            if path is not None and time.monotonic() - saved > _SAVE_SECONDS:
                parts[0].save(path)
                saved = time.monotonic()
            if callback is not None:
                callback(parts[0])
    whole = parts[0] if parts else CalibrationRun.empty(settings, len(posterior.bands))
    if path is not None and parts:
        whole.save(path)
    return whole


def replay(
    posterior: AmortizedPosterior, run: CalibrationRun, index: int, draws: int = 2000
) -> tuple[Photometry, np.ndarray, PosteriorResult]:
    """Infer one simulation of a run again, to look at it; refined where it was MCMC.

    Returns
    -------
    photometry : Photometry
        One galaxy.
    truth : ndarray, shape (12,)
    result : PosteriorResult
    """
    if not 0 <= index < len(run):
        raise InputError(f"The run has simulations 0 to {len(run) - 1}, but no {index}.")
    one, truth = _mocks(posterior, run.settings, index, 1)
    method = run.method if run.method != "mcmc" else "exact"
    result = posterior.infer(one, draws, method, run.settings["seed"] + index, on_bad="flag")
    if run.fault.narrow != 1:
        result, _ = narrow_result(result, posterior.prior, run.fault.narrow, truth)
    return one, truth[0], result


def _settings(
    posterior: AmortizedPosterior, method: str, draws: int, seed: int, fault: Fault
) -> dict[str, Any]:
    """What a run depends on."""
    return {
        "method": method,
        "draws": draws,
        "seed": seed,
        "fault": fault.to_dict(),
        "network": posterior.bundle.hash,
        "method_recipe": RECIPE,
        "sedflow_lab": __version__,
    } | simulation_settings(posterior.model, posterior.prior)


def _batch_size(method: str, draws: int) -> int:
    return 1 if method == "mcmc" else min(_MOCKS, max(1, _DRAWS_AT_ONCE // draws))


def _mocks(
    posterior: AmortizedPosterior, settings: dict[str, Any], first: int, n: int
) -> tuple[Photometry, np.ndarray]:
    """Galaxies number `first` to `first` + n: the same ones for every method and batch size."""
    galaxies, truths = [], []
    for block in range(first // _MOCKS, -(-(first + n) // _MOCKS)):
        seed = (settings["seed"] + 1) * 1_000_003 + block
        rows = slice(max(first - block * _MOCKS, 0), first + n - block * _MOCKS)
        source = posterior.model, posterior.prior, posterior.bundle.noise
        fault = Fault(**settings["fault"])
        photometry, truth = draw_mocks(*source, _MOCKS, seed, fault, first=block * _MOCKS)
        galaxies.append(photometry[rows])
        truths.append(truth[rows])
    return Photometry.concatenate(galaxies), np.concatenate(truths)


def _work(
    common: tuple[AmortizedPosterior, dict[str, Any]], batch: _Batch
) -> tuple[int, CalibrationRun | None]:
    """Run one batch in a worker."""
    number, n = batch
    with limited(1):
        return number, _run_batch(*common, number, n, None)


def _run_batch(
    posterior: AmortizedPosterior,
    settings: dict[str, Any],
    batch: int,
    n: int,
    stop: threading.Event | None,
) -> CalibrationRun | None:
    """Run one batch; None if it was stopped before its end."""
    started = time.monotonic()
    method, draws, fault = settings["method"], settings["draws"], Fault(**settings["fault"])
    photometry, truth = _mocks(posterior, settings, batch * _batch_size(method, draws), n)
    seed = int(np.random.SeedSequence([settings["seed"], batch]).generate_state(1)[0])
    if method == "mcmc":
        from ..samplers.mcmc import run_mcmc

        how: Any = {"start": posterior, "draws": draws, "seed": seed % 2**31, "stop": stop}
        result = run_mcmc(photometry, posterior.model, posterior.prior, **how)
    else:
        result = posterior.infer(photometry, draws, method, seed % 2**31, on_bad="flag", stop=stop)
    if stop is not None and stop.is_set():
        return None
    origin = None
    if fault.narrow != 1:
        result, origin = narrow_result(result, posterior.prior, fault.narrow, truth)
    arrays: dict[str, Any] = score_result(result, photometry, truth, posterior, seed, origin)
    return CalibrationRun(**arrays, settings=settings, seconds=time.monotonic() - started)


def _resume(
    path: str | Path | None,
    posterior: AmortizedPosterior,
    settings: dict[str, Any],
    simulations: int,
    size: int,
) -> list[CalibrationRun]:
    """What is there of the run: whole batches only, for those do not depend on its length."""
    if path is None or not Path(path).exists():
        return []
    found = CalibrationRun.load(path)
    if differing := difference(found.settings, settings):
        raise InputError(
            f"{path} holds a calibration run that differs in {differing}: choose another file "
            "or delete it."
        )
    # Settings do not tell which version of the SED model it was: the galaxies do.
    few = min(len(found), _MOCKS)
    again, _ = _mocks(posterior, settings, 0, few)
    if not np.allclose(again.flux, found.flux[:few], rtol=1e-6, equal_nan=True):
        raise InputError(
            f"{path} holds a calibration run of another version of the SED model: choose another "
            "file or delete it."
        )
    if len(found) >= simulations:
        return [found.head(simulations)]
    whole = len(found) // size * size
    return [found.head(whole)] if whole else []
