"""What the witness panel shows, without widgets: the network, emcee as it runs, their distance."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import traitlets

from ...diagnostics.comparison import compare
from ...errors import InputError
from ...observations.photometry import Photometry
from ...posterior.result import PosteriorResult
from ...samplers.mcmc import Progress, run_mcmc
from ..kit.choice import GalaxyChoice, Outcome, Source
from ..kit.jobs import Job
from ..kit.state import Traits

__all__ = ["STARTS", "ChainSoFar", "WitnessState"]

STARTS = ("prior", "network", "both")
"""Where walkers may start."""

_DRAWS = 4000
_EVERY = 0.4  # seconds between news of a chain
_TRACES = 400  # most points of the walkers' history


@dataclass(frozen=True, eq=False)
class ChainSoFar:
    """How far emcee has come."""

    shown: Outcome  # while it runs, where the walkers were in the later half of the steps
    step: int
    tau: float  # longest autocorrelation time [steps], NaN while unknown
    status: str  # "running", "converged", "not converged" or "unfinished"
    steps: np.ndarray  # (T,), when walkers were looked at
    spread: np.ndarray  # (T, 3, 12), quantiles 0.16, 0.5 and 0.84 of all walkers then


class WitnessState(GalaxyChoice):
    """A chosen galaxy, the network's posterior at once, and emcee's while it is sampled.

    Emcee, the exact posterior and the comparison each have a thread. Choosing another galaxy stops
    them, and nothing that they still have to tell is heard.

    Parameters
    ----------
    posterior, photometry
        As of `GalaxyChoice`.
    seed : int
    max_steps, walkers : int
        Of emcee.
    **choice
        First values of `index`, `start`, `error_floor` and `outliers`, as emcee and the exact
        posterior have them.
    """

    shared = ("index", "start", "error_floor", "outliers")

    start = traitlets.Enum(STARTS, default_value="prior")  # where walkers start next time
    network = traitlets.Instance(Outcome, allow_none=True)
    exact = traitlets.Instance(Outcome, allow_none=True)  # by sequential Monte Carlo
    chain = traitlets.Instance(ChainSoFar, allow_none=True)  # emcee's
    sampling = traitlets.Bool(False)  # whether emcee is under way
    making_exact = traitlets.Bool(False)
    comparing = traitlets.Bool(False)
    tables: traitlets.Dict = traitlets.Dict()  # what `compare` finds of finished chains, by method

    def __init__(
        self,
        posterior: Source = None,
        photometry: Photometry | None = None,
        *,
        seed: int = 0,
        max_steps: int = 20_000,
        walkers: int = 128,
        **choice: Any,
    ) -> None:
        self.seed, self.max_steps, self.walkers = seed, max_steps, walkers
        super().__init__(posterior, photometry, **choice)
        self.observe(lambda _: self.infer(), ["index", "error_floor", "outliers"])
        self.infer()

    def infer(self) -> None:
        """Drop all that is known of the galaxy before, and ask the network about this one."""
        with self.jobs.lock:
            self.jobs.stop()
            self.sampling = self.making_exact = self.comparing = False
            self.chain = self.exact = None  # in this order: no chain, nothing to compare
            self.tables, self.message = {}, ""
            try:
                self.network = self._run(self.galaxy, _DRAWS, "fast", seed=self.seed)
            except InputError as error:
                self.network, self.message = None, str(error)

    def run_emcee(self) -> None:
        """Begin to sample the galaxy with emcee, from anew if it has been before."""
        with self.jobs.lock:
            if self.network is None:
                return
            self.jobs.stop("emcee", "compare")
            self.comparing, self.chain, self.tables, self.message = False, None, {}, ""
            work = partial(self._sample, self.galaxy, self.start)
            self._start("emcee", "sampling", "emcee failed", work)

    def cancel_emcee(self) -> None:
        """Stop emcee; what it has found so far stays to be seen."""
        with self.jobs.lock:
            self.jobs.stop("emcee")
            if self.sampling:
                if self.chain is not None:
                    self.chain = replace(self.chain, status="unfinished")
                self.sampling = False

    def make_exact(self) -> None:
        """Begin to make the network's posterior exact."""
        with self.jobs.lock:
            if self.network is None:
                return
            self.message, galaxy = "", self.galaxy

            def work(job: Job) -> Traits:
                return {"exact": self._run(galaxy, _DRAWS, "exact", job.stop, self.seed)}

            self._start("exact", "making_exact", "The exact posterior failed", work)

    def cancel_exact(self) -> None:
        """Stop making it exact."""
        with self.jobs.lock:
            self.jobs.stop("exact")
            self.making_exact = False

    def _sample(self, galaxy: Photometry, start: str, job: Job) -> Traits:
        """Run emcee and tell how it goes; runs in a thread of its own."""
        starts: dict[str, Any] = {"prior": "prior", "network": self.posterior}
        starts["both"] = (self.posterior, "prior")
        growth = _Growth(job, self, galaxy)
        how: Any = {"walkers": self.walkers, "max_steps": self.max_steps, "draws": _DRAWS}
        how |= {"start": starts[start], "seed": self.seed, "stop": job.stop, "callback": growth}
        how["outliers"] = self.allowed
        result = run_mcmc(galaxy, self.posterior.model, self.posterior.prior, **how)
        return {} if job.stop.is_set() else {"chain": growth.chain(result, str(result.badge[0]))}

    @traitlets.observe("chain", "exact")
    def _compare(self, change: traitlets.Bunch) -> None:
        """Compare what can be with the finished chain and has not been."""
        if change.name == "exact":
            self.tables = {k: v for k, v in self.tables.items() if k != "exact"}
        chain = self.chain
        if chain is None or chain.status not in ("converged", "not converged"):
            return
        known = [s.result for s in (self.network, self.exact) if s is not None]
        todo = [result for result in known if result.method not in self.tables]

        def work(job: Job) -> Traits:
            tables = self.tables
            for result in todo:
                if job.stop.is_set():
                    break
                found = compare(result, chain.shown.result, self.posterior.model, classifier=True)
                tables = tables | {result.method: found}
                job.post(self._put, {"tables": tables})
            return {}

        if todo:
            self._start("compare", "comparing", "The comparison failed", work)


