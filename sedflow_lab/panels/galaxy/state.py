"""What the galaxy panel shows, without widgets: the choice of a galaxy, and its posterior."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import traitlets

from ...anpe import AmortizedPosterior
from ...errors import InputError
from ...methods import AMORTIZED
from ...observations.photometry import Photometry
from ...posterior.result import PosteriorResult
from ..kit.choice import GalaxyChoice
from ..kit.jobs import Job

__all__ = ["GalaxyState", "Outcome"]


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

    method = traitlets.Enum(AMORTIZED, default_value="auto")
    draws = traitlets.Int(1000, min=100, max=20_000)
    observed: traitlets.Tuple = traitlets.Tuple()
    outcome = traitlets.Instance(Outcome, allow_none=True)
    busy = traitlets.Bool(False)
    message = traitlets.Unicode("")

    def __init__(
        self,
        posterior: AmortizedPosterior | str | Path | None = None,
        photometry: Photometry | None = None,
        **choice: Any,
    ) -> None:
        super().__init__(posterior, photometry, **choice)
        self.observe(lambda _: self.infer(), ["index", "method", "draws", "observed"])
        self.infer()

    @traitlets.default("observed")
    def _all_bands(self) -> tuple[str, ...]:
        return self.posterior.bands.labels

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
                quick = "weighted" if method == "weighted" else "fast"
                outcome = self._run(photometry, draws, quick)
            except InputError as error:
                self._show(None, str(error), busy=False)
                return
            asks = method == "auto" and outcome.result.badge[0] == "refine"
            exact = method == "exact" or asks
            self._show(outcome, "", busy=exact)
            if exact:
                self.jobs.start("exact", partial(self._make_exact, outcome, draws))

    def _run(
        self, photometry: Photometry, draws: int, method: str, stop: threading.Event | None = None
    ) -> Outcome:
        started = time.perf_counter()
        result = self.posterior.infer(photometry, draws=draws, method=method, stop=stop)
        return Outcome(photometry, result, time.perf_counter() - started)

    def _make_exact(self, quick: Outcome, draws: int, job: Job) -> None:
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
