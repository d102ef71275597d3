"""Measurements for the card: efficiency, calibration, speed, whole catalogues."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import numpy as np
import torch

from ...anpe import AmortizedPosterior
from ...anpe.bundle import Bundle
from ...anpe.support import FALSE_ALARM_RATE
from ...anpe.trust import chi2_limit
from ...diagnostics.bands import pp_band, pp_curve
from ...diagnostics.calibration_run import CalibrationRun
from ...diagnostics.uniformity import holm
from ...exact.weights import MAX_PARETO_K
from ...observations.photometry import Photometry
from ...parameters import N_THETA, PARAMETERS
from ...posterior.result import PosteriorResult

__all__ = [
    "describe_calibration",
    "describe_training",
    "measure_rows",
    "measure_speed",
    "summarise",
]

LEVELS = (0.05, 0.1, 0.25, 0.5, 0.75, 0.95)
"""Quantiles that the card gives."""

_GRID = np.linspace(0.0, 1.0, 101)
_BAND = 0.99
_TIMED_DRAWS = 10_000
_TIMED_GALAXIES = 64
_REPEATS = 5


def describe_training(bundle: Bundle) -> dict[str, Any]:
    """What the network was trained on, how, where and how long (JSON-able)."""
    training = bundle.training
    record = training["record"]
    return {
        **bundle.settings(),
        "bands": list(bundle.bands.names),
        "flow": bundle.flow.config.to_dict(),
        "parameters": sum(p.numel() for p in bundle.flow.parameters()),
        "simulations": training["simulations"],
        "lessons": training.get("lessons"),
        "config": training["config"],
        "steps": record["step"][-1],
        "validation_loss": record["validation_loss"][-1],
        "training_loss": record["training_loss"][-1],
        "seconds": record["seconds"],
        "hardware": training["hardware"],
        "versions": training["versions"],
        "date": training["date"],
    }


def describe_calibration(run: CalibrationRun) -> dict[str, Any]:
    """Tests of a calibration run, quantity by quantity (JSON-able).

    p-values of the Kolmogorov-Smirnov tests of the marginals are corrected by Holm's method for
    their number. Coverage by TARP and by regions of highest density is compared with the band
    that holds the whole curve of a right posterior with 99 % probability.
    """
    found = run.check()
    corrected = holm(found.ks_p[:N_THETA])
    quantities = []
    for k, row in enumerate(found.table()):
        curve = pp_curve(run.scores[:, k], _GRID)
        low, high = pp_band(int(row["n"]), _GRID, _BAND)
        quantities.append(
            {
                "name": str(row["quantity"]),
                "kind": str(row["kind"]),
                **{name: row[name] for name in ("ks", "ks_p", "chi2_p", "p_holm")},
                "ks_p_holm": corrected[k] if k < N_THETA else None,
                "inside_band": bool(((curve >= low) & (curve <= high)).all()),
                "reading": str(row["verdict"]),
                "curve": np.round(curve[5:-5:5], 4).tolist(),
            }
        )
    return {
        "simulations": len(run),
        "draws": run.settings["draws"],
        "seed": run.settings["seed"],
        "seconds": run.seconds,
        "verdict": found.verdict(),
        "levels": np.round(_GRID[5:-5:5], 2).tolist(),
        "quantities": quantities,
    }


def measure_rows(result: PosteriorResult, photometry: Photometry) -> dict[str, list[Any]]:
    """What the card keeps of each galaxy (JSON-able lists of one length)."""
    samples = result.samples
    low, high = (np.array([getattr(p, side) for p in PARAMETERS]) for side in ("low", "high"))
    # The sum of the betas is one to rounding only.
    inside = ((samples >= low - 1e-9) & (samples <= high + 1e-9)).all((1, 2))
    inside &= np.abs(samples[..., 1:5].sum(-1) - 1).max(1) < 1e-6
    n_bands = photometry.mask.sum(1)
    rows: dict[str, np.ndarray] = {
        "badge": result.badge,
        "usable": result.usable,
        "inside": inside,
        "positive": np.all(~photometry.mask | (photometry.flux > 0), axis=1),
        "fits": np.asarray(result.chi2_min <= chi2_limit(n_bands)),
        "chi2_min": result.chi2_min,
        "ess": result.ess / samples.shape[1],
    }
    for name in ("efficiency", "pareto_k", "distance", "support", "evaluations"):
        if name in result.diagnostics:
            rows[name] = result.diagnostics[name]
    return {name: _plain(values) for name, values in rows.items()}


def summarise(rows: dict[str, list[Any]]) -> dict[str, Any]:
    """Summary of galaxies from what `measure_rows` kept of them (JSON-able)."""
    usable, fits, positive, inside = (
        np.array(rows[name], dtype=bool) for name in ("usable", "fits", "positive", "inside")
    )
    fits &= usable
    out: dict[str, Any] = {
        "galaxies": len(usable),
        "usable": int(usable.sum()),
        "positive": int(positive.sum()),
        "inside_prior": int((inside & usable).sum()),
        "positive_without_posterior": int((positive & ~(usable & inside)).sum()),
        "fits": int(fits.sum()),
        "badges": dict(Counter(rows["badge"]).most_common()),
        "quantile_levels": list(LEVELS),
    }
    for name in ("efficiency", "distance", "ess", "chi2_min", "evaluations"):
        if name in rows:
            values = np.array(rows[name], dtype=float)
            out[name] = _quantiles(values[usable])
            out[f"{name}_where_it_fits"] = _quantiles(values[fits])
    if "pareto_k" in rows:
        k = np.array(rows["pareto_k"], dtype=float)[usable]
        out["heavy_tails"] = float(np.mean(k > MAX_PARETO_K))
    if "support" in rows:
        p = np.array(rows["support"], dtype=float)[usable]
        out["outside_training_set"] = float(np.mean(p < FALSE_ALARM_RATE))
    half = np.array(rows["ess"], dtype=float)[fits] >= 0.5
    out["half_effective"] = float(half.mean()) if len(half) else None
    return out


def measure_speed(posterior: AmortizedPosterior, photometry: Photometry) -> dict[str, Any]:
    """Time of 10,000 draws for one galaxy, and draws a second in batches.

    The clock tells what a user waits; the processor's time does not count what other programs
    on the machine take.
    """
    one, many = photometry[0], photometry[:_TIMED_GALAXIES]
    draws = _TIMED_DRAWS // 5
    posterior.sample(one, _TIMED_DRAWS)  # not the first time, which allocates

    def timed(galaxies: Photometry, n: int) -> list[float]:
        spent = []
        for _ in range(_REPEATS):
            began = time.perf_counter(), time.process_time()
            posterior.sample(galaxies, n)
            spent.append((time.perf_counter() - began[0], time.process_time() - began[1]))
        return np.median(spent, axis=0).tolist()

    single, batch = timed(one, _TIMED_DRAWS), timed(many, draws)
    total = len(many) * draws
    return {
        "draws": _TIMED_DRAWS,
        "seconds": single[0],
        "processor_seconds": single[1],
        "batch_galaxies": len(many),
        "batch_draws": draws,
        "batch_rate": total / batch[0],
        "batch_rate_processor": total / batch[1],
        "threads": torch.get_num_threads(),
    }


def _quantiles(values: np.ndarray) -> list[float | None]:
    values = values[np.isfinite(values)]
    if not len(values):
        return [None] * len(LEVELS)
    return [float(f"{v:.5g}") for v in np.quantile(values, LEVELS)]


def _plain(values: np.ndarray) -> list[Any]:
    """Plain Python values; five digits of numbers, None for what is not finite."""
    if values.dtype.kind != "f":
        return values.tolist()
    return [float(f"{v:.5g}") if np.isfinite(v) else None for v in values]