class _Growth:
    """Follows a chain: remembers where walkers were, and now and then tells the state."""

    def __init__(self, job: Job, state: WitnessState, galaxy: Photometry) -> None:
        self.job, self.state, self.galaxy = job, state, galaxy
        self.began = self.told = time.perf_counter()
        self.unheard, self.pause = False, _EVERY
        self.seen: list[Progress] = []

    def __call__(self, progress: Progress) -> None:
        self.seen.append(progress)
        now = time.perf_counter()
        # A front end that is slower than the chain gets no queue of old news.
        if now - self.told < self.pause or self.unheard or self.job.stop.is_set():
            return
        later = self.seen[len(self.seen) // 2 :]
        draws = np.concatenate([p.samples for p in later])
        draws = draws[np.linspace(0, len(draws) - 1, min(len(draws), _DRAWS)).astype(int)]
        live = PosteriorResult.of(self.galaxy, draws[None], "mcmc", "running")
        self.unheard = True
        self.job.post(self._tell, self.chain(live, "running"))

    def _tell(self, chain: ChainSoFar) -> None:
        began = time.perf_counter()
        self.state.chain = chain
        self.unheard, self.told = False, time.perf_counter()
        # Drawing takes a quarter of the time at most, so that the page can answer.
        self.pause = max(_EVERY, 3 * (self.told - began))

    def chain(self, result: PosteriorResult, status: str) -> ChainSoFar:
        """The chain so far, or the whole of it."""
        shown = self.state._outcome(self.galaxy, result, time.perf_counter() - self.began)
        thin = self.seen[:: max(1, len(self.seen) // _TRACES)]
        last = self.seen[-1]
        tau = result.diagnostics["tau"] if "tau" in result.diagnostics else last.tau
        return ChainSoFar(
            shown=shown,
            step=last.step,
            tau=np.nan if tau is None else float(np.max(tau)),
            status=status,
            steps=np.array([p.step for p in thin]),
            spread=np.array([np.quantile(p.samples, (0.16, 0.5, 0.84), axis=0) for p in thin]),
        )
