"""How many threads: one for a small batch, and many galaxies are shared out among workers.

A batch of a few thousand points is done before threads have found one another, and on a busy
machine they wait for each other: an exact posterior took five times longer with two threads.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import torch

from .errors import InputError

__all__ = ["available", "limited", "one_thread", "share_out", "workers"]

_most = math.inf  # cores that may be used, see `limited`

T = TypeVar("T")
R = TypeVar("R")

# A forked child has none of its parent's threads, and would wait for them for ever.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))


def available() -> int:
    """Cores that this process may use: by its affinity, its container, and `limited`."""
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # macOS and Windows have no affinity
        cores = os.cpu_count() or 1
    return max(1, int(min(cores, _quota(), _most)))


def workers(threads: int | None = None) -> int:
    """Workers for many galaxies: as many as are asked for, else as there are cores.

    Raises
    ------
    InputError
        If fewer than one is asked for.
    """
    if threads is None:
        return available()
    if threads < 1:
        raise InputError(f"The number of threads is {threads}: give 1 or more.")
    return threads


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch use one thread within; OpenMP counts by the thread that asks, so each must."""
    with _torch_threads(1):
        yield


@contextmanager
def limited(threads: int) -> Iterator[None]:
    """Let this process use so many cores at most within: as torch's threads, and as workers."""
    global _most
    before, _most = _most, threads
    try:
        with _torch_threads(min(threads, torch.get_num_threads())):
            yield
    finally:
        _most = before


@contextmanager
def _torch_threads(n: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def share_out(work: Callable[[T], R], items: Sequence[T], n: int) -> Iterator[R]:
    """Results of `work`, in the order of the items, by n workers of one thread each."""

    def alone(item: T) -> R:
        with one_thread():
            return work(item)

    if n == 1 or len(items) < 2:
        yield from map(alone, items)
        return
    with ThreadPoolExecutor(min(n, len(items))) as pool:
        yield from pool.map(alone, items)


def _quota() -> int:
    """Cores that the container grants, by either version of Linux's control groups."""
    root = Path("/sys/fs/cgroup")
    try:
        quota, period = (root / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota = (root / "cpu/cpu.cfs_quota_us").read_text()
            period = (root / "cpu/cpu.cfs_period_us").read_text()
        except OSError:
            return os.cpu_count() or 1
    try:
        cores = float(quota) / float(period)
    except (ValueError, ZeroDivisionError):  # "max": no limit
        cores = -1.0
    return math.ceil(cores) if cores > 0 else os.cpu_count() or 1
