"""What is done to the chunks of a store, by whichever process."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ..anpe import AmortizedPosterior
from ..exact import Outliers
from ..observations.photometry import Photometry
from ..posterior.result import PosteriorResult
from .columns import as_photometry, columns_of
from .encoding import encoded
from .store import Chunk, Store

if TYPE_CHECKING:
    import pyarrow

__all__ = ["Done", "Exact", "Fresh", "Hard", "Task", "hard_galaxies", "work_on"]

Hard = list[tuple[int, int, float]]
"""Galaxies that are to be made exact: chunk, place in it, and distance from the posterior."""


@dataclass(frozen=True)
class Fresh:
    """A chunk to be made."""

    number: int
    photometry: Photometry


@dataclass(frozen=True)
class Exact:
    """Galaxies to be made exact, by the number of their chunk and their places in it."""

    places: dict[int, list[int]]


Task = Fresh | Exact


@dataclass(frozen=True)
class Done:
    """What came of a task: how many galaxies, and the badges that there are more, or less, of."""

    galaxies: int
    badges: Counter[str] = field(default_factory=Counter)
    hard: Hard = field(default_factory=list)


def work_on(
    task: Task,
    store: Store,
    posterior: AmortizedPosterior,
    stop: threading.Event | None = None,
    threads: int | None = None,
) -> Done | None:
    """Infer galaxies and write their chunks; None where it was stopped before any was."""
    settings = store.settings
    how: dict[str, Any] = {
        "draws": settings["draws"],
        "seed": settings["seed"],
        "outliers": Outliers(**settings["outliers"]) if "outliers" in settings else None,
        "on_bad": "flag",
        "stop": stop,
        "threads": threads,
    }
    if isinstance(task, Fresh):
        return _make(task, store, posterior, how)
    return _make_exact(task, store, posterior, how)


def hard_galaxies(number: int, badges: list[str], distances: list[float]) -> Hard:
    """Galaxies of a chunk whose badge asks for the exact posterior."""
    found = zip(badges, distances, strict=True)
    return [(number, k, d) for k, (badge, d) in enumerate(found) if badge == "refine"]


def _make(
    task: Fresh, store: Store, posterior: AmortizedPosterior, how: dict[str, Any]
) -> Done | None:
    method = store.settings["method"]
    result = posterior.infer(task.photometry, method=method, refine=False, **how)
    if _stopped(how) and "unfinished" in result.badge:
        return None
    rows = _columns(result, task.photometry, posterior, store, how["threads"])
    store.write(task.number, Chunk(rows, **_arrays(result, store)))
    badges, hard = result.badge.tolist(), Hard()
    if method == "auto":
        hard = hard_galaxies(task.number, badges, result.diagnostics["distance"].tolist())
    return Done(len(result), Counter(badges), hard)


def _make_exact(
    task: Exact, store: Store, posterior: AmortizedPosterior, how: dict[str, Any]
) -> Done | None:
    import pyarrow

    chunks = {number: store.read(number) for number in task.places}
    parts = [
        as_photometry(chunk.rows.take(task.places[number]), store.bands, _floor(store))
        for number, chunk in chunks.items()
        if chunk is not None
    ]
    result = posterior.infer(Photometry.concatenate(parts), method="exact", **how)
    reached = (result.badge != "unfinished") | (not _stopped(how))
    if not reached.any():
        return None
    first, badges = 0, Counter[str]()
    for (number, chunk), photometry in zip(chunks.items(), parts, strict=True):
        assert chunk is not None
        here = np.flatnonzero(reached[first : first + len(photometry)])
        part, places = result[first + here], np.array(task.places[number])[here]
        first += len(photometry)
        if not len(here):
            continue
        new = _columns(part, photometry[here], posterior, store, how["threads"])
        order = np.arange(len(chunk.rows))
        order[places] = len(order) + np.arange(len(places))
        old = chunk.rows.replace_schema_metadata(None)
        rows = pyarrow.concat_tables([old, new]).take(order)
        arrays = {name: getattr(chunk, name).copy() for name in store.arrays}
        for name, values in _arrays(part, store).items():
            arrays[name][places] = values
        store.write(number, Chunk(rows, **arrays))
        badges.update(part.badge.tolist())
        badges.subtract({"refine": len(part)})
    return Done(int(reached.sum()), badges)


def _arrays(result: PosteriorResult, store: Store) -> dict[str, np.ndarray]:
    """Draws as a store keeps them, by the names of its arrays."""
    arrays = dict[str, np.ndarray]()
    for name in store.arrays:
        if name == "samples":
            arrays[name] = encoded(result.samples, store.settings["keep"])
        else:
            values = result.weights if name == "weights" else result.draw_redshift
            arrays[name] = values.astype(np.float32)
    return arrays


def _columns(
    result: PosteriorResult,
    photometry: Photometry,
    posterior: AmortizedPosterior,
    store: Store,
    threads: int | None,
) -> pyarrow.Table:
    outliers, uncertain = "outliers" in store.settings, store.uncertain
    rest_frame = store.rest_frame
    return columns_of(result, photometry, posterior, outliers, uncertain, rest_frame, threads)


def _stopped(how: dict[str, Any]) -> bool:
    return how["stop"] is not None and how["stop"].is_set()


def _floor(store: Store) -> dict[str, float]:
    return store.settings.get("error_floor", {})
