"""Catalogues of any length: inferred chunk by chunk into a store, from which a run goes on."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from .._files import difference, expanded, locked
from .._version import __version__
from ..anpe import AmortizedPosterior, load_posterior
from ..errors import InputError
from ..exact import Outliers
from ..methods import AMORTIZED, RECIPE
from ..observations.photometry import Photometry
from ..sps import BandSet, get_bands, load_ssp_grid
from ..sps.rest_frame import at_rest
from .clusters import on_dask
from .encoding import KEEP
from .opened import Catalogue
from .passes import Perform, Progress, Run
from .rows import Scan, scan, source_of
from .store import Store
from .work import Done, Task, work_on

__all__ = ["infer_catalogue"]

_GALAXIES, _DRAWS = 128, 256_000  # of a chunk, at most: seconds of work, 12 MB of draws
_HARD_AT_ONCE = 32  # galaxies that are made exact, and kept, together


def infer_catalogue(
    catalogue: str | Path | Photometry,
    out: str | Path,
    draws: int = 1000,
    method: str = "fast",
    seed: int = 0,
    *,
    posterior: str | Path | AmortizedPosterior = "nsa-ugriz",
    ssp: str | Path | None = None,
    keep: str = "float32",
    chunk: int | None = None,
    outliers: Outliers | None = None,
    error_floor: float | Mapping[str, float] | None = None,
    rest_frame: str | BandSet | None = None,
    budget: float | None = None,
    workers: int | None = None,
    scheduler: Any = None,
    progress: bool = False,
    stop: threading.Event | None = None,
    tell: Callable[[str], None] = lambda text: None,
    watch: Callable[[Progress], None] = lambda progress: None,
    **reading: Any,
) -> Catalogue:
    """Infer a catalogue of any length into a store, ``atlas.zarr``; the same call goes on with it.

    Rows are read, inferred and written in chunks, so that memory does not grow with the catalogue.
    Whenever the run ends, and however, all chunks but those in hand are kept, and going on gives
    the same files to the last bit: numbers of a galaxy depend on the seed and on the galaxy alone.
    Galaxies that cannot be inferred keep their row, with the reason in ``problem``.

    With the method ``"auto"`` the network infers all galaxies first, and then those posteriors are
    made exact whose badge is ``"refine"``. A budget of time takes those first whose posterior is
    farthest from the network's, so that what is left matters least.

    Parameters
    ----------
    catalogue : path, str or Photometry
        A table of any length, as for `read_photometry`, or an address that fsspec knows.
    out : path
        The store, a folder whose name ends in .zarr.
    draws, method, seed, outliers
        As for `AmortizedPosterior.infer`.
    posterior, ssp
        A posterior, or its name and SSP grid as for `load_posterior`.
    keep : {"float32", "uint16", "none"}
        What to keep of the draws: single precision (48 bytes a draw), 65,535 steps of each
        parameter's prior (24 bytes; the store's metadata has the largest error), or summaries
        alone (about 1 kB a galaxy).
    chunk : int, optional
        Galaxies of a chunk; default 128, and fewer of more than 2,000 draws.
    error_floor : float or mapping, optional
        As for `Photometry.with_error_floor`.
    rest_frame : str or BandSet, optional
        Bands, such as ``"sdss-ugriz"``, in which there are absolute magnitudes, colours,
        K-corrections and mass-to-light ratios (see `PosteriorResult.derived`).
    budget : float, optional
        Seconds after which no more posteriors are made exact.
    workers : int, optional
        Processes of one thread each, by Dask; default, this process with all its cores.
    scheduler : str or dask.distributed.Client, optional
        Address of a Dask scheduler, or a client of one, whose workers see `out` and the posterior
        under the same paths.
    progress : bool
        Show a progress bar, with the rate, the time left and the badges so far.
    stop : threading.Event, optional
        Set it to end early.
    tell : callable
        Called with sentences about what is found, and what is left.
    watch : callable
        Called with a `Progress` after every chunk.
    **reading
        ``columns``, ``on_bad``, ``extinction``, ``hdu`` and ``limit_sigmas``, as for
        `read_photometry`; bad galaxies are flagged by default.

    Returns
    -------
    Catalogue

    Raises
    ------
    InputError
        If the catalogue cannot be read, bands at rest are beyond the SSP grid, or the store holds
        other galaxies, or was made with other settings or another network.
    """
    out = _check(out, draws, method, keep, chunk, outliers)
    bands_at_rest = None if rest_frame is None else get_bands(rest_frame)
    loaded = posterior
    if not isinstance(loaded, AmortizedPosterior):
        loaded = load_posterior(loaded, ssp=load_ssp_grid(ssp))
    if bands_at_rest is not None:
        at_rest(loaded.model, bands_at_rest)  # refuses those that the stars do not reach
    source = source_of(catalogue, loaded, error_floor, **reading)
    found = scan(source, loaded, reading.get("on_bad", "flag"))
    for text in found.problems:
        tell(text)
    how = {"method": method, "draws": draws, "seed": seed, "keep": keep}
    store = _store(out, loaded, found, how, chunk, outliers, bands_at_rest)
    with ExitStack() as stack:
        stack.enter_context(locked(out / "store"))
        if workers is None and scheduler is None:
            perform: Perform = partial(_perform_here, store, loaded)
            at_once = _HARD_AT_ONCE
        else:
            dask = on_dask(store, _path_of(posterior), ssp, workers, scheduler)
            perform, at_once = stack.enter_context(dask), _HARD_AT_ONCE // 4
        run = Run(store, perform, at_once, stop or threading.Event(), progress, tell, watch)
        run.first_pass(source)
        if method == "auto" and not run.stop.is_set():
            run.second_pass(budget)
    return Catalogue(store)


def _check(
    out: str | Path,
    draws: int,
    method: str,
    keep: str,
    chunk: int | None,
    outliers: Outliers | None,
) -> Path:
    """The path of the store, once what is asked for makes sense."""
    out = expanded(out)
    if out.suffix != ".zarr":
        raise InputError(f"{out} is no name of a store: give one that ends in .zarr.")
    if not out.absolute().parent.is_dir():
        raise InputError(f"The folder {out.parent} does not exist: make it first.")
    if method not in AMORTIZED:
        raise InputError(f"There is no method {method!r}: choose one of {', '.join(AMORTIZED)}.")
    if keep not in KEEP:
        raise InputError(f"Draws cannot be kept as {keep!r}: choose one of {', '.join(KEEP)}.")
    for what, number in (("draws", draws), ("galaxies of a chunk", chunk)):
        if number is not None and number < 1:
            raise InputError(f"The number of {what} must be positive, it is {number}.")
    if outliers is not None and method == "fast":
        raise InputError(
            "The network's own draws know nothing of bad bands: choose one of the methods "
            "weighted, exact or auto, or leave out the outliers."
        )
    return out


def _store(
    out: Path,
    posterior: AmortizedPosterior,
    found: Scan,
    how: dict[str, Any],
    chunk: int | None,
    outliers: Outliers | None,
    rest_frame: BandSet | None,
) -> Store:
    """The store that is there, if it is of the same, or a new one."""
    there = Store.open(out) if out.exists() else None
    if chunk is None:
        most = max(1, min(_GALAXIES, _DRAWS // how["draws"]))
        chunk = most if there is None else there.size
    settings = {
        "network": posterior.bundle.hash,
        "method_recipe": RECIPE,
        **how,
        "chunk": chunk,
        "galaxies": found.galaxies,
        "photometry": found.identity,
        "prior": posterior.prior.name,
        **posterior.model.settings(),
        **found.settings,
        **(outliers.settings() if outliers else {}),
    }
    if rest_frame is not None:
        settings["rest_frame"] = rest_frame.to_json()
    settings = json.loads(json.dumps(settings))
    if there is None:
        about = {"posterior": posterior.bundle.name, "sedflow_lab": __version__}
        return Store.create(out, settings, about)
    if differing := difference(there.settings, settings):
        raise InputError(
            f"{out} holds posteriors that differ in {differing}: write to another store, or "
            "delete this one."
        )
    return there


def _perform_here(
    store: Store, posterior: AmortizedPosterior, tasks: Iterator[Task], stop: threading.Event
) -> Iterator[Done]:
    """Results of tasks, one by one, with the galaxies of each shared out among threads."""
    for task in tasks:
        if stop.is_set() or (done := work_on(task, store, posterior, stop)) is None:
            return
        yield done


def _path_of(posterior: str | Path | AmortizedPosterior) -> str | Path:
    """What workers load a posterior by."""
    if isinstance(posterior, AmortizedPosterior):
        raise InputError("Workers load the posterior themselves: give its name or folder.")
    return Path(posterior).absolute() if Path(posterior).is_dir() else posterior
