"""What the ABC panel shows, without widgets: simulations, and which of them a tolerance keeps."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import traitlets

from ...parameters import NAMES
from ...quantities import PARAMETERS
from ...samplers.abc import ABCRun, expected_acceptance, run_abc
from ...samplers.grid import Grid, binned
from ...samplers.mass_and_dust import FREE, MassAndDust
from ...sps import SEDModel
from ..kit.choice import Source, open_posterior
from ..kit.jobs import Job
from ..kit.state import State, Traits

__all__ = ["BUDGETS", "ERRORS", "LARGEST", "ABCState", "Exact", "Findings"]

ERRORS = (0.2, 0.1, 0.05, 0.02)
"""Uncertainties to choose from, as fractions of the flux."""

BUDGETS = (10_000, 100_000, 300_000, 1_000_000)
"""Numbers of simulations to choose from."""

LARGEST = 10.0
"""Largest tolerance: what is farther away is forgotten."""

_SMALLEST = 0.2
_TOLERANCES = np.geomspace(_SMALLEST, LARGEST, 50)
_FEWEST = 20  # accepted draws that have a distance worth the name
_DRAWS = 20_000
_EXACT_DRAWS = 10_000
_COLUMNS = [NAMES.index(name) for name in FREE]


@dataclass(frozen=True, eq=False)
class Exact:
    """The posterior that ABC is on its way to."""

    grid: Grid  # in mass and dust
    draws: np.ndarray  # (D, 2)
    log_evidence: float


@dataclass(frozen=True, eq=False)
class Findings:
    """What a run shows so far, at all tolerances."""

    run: ABCRun
    exact: Exact
    seconds: float  # that the simulations took
    tolerances: np.ndarray  # (T,)
    acceptance: np.ndarray  # (T,)
    expected: np.ndarray  # (T,), of small tolerances
    distance: np.ndarray  # (T,), NaN where too few are accepted

    @classmethod
    def of(cls, run: ABCRun, exact: Exact, sigma: np.ndarray, seconds: float) -> Findings:
        """Look at a run through many tolerances."""
        acceptance = np.array([run.acceptance(t) for t in _TOLERANCES])
        enough = acceptance * run.simulations >= _FEWEST
        distance = [
            exact.grid.distance(in_plane(run.accepted(t))) if ok else np.nan
            for t, ok in zip(_TOLERANCES, enough, strict=True)
        ]
        expected = expected_acceptance(exact.log_evidence, sigma, _TOLERANCES)
        return cls(run, exact, seconds, _TOLERANCES, acceptance, expected, np.array(distance))


def in_plane(theta: np.ndarray) -> np.ndarray:
    """Mass and dust (n, 2) of parameters (n, 2) or (n, 12)."""
    return theta if theta.shape[1] == len(FREE) else theta[:, _COLUMNS]


class ABCState(State):
    """Simulations in a background thread, and the tolerance that chooses from them.

    Parameters
    ----------
    posterior : AmortizedPosterior, str or Path, optional
        In whose bands the galaxy is seen, and from which the exact posterior of all twelve
        parameters is made; default, `DEFAULT_BUNDLE`, which is loaded once that is asked for.
    **choice
        First values of traits.
    """

    shared = ("error", "all_twelve", "budget", "seed", "tolerance")

    error = traitlets.Enum(ERRORS, default_value=0.1)  # of the flux
    all_twelve = traitlets.Bool(False)  # parameters free, not just mass and dust
    budget = traitlets.Int(300_000, min=1000, max=10_000_000)  # simulations
    seed = traitlets.Int(0, min=0)
    tolerance = traitlets.Float(5.0, min=_SMALLEST, max=LARGEST)  # in σ, root mean square of bands
    findings = traitlets.Instance(Findings, allow_none=True)
    busy = traitlets.Bool(False)

    def __init__(self, posterior: Source = None, **choice: Any) -> None:
        self._posterior = None if posterior is None else open_posterior(posterior)
        self._exact: dict[tuple[float, bool], Exact] = {}
        super().__init__(**choice)
        model = SEDModel() if self._posterior is None else self._posterior.model
        self.problem = self._posed(model)
        self.observe(lambda _: self.start(), ["error", "all_twelve", "budget", "seed"])

    def start(self) -> None:
        """Simulate anew with the present choice; what is under way is cancelled."""
        with self.jobs.lock:
            self.jobs.stop()
            self.message, self.findings = "", None
            if self.problem.error != self.error:
                self.problem = self._posed(self.problem.model)
            problem, twelve = self.problem, self.all_twelve
            budget, seed = self.budget, self.seed

            def work(job: Job) -> Traits:
                exact = self._exact_of(problem, twelve)
                began = time.perf_counter()

                def look(run: ABCRun) -> Findings:
                    return Findings.of(run, exact, problem.sigma, time.perf_counter() - began)

                run = run_abc(
                    problem.draw_all if twelve else problem.draw,
                    problem.simulate,
                    problem.observed,
                    budget,
                    summary=problem.in_sigmas,
                    tolerance=LARGEST,
                    seed=seed,
                    stop=job.stop,
                    callback=lambda part: job.post(self._put, {"findings": look(part)}),
                )
                return {"findings": look(run)}

            self._start("abc", "busy", "The simulations failed", work)

    def _posed(self, model: SEDModel) -> MassAndDust:
        """The galaxy with the present errors, no farther away than the model reaches."""
        redshift = min(MassAndDust.redshift, model.redshift_max)
        return MassAndDust(redshift=redshift, error=self.error, model=model)

    def cancel(self) -> None:
        """Stop simulating; what has been shown stays."""
        with self.jobs.lock:
            self.jobs.stop("abc")
            self.busy = False

    def kept(self) -> np.ndarray:
        """Mass and dust (n, 2) of the simulations within the tolerance."""
        if self.findings is None:
            return np.empty((0, 2))
        return in_plane(self.findings.run.accepted(self.tolerance))

    def _exact_of(self, problem: MassAndDust, twelve: bool) -> Exact:
        """The exact posterior of a problem, which is found once."""
        key = problem.error, twelve
        if key not in self._exact:
            self._exact[key] = self._find_all(problem) if twelve else _find(problem)
        return self._exact[key]

    def _find_all(self, problem: MassAndDust) -> Exact:
        """The exact posterior of all parameters, by way of the network."""
        if self._posterior is None:
            self._posterior = open_posterior(None)
        posterior = self._posterior
        photometry = problem.photometry(problem.observed[None])
        result = posterior.infer(photometry, _EXACT_DRAWS, "exact").resample(_EXACT_DRAWS)
        plane = result.samples[0][:, _COLUMNS]
        inside = ((plane >= problem.low) & (plane <= problem.high)).all(1)
        # Masses are drawn between narrower limits than those of the package's prior.
        mass, low, high = PARAMETERS[0], problem.low[0], problem.high[0]
        narrower = np.log(inside.mean() * (mass.high - mass.low) / (high - low))
        evidence = float(result.log_evidence[0] + narrower)
        return Exact(binned(plane[inside]), plane[inside], evidence)


def _find(problem: MassAndDust) -> Exact:
    grid = problem.exact()
    return Exact(grid, grid.sample(_DRAWS), grid.log_integral)
