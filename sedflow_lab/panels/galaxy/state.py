"""What the galaxy panel shows, without widgets: the choice of a galaxy, and its posterior."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import traitlets

from ...anpe.blame import Blame, find_blame
from ...anpe.trust import chi2_limit
from ...errors import InputError
from ...methods import AMORTIZED
from ...observations.photometry import Photometry
from ..kit.choice import ERROR_FLOOR, GalaxyChoice, Outcome, Source
from ..kit.jobs import Job
from ..kit.state import Traits
from ..kit.takeaway import code_of

__all__ = ["GalaxyState"]

_ODD = 0.01  # p-value of the photometry, below which a band may be to blame


class GalaxyState(GalaxyChoice):
    """A chosen galaxy and its posterior; every change of the choice infers anew.

    The network's posterior is there when the assignment returns. The exact one takes seconds:
    it is made in a thread while the network's is shown, and dropped if the choice changes in
    the meantime.

    Parameters
    ----------
    posterior, photometry
        As of `GalaxyChoice`.
    **choice
        First values of `index`, `method`, `draws`, `observed`, `error_floor`, `outliers` and
        `flat`.
    """

    # Auto is exact where the badge of the network's posterior is "refine".
    method = traitlets.Enum(AMORTIZED, default_value="auto")
    draws = traitlets.Int(1000, min=100, max=20_000)
    observed: traitlets.Tuple = traitlets.Tuple()  # labels of the bands to use
    outcome = traitlets.Instance(Outcome, allow_none=True)  # the newest; None: see `message`
    flat: traitlets.Tuple = traitlets.Tuple()  # quantities in which weights make the prior flat
    few = traitlets.Bool(False)  # whether the flat prior leaves few effective draws
    blamed = traitlets.Instance(Blame, allow_none=True)  # the band to blame, where bands disagree
    busy = traitlets.Bool(False)  # whether an exact posterior is under way

    def __init__(
        self, posterior: Source = None, photometry: Photometry | None = None, **choice: Any
    ) -> None:
        self._plain: Outcome | None = None
        super().__init__(posterior, photometry, **choice)
        chosen = ["index", "method", "draws", "observed", "error_floor", "outliers"]
        self.observe(lambda _: self.infer(), chosen)
        self.observe(lambda _: self._show(self._plain), "flat")
        self.infer()

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
        return code_of(measured, self.outcome, floor=floor, outliers=self.allowed, flat=flat)

    def cancel(self) -> None:
        """Give up an exact posterior that is under way, and go back to the network's."""
        self.method = "fast"

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
                self._put({"message": str(error)} | nothing)
                return
            asks = method == "auto" and outcome.result.badge[0] == "refine"
            exact = method == "exact" or asks
            self._put({"message": "", "busy": exact, "blamed": None})
            self._show(outcome)
            if exact:

                def work(job: Job) -> Traits:
                    made = self._run(photometry, draws, "exact", job.stop)
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
