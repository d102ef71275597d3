"""What the galaxy panel shows, without widgets: the choice of a galaxy, and its posterior."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import traitlets

from ...anpe.blame import Blame, find_blame
from ...anpe.trust import chi2_limit
from ...errors import InputError
from ...methods import AMORTIZED
from ...observations.photometry import Photometry
from ...posterior.reweight import values_of
from ...quantities import QUANTITIES
from ...sps.rest_frame import at_rest
from ..kit.choice import DEFAULT_QUANTITIES, ERROR_FLOOR, GalaxyChoice, Outcome, Source
from ..kit.jobs import Job
from ..kit.pace import time_left
from ..kit.state import Traits
from ..kit.takeaway import code_of

if TYPE_CHECKING:
    from ...samplers.mcmc import Progress

__all__ = ["MAX_QUANTITIES", "GalaxyState"]

MAX_QUANTITIES = 6
"""Quantities of the corner plot at most."""

_ODD = 0.01  # p-value of the photometry, below which a band may be to blame
_EMCEE_DRAWS = 4000
_ENOUGH = 50  # autocorrelation times that a chain is to be long
_TELL_EVERY = 0.5  # seconds


class GalaxyState(GalaxyChoice):
    """A chosen galaxy and its posterior; every change of the choice infers anew.

    The network's posterior is there when the assignment returns. The exact one takes seconds:
    it is made in a thread while the network's is shown, and dropped if the choice changes in
    the meantime.

    Parameters
    ----------
    posterior, photometry
        As of `GalaxyChoice`.
    truth : array_like, shape (N, 12), optional
        Parameters that the galaxies were simulated with.
    **choice
        First values of the traits in `shared`.

    Examples
    --------
    >>> state = GalaxyState(index=3, method="fast")
    >>> view = state.to_json()
    >>> state.load_json(view)
    """

    shared = (
        "index",
        "method",
        "draws",
        "observed",
        "error_floor",
        "outliers",
        "quantities",
        "zoom",
        "flat",
    )

    # Auto is exact where the badge of the network's posterior is "refine".
    method = traitlets.Enum(AMORTIZED, default_value="auto")
    draws = traitlets.Int(1000, min=100, max=20_000)
    observed: traitlets.Tuple = traitlets.Tuple()  # labels of the bands to use
    quantities: traitlets.Tuple = traitlets.Tuple(DEFAULT_QUANTITIES)  # in the corner plot
    zoom = traitlets.Bool(False)  # axes show the posterior, and not all of the prior
    outcome = traitlets.Instance(Outcome, allow_none=True)  # the newest; None: see `message`
    # Posteriors of the same galaxy by other methods, by method.
    others: traitlets.Dict = traitlets.Dict()
    pinned = traitlets.Instance(Outcome, allow_none=True)  # another galaxy, to compare with
    flat: traitlets.Tuple = traitlets.Tuple()  # quantities in which weights make the prior flat
    few = traitlets.Bool(False)  # whether the flat prior leaves few effective draws
    blamed = traitlets.Instance(Blame, allow_none=True)  # the band to blame, where bands disagree
    busy = traitlets.Bool(False)  # whether an exact posterior is under way
    sampling = traitlets.Bool(False)  # whether emcee is
    progress = traitlets.Unicode("")  # how far emcee has come

    def __init__(
        self,
        posterior: Source = None,
        photometry: Photometry | None = None,
        truth: Any = None,
        **choice: Any,
    ) -> None:
        self._plain: Outcome | None = None
        super().__init__(posterior, photometry, **choice)
        if truth is None and self.examples is not None:
            truth = self.examples.truth
        self.truths = None if truth is None else np.asarray(truth, dtype=float)
        expected = (len(self.galaxies), 12)
        if self.truths is not None and self.truths.shape != expected:
            raise InputError(f"The truth has the shape {self.truths.shape}: give {expected}.")
        chosen = ["index", "method", "draws", "observed", "error_floor", "outliers"]
        self.observe(lambda _: self._when_at_rest("infer", self.infer), chosen)
        self.observe(lambda _: self._show(self._plain), "flat")
        self.infer()

    @traitlets.validate("quantities", "flat")
    def _check_quantities(self, proposal: traitlets.Bunch) -> tuple[str, ...]:
        least = 1 if proposal.trait.name == "quantities" else 0
        for name in proposal.value:
            if name not in QUANTITIES:
                raise traitlets.TraitError(f"There is no quantity {name!r}.")
        if not least <= len(proposal.value) <= MAX_QUANTITIES:
            raise traitlets.TraitError(f"Choose {least} to {MAX_QUANTITIES} quantities.")
        return tuple(proposal.value)

    @property
    def truth(self) -> Mapping[str, float] | None:
        """What the chosen galaxy was simulated with, by quantity; None for a real one."""
        if self.truths is None:
            return None
        theta, redshift = self.truths[self.index], float(self.galaxies.redshift[self.index])
        model = self.posterior.model
        names = (*QUANTITIES, *at_rest(model).names)
        values = values_of(names, theta[None], redshift, model)
        return dict(zip(names, values[0].tolist(), strict=True))

    @traitlets.default("observed")
    def _all_bands(self) -> tuple[str, ...]:
        return self.posterior.bands.labels

    @traitlets.observe("outliers", "method")
    def _keep_to_what_knows(self, change: traitlets.Bunch) -> None:
        if self.outliers and self.method == "fast":
            if change.name == "outliers":
                self.method = "auto"
            else:
                self.outliers = False

    @property
    def code(self) -> str:
        """Python that makes the newest posterior, to the last digit; empty where there is none."""
        if self.outcome is None or not self.outcome.result.usable[0]:
            return ""
        flat = self.flat if self.outcome is not self._plain else ()
        floor = ERROR_FLOOR if self.error_floor else 0.0
        measured = self.galaxies[self.index]
        more: Any = {"floor": floor, "outliers": self.allowed, "flat": flat}
        return code_of(self.posterior, measured, self.outcome, **more)

    def cancel(self) -> None:
        """Give up what is under way: emcee, or else the exact posterior for the network's."""
        if self.sampling:
            with self.jobs.lock:
                self.jobs.stop("emcee")
                self._put({"sampling": False, "progress": ""})
        else:
            self.method = "fast"

    def pin(self) -> None:
        """Keep what is shown, to compare other galaxies with; once more lets it go."""
        self.pinned = self.outcome if self.pinned is None else None

    def run_emcee(self) -> None:
        """Begin to sample the same posterior with emcee, in a thread."""
        from ...samplers import run_mcmc  # what most people do without

        with self.jobs.lock:
            if self._plain is None:
                return
            one, model = self._plain.photometry, self.posterior.model
            self._put({"message": "", "progress": "looking for a place to start"})

            def work(job: Job) -> Traits:
                began = time.perf_counter()
                told = _Telling(job, self, began)
                how: Any = {"draws": _EMCEE_DRAWS, "seed": 0, "outliers": self.allowed}
                result = run_mcmc(
                    one, model, self.posterior.prior, stop=job.stop, callback=told, **how
                )
                outcome = self._outcome(one, result, time.perf_counter() - began)
                return {"others": self.others | {"mcmc": outcome}, "progress": ""}

            self._start("emcee", "sampling", "emcee failed", work)

    def infer(self) -> None:
        """Infer the posterior of the present choice."""
        with self.jobs.lock:
            self.jobs.stop()
            method, draws = self.method, self.draws
            try:
                photometry = self.galaxy.select_bands(*self.observed)
                # The network's own draws cannot be judged where bands may be bad.
                quick = "weighted" if method == "weighted" or self.outliers else "fast"
                outcome = self._run(photometry, draws, quick)
            except InputError as error:
                self._plain = None
                nothing = {"busy": False, "outcome": None, "blamed": None, "few": False}
                self._put({"message": str(error), "sampling": False, "others": {}} | nothing)
                return
            asks = method == "auto" and outcome.result.badge[0] == "refine"
            exact = method == "exact" or asks
            self._put({"message": "", "busy": exact, "blamed": None, "others": {}})
            self._put({"sampling": False, "progress": ""})
            self._show(outcome)
            if exact:

                def work(job: Job) -> Traits:
                    made = self._run(photometry, draws, "exact", job.stop)
                    job.post(self._put, {"others": self.others | {outcome.result.method: outcome}})
                    job.post(self._show, made)
                    job.post(self._ask_who_is_to_blame, made)
                    return {}

                self._start("exact", "busy", "The exact posterior failed", work)
            else:
                self._ask_who_is_to_blame(outcome)

    def _show(self, plain: Outcome | None) -> None:
        """Make an outcome the newest one, under the prior that is asked for."""
        self.jobs.stop("flat")
        self._plain = plain
        self._put({"outcome": plain, "few": False})
        if plain is not None and self.flat and plain.result.usable[0]:

            def work(job: Job) -> Traits:
                with warnings.catch_warnings(record=True) as told:
                    warnings.simplefilter("always")
                    result = plain.result.reweight(self.flat, self.posterior.model)
                return {"few": bool(told), "outcome": replace(plain, result=result)}

            self._start("flat", None, "The flat prior failed", work)

    def _ask_who_is_to_blame(self, outcome: Outcome) -> None:
        """Look for the band to blame, in a thread, where the photometry is odd or does not fit."""
        result, one = outcome.result, outcome.photometry
        odd = result.badge[0] != "ok" and result.diagnostics.get("support", np.ones(1))[0] < _ODD
        if odd or result.chi2_min[0] > chi2_limit(one.mask.sum(1))[0]:

            def work(job: Job) -> Traits:
                return {"blamed": find_blame(self.posterior, one)}

            self._start("blame", None, "Looking for the band to blame failed", work)


class _Telling:
    """Tells a state how far emcee has come, and how long it may take yet."""

    def __init__(self, job: Job, state: GalaxyState, began: float) -> None:
        self.job, self.state, self.began, self.told = job, state, began, began

    def __call__(self, progress: Progress) -> None:
        now = time.perf_counter()
        if now - self.told < _TELL_EVERY:
            return
        self.told = now
        text = f"{progress.step:,} steps"
        if progress.tau is not None and np.isfinite(progress.tau).all():
            wanted = min(_ENOUGH * float(np.max(progress.tau)), progress.max_steps)
            left = (now - self.began) * max(wanted / progress.step - 1, 0.0)
            text += f" of some {max(wanted, progress.step):,.0f}, about {time_left(left)}"
        self.job.post(self.state._put, {"progress": text})
