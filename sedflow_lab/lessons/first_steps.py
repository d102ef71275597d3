"""Answers to the exercises of the shorter notebooks: 01, 02, 04, 05 and 12."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from scipy import stats

from ..anpe import AmortizedPosterior
from ..diagnostics.uniformity import ALPHA
from ..observations.photometry import Photometry
from ..panels.kit.choice import Outcome
from ..panels.whatif.state import WhatIfState
from ..parameters import NAMES
from ..posterior.result import PosteriorResult
from ..sps import SEDModel
from ..units import magnitude
from .answers import exercise, judge

__all__ = [
    "check_bits",
    "check_coverage",
    "check_distance",
    "check_dusty",
    "check_error",
    "check_holm",
    "check_mass",
    "check_no_u",
    "check_ok",
    "check_reddening",
    "check_redshift",
    "check_simulations",
    "check_steps",
    "check_without_u",
    "check_z_score",
]

_DUST = NAMES.index("tau_ism")


def _say(
    answer: Any, right: float, within: float, hint: str, slips: Mapping[str, float] | None = None
) -> None:
    print(judge(answer, float(right), within, hint, slips))


# 01_quickstart


@exercise
def check_dusty(answer: Any, result: PosteriorResult) -> None:
    """Probability that the first galaxy has an optical depth above 0.5."""
    right = float((result.samples[0, :, _DUST] > 0.5).mean())
    _say(
        answer,
        right,
        0.005,
        "A probability is a share of the draws: take the mean of result.samples[0, :, 10] > 0.5.",
        {
            "That is the median optical depth: how probable is one above 0.5?": (
                float(np.median(result.samples[0, :, _DUST]))
            ),
            "That is the probability of the opposite.": 1 - right,
        },
    )


@exercise
def check_without_u(answer: Any, posterior: AmortizedPosterior, galaxy: Photometry) -> None:
    """Width of the optical depth without the u band, over that with it."""
    widths = [
        float(posterior.infer(one, 2000, "fast", seed=0).samples[0, :, _DUST].std())
        for one in (galaxy, galaxy.select_bands("g", "r", "i", "z"))
    ]
    right = widths[1] / widths[0]
    _say(
        answer,
        right,
        0.02,
        'Infer galaxy.select_bands("g", "r", "i", "z") as well, with the same seed, and divide the '
        "standard deviations of tau_ism.",
        {"That is the other way round: the width without u comes first.": 1 / right},
    )


@exercise
def check_ok(answer: Any, posterior: AmortizedPosterior, galaxies: Photometry) -> None:
    """How many of some galaxies are called ok."""
    found = posterior.infer(galaxies, 1000, "fast", seed=0)
    right = int((found.badge == "ok").sum())
    _say(
        answer,
        right,
        0.5,
        'Count where result.badge == "ok".',
        {"That is how many are not ok.": len(galaxies) - right},
    )


# 02_sed_model


@exercise
def check_mass(answer: Any) -> None:
    """Change of every magnitude where the mass is doubled."""
    right = -2.5 * np.log10(2.0)
    _say(
        answer,
        right,
        0.01,
        "Twice the mass is twice the light: put log_mstar up by log10(2), and compare magnitudes.",
        {
            "Brighter means smaller magnitudes: mind the sign.": -right,
            "That is ten times the mass.": -2.5,
        },
    )


@exercise
def check_distance(answer: Any, model: SEDModel, theta: np.ndarray) -> None:
    """Change of the r magnitude of a galaxy (12,) from redshift 0.05 to 0.1."""
    near, far = (float(magnitude(model.photometry(theta, z))[2]) for z in (0.05, 0.1))
    _say(
        answer,
        far - near,
        0.01,
        "Compute sl.magnitude(model.photometry(theta, z))[2] at both redshifts, and subtract.",
        {
            "That is what doubling the distance does. Light is also redshifted, and the universe "
            "was younger.": 5 * np.log10(2.0),
            "That is the other way round.": near - far,
        },
    )


@exercise
def check_reddening(answer: Any, model: SEDModel, theta: np.ndarray) -> None:
    """Optical depth at which a galaxy (12,), dust-free otherwise, is 0.2 mag redder in g − r."""

    def reddening(depth: float) -> float:
        colours = []
        for tau in (0.0, depth):
            changed = theta.copy()
            changed[_DUST] = tau
            mags = magnitude(model.photometry(changed, 0.05))
            colours.append(float(mags[1] - mags[2]))
        return colours[1] - colours[0]

    _say(
        answer,
        _root(lambda depth: reddening(depth) - 0.2, 0.0, 3.0),
        0.02,
        "Compute g − r for many values of theta[10], and look where it is 0.2 above that without "
        "dust: np.interp finds the place.",
    )


# 04_anpe_vs_mcmc


@exercise
def check_error(answer: Any, chain: PosteriorResult) -> None:
    """Monte Carlo error of the mean of log M★."""
    std, ess = float(chain.samples[0, :, 0].std()), float(chain.diagnostics["ess_bulk"][0][0])
    _say(
        answer,
        std / np.sqrt(ess),
        0.1 * std / np.sqrt(ess),
        "The error of a mean is the standard deviation over the root of the number of independent "
        'draws: that number is found["ess_bulk"][0].',
        {"That is the width of the posterior itself, which no chain makes smaller.": std},
    )


@exercise
def check_steps(answer: Any, chain: PosteriorResult) -> None:
    """Steps for 10,000 effective draws of the slowest parameter."""
    steps = float(chain.diagnostics["n_steps"][0])
    right = 1e4 * steps / float(chain.diagnostics["ess_bulk"][0].min())
    _say(
        answer,
        right,
        0.03 * right,
        'Effective draws grow with the steps: scale found["n_steps"] by 10,000 over the smallest '
        'found["ess_bulk"].',
    )


@exercise
def check_z_score(answer: Any, fast: PosteriorResult, chain: PosteriorResult) -> None:
    """Difference of the means of log M★ in units of the chain's standard deviation."""
    a, b = (made.samples[0, :, 0] for made in (fast, chain))
    right = float((a.mean() - b.mean()) / b.std())
    _say(
        answer,
        right,
        0.03,
        "Take the mean of fast.samples[0, :, 0] less that of the chain, over the chain's standard "
        "deviation.",
        {"That is in dex: divide it by the chain's standard deviation.": right * float(b.std())},
    )


