"""The two passes over a catalogue: the network for all galaxies, then exact posteriors for some."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from ..errors import InputError
from .rows import Source, in_chunks
from .store import Store
from .work import Done, Exact, Fresh, Hard, Task, hard_galaxies

__all__ = ["Perform", "Progress", "Run"]

_TIERS = 32  # into which a budget sorts galaxies by importance

Perform = Callable[[Iterator[Task], threading.Event], Iterator[Done]]
"""Performs tasks, in whatever order, until the event is set; gives what came of each."""


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


class Run:
    """A run on a store: what is there, what is missing, and the passes that make it."""

    def __init__(
        self,
        store: Store,
        perform: Perform,
        at_once: int,
        stop: threading.Event,
        progress: bool,
        tell: Callable[[str], None],
        watch: Callable[[Progress], None],
    ) -> None:
        self.store, self.perform, self.at_once, self.stop = store, perform, at_once, stop
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
        size = n if budget is None else max(4 * self.at_once, -(-n // _TIERS))
        progress = Progress("exact", 0, n)
        for tier in _tiers(self.hard, size):
            if stop.is_set():
                break
            self._follow(_batches(tier, self.at_once), progress, stop)
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


def _batches(tier: Hard, size: int) -> Iterator[Exact]:
    """Tasks of so many galaxies, or a few more: a chunk is in one of them."""
    places, count = dict[int, list[int]](), 0
    for number, place, _ in tier:
        if number not in places and count >= size:
            yield Exact(places)
            places, count = {}, 0
        places.setdefault(number, []).append(place)
        count += 1
    yield Exact(places)
