"""How often a badge is right: fast draws against exact ones of the same galaxies."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...anpe import AmortizedPosterior
from ...diagnostics.comparison import Draws, wasserstein
from ...observations.photometry import Photometry
from ...posterior.result import PosteriorResult

__all__ = ["MISLEADS", "WRONG", "farthest", "measure_badges", "summarise_badges"]

MISLEADS, WRONG = 0.3, 0.5
"""Standard deviations by which a marginal of the network is off: `ok` misleads, or is wrong."""


def farthest(posterior: AmortizedPosterior, one: PosteriorResult, other: PosteriorResult) -> float:
    """Largest Wasserstein distance of two posteriors of one galaxy, in the other's deviations.

    It is over the 12 parameters and the derived quantities.
    """
    both = []
    for result in (one, other):
        derived = result.derived(posterior.model)
        columns = [result.samples[0], *(values[0] for values in derived.values())]
        both.append(Draws(np.column_stack(columns), result.weights[0]))
    return float(wasserstein(*both).max())


def measure_badges(
    posterior: AmortizedPosterior, photometry: Photometry, draws: int, seed: int, **how: Any
) -> dict[str, list[Any]]:
    """Badges of the network for usable galaxies, and how far its posteriors are from exact ones."""
    fast = posterior.infer(photometry, draws, "fast", seed, **how)
    exact = posterior.infer(photometry, draws, "exact", seed + 1, **how)
    rows = range(len(photometry))
    return {
        "badge": fast.badge.tolist(),
        "exact": exact.badge.tolist(),
        "off": [
            None if exact.badge[i] == "unfinished" else farthest(posterior, fast[[i]], exact[[i]])
            for i in rows
        ],
    }


def summarise_badges(rows: dict[str, list[Any]]) -> dict[str, Any]:
    """Error rates of the badge from what `measure_badges` found (JSON-able)."""
    off = np.array(rows["off"], dtype=float)
    known = np.isfinite(off)
    ok = known & (np.array(rows["badge"]) == "ok")
    refine = known & (np.array(rows["badge"]) == "refine")
    return {
        "galaxies": len(off),
        "without_exact": int((~known).sum()),
        "ok": int(ok.sum()),
        "ok_share": float((np.array(rows["badge"]) == "ok").mean()),
        "ok_misleads": int((off[ok] > MISLEADS).sum()),
        "ok_wrong": int((off[ok] > WRONG).sum()),
        "ok_worst": float(off[ok].max()) if ok.any() else None,
        "refine": int(refine.sum()),
        "refine_needless": int((off[refine] <= MISLEADS).sum()),
        "off_median": float(np.median(off[known])) if known.any() else None,
    }
