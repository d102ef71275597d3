"""What the galaxy panel shows, without widgets: the choice of a galaxy, and its posterior."""

from __future__ import annotations

from functools import partial
from typing import Any

import traitlets

from ...errors import InputError
from ...methods import AMORTIZED
from ...observations.photometry import Photometry
from ..kit.choice import GalaxyChoice, Outcome, Source
from ..kit.jobs import Job

__all__ = ["GalaxyState"]


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
    """

    method = traitlets.Enum(AMORTIZED, default_value="auto")
    draws = traitlets.Int(1000, min=100, max=20_000)
    observed: traitlets.Tuple = traitlets.Tuple()
    outcome = traitlets.Instance(Outcome, allow_none=True)
    busy = traitlets.Bool(False)

    def __init__(
        self, posterior: Source = None, photometry: Photometry | None = None, **choice: Any
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
                self._put({"message": str(error), "busy": False, "outcome": None})
                return
            asks = method == "auto" and outcome.result.badge[0] == "refine"
            exact = method == "exact" or asks
            self._put({"message": "", "busy": exact, "outcome": outcome})
            if exact:
                work = partial(self._make_exact, photometry, draws)
                self._start("exact", "busy", "The exact posterior failed", work)

    def _make_exact(self, photometry: Photometry, draws: int, job: Job) -> None:
        """Make the exact posterior; runs in a thread of its own."""
        outcome = self._run(photometry, draws, "exact", job.stop)
        job.post(self._put, {"busy": False, "outcome": outcome})
