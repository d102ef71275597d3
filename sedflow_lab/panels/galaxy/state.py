"""What the galaxy panel shows, without widgets: the choice of a galaxy, and its posterior."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import traitlets

from ...anpe.blame import Blame, find_blame
from ...anpe.trust import chi2_limit
from ...errors import InputError
from ...methods import AMORTIZED
from ...observations.photometry import Photometry
from ...posterior.reweight import implied_prior
from ...quantities import QUANTITIES
from ..kit.choice import GalaxyChoice, Outcome, Source
from ..kit.jobs import Job

__all__ = ["GalaxyState"]

_ODD = 0.01  # p-value of the photometry, below which a band may be to blame
_PRIOR_DRAWS = 20_000
_REDSHIFT_STEP = 0.005  # in which the universe ages by 0.07 Gyr


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

    Attributes
    ----------
    index : int
        Row of the chosen galaxy.
    method : {'auto', 'fast', 'weighted', 'exact'}
        Auto is exact where the badge of the network's posterior is ``"refine"``.
    draws : int
    observed : tuple of str
        Labels of the bands to use.
    error_floor, outliers : bool
        As of `GalaxyChoice`. The network's own draws know nothing of bad bands: allowing these
        turns the method from fast to auto, and choosing fast takes them back.
    flat : tuple of str
        Quantities in which the prior is made flat, by weights (`PosteriorResult.reweight`).
    outcome : Outcome or None
        The newest posterior; None where there is none, and then `message` says why.
    few : bool
        Whether the flat prior leaves few effective draws.
    blamed : Blame or None
        The band that is to blame, where the bands do not agree.
    busy : bool
        Whether an exact posterior is under way.
    """

    method = traitlets.Enum(AMORTIZED, default_value="auto")
    draws = traitlets.Int(1000, min=100, max=20_000)
    observed: traitlets.Tuple = traitlets.Tuple()
    outcome = traitlets.Instance(Outcome, allow_none=True)
    flat: traitlets.Tuple = traitlets.Tuple()
    few = traitlets.Bool(False)
    blamed = traitlets.Instance(Blame, allow_none=True)
    busy = traitlets.Bool(False)

    def __init__(
        self, posterior: Source = None, photometry: Photometry | None = None, **choice: Any
    ) -> None:
        self._plain: Outcome | None = None
        self._priors: dict[float, Mapping[str, np.ndarray]] = {}
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

    def implied_prior(self, redshift: float) -> Mapping[str, np.ndarray]:
        """Draws (M,) of every quantity from the prior, near a redshift."""
        at = (np.floor(redshift / _REDSHIFT_STEP) + 0.5) * _REDSHIFT_STEP
        if at not in self._priors:
            model, prior = self.posterior.model, self.posterior.prior
            at_most = min(at, model.redshift_max)
            drawn = implied_prior(model, at_most, list(QUANTITIES), prior, _PRIOR_DRAWS)
            self._priors[at] = dict(zip(QUANTITIES, drawn.T, strict=True))
        return self._priors[at]

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
                work = partial(self._make_exact, photometry, draws)
                self._start("exact", "busy", "The exact posterior failed", work)
            else:
                self._ask_who_is_to_blame(outcome)

    def _make_exact(self, photometry: Photometry, draws: int, job: Job) -> None:
        """Make the exact posterior; runs in a thread of its own."""
        job.post(self._end_exact, self._run(photometry, draws, "exact", job.stop))

    def _end_exact(self, outcome: Outcome) -> None:
        self.busy = False
        self._show(outcome)
        self._ask_who_is_to_blame(outcome)

    def _show(self, plain: Outcome | None) -> None:
        """Make an outcome the newest one, under the prior that is asked for."""
        self.jobs.stop("flat")
        self._plain = plain
        self._put({"outcome": plain, "few": False})
        if plain is not None and self.flat and plain.result.usable[0]:
            failed = "The flat prior failed"
            self.jobs.start("flat", self._attempt(partial(self._flatten, plain), failed))

    def _flatten(self, plain: Outcome, job: Job) -> None:
        """Reweight to a flat prior; runs in a thread of its own."""
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            result = plain.result.reweight(self.flat, self.posterior.model)
        job.post(self._put, {"few": bool(told), "outcome": replace(plain, result=result)})

    def _ask_who_is_to_blame(self, outcome: Outcome) -> None:
        """Look for the band to blame, in a thread, where the photometry is odd or does not fit."""
        result, one = outcome.result, outcome.photometry
        odd = result.badge[0] != "ok" and result.diagnostics.get("support", np.ones(1))[0] < _ODD
        if odd or result.chi2_min[0] > chi2_limit(one.mask.sum(1))[0]:
            failed = "Looking for the band to blame failed"
            self.jobs.start("blame", self._attempt(partial(self._blame, one), failed))

    def _blame(self, photometry: Photometry, job: Job) -> None:
        job.post(self._put, {"blamed": find_blame(self.posterior, photometry)})
