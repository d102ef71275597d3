"""What the galaxy panel shows, without widgets: the choice of a galaxy, and its posterior."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import traitlets

from ...anpe import AmortizedPosterior, load_posterior
from ...anpe.block import METHODS
from ...errors import InputError
from ...observations.nsa import showcase
from ...observations.photometry import Photometry
from ...posterior.result import PosteriorResult
from ..kit.jobs import Job, Jobs, running_loop

__all__ = ["DEFAULT_BUNDLE", "GalaxyState", "Outcome"]

DEFAULT_BUNDLE = "nsa-ugriz"
"""The shipped posterior that panels use."""


@dataclass(frozen=True, eq=False)
class Outcome:
    """One finished inference.

    Attributes
    ----------
    photometry : Photometry
        One galaxy, with the bands that were used.
    result : PosteriorResult
        Of that galaxy.
    seconds : float
        Wall-clock time that the inference took.
    """

    photometry: Photometry
    result: PosteriorResult
    seconds: float


class GalaxyState(traitlets.HasTraits):
    """A chosen galaxy and its posterior; every change of the choice infers anew.

    The network's posterior is there when the assignment returns. The exact one takes seconds:
    it is made in a thread while the network's is shown, and dropped if the choice changes in
    the meantime.

    Parameters
    ----------
    posterior : AmortizedPosterior, str or Path, optional
        A posterior, a shipped bundle by name, or a folder; default `DEFAULT_BUNDLE`.
    photometry : Photometry, optional
        The galaxies to choose from; default `sedflow_lab.showcase`.
    **choice
        First values of `index`, `method`, `draws` and `observed`.

    Attributes
    ----------
    index : int
        Row of the chosen galaxy.
    method : {'auto', 'fast', 'weighted', 'exact'}
        Auto is exact where the badge of the network's posterior is ``"refine"``.
    draws : int
    observed : tuple of str
        Labels of the bands to use.
    outcome : Outcome or None
        The newest posterior; None where there is none, and then `message` says why.
    busy : bool
        Whether an exact posterior is under way.
    message : str
        What went wrong, or ``""``.
    """

    index = traitlets.Int(0)
    method = traitlets.Enum(METHODS, default_value="auto")
    draws = traitlets.Int(1000, min=100, max=20_000)
    observed: traitlets.Tuple = traitlets.Tuple()
    outcome = traitlets.Instance(Outcome, allow_none=True)
    busy = traitlets.Bool(False)
    message = traitlets.Unicode("")

    def __init__(
        self,
        posterior: AmortizedPosterior | str | Path | None = None,
        photometry: Photometry | None = None,
        **choice: object,
    ) -> None:
        if not isinstance(posterior, AmortizedPosterior):
            posterior = load_posterior(DEFAULT_BUNDLE if posterior is None else posterior)
        self.posterior = posterior
        _ = posterior.model  # is built when first touched: not on the first galaxy's time
        self.galaxies = showcase() if photometry is None else photometry
        if not len(self.galaxies):
            raise InputError("There is no galaxy to choose from: give photometry of one or more.")
        self.jobs = Jobs(running_loop())
        super().__init__(**{"observed": posterior.bands.labels} | choice)
        self.observe(lambda _: self.infer(), ["index", "method", "draws", "observed"])
        self.infer()

    @traitlets.validate("index")
    def _check_index(self, proposal: traitlets.Bunch) -> int:
        if not 0 <= proposal.value < len(self.galaxies):
            raise traitlets.TraitError(
                f"There is no galaxy {proposal.value}: choose 0 to {len(self.galaxies) - 1}."
            )
        return int(proposal.value)

    def step(self, by: int) -> None:
        """Choose another galaxy so many rows on; the list is a ring."""
        self.index = (self.index + by) % len(self.galaxies)

    def cancel(self) -> None:
        """Give up an exact posterior that is under way, and go back to the network's."""
        self.method = "fast"

    def wait(self, timeout: float = 60.0) -> bool:
        """Wait for the exact posterior, at most so many seconds; whether it has ended."""
        return self.jobs.wait(timeout)

    def infer(self) -> None:
        """Infer the posterior of the present choice."""
        with self.jobs.lock:
            self.jobs.stop()
            one, method, draws = self.galaxies[self.index], self.method, self.draws
            observed = self.observed
            try:
                photometry = one.select_bands(*observed)
                quick = "weighted" if method == "weighted" else "fast"
                outcome = self._run(photometry, draws, quick)
            except InputError as error:
                self._show(None, str(error), busy=False)
                return
            asks = method == "auto" and outcome.result.badge[0] == "refine"
            refine = method == "exact" or asks
            self._show(outcome, "", busy=refine)
            if refine:
                self.jobs.start("refine", partial(self._refine, outcome, draws))

    def _run(
        self,
        photometry: Photometry,
        draws: int,
        method: str,
        stop: threading.Event | None = None,
    ) -> Outcome:
        started = time.perf_counter()
        result = self.posterior.infer(photometry, draws=draws, method=method, stop=stop)
        return Outcome(photometry, result, time.perf_counter() - started)

    def _refine(self, quick: Outcome, draws: int, job: Job) -> None:
        """Make the exact posterior; runs in a thread of its own."""
        outcome, message = quick, ""
        try:
            outcome = self._run(quick.photometry, draws, "exact", job.stop)
        except Exception as error:  # a thread has nobody else to tell
            message = f"The exact posterior failed: {error}"
        job.post(self._show, outcome, message, False)

    def _show(self, outcome: Outcome | None, message: str, busy: bool) -> None:
        self.message = message
        self.busy = busy
        self.outcome = outcome
