"""Calibration of MCMC from the chains of a study, and runs in numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...anpe import AmortizedPosterior
from ...diagnostics.calibration_run import CalibrationRun
from ...diagnostics.mocks import Fault
from ...diagnostics.scoring import score_result
from ...errors import InputError
from ..study import Store

__all__ = ["chains_of_study", "numbers_of"]


def chains_of_study(store: Store, posterior: AmortizedPosterior) -> tuple[CalibrationRun, int]:
    """Score the simulations of a study among the draws of their converged chains.

    Model and prior of the posterior must be the study's. The number of chains that have not
    converged is returned with the run.

    Raises
    ------
    InputError
        If there is no converged chain of a simulation.
    """
    sample, settings = store.sample("simulations"), store.settings()
    if sample.truth is None:
        raise InputError(f"The galaxies in {store.folder} have no known truth.")
    parts, left_out = [], 0
    common = {"method": "mcmc", "draws": settings["draws"], "seed": settings["seed"]}
    common |= {"bands": posterior.bands.to_json(), "fault": Fault().to_dict()}
    for row, name in enumerate(sample.photometry.ids):
        chain = store.load("simulations", "mcmc", str(name))
        if chain is None:
            continue
        if chain.badge[0] != "converged":
            left_out += 1
            continue
        arrays: dict[str, Any] = score_result(
            chain, sample.photometry[row], sample.truth[row][None], posterior, row
        )
        parts.append(CalibrationRun(**arrays, settings=common))
    if not parts:
        raise InputError(
            f"{store.folder} has no converged chain of a simulation: make some with 'sedflow-lab "
            "compare --sample simulations'."
        )
    return CalibrationRun.concatenate(parts), left_out


def numbers_of(run: CalibrationRun) -> dict[str, Any]:
    """What a run says, for the record."""
    check = run.check()
    efficiency = run.efficiency[np.isfinite(run.efficiency)]
    return {
        "simulations": len(run),
        "draws": run.settings["draws"],
        "seconds": round(run.seconds, 1),
        "verdict": check.verdict(),
        "median_efficiency": float(np.median(efficiency)) if len(efficiency) else None,
        "mean_square_z": np.nanmean(np.square(run.z_scores), axis=0).round(3).tolist(),
        "median_contraction": np.nanmedian(run.contraction, axis=0).round(3).tolist(),
        "quantities": {
            str(row["quantity"]): {"ks": round(float(row["ks"]), 4)}
            | {name: float(row[name]) for name in ("ks_p", "chi2_p", "p_holm")}
            for row in check.table()
        },
    }
