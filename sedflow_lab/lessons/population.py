"""Answers to the exercises of the lesson on populations, and its toy."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..posterior.population import Evidence, Population, fit_population
from .answers import exercise, judge

__all__ = ["QUIESCENT", "check_forgotten", "check_noise", "check_quiescent", "toy"]

QUIESCENT = -11.0
"""Log of the specific star-formation rate [1/yr] below which a galaxy is called quiescent."""

_TRUE_STD, _PRIOR_STD = 0.5, 2.0


def toy(
    noise: float, galaxies: int = 2000, draws: int = 100, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """True values (N,) of a narrow population, and their posteriors' draws (N, D).

    The population is N(1, 0.5²), the prior N(0, 2²), and each value is measured with noise.
    """
    rng = np.random.default_rng(seed)
    truth = rng.normal(1.0, _TRUE_STD, galaxies)
    data = truth + noise * rng.normal(size=galaxies)
    shrink = _PRIOR_STD**2 / (_PRIOR_STD**2 + noise**2)
    unit = rng.normal(size=(galaxies, draws))
    return truth, shrink * data[:, None] + np.sqrt(shrink) * noise * unit


@exercise
def check_noise(answer: Any) -> None:
    """Standard deviation of the stack where the noise is 0.1."""
    print(
        judge(
            answer,
            float(toy(0.1)[1].std()),
            0.01,
            "Call toy(0.1), and take the standard deviation of all draws together.",
            {
                "That is the stack for a noise of 1.": float(toy(1.0)[1].std()),
                "That is the population's own: the stack is a little wider.": _TRUE_STD,
            },
        )
    )


@exercise
def check_forgotten(answer: Any, evidence: Evidence) -> None:
    """Mean of log sSFR where the prior was not divided out."""
    flat = Evidence(evidence.values, evidence.weights, np.log(np.maximum(evidence.weights, 1e-300)))
    print(
        judge(
            answer,
            float(fit_population(flat).moments()[0][1]),
            0.03,
            "Make Evidence(evidence.values, evidence.weights, np.log(evidence.weights)), fit it, "
            "and give the second mean.",
            {
                "That is the mean with the prior divided out.": float(
                    fit_population(evidence).moments()[0][1]
                ),
            },
        )
    )


@exercise
def check_quiescent(answer: Any, population: Population) -> None:
    """Share of quiescent galaxies in a population."""
    right = float((population.sample(400_000)[:, 1] < QUIESCENT).mean())
    print(
        judge(
            answer,
            right,
            0.01,
            f"Draw many galaxies with population.sample(100_000), and count those whose second "
            f"number is below {QUIESCENT:g}.",
            {
                "That is in per cent: give it between 0 and 1.": 100 * right,
                "That is the share of the others.": 1 - right,
            },
        )
    )
