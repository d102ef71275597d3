"""The picker: linked views of a catalogue, search, a list; what is picked shows its posterior."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import ipywidgets as w
import numpy as np

from ...observations.photometry import Photometry
from ..galaxy.view import GalaxyPanel
from ..kit import html
from ..kit.choice import Source
from ..kit.linked import LinkedPanel
from ..kit.listed import short_label
from ..kit.pace import Pace
from ..kit.plane import MOST_POINTS
from ..kit.widgets import button, columns, drop_down, row
from .about import about, picture
from .state import AT_ONCE, PickerState

if TYPE_CHECKING:
    from astropy.table import Table

__all__ = ["PickerPanel"]

_HELP = (
    "Every point is a galaxy. <b>Click</b> near one and its posterior appears below. Draw a "
    "<b>lasso</b> or a box around some: they are marked in every view and listed. Or <b>search</b> "
    "by id or coordinates, press a <b>badge</b>, or choose by numbers. The lists above each view "
    f"change its axes. Where more than {MOST_POINTS:,} galaxies are in view, their density is "
    "shown, with lines around 68 and 95 % of them: zoom in to see points again."
)


class PickerPanel(LinkedPanel):
    """Widgets on a `PickerState`, and a `GalaxyPanel` that shows the galaxy that is picked.

    Parameters
    ----------
    posterior, photometry, table, **choice
        As of `PickerState`.

    Examples
    --------
    >>> panel = PickerPanel()
    >>> panel.state.find("12:29:06.7 +02:03:08.6")
    """

    state: PickerState
    _titles = ("Colour and magnitude", "Two colours", "Sky", "Redshift", "Badge")
    _share = 4
    _plane_height = 250

    def __init__(
        self,
        posterior: Source = None,
        photometry: Photometry | str | Path | None = None,
        table: Table | None = None,
        **choice: Any,
    ) -> None:
        self.state = PickerState(posterior, photometry, table, **choice)
        super().__init__(self.state)
        if self.state.positions is None:
            self._titles = (*self._titles[:2], "Signal to noise", *self._titles[3:])
        self._make_search()
        self._make_planes()
        self._make_list()
        self._make_about()
        state = self.state
        truth = None if state.examples is None else state.examples.truth
        self.galaxy = GalaxyPanel(state.posterior, state.galaxies, truth, index=state.index)
        self._list_box.children[0].children = (
            *self._list_box.children[0].children,
            self.previous,
            self.next,
        )
        self.children = [
            w.HTML(html.help_text(_HELP) + html.of_galaxies(self.state.simulated)),
            self._search_box,
            self.status,
            row(self._badge_box, self.progress),
            columns(*self._plane_boxes, self._about_box),
            self._list_box,
            self.galaxy,
        ]
        self._watch(["message", "said", "judging", "judged"], self._tell)
        self._watch(["results", "planes"], self._refresh)
        self._watch("chosen", self._show_chosen)
        self._watch("tapped", self._pick)
        self.galaxy.state.observe(lambda _: self._follow(), "index")
        self._refresh()
        self._show_about()

    def close(self) -> None:
        """Stop the threads of both panels, and free their widgets and figures."""
        self.galaxy.close()
        super().close()

    def _make_search(self) -> None:
        state = self.state
        self.text = w.Text(
            description="Find",
            placeholder="id, 187.28 2.05, or 12:29:06.7 +02:03:08.6",
            tooltip="An id, or right ascension and declination (J2000), in degrees or sexagesimal",
            continuous_update=False,
            style={"description_width": "52px"},
            layout=w.Layout(width="310px"),
        )
        self.text.observe(lambda _: self._find(), "value")
        self.search = button("Search", "search", self._find, "Pick the galaxy that is asked for")
        self.radius = w.BoundedFloatText(
            description="within [″]",
            min=0.1,
            max=648_000,
            tooltip="How far from the coordinates a galaxy may be, in arcseconds",
            style={"description_width": "62px"},
            layout=w.Layout(width="126px"),
        )
        self._link(radius=self.radius)
        known = state.results
        names = [] if known is None else [(short_label(known, n), n) for n in known.columns]
        self.column = drop_down("Column", names, 290, label_width=52)
        size: Any = {"layout": w.Layout(width="90px")}
        self.low = w.FloatText(tooltip="Choose from this value on", **size)
        self.high = w.FloatText(tooltip="Choose up to this value", **size)
        self.cut = button("Choose", "filter", self._cut, "Choose the galaxies between the numbers")
        self.column.observe(lambda _: self._offer_limits(), "value")
        self._offer_limits()
        dash = w.HTML("<span class='sedflow-small'>to</span>")
        self._search_box = w.VBox(
            [
                row(self.text, self.radius, self.search),
                row(self.column, self.low, dash, self.high, self.cut),
            ]
        )
        self.status, self.progress, self._pace = w.HTML(), w.HTML(), Pace()

    def _make_about(self) -> None:
        self.about, self.picture = w.HTML(), w.HTML()
        self.ask = w.Checkbox(
            value=True,
            description="Picture of the sky",
            indent=False,
            tooltip="Your browser asks legacysurvey.org for it, which learns the position",
            layout=w.Layout(width="auto"),
        )
        self.ask.observe(lambda _: self._show_about(), "value")
        self.ask.layout.display = None if self.state.positions is not None else "none"
        room = w.Layout(flex="1 1 310px", min_width="290px", margin="4px 6px")
        beside = row(self.picture, self.ask, align_items="flex-start")
        self._about_box = w.VBox([self.about, beside], layout=room)
        self.previous = button(
            "", "arrow-left", lambda: self._walk(-1), "Previous galaxy of those that are chosen"
        )
        self.next = button(
            "", "arrow-right", lambda: self._walk(1), "Next galaxy of those that are chosen"
        )

    # What the browser tells

    def _find(self) -> None:
        self.state.find(self.text.value)

    def _offer_limits(self) -> None:
        """Put the ends of a column where the limits are."""
        found = self.state.results
        known = np.zeros(0) if found is None else found.columns[self.column.value]
        known = known[np.isfinite(known)]
        ends = (float(known.min()), float(known.max())) if len(known) else (0.0, 0.0)
        self.low.value, self.high.value = (float(f"{end:.6g}") for end in ends)

    def _cut(self) -> None:
        self.state.cut(self.column.value, self.low.value, self.high.value)

    def _walk(self, by: int) -> None:
        """Go through the galaxies that are chosen, as the list has them; through all if none is."""
        state, found = self.state, self.state.results
        if found is None:
            return
        rows = self._in_order(found, state.chosen if len(state.chosen) else np.arange(len(found)))
        here = np.flatnonzero(rows == state.tapped)
        at = int(here[0]) + by if len(here) else (0 if by > 0 else -1)
        state.tapped = int(rows[at % len(rows)])

    def _follow(self) -> None:
        self.state.tapped = self.galaxy.state.index

    # What is shown

    def _pick(self) -> None:
        """Mark the galaxy that is picked, and show it."""
        self._mark()
        self._show_about()
        with self.galaxy.state.patiently():
            self.galaxy.state.index = self.state.index

    def _refresh(self) -> None:
        super()._refresh()
        self._show_about()

    def _show_about(self) -> None:
        state = self.state
        badge = "" if state.results is None else str(state.results.badges[state.index])
        place = None
        if state.positions is not None and np.isfinite(state.positions[state.index]).all():
            place = float(state.positions[state.index, 0]), float(state.positions[state.index, 1])
        galaxy = state.galaxies[state.index]
        self.about.value = about(galaxy, badge, place)
        self.picture.value = picture(str(galaxy.ids[0]), place, self.ask.value)

    def _tell(self) -> None:
        state = self.state
        parts = [html.failure(state.message)] if state.message else []
        parts += [html.escape(state.said)] if state.said else []
        self.status.value = html.strip(parts) if parts else ""
        left = len(state.chosen) - AT_ONCE
        if state.judging:
            told = html.busy(f"looking for badges: {self._pace.words(state.judged, state.wanted)}")
        elif len(state.galaxies) > AT_ONCE:
            told = (
                f"Badges are found for the galaxies that are chosen, the first {AT_ONCE} of them"
                + (f"; {left:,} have to wait" if left > 0 else "")
                + "."
            )
        else:
            told = ""
        self.progress.value = html.paragraph(told) if told else ""
