"""What the picker shows, without widgets: a catalogue, what is chosen of it, and its badges."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import traitlets

from ...errors import InputError
from ...observations.files import read_table
from ...observations.photometry import Photometry
from ...observations.sky import nearest, parse_place, positions_of
from ...observations.tables import has_columns
from ...posterior.result import PosteriorResult
from ..kit.choice import Source, open_posterior
from ..kit.jobs import Job
from ..kit.selection import LinkedState
from ..kit.state import Traits
from ..kit.summary import summaries
from .shown import Shown, planes_of

if TYPE_CHECKING:
    from astropy.table import Table

__all__ = ["AT_ONCE", "PickerState"]

AT_ONCE = 500
"""Galaxies whose badges are found without being asked for; of a longer catalogue, of as many of
those that are chosen."""

_FEW = 5000  # ids among which a similar one is looked for


class PickerState(LinkedState):
    """A catalogue, what is chosen of it, and the galaxy that is picked.

    Badges are found in a thread: of all galaxies of a short catalogue, else of those chosen.

    Parameters
    ----------
    posterior : AmortizedPosterior, str or Path, optional
        As of `GalaxyChoice`.
    photometry : Photometry or path, optional
        The galaxies, or a file of them, whose bad rows are flagged; default
        `sedflow_lab.example_galaxies`.
    table : Table, optional
        Positions and other numbers of the galaxies, in the same rows. A file and the showcase
        bring their own.
    **choice
        First values of traits.
    """

    shared = ("tapped", "draws", "radius")

    draws = traitlets.Int(1000, min=100, max=20_000)  # for the badges
    radius = traitlets.Float(60.0, min=0.1, max=648_000)  # of a search on the sky [arcsec]
    said = traitlets.Unicode("")  # what the last search has found
    judging = traitlets.Bool(False)
    judged = traitlets.Int(0)  # galaxies of those that are looked at
    wanted = traitlets.Int(0)

    def __init__(
        self,
        posterior: Source = None,
        photometry: Photometry | str | Path | None = None,
        table: Table | None = None,
        **choice: Any,
    ) -> None:
        posterior = open_posterior(posterior)
        if isinstance(photometry, str | Path):
            table = read_table(photometry, lambda one: has_columns(one, posterior.bands))
            photometry = Photometry.from_table(table, posterior.bands, on_bad="flag")
        super().__init__(posterior, photometry)
        if self.examples is not None:
            table = self.examples.table
        photometry = self.galaxies
        if table is not None and len(table) != len(photometry):
            raise InputError(
                f"The table has {len(table):,} rows for {len(photometry):,} galaxies: give one "
                "each."
            )
        self.table = table
        self.positions = None if table is None else positions_of(table)
        found = Shown.of(photometry, self.positions, table, self.posterior.model)
        first = int(np.argmax(self.posterior.check(photometry) == ""))
        self.observe(lambda _: self._judge(), "chosen")
        self.observe(lambda _: self._follow(), "tapped")
        self._put({"planes": planes_of(found, photometry)} | choice)
        self._put({"results": found, "tapped": choice.get("tapped", first)})
        if len(photometry) <= AT_ONCE:
            self.jobs.once_shown("judge", self._judge)

    @traitlets.validate("tapped")
    def _check_tapped(self, proposal: traitlets.Bunch) -> int | None:
        last = len(self.galaxies) - 1
        if proposal.value is not None and not 0 <= proposal.value <= last:
            raise traitlets.TraitError(f"There is no galaxy {proposal.value}: choose 0 to {last}.")
        return proposal.value

    def _follow(self) -> None:
        if self.tapped is not None:
            self.index = self.tapped
            if len(self.galaxies) > AT_ONCE:
                self._judge()

    def clear(self) -> None:
        """Choose nothing; the galaxy that is picked stays."""
        self._put({"chosen": np.zeros(0, int), "said": "", "message": ""})

    def cut(self, name: str, low: float, high: float) -> None:
        """Choose the galaxies in which a column is from low to high."""
        assert self.results is not None
        values = self.results.values(name)
        self.chosen = np.flatnonzero((values >= min(low, high)) & (values <= max(low, high)))

    # Search

    def find(self, text: str) -> None:
        """Pick the galaxy with an id, or the one nearest to coordinates; say what was found."""
        text = text.strip()
        self._put({"said": "", "message": ""})
        if not text:
            return
        rows = np.flatnonzero(self.galaxies.ids == text)
        if not len(rows):
            rows = np.flatnonzero(np.char.lower(self.galaxies.ids) == text.lower())
        if len(rows):
            more = f", the first of {len(rows)} with this id" if len(rows) > 1 else ""
            self._put({"tapped": int(rows[0]), "chosen": rows, "said": f"Galaxy {text}{more}."})
            return
        try:
            place = parse_place(text)
        except InputError as error:
            self.message = f"No galaxy is called so{self._similar(text)}, and {error}"
            return
        self._find_near(place)

    def _find_near(self, place: tuple[float, float]) -> None:
        where = f"RA {place[0]:.5f}°, Dec {place[1]:+.5f}°"
        if self.positions is None:
            self.message = (
                "This catalogue has no positions: give it columns ra and dec, or search by id."
            )
            return
        row, away = nearest(place, self.positions)
        name = self.galaxies.ids[row]
        if away > self.radius:
            self.message = (
                f"No galaxy lies within {_angle(self.radius)} of {where}: the nearest is {name}, "
                f"{_angle(away)} away."
            )
            return
        said = f"Galaxy {name} is {_angle(away)} from {where}."
        self._put({"tapped": row, "chosen": np.array([row]), "said": said})

    def _similar(self, text: str) -> str:
        """An id that is nearly this one, if there is one."""
        ids = self.galaxies.ids
        close = difflib.get_close_matches(text, ids.tolist(), 1) if len(ids) <= _FEW else []
        return f" (closest: {close[0]})" if close else ""

    # Badges

    def _judge(self) -> None:
        """Find the badges of what is looked at, in a thread."""
        found = self.results
        if found is None:
            return
        with self.jobs.lock:
            rows = np.arange(len(found))
            if len(found) > AT_ONCE:
                mine = [] if self.tapped is None else [self.tapped]
                rows = np.unique(np.concatenate([mine, self.chosen[:AT_ONCE]]).astype(int))
            elif self.judging:
                return
            rows = rows[found.badges[rows] == ""]
            self.jobs.stop("judge")
            self._put({"judging": False, "judged": 0, "wanted": len(rows)})
            if len(rows):
                some = self.galaxies[rows]

                def work(job: Job) -> Traits:
                    for part, table, result in summaries(
                        self.posterior, some, self.draws, "fast", stop=job.stop
                    ):
                        job.post(self._take, rows[part], table, result)
                    return {}

                self._start("judge", "judging", "The badges could not be found", work)

    def _take(self, rows: np.ndarray, table: Table, result: PosteriorResult) -> None:
        assert isinstance(self.results, Shown)
        self.results = self.results.with_posteriors(rows, table, result)
        self.judged += len(rows)


def _angle(arcsec: float) -> str:
    """An angle in the unit that suits it."""
    if arcsec < 100:
        return f"{arcsec:.1f}″"
    return f"{arcsec / 60:.1f}′" if arcsec < 6000 else f"{arcsec / 3600:.1f}°"
