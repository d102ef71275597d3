"""Threads behind a panel: one of each name, and no news from any that was stopped."""

from __future__ import annotations

import asyncio
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from math import inf
from typing import Any, ClassVar

__all__ = ["Job", "Jobs", "running_loop"]


_PATIENCE = 10.0  # seconds that the end of Python waits for a thread
# Clicks and keys are in a hurry that come faster than this, or than their work is done: on one core
# pages are drawn where the kernel computes, and what is clicked meanwhile comes late.
_REST, _LONGEST_REST = 0.06, 0.5  # seconds
_SHOWN = 1.0  # seconds after its cell, in which a panel is drawn


class Job:
    """A thread that works for a panel.

    Attributes
    ----------
    stop : threading.Event
        Set when nobody waits for the work any more.
    """

    def __init__(self, jobs: Jobs) -> None:
        self.stop = threading.Event()
        self._jobs = jobs

    def post(self, tell: Callable[..., None], *news: Any) -> None:
        """Call `tell` with news where the panel lives, unless the job has been stopped by then."""
        jobs = self._jobs
        jobs.news.append((self, tell, news))
        if jobs.loop is not None and jobs.loop.is_running():
            jobs.loop.call_soon_threadsafe(jobs.deliver)
        else:
            jobs.deliver()


class Jobs:
    """The threads of one panel.

    Parameters
    ----------
    loop : asyncio.AbstractEventLoop, optional
        Where news is delivered; without one, in the thread that has them.

    Attributes
    ----------
    lock : threading.RLock
        Held while news is delivered and while a state is changed; hold it to change what a
        job may see or tell. It is one for all panels: where one holds another, each may tell the
        other.
    news : deque
        What has not been delivered yet: who has it, whom to tell, and what.
    """

    lock: ClassVar = threading.RLock()

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self.loop = loop
        self.news: deque[tuple[Job, Callable[..., None], tuple[Any, ...]]] = deque()
        self._running: dict[str, Job] = {}
        self._threads: list[threading.Thread] = []
        self._planned: dict[str, Callable[[], None]] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._worked: dict[str, tuple[float, float]] = {}  # when last, and for how long
        # A thread that is at work in torch when Python ends would bring it down with a crash.
        weakref.finalize(self, _end, self._running, self._threads)

    def start(self, name: str, work: Callable[[Job], None]) -> Job:
        """Begin to work in a thread, after stopping the job that has this name."""
        with self.lock:
            self.stop(name)
            job = self._running[name] = Job(self)
            thread = threading.Thread(target=work, args=(job,), name=f"sedflow-{name}", daemon=True)
            self._threads[:] = [t for t in self._threads if t.is_alive()]
            self._threads.append(thread)
            thread.start()
        return job

    def stop(self, *names: str) -> None:
        """Stop the jobs of these names, or all of them; their threads end soon after."""
        with self.lock:
            if not names:
                self._planned.clear()
            for name in names or tuple(self._running):
                job = self._running.pop(name, None)
                if job is not None:
                    job.stop.set()

    def wait(self, timeout: float = 60.0) -> bool:
        """Wait for the threads, at most so many seconds; whether all have ended.

        A cell that waits keeps its loop from delivering news, so it is delivered here.
        """
        end = time.monotonic() + timeout
        for name in tuple(self._planned):
            self._do_planned(name)
        mine = self.loop is not None and running_loop() is self.loop
        # A job may start another as its last act, and so may its news.
        while True:
            alive = [t for t in self._threads if t.is_alive()]
            if mine:
                self.deliver()
            if time.monotonic() >= end or not (alive or (mine and self._threads_alive())):
                return not alive
            if alive:
                alive[0].join(max(0.0, min(0.2, end - time.monotonic())))

    def when_at_rest(self, name: str, work: Callable[[], None]) -> None:
        """Do this instead of what is planned by that name, once no more of it comes in a hurry.

        The first of a row, or one that comes alone, is done at once; so is all without a loop.
        """
        loop, now = self.loop, time.monotonic()
        with self.lock:
            hurry = now - self._worked.get(name, (-inf, 0.0))[0] < 4 * self._rest(name)
            if loop is None or not loop.is_running() or not (hurry or name in self._planned):
                self._do(name, work)
                return
            self._planned[name] = work
        loop.call_soon_threadsafe(self._plan, name, loop, self._rest(name))

    def _rest(self, name: str) -> float:
        """Seconds without more of something, after which the last of it is worked on."""
        return min(_LONGEST_REST, max(_REST, self._worked.get(name, (0.0, 0.0))[1]))

    def once_shown(self, name: str, work: Callable[[], None]) -> None:
        """Do this when the cell has ended and the panel had time to be drawn.

        On one core whatever works in a thread would keep the panel waiting.
        """
        self.later(_SHOWN, name, work)

    def later(self, delay: float, name: str, work: Callable[[], None]) -> None:
        """Do this after so many seconds, instead of what is planned by that name.

        Without a loop it is done at once.
        """
        loop = self.loop
        if loop is None or not loop.is_running():
            self._do(name, work)
            return
        with self.lock:
            self._planned[name] = work
        loop.call_soon_threadsafe(self._plan, name, loop, delay)

    def forget(self, name: str) -> None:
        """Do not do what is planned by this name."""
        with self.lock:
            self._planned.pop(name, None)

    def _plan(self, name: str, loop: asyncio.AbstractEventLoop, delay: float) -> None:
        if name in self._timers:
            self._timers[name].cancel()
        self._timers[name] = loop.call_later(delay, self._do_planned, name)

    def _do_planned(self, name: str) -> None:
        with self.lock:
            if (work := self._planned.pop(name, None)) is not None:
                self._do(name, work)

    def _do(self, name: str, work: Callable[[], None]) -> None:
        began = time.monotonic()
        work()
        now = time.monotonic()
        self._worked[name] = now, now - began

    def deliver(self) -> None:
        """Tell what news there is, in its order, but none of a job that has been stopped."""
        # Whoever stops a job holds the lock: news of one galaxy cannot slip in after another.
        with self.lock:
            while self.news:
                job, tell, news = self.news.popleft()
                if not job.stop.is_set():
                    tell(*news)

    def _threads_alive(self) -> bool:
        return any(thread.is_alive() for thread in self._threads)


def _end(running: dict[str, Job], threads: list[threading.Thread]) -> None:
    """Stop all jobs and wait for their threads."""
    for job in running.values():
        job.stop.set()
    for thread in threads:
        thread.join(_PATIENCE)


def running_loop() -> asyncio.AbstractEventLoop | None:
    """The loop that runs this cell, None outside of one."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
