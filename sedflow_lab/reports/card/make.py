"""Make the calibration card of a bundle; an interrupted run goes on where it stopped."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import torch

from ..._files import read_json, write_json
from ..._threads import workers
from ..._version import __version__
from ...anpe import AmortizedPosterior
from ...anpe.simulate import mock_photometry
from ...anpe.support import FALSE_ALARM_RATE
from ...diagnostics.calibration_run import CalibrationRun
from ...diagnostics.runs import run_calibration
from ...errors import InputError
from ...methods import RECIPE
from ...observations.photometry import Photometry
from .badges import measure_badges, summarise_badges
from .goals import judge_goals, name_limits
from .measure import describe_calibration, describe_training, measure_rows, measure_speed, summarise

__all__ = ["SCHEMA", "CardSettings", "make_card"]

SCHEMA = 3
"""Version of the card's format."""

_DRAWS_AT_ONCE = 400_000
_JUDGED_AT_ONCE = 20
_SUPPORT_MOCKS = 100_000


@dataclass(frozen=True)
class CardSettings:
    """How much is measured."""

    simulations: int = 2000  # of each calibration run, fast and weighted
    exact_simulations: int = 2000  # of that of exact posteriors; there is none without any
    draws: int = 1000  # of each of them
    galaxies: int = 192  # of each kind, whose sampling efficiency is measured
    weighted_draws: int = 10_000  # of each of them
    exact: int = 48  # showcase galaxies whose exact posterior is timed
    particles: int = 1000  # of each of them
    catalogue_draws: int = 500  # fast ones, of each galaxy of a catalogue
    judged: int = 300  # galaxies of a catalogue whose badge is held against exact draws
    batch: int = 200  # others, whose exact posteriors are timed together
    seed: int = 0