# 05_coverage


@exercise
def check_coverage(answer: Any) -> None:
    """How often a 68 % interval of a posterior that is 0.7 times as wide holds the truth."""
    right = 2 * stats.norm.cdf(0.7 * stats.norm.isf(0.16)) - 1
    _say(
        answer,
        right,
        0.03,
        "Draw many truths from a standard normal distribution, and count how many lie within 0.7 "
        "times 0.994, which bounds 68 %.",
        {
            "That is 0.7 times 68 %: probability is not proportional to width.": 0.7 * 0.68,
            "That is what it claims.": 0.68,
        },
    )


@exercise
def check_holm(answer: Any) -> None:
    """What the smallest of fifteen p-values must be below."""
    _say(
        answer,
        ALPHA / 15,
        2e-4,
        "Holm multiplies the smallest of fifteen p-values by fifteen, and compares with 0.05.",
        {"That is for one quantity alone.": ALPHA},
    )


@exercise
def check_simulations(answer: Any) -> None:
    """Simulations at which a departure of 3 points is seen."""
    right = (1.36 / 0.03) ** 2
    _say(
        answer,
        right,
        0.05 * right,
        "Solve 1.36 / √N = 0.03 for N.",
        {"Three points are 0.03.": (1.36 / 3) ** 2, "Square it.": 1.36 / 0.03},
    )


# 12_what_if


@exercise
def check_no_u(answer: Any, state: WhatIfState) -> None:
    """Bits of the recent star-formation rate that are lost without u."""
    _moved(answer, state, "log_sfr_100myr", observed=("g", "r", "i", "z"))


@exercise
def check_bits(answer: Any, state: WhatIfState) -> None:
    """Bits of log M★ that are gained with half the errors."""
    _moved(answer, state, "log_mstar", noisier=dict.fromkeys("ugriz", 0.5))


@exercise
def check_redshift(answer: Any, state: WhatIfState) -> None:
    """Change of the mean of log M★ [dex] where the redshift is 0.01 larger."""
    now, before = _changed(state, redshift=_measured(state) + 0.01)
    right = float(now.values["log_mstar"].mean() - before.values["log_mstar"].mean())
    _say(
        answer,
        right,
        0.02,
        "Reset, put redshift=state.redshift + 0.01, wait, and subtract the means of "
        'values["log_mstar"] of state.before from that of state.now.',
        {"That is the other way round: what is now, less what was.": -right},
    )


def _measured(state: WhatIfState) -> float:
    return float(state.galaxy.redshift[0])


def _changed(state: WhatIfState, **change: Any) -> tuple[Outcome, Outcome]:
    """What a change of the photometry makes of the posterior, and what it was."""
    state.reset()
    state.wait()
    state.put(**change)
    state.wait()
    now, before = state.now, state.before
    assert now is not None and before is not None
    state.reset()
    state.wait()
    return now, before


def _moved(answer: Any, state: WhatIfState, name: str, **change: Any) -> None:
    now, before = _changed(state, **change)
    right = state.gain(now, name) - state.gain(before, name)
    _say(
        answer,
        right,
        0.03,
        f'Reset, put the change, wait, and take state.gain(state.now, "{name}") less '
        f'state.gain(state.before, "{name}").',
        {"Mind the sign: what is lost is negative.": -right},
    )


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    from scipy.optimize import brentq

    return float(brentq(function, low, high))
