"""What the coverage panel shows, without widgets: a run that grows in the background."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import traitlets

from ...anpe import AmortizedPosterior
from ...diagnostics.bands import default_bins, histogram, histogram_band, pp_band, pp_curve
from ...diagnostics.broken import blinded, train_badly
from ...diagnostics.calibration_run import CalibrationRun
from ...diagnostics.mocks import Fault
from ...diagnostics.runs import replay, run_calibration
from ...diagnostics.scoring import SCORED
from ...diagnostics.uniformity import Uniformity
from ...diagnostics.witnesses import CASES, sights
from ...errors import InputError
from ...methods import AMORTIZED
from ...observations.photometry import Photometry
from ...posterior.result import PosteriorResult
from ..kit.choice import DEFAULT_BUNDLE, Source, open_posterior
from ..kit.jobs import Job
from ..kit.state import State, Traits

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
    """What a run shows so far."""

    run: CalibrationRun
    check: Uniformity | None  # tests of all quantities; None below 20 simulations
    curves: np.ndarray  # (G, 15), p–p curves at `GRID`
    band: np.ndarray  # (2, G), holds a whole curve of right posteriors
    counts: np.ndarray  # (K, 15), rank histograms, in units of the expected count
    bars: np.ndarray  # (2,), hold a whole histogram of right posteriors

    @classmethod
    def of(cls, run: CalibrationRun) -> Findings:
        """Test a run and make its curves; it may take a second, so threads do it."""
        n = len(run)
        bins = default_bins(n)
        return cls(
            run,
            run.check() if n >= _FEWEST else None,
            pp_curve(run.scores, GRID),
            np.array(pp_band(n, GRID, LEVEL)),
            histogram(run.scores, bins) * bins / n,
            np.array(histogram_band(n, bins, LEVEL)) * bins / n,
        )

    @property
    def verdict(self) -> str:
        """In words."""
        if self.check is None:
            return f"{len(self.run)} simulations are too few for a verdict: wait for {_FEWEST}."
        return self.check.verdict()


@dataclass(frozen=True, eq=False)
class Example:
    """One simulation of a run, inferred again."""

    index: int  # its number in the run
    photometry: Photometry
    truth: np.ndarray  # (12,)
    result: PosteriorResult


class CoverageState(State):
    """A calibration run in a background thread, and one of its simulations to look at.

    Parameters
    ----------
    posterior : AmortizedPosterior, str or Path, optional
        A posterior, a shipped bundle by name, or a folder; default `DEFAULT_BUNDLE`.
    **choice
        First values of traits.
    """

    shared = (
        *("bundle", "method", "simulations", "draws", "seed"),
        *("case", "sigma", "prior_shift", "narrow", "quantity"),
    )

    bundle = traitlets.Unicode(DEFAULT_BUNDLE)  # name or folder: another one, and it is loaded
    method = traitlets.Enum(KINDS, default_value="fast")
    simulations = traitlets.Int(200, min=_FEWEST, max=20_000)
    draws = traitlets.Int(200, min=50, max=10_000)
    seed = traitlets.Int(0, min=0)
    # What to do wrong on purpose: see `diagnostics.witnesses.CASES`, and `diagnostics.mocks.Fault`.
    case = traitlets.Enum(tuple(CASES), default_value="nothing")
    sigma = traitlets.Float(1.0, min=0.01, max=100.0)
    prior_shift = traitlets.Float(0.0, min=-5.0, max=5.0)
    narrow = traitlets.Float(1.0, min=0.01, max=100.0)
    quantity = traitlets.Enum(SCORED, default_value="HPD regions")  # that is looked at
    findings = traitlets.Instance(Findings, allow_none=True)  # what the run has shown so far
    seen: Any = traitlets.Dict()  # `Sight` of each diagnostic, by name, once a run has ended
    example = traitlets.Instance(Example, allow_none=True)
    busy = traitlets.Bool(False)  # whether a run is under way
    opening = traitlets.Bool(False)  # whether an example is

    def __init__(self, posterior: Source = None, **choice: Any) -> None:
        self._given: dict[str, AmortizedPosterior] = {}  # by what stands for its name
        if isinstance(posterior, AmortizedPosterior):
            self.posterior = posterior
            choice.setdefault("bundle", posterior.bundle.source or "the given posterior")
            self._given[choice["bundle"]] = posterior
        else:
            choice["bundle"] = str(posterior or choice.get("bundle", DEFAULT_BUNDLE))
            self.posterior = open_posterior(choice["bundle"])
        self._networks: dict[str, AmortizedPosterior] = {}  # that are broken, once they are there
        self._runs: dict[Any, CalibrationRun] = {}  # with galaxies of the networks' own
        self.ran = "nothing"  # the case of the run that is shown
        super().__init__(**{"case": choice.pop("case", "nothing")})
        self._choose_case()
        for name, value in choice.items():
            setattr(self, name, value)
        self.observe(lambda change: self._load(change.new), "bundle")
        self.observe(lambda _: self._choose_case(), "case")

    @property
    def fault(self) -> Fault:
        """What is to be wrong on purpose with galaxies, or with draws."""
        return replace(
            CASES[self.case].fault,
            sigma=self.sigma,
            prior_shift=self.prior_shift,
            narrow=self.narrow,
        )

    @property
    def outdated(self) -> bool:
        """Whether the choice has changed since the run that is shown was begun."""
        if self.findings is None:
            return False
        run = self.findings.run
        then = *(run.settings[name] for name in ("method", "draws", "seed")), run.fault
        now = self.method, self.draws, self.seed, self.fault
        return then != now or self.ran != self.case

    def start(self) -> None:
        """Begin a run of the present choice; one that is under way is cancelled."""
        with self.jobs.lock:
            self.jobs.stop()
            self.message, self.findings, self.example, self.seen = "", None, None, {}
            self.opening, self.ran = False, self.case
            method, draws, seed, fault = self.method, self.draws, self.seed, self.fault
            posterior, network, n = self.posterior, CASES[self.case].network, self.simulations

            def work(job: Job) -> Traits:
                def show(found: CalibrationRun) -> None:
                    job.post(self._put, {"findings": Findings.of(found)})

                def own_run(of: AmortizedPosterior) -> CalibrationRun:
                    key = of.bundle.hash, method, n, draws, seed
                    if key not in self._runs:
                        found = run_calibration(of, *key[1:], stop=job.stop)
                        if len(found) < n:  # cancelled
                            return found
                        self._runs[key] = found
                    return self._runs[key]

                broken = self._broken(network, posterior, job)
                if broken is None:
                    return {}
                run = run_calibration(
                    broken, method, n, draws, seed, fault=fault, stop=job.stop, callback=show
                )
                if job.stop.is_set() or not (fault or network):
                    return {}
                reference, own = own_run(posterior), own_run(broken)
                return {} if job.stop.is_set() else {"seen": sights(run, reference, own)}

            self._start("run", "busy", "The run failed", work)

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
            network = self._networks.get(CASES[self.ran].network, self.posterior)
            simulation = network, self.findings.run, int(index)

            def work(job: Job) -> Traits:
                return {"example": Example(int(index), *replay(*simulation, _EXAMPLE_DRAWS))}

            self._start("example", "opening", "Opening the simulation failed", work)

    def most_surprising(self) -> int:
        """Number of the simulation with the most extreme score of the chosen quantity."""
        if self.findings is None:
            return 0
        # How far out: the outermost region, the worst fit, or either end of a marginal.
        middle = {"HPD regions": 0.0, "fit to the data": 1.0}.get(self.quantity, 0.5)
        scores = self.findings.run.scores[:, SCORED.index(self.quantity)]
        return int(np.nanargmax(np.abs(scores - middle)))

    def reset(self) -> None:
        """Do nothing wrong."""
        self.case = "nothing"
        self._choose_case()

    def _choose_case(self) -> None:
        """Put what a case does wrong where it can be seen and changed."""
        fault = CASES[self.case].fault
        self.sigma, self.prior_shift, self.narrow = fault.sigma, fault.prior_shift, fault.narrow

    def _broken(
        self, network: str, posterior: AmortizedPosterior, job: Job
    ) -> AmortizedPosterior | None:
        """The network of a case, made when it is first asked for; None if that was cancelled."""
        if not network:
            return posterior
        if network not in self._networks:
            if network == "blind":
                made: AmortizedPosterior | None = blinded(posterior)
            else:
                with tempfile.TemporaryDirectory(prefix="sedflow-broken-") as folder:
                    made = train_badly(network, posterior, folder, job.stop)
            if made is None:
                return None
            self._networks[network] = made
        return self._networks[network]

    def _load(self, name: str) -> None:
        try:
            self.posterior = self._given.get(name) or open_posterior(name)
        except InputError as error:
            self.message = str(error)
            return
        self.cancel()
        self._networks.clear()
        self.message, self.findings, self.example, self.seen = "", None, None, {}