def make_card(
    posterior: AmortizedPosterior,
    work: str | Path,
    settings: CardSettings = CardSettings(),
    *,
    showcase: Photometry | None = None,
    catalogue: Photometry | None = None,
    progress: bool = False,
    stop: threading.Event | None = None,
) -> tuple[dict[str, Any], dict[str, CalibrationRun]] | None:
    """Measure a posterior.

    Parameters
    ----------
    posterior : AmortizedPosterior
    work : path
        Folder that keeps what has been measured, so that a run that was stopped goes on.
    settings : CardSettings
    showcase, catalogue : Photometry, optional
        Real galaxies in the posterior's bands: a few that are measured in detail, and many.
        Simulated ones stand in for them where badges are judged and exact posteriors timed.
    progress : bool
    stop : threading.Event, optional
        Set it to end early.

    Returns
    -------
    card : dict
        JSON-able.
    runs : dict of CalibrationRun
        By method.

    None if `stop` ended it.
    """
    work, how = Path(work), dict[str, Any](progress=progress, stop=stop)
    work.mkdir(parents=True, exist_ok=True)
    bench = _Bench(posterior, work, settings.seed, how)
    mocks = _mocks(posterior, settings.galaxies, settings.seed + 1000)
    # What is timed comes first: a user may leave the machine alone for that long.
    speed = bench.once("speed", mocks, lambda: measure_speed(posterior, mocks))
    machine = bench.once("machine", mocks, _machine)
    exact = badges = batch = None
    if settings.exact:
        few = mocks if showcase is None else showcase
        chosen = few[:: max(1, len(few) // settings.exact)][: settings.exact]
        exact = bench.infer("exact", chosen, "exact", settings.particles)
    judged, timed = _chosen(posterior, catalogue, settings)
    if len(timed) and not bench.stopped:
        asked = posterior, timed, settings.particles, settings.seed
        batch = bench.once("batch", timed, lambda: _time_batch(*asked))
    if len(judged) and not bench.stopped:
        badges = bench.judge(judged, 2 * settings.particles)
    sizes = dict.fromkeys(("fast", "weighted"), settings.simulations)
    if settings.exact_simulations:
        sizes["exact"] = settings.exact_simulations
    runs: dict[str, CalibrationRun] = {}
    for method, size in sizes.items():
        if bench.stopped:
            return None
        path = work / f"calibration-{method}.npz"
        measured = posterior, method, size, settings.draws, settings.seed
        runs[method] = run_calibration(*measured, path=path, **how)
    groups: dict[str, Any] = {}
    groups["simulations"] = bench.infer("simulations", mocks, "weighted", settings.weighted_draws)
    if showcase is not None:
        few = showcase[: settings.galaxies]
        groups["showcase"] = bench.infer("showcase", few, "weighted", settings.weighted_draws)
    if catalogue is not None:
        groups["catalogue"] = bench.infer("catalogue", catalogue, "fast", settings.catalogue_draws)
    given = {"showcase": showcase, "catalogue": catalogue}
    real = {name: photometry for name, photometry in given.items() if photometry is not None}
    if bench.stopped:
        return None
    card: dict[str, Any] = {
        "schema": SCHEMA,
        "network": posterior.bundle.hash,
        "made": {
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "sedflow_lab": __version__,
            "torch": torch.__version__,
            "machine": machine,
            "settings": asdict(settings),
        },
        "training": describe_training(posterior.bundle) | {"stars": posterior.model.ssp.title},
        "bundle_bytes": posterior.bundle.size,
        "calibration": {name: describe_calibration(run) for name, run in runs.items()},
        "galaxies": groups,
        "exact": exact,
        "badges": badges,
        "batch": batch,
        "support": _measure_support(posterior, real, settings.seed),
        "speed": speed,
    }
    card["goals"] = judge_goals(card)
    card["limits"] = name_limits(posterior.bundle, card)
    # Through JSON and back, so that it is what a reader of the file will see.
    return json.loads(json.dumps(card, default=float)), runs


class _Bench(NamedTuple):
    """Infers groups of galaxies in parts, and keeps each part on disk."""

    posterior: AmortizedPosterior
    work: Path
    seed: int
    how: dict[str, Any]  # whether to show the progress, and what stops it

    @property
    def stopped(self) -> bool:
        """Whether it was told to stop."""
        stop = self.how["stop"]
        return stop is not None and stop.is_set()

    def infer(self, name: str, photometry: Photometry, method: str, draws: int) -> dict[str, Any]:
        """Summary of a group of galaxies; what was inferred before is read."""
        # Exact posteriors are timed one by one: some take ten times longer than others.
        size = 1 if method == "exact" else max(1, _DRAWS_AT_ONCE // draws)
        parts = []
        for index, first in enumerate(range(0, len(photometry), size)):
            if self.stopped:
                return {}
            part = photometry[first : first + size]
            parts.append(self._part(f"{name}-{index:04d}", part, method, draws, index))
        rows = _joined(parts)
        usable = max(1, sum(rows["usable"]))
        summary = summarise(rows) | {"method": method, "draws": draws}
        for key in ("seconds", "processor_seconds"):
            spent = [part[key] for part in parts]
            summary[f"{key}_a_galaxy"] = sum(spent) / usable
            if size == 1:
                summary[f"{key}_median"] = median(spent)
        return summary

    def judge(self, photometry: Photometry, draws: int) -> dict[str, Any]:
        """How often the badges of usable galaxies are right; what was found before is read."""
        parts = []
        for index, first in enumerate(range(0, len(photometry), _JUDGED_AT_ONCE)):
            if self.stopped:
                return {}
            part = photometry[first : first + _JUDGED_AT_ONCE]
            parts.append(self._part(f"badges-{index:04d}", part, "badges", draws, index))
        return summarise_badges(_joined(parts)) | {"draws": draws}

    def once(
        self, name: str, photometry: Photometry, measure: Callable[[], dict[str, Any]]
    ) -> dict[str, Any]:
        """Measure something of galaxies, unless that was done before."""
        return self._part(name, photometry, name, 0, 0, measure)["rows"]

    def _part(
        self,
        name: str,
        photometry: Photometry,
        method: str,
        draws: int,
        index: int,
        measure: Callable[[], dict[str, Any]] | None = None,
    ) -> dict[str, Any]:
        path = self.work / f"{name}.json"
        digest = hashlib.sha256(photometry.flux.tobytes() + photometry.sigma.tobytes())
        seed = self.seed + 1_000_003 * index
        identity = {
            "network": self.posterior.bundle.hash,
            "method_recipe": RECIPE,
            "photometry": digest.hexdigest()[:16],
            "method": method,
            "draws": draws,
            "seed": seed,
        }
        if path.exists():
            with suppress(InputError):  # what is damaged, or of another network, is measured anew
                found = read_json(path, "a part of the card", "delete it")
                if found.get("identity") == identity:
                    return found
        began = time.perf_counter(), time.process_time()
        if measure is not None:
            rows = measure()
        elif method == "badges":
            rows = measure_badges(self.posterior, photometry, draws, seed, **self.how)
        else:
            how = self.how | {"on_bad": "flag"}
            result = self.posterior.infer(photometry, draws, method, seed, **how)
            rows = measure_rows(result, photometry)
        part = {
            "identity": identity,
            "seconds": time.perf_counter() - began[0],
            "processor_seconds": time.process_time() - began[1],
            "rows": rows,
        }
        if not self.stopped:
            write_json(path, part, indent=None)
        return part


def _joined(parts: list[dict[str, Any]]) -> dict[str, list[Any]]:
    return {
        key: [value for part in parts for value in part["rows"][key]] for key in parts[0]["rows"]
    }


def _time_batch(
    posterior: AmortizedPosterior, photometry: Photometry, draws: int, seed: int
) -> dict[str, Any]:
    """Seconds a galaxy of exact posteriors, of all together and of those called refine."""
    refine = posterior.infer(photometry, draws, "fast", seed).badge == "refine"
    seconds = {}
    for name, rows in (("refine", refine), ("others", ~refine)):
        began = time.perf_counter()
        if rows.any():
            posterior.infer(photometry[rows], draws, "exact", seed)
        seconds[name] = time.perf_counter() - began
    n, n_refine = len(refine), int(refine.sum())
    return {
        "draws": draws,
        "threads": workers(),
        "all": {"galaxies": n, "seconds": sum(seconds.values()) / n},
        "refine": {"galaxies": n_refine, "seconds": seconds["refine"] / max(1, n_refine)},
    }


def _measure_support(
    posterior: AmortizedPosterior, groups: dict[str, Photometry], seed: int
) -> dict[str, Any] | None:
    """How often simulations are called unlike the training set, and which real galaxies are."""
    if posterior.bundle.support is None:
        return None
    mocks = _mocks(posterior, _SUPPORT_MOCKS, seed + 2000)
    found: dict[str, Any] = {"stated_rate": FALSE_ALARM_RATE, "groups": {}}
    for name, photometry in {"simulations": mocks, **groups}.items():
        usable = photometry[posterior.check(photometry) == ""]
        score = posterior.support(usable)
        assert score is not None
        blamed = posterior.suspect_bands(usable)
        found["groups"][name] = {
            "galaxies": len(usable),
            "outside": int(score.outside.sum()),
            "parts": dict(Counter(score.part[score.outside].tolist()).most_common()),
            "suspect_bands": dict(Counter(blamed[blamed != ""].tolist()).most_common()),
        }
    return found


def _chosen(
    posterior: AmortizedPosterior, catalogue: Photometry | None, settings: CardSettings
) -> tuple[Photometry, Photometry]:
    """Usable galaxies whose badges are judged, and others that are timed together."""
    n = settings.judged + settings.batch
    if catalogue is None:
        many = _mocks(posterior, max(1, n), settings.seed + 3000)
    else:
        many = catalogue[posterior.check(catalogue) == ""]
        many = many[np.random.default_rng(settings.seed).permutation(len(many))]
    return many[: settings.judged], many[settings.judged : n]


def _mocks(posterior: AmortizedPosterior, n: int, seed: int) -> Photometry:
    return mock_photometry(posterior.model, posterior.prior, posterior.bundle.noise, n, seed)[0]


def _machine() -> dict[str, Any]:
    from ...anpe.recipe import processor_name

    return {
        "processor": processor_name(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 1),
    }
