"""Catalogues of any length: inferred chunk by chunk into a store, from which a run goes on."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from .._files import difference, locked
from .._version import __version__
from ..anpe import AmortizedPosterior, load_posterior
from ..errors import InputError
from ..exact import Outliers
from ..methods import AMORTIZED, RECIPE
from ..observations.photometry import Photometry
from ..sps import load_ssp_grid
from .encoding import KEEP
from .opened import Catalogue
from .rows import Scan, Source, in_chunks, scan, source_of
from .store import Store
from .work import Done, Exact, Fresh, Hard, hard_galaxies, work_on

__all__ = ["Progress", "infer_catalogue"]

_GALAXIES, _DRAWS = 128, 256_000  # of a chunk, at most: seconds of work, 12 MB of draws
_HARD_AT_ONCE = 32  # galaxies that are made exact, and kept, together
_TIERS = 32  # into which a budget sorts them by importance

Task = Fresh | Exact
Perform = Callable[[Iterator[Task], threading.Event], Iterator[Done]]


@dataclass
class Progress:
    """How far a run has come.

    Attributes
    ----------
    phase : str
        ``"network"``, all galaxies, or ``"exact"``, those whose badge asks for it.
    done, total : int
        Galaxies of this phase.
    badges : Counter
        Badges of all galaxies that have been inferred.
    """

    phase: Literal["network", "exact"]
    done: int
    total: int
    badges: Counter[str] = field(default_factory=Counter)


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
    budget: float | None = None,
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
    budget : float, optional
        Seconds after which no more posteriors are made exact.
    progress : bool
        Show a progress bar, with the rate, the time left and the badges so far.
    stop : threading.Event, optional
        Set it to end early.
    tell : callable
        Called with sentences about what is found, and what is left.
    watch : callable
        Called with a `Progress` after every chunk.
    **reading
        ``columns``, ``on_bad``, ``extinction`` and ``hdu``, as for `read_photometry`; bad galaxies
        are flagged by default.

    Returns
    -------
    Catalogue

    Raises
    ------
    InputError
        If the catalogue cannot be read, or the store holds other galaxies, or was made with other
        settings or another network.
    """
    out = _check(out, draws, method, keep, chunk, outliers)
    if not isinstance(posterior, AmortizedPosterior):
        posterior = load_posterior(posterior, ssp=load_ssp_grid(ssp))
    source = source_of(catalogue, posterior, error_floor, **reading)
    found = scan(source, posterior, reading.get("on_bad", "flag"))
    for text in found.problems:
        tell(text)
    how = {"method": method, "draws": draws, "seed": seed, "keep": keep}
    store = _store(out, posterior, found, how, chunk, outliers)
    loaded = posterior

    def perform(tasks: Iterator[Task], stop: threading.Event) -> Iterator[Done]:
        for task in tasks:
            if stop.is_set() or (done := work_on(task, store, loaded, stop)) is None:
                return
            yield done

    with locked(out / "store"):
        run = _Run(store, perform, stop or threading.Event(), progress, tell, watch)
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
    out = Path(out).expanduser()
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
    settings = json.loads(json.dumps(settings))
    if there is None:
        about = {"posterior": posterior.bundle.name, "sedflow_lab": __version__}
        return Store.create(out, settings, about)
    if differing := difference(there.settings, settings):
        raise InputError(
            f"{out} holds posteriors with another {differing}: write to another store, or delete "
            "this one."
        )
    return there


class _Run:
    """A run on a store: what is there, what is missing, and the passes that make it."""

    def __init__(
        self,
        store: Store,
        perform: Perform,
        stop: threading.Event,
        progress: bool,
        tell: Callable[[str], None],
        watch: Callable[[Progress], None],
    ) -> None:
        self.store, self.perform, self.stop = store, perform, stop
        self.progress, self.tell, self.watch = progress, tell, watch
        self.badges, self.hard, self.there = Counter[str](), Hard(), set[int]()
        for number in store.chunks:
            try:
                state = store.state(number)
            except InputError as error:
                tell(f"{error} It is made anew now.")
                continue
            if state is not None:
                badges = state["badge"].to_pylist()
                self.there.add(number)
                self.badges.update(badges)
                self.hard += hard_galaxies(number, badges, state["distance"].to_pylist())

    def first_pass(self, source: Source) -> None:
        """Infer the galaxies of all chunks that are not there."""
        done, n = self.badges.total(), len(self.store)
        if done:
            self.tell(f"{done:,} of {n:,} galaxies were inferred before.")
        if done < n:
            chunks = enumerate(in_chunks(source(), self.store.size))
            missing = (Fresh(k, chunk) for k, chunk in chunks if k not in self.there)
            self._follow(missing, Progress("network", done, n), self.stop)

    def second_pass(self, budget: float | None) -> None:
        """Make the posteriors of hard galaxies exact, the most important first in a budget."""
        n = len(self.hard)
        if n == 0:
            return
        stop = self.stop if budget is None else _Until(self.stop, budget)
        size = n if budget is None else max(2 * _HARD_AT_ONCE, -(-n // _TIERS))
        progress = Progress("exact", 0, n)
        for tier in _tiers(self.hard, size):
            if stop.is_set():
                break
            self._follow(_batches(tier), progress, stop)
        if left := n - progress.done:
            self.tell(
                f"{left:,} of {n:,} galaxies whose badge is 'refine' are left: run the same "
                "command again to make their posteriors exact."
            )

    def _follow(self, tasks: Iterable[Task], progress: Progress, stop: threading.Event) -> None:
        """Have tasks performed, and tell how far they have come."""
        from tqdm.auto import tqdm

        with tqdm(
            total=progress.total,
            initial=progress.done,
            unit=" galaxies",
            desc=progress.phase,
            disable=not self.progress,
        ) as bar:
            for done in self.perform(iter(tasks), stop):
                self.badges.update(done.badges)
                self.hard += done.hard
                progress.done += done.galaxies
                progress.badges = +self.badges
                bar.set_postfix_str(
                    ", ".join(f"{n:,} {badge}" for badge, n in progress.badges.most_common()),
                    refresh=False,
                )
                bar.update(done.galaxies)
                self.watch(progress)


class _Until(threading.Event):
    """An event that is set by another, and when some seconds are over."""

    def __init__(self, other: threading.Event, seconds: float) -> None:
        super().__init__()
        self._other, self._end = other, time.monotonic() + seconds

    def is_set(self) -> bool:
        return self._other.is_set() or time.monotonic() >= self._end


def _tiers(hard: Hard, size: int) -> Iterator[Hard]:
    """So many galaxies at a time, those with the largest distances first."""
    order = sorted(hard, key=lambda galaxy: (-galaxy[2], galaxy[:2]))
    return (sorted(order[first : first + size]) for first in range(0, len(order), size))


def _batches(tier: Hard) -> Iterator[Exact]:
    """Tasks of enough galaxies for all cores; a chunk is in one of them."""
    places, count = dict[int, list[int]](), 0
    for number, place, _ in tier:
        if number not in places and count >= _HARD_AT_ONCE:
            yield Exact(places)
            places, count = {}, 0
        places.setdefault(number, []).append(place)
        count += 1
    yield Exact(places)
