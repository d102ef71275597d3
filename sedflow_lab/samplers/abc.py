r"""Rejection ABC (approximate Bayesian computation): inference that only simulates.

Draw parameters from the prior, simulate what would be observed, and keep those whose simulation is
nearer to the observation than a tolerance ε. What is kept follows

.. math:: p_\epsilon(\theta \mid d) \propto
          p(\theta) \int_{\rho(s(x),\, s(d)) \le \epsilon} p(x \mid \theta)\, \mathrm{d}x,

which is the posterior given the summaries s once ε is so small that the likelihood hardly changes
within it. The price: with S summaries the share that is kept falls as :math:`\epsilon^S`.

References
----------
Pritchard et al. 1999, Mol. Biol. Evol. 16, 1791; Beaumont 2019, Annu. Rev. Stat. Appl. 6, 379.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..errors import InputError

__all__ = ["ABCRun", "expected_acceptance", "rms", "run_abc"]

_BATCH = 20_000
_LOOK = 0.5  # seconds between news

Draw = Callable[[int, np.random.Generator], np.ndarray]
"""From a number and a generator to draws (n, P) of the prior."""

Simulate = Callable[[np.ndarray, np.random.Generator], np.ndarray]
"""From parameters (n, P) and a generator to noisy data (n, B)."""

Summary = Callable[[np.ndarray], np.ndarray]
"""From data (n, B) to summaries (n, S)."""

Distance = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""From summaries (n, S) and those of the observation (S,) to distances (n,)."""


def rms(simulated: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """Root mean square (n,) of the differences of summaries (n, S) and (S,)."""
    return np.sqrt(np.square(simulated - observed).mean(-1))


@dataclass(frozen=True, eq=False, repr=False)
class ABCRun:
    """Simulations that came near to the observation, from which any smaller tolerance can choose.

    Attributes
    ----------
    theta : ndarray, shape (K, P)
        Parameters of what was kept, in the order in which they were drawn.
    distance : ndarray, shape (K,)
    simulations : int
        How many were made, kept or not.
    tolerance : float
        Largest distance that was kept.
    """

    theta: np.ndarray
    distance: np.ndarray
    simulations: int
    tolerance: float

    def accepted(self, tolerance: float) -> np.ndarray:
        """Parameters (k, P) of the simulations within a tolerance: draws of the ABC posterior."""
        return self.theta[self._within(tolerance)]

    def acceptance(self, tolerance: float) -> float:
        """Share of all simulations that are within a tolerance."""
        return float(self._within(tolerance).sum() / self.simulations)

    def nearest(self, draws: int) -> float:
        """The tolerance within which so many simulations lie."""
        if not 1 <= draws <= len(self.distance):
            raise InputError(
                f"{len(self.distance)} simulations were kept, so the nearest {draws} are not "
                "known: ask for fewer, or simulate more."
            )
        return float(np.partition(self.distance, draws - 1)[draws - 1])

    def _within(self, tolerance: float) -> np.ndarray:
        if not 0 < tolerance <= self.tolerance:
            raise InputError(
                f"The tolerance is {tolerance:g}: give more than 0, and at most "
                f"{self.tolerance:g}, beyond which nothing was kept."
            )
        return self.distance <= tolerance


def run_abc(
    draw: Draw,
    simulate: Simulate,
    observed: np.ndarray,
    budget: int = 100_000,
    *,
    summary: Summary | None = None,
    distance: Distance = rms,
    tolerance: float = math.inf,
    seed: int = 0,
    progress: bool = False,
    stop: threading.Event | None = None,
    callback: Callable[[ABCRun], None] | None = None,
) -> ABCRun:
    """Simulate as often as the budget allows, and keep what comes near to the observation.

    Parameters
    ----------
    draw : callable
        From a number n and a generator to draws (n, P) of the prior.
    simulate : callable
        From parameters (n, P) and a generator to data (n, B), noise included.
    observed : ndarray, shape (B,)
    budget : int
        How many simulations to make.
    summary : callable, optional
        From data (n, B) to summaries (n, S). By default the data themselves.
    distance : callable
        From summaries (n, S) and those of the observation (S,) to distances (n,).
    tolerance : float
        Simulations beyond this distance are forgotten. `ABCRun.accepted` chooses smaller ones.
    seed : int
    progress : bool
        Show a progress bar.
    stop : threading.Event, optional
        Set it to end early with what there is.
    callback : callable, optional
        Is told what there is, every half second.

    Returns
    -------
    ABCRun

    Raises
    ------
    InputError
        If the budget or the tolerance makes no sense, or a distance is not a number.
    """
    from tqdm.auto import tqdm

    if budget < 1 or not tolerance > 0:
        raise InputError(
            f"A budget of {budget} simulations and a tolerance of {tolerance:g}: both must be more "
            "than 0."
        )
    rng = np.random.default_rng(seed)
    given = np.asarray(observed, dtype=np.float64)[None]
    target = (given if summary is None else summary(given))[0]
    kept: list[tuple[np.ndarray, np.ndarray]] = []
    done = 0
    look = time.monotonic() + _LOOK

    def so_far() -> ABCRun:
        theta, near = (np.concatenate(part) for part in zip(*kept, strict=True))
        return ABCRun(theta, near, done, tolerance)

    with tqdm(total=budget, unit=" simulations", desc="ABC", disable=not progress) as bar:
        while done < budget and not (done and stop is not None and stop.is_set()):
            theta = draw(min(_BATCH, budget - done), rng)
            data = simulate(theta, rng)
            far = distance(data if summary is None else summary(data), target)
            if np.isnan(far).any():
                raise InputError(
                    f"The distance of simulation {done + int(np.isnan(far).argmax())} is not a "
                    "number: look at its summary, and at that of the observation."
                )
            done += len(theta)
            near = far <= tolerance
            kept.append((theta[near], far[near]))
            bar.update(len(theta))
            if callback is not None and done < budget and time.monotonic() > look:
                callback(so_far())
                look = time.monotonic() + _LOOK
    return so_far()


def expected_acceptance(
    log_evidence: float, sigma: np.ndarray, tolerance: np.ndarray | float
) -> np.ndarray:
    r"""Share of simulations that a small tolerance accepts, if summaries are data over sigma.

    The evidence is the density of simulations at the observation, so within the ball of `rms`
    distances up to ε there are, while the density hardly changes in it,

    .. math:: P(\epsilon) = Z \, \frac{(\pi B)^{B/2}}{\Gamma(B/2 + 1)} \, \epsilon^B
              \prod_X \sigma_X.

    Parameters
    ----------
    log_evidence : float
        Natural log of the evidence Z of the data.
    sigma : ndarray, shape (B,)
        The units in which distances are measured.
    tolerance : float or ndarray
    """
    size = len(sigma)
    log_ball = 0.5 * size * math.log(math.pi * size) - math.lgamma(0.5 * size + 1)
    log_unit = log_evidence + log_ball + float(np.log(sigma).sum())
    return np.exp(log_unit + size * np.log(np.asarray(tolerance, dtype=np.float64)))
