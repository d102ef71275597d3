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


def chains_of_study(
    store: Store, posterior: AmortizedPosterior, seed: int = 0
) -> tuple[CalibrationRun, int]:
    """Score the simulations of a study among the draws of their converged chains.

    Parameters
    ----------
    store : Store
        With the sample ``simulations``.
    posterior : AmortizedPosterior
        Knows model and prior, which must be the study's.
    seed : int
        Of the randomisation of scores.

    Returns
    -------
    run : CalibrationRun
    left_out : int
        Chains that are there but have not converged.

    Raises
    ------
    InputError
        If there is no converged chain of a simulation.
    """
    sample, settings = store.sample("simulations"), store.settings()
    if sample.truth is None:
        raise InputError(f"The galaxies in {store.folder} have no known truth.")
    parts, left_out = [], 0
    common = {
        "method": "mcmc",
        "draws": settings["draws"],
        "seed": settings["seed"],
        "bands": posterior.bands.to_json(),
        "fault": Fault().to_dict(),
    }
    for row, name in enumerate(sample.photometry.ids):
        chain = store.load("simulations", "mcmc", str(name))
        if chain is None:
            continue
        if chain.badge[0] != "converged":
            left_out += 1
            continue
        arrays: dict[str, Any] = score_result(
            chain, sample.photometry[row], sample.truth[row][None], posterior, seed + row
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
            name: {
                "ks": float(round(check.ks[k], 4)),
                "ks_p": float(check.ks_p[k]),
                "chi2_p": float(check.chi2_p[k]),
                "p_holm": float(check.p_holm[k]),
            }
            for k, name in enumerate(check.names)
        },
    }
