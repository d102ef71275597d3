"""Answers to the exercises of the lesson from ABC to NPE."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ..posterior.weighting import kish_ess
from ..samplers.abc import expected_acceptance, run_abc
from ..samplers.learned import Learned
from ..samplers.mass_and_dust import MassAndDust
from .answers import exercise, judge

__all__ = ["check_efficiency", "check_price", "check_summary", "sampling_efficiency"]

_BUDGET, _NEAREST = 300_000, 300


@exercise
def check_price(answer: Any) -> None:
    """How many simulations give 1,000 draws at ε = 0.5 with errors of 2 %."""
    galaxy = MassAndDust(error=0.02)
    share = float(expected_acceptance(galaxy.exact().log_integral, galaxy.sigma, 0.5))
    easy = MassAndDust()
    other = float(expected_acceptance(easy.exact().log_integral, easy.sigma, 0.5))
    right = 1000 / share
    print(
        judge(
            answer,
            right,
            0.3 * right,
            "Make the galaxy anew with error=0.02, find its evidence with exact(), and divide the "
            "draws that are wanted by expected_acceptance.",
            {
                "That is the number for errors of 10 %: make the galaxy with error=0.02.": 1000
                / other,
                "That is the acceptance: divide 1,000 draws by it.": share,
                "That is the price of one draw: a thousand are wanted.": 1 / share,
            },
        )
    )


@exercise
def check_summary(answer: Any, galaxy: MassAndDust) -> None:
    """Distance to the exact posterior where the r band alone is the summary."""
    run = run_abc(
        galaxy.draw,
        galaxy.simulate,
        galaxy.observed,
        _BUDGET,
        summary=lambda flux: galaxy.in_sigmas(flux)[:, 2:3],
    )
    exact = galaxy.exact()
    right = exact.distance(run.accepted(run.nearest(_NEAREST)))
    five = run_abc(galaxy.draw, galaxy.simulate, galaxy.observed, _BUDGET, summary=galaxy.in_sigmas)
    print(
        judge(
            answer,
            right,
            0.06,
            "Let summary be a function that gives column 2 of galaxy.in_sigmas(flux), as an array "
            "of shape (n, 1); then take the distance of run.accepted(run.nearest(300)).",
            {
                "That is the distance with all five bands: take r alone.": exact.distance(
                    five.accepted(five.nearest(_NEAREST))
                )
            },
        )
    )


def sampling_efficiency(npe: Learned, galaxy: MassAndDust, draws: np.ndarray) -> float:
    """Effective share of draws (n, 2) of a network, weighted by the exact posterior."""
    density = npe.posterior.log_prob(
        torch.as_tensor(draws, dtype=torch.float32),
        x=torch.as_tensor(galaxy.features(galaxy.observed[None]), dtype=torch.float32),
    )
    log_weight = galaxy.log_posterior(draws) - np.asarray(density.detach(), dtype=np.float64)
    weights = np.exp(log_weight - log_weight.max())
    return float(kish_ess(weights) / len(draws))


@exercise
def check_efficiency(answer: Any, npe: Learned, galaxy: MassAndDust, draws: np.ndarray) -> None:
    """Sampling efficiency of the network's draws (n, 2)."""
    right = sampling_efficiency(npe, galaxy, draws)
    print(
        judge(
            answer,
            right,
            0.01,
            "Weights are exp(log exact − log network); subtract the largest logarithm first. The "
            "efficiency is (Σw)² / Σw² over the number of draws.",
            {
                "That is the effective number of draws: divide it by their number.": right
                * len(draws)
            },
        )
    )
