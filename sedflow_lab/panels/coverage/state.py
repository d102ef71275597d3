"""What the coverage panel shows, without widgets: a run that grows in the background."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import traitlets

from ...anpe import AmortizedPosterior
from ...diagnostics.bands import default_bins, histogram, histogram_band, pp_band, pp_curve
from ...diagnostics.calibration_run import CalibrationRun
from ...diagnostics.mocks import Fault
from ...diagnostics.runs import replay, run_calibration
from ...diagnostics.scoring import SCORED
from ...diagnostics.uniformity import Uniformity
from ...errors import InputError
from ...methods import AMORTIZED
from ...observations.photometry import Photometry
from ...posterior.result import PosteriorResult
from ..kit.choice import DEFAULT_BUNDLE, Source, open_posterior
from ..kit.jobs import Job
from ..kit.state import State

__all__ = ["GRID", "KINDS", "LEVEL", "CoverageState", "Example", "Findings"]

GRID = np.linspace(0, 1, 51)
"""Where curves are drawn."""

LEVEL = 0.95
"""Share of right posteriors that stay within the bands."""

KINDS = tuple(word for word in AMORTIZED if word != "auto")
"""Methods to choose from; MCMC would take hours."""

_FEWEST = 20
_EXAMPLE_DRAWS = 2000


@dataclass(frozen=True, eq=False)
class Findings:
    """What a run shows so far.

    Attributes
    ----------
    run : CalibrationRun
        N simulations.
    wanted : int
        Simulations when it is finished.
    check : Uniformity or None
        Tests of all quantities; None below 20 simulations.
    curves : ndarray, shape (G, 15)
        p–p curves at `GRID`.
    low, high : ndarray, shape (G,)
        Band that holds a whole curve of right posteriors.
    counts : ndarray, shape (K, 15)
        Rank histograms, in units of the expected count.
    bars : tuple of float
        Band that holds a whole histogram of right posteriors.
    """

    run: CalibrationRun
    wanted: int
    check: Uniformity | None
    curves: np.ndarray
    low: np.ndarray
    high: np.ndarray
    counts: np.ndarray
    bars: tuple[float, float]

    @classmethod
    def of(cls, run: CalibrationRun, wanted: int) -> Findings:
        """Test a run and make its curves; it may take a second, so threads do it."""
        n = len(run)
        bins = default_bins(n)
        low, high = pp_band(n, GRID, LEVEL)
        bars = histogram_band(n, bins, LEVEL)
        return cls(
            run,
            wanted,
            run.check() if n >= _FEWEST else None,
            pp_curve(run.scores, GRID),
            low,
            high,
            histogram(run.scores, bins) * bins / n,
            (bars[0] * bins / n, bars[1] * bins / n),
        )

    @property
    def verdict(self) -> str:
        """In words."""
        if self.check is None:
            return f"{len(self.run)} simulations are too few for a verdict: wait for {_FEWEST}."
        return self.check.verdict()


@dataclass(frozen=True, eq=False)
class Example:
    """One simulation of a run, inferred again.

    Attributes
    ----------
    index : int
        Its number in the run.
    photometry : Photometry
        One galaxy.
    truth : ndarray, shape (12,)
    result : PosteriorResult
    """

    index: int
    photometry: Photometry
    truth: np.ndarray
    result: PosteriorResult


class CoverageState(State):
    """A calibration run in a background thread, and one of its simulations to look at.

    Parameters
    ----------
    posterior : AmortizedPosterior, str or Path, optional
        A posterior, a shipped bundle by name, or a folder; default `DEFAULT_BUNDLE`.
    **choice
        First values of the traits below.

    Attributes
    ----------
    bundle : str
        Name or folder of the posterior; another one is loaded when it is assigned.
    method : {'fast', 'weighted', 'exact'}
    simulations, draws, seed : int
    sigma, prior_shift, narrow : float
        What to do wrong on purpose: see `diagnostics.mocks.Fault`.
    quantity : str
        The one of `diagnostics.scoring.SCORED` that is looked at.
    findings : Findings or None
        What the run has shown so far.
    example : Example or None
    busy : bool
        Whether a run is under way.
    opening : bool
        Whether an example is under way.
    """

    bundle = traitlets.Unicode(DEFAULT_BUNDLE)
    method = traitlets.Enum(KINDS, default_value="fast")
    simulations = traitlets.Int(200, min=_FEWEST, max=20_000)
    draws = traitlets.Int(200, min=50, max=10_000)
    seed = traitlets.Int(0, min=0)
    sigma = traitlets.Float(1.0, min=0.01, max=100.0)
    prior_shift = traitlets.Float(0.0, min=-5.0, max=5.0)
    narrow = traitlets.Float(1.0, min=0.01, max=100.0)
    quantity = traitlets.Enum(SCORED, default_value="HPD regions")
    findings = traitlets.Instance(Findings, allow_none=True)
    example = traitlets.Instance(Example, allow_none=True)
    busy = traitlets.Bool(False)
    opening = traitlets.Bool(False)

    def __init__(self, posterior: Source = None, **choice: Any) -> None:
        if isinstance(posterior, AmortizedPosterior):
            self.posterior = posterior
            choice.setdefault("bundle", "the given posterior")
        else:
            choice["bundle"] = str(posterior or choice.get("bundle", DEFAULT_BUNDLE))
            self.posterior = open_posterior(choice["bundle"])
        super().__init__(**choice)
        self.observe(lambda change: self._load(change.new), "bundle")

    @property
    def fault(self) -> Fault:
        """What is to be wrong on purpose."""
        return Fault(self.sigma, self.prior_shift, self.narrow)

    @property
    def outdated(self) -> bool:
        """Whether the choice has changed since the run that is shown was begun."""
        if self.findings is None:
            return False
        now = {"method": self.method, "draws": self.draws, "seed": self.seed}
        settings = self.findings.run.settings
        same = all(settings[name] == value for name, value in now.items())
        return not same or self.findings.run.fault != self.fault

    def start(self) -> None:
        """Begin a run of the present choice; one that is under way is cancelled."""
        with self.jobs.lock:
            self.jobs.stop()
            self.message, self.findings, self.example = "", None, None
            self.opening, wanted = False, self.simulations
            choice = (self.posterior, self.method, wanted, self.draws, self.seed)
            run = partial(run_calibration, *choice, fault=self.fault)
            self._start("run", "busy", "The run failed", partial(self._run, run, wanted))

    def cancel(self) -> None:
        """Stop the run that is under way; what it has shown stays."""
        with self.jobs.lock:
            self.jobs.stop("run")
            self.busy = False

    def drill(self, index: int) -> None:
        """Infer one simulation of the run that is shown again, to look at it."""
        with self.jobs.lock:
            if self.findings is None:
                return
            work = partial(self._open, self.posterior, self.findings.run, int(index))
            self._start("example", "opening", "Opening the simulation failed", work)

    def most_surprising(self) -> int:
        """Number of the simulation with the most extreme score of the chosen quantity."""
        if self.findings is None:
            return 0
        scores = self.findings.run.scores[:, SCORED.index(self.quantity)]
        if self.quantity == "HPD regions":
            return int(np.nanargmax(scores))
        if self.quantity == "fit to the data":
            return int(np.nanargmin(scores))
        return int(np.nanargmax(np.abs(scores - 0.5)))

    def reset(self) -> None:
        """Do nothing wrong."""
        self.sigma, self.prior_shift, self.narrow = 1.0, 0.0, 1.0

    def _load(self, name: str) -> None:
        try:
            self.posterior = open_posterior(name)
        except InputError as error:
            self.message = str(error)
            return
        self.cancel()
        self.message, self.findings, self.example = "", None, None

    def _run(self, run: Callable[..., CalibrationRun], wanted: int, job: Job) -> None:
        """Make the run; runs in a thread of its own."""

        def show(found: CalibrationRun) -> None:
            job.post(self._put, {"findings": Findings.of(found, wanted)})

        run(stop=job.stop, callback=show)
        job.post(self._put, {"busy": False})

    def _open(
        self, posterior: AmortizedPosterior, run: CalibrationRun, index: int, job: Job
    ) -> None:
        """Infer one simulation; runs in a thread of its own."""
        example = Example(index, *replay(posterior, run, index, _EXAMPLE_DRAWS))
        job.post(self._put, {"opening": False, "example": example})
