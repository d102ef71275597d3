"""The catalogue panel: infer many galaxies, look at all of them, and open any one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ipywidgets as w
import numpy as np

from ...methods import AMORTIZED, BADGES
from ...observations import Photometry
from ...posterior.weighting import weighted_quantile
from ...quantities import QUANTITIES
from ..kit import html
from ..kit.choice import Outcome, Source
from ..kit.corner import CornerFigure
from ..kit.linked import LinkedPanel
from ..kit.pace import Pace
from ..kit.plane import MOST_POINTS
from ..kit.sed import HistoryFigure, SEDFigure
from ..kit.widgets import beside, button, columns, corner_box, drop_down, methods, row
from .results import axis_text
from .state import CatalogueState

__all__ = ["CataloguePanel"]

_HELP = (
    "Every point is a galaxy, at the medians of its posterior, in the colour and shape of its "
    f"badge; where more than {MOST_POINTS:,} are in view, the figures show their density, with "
    "lines around 68 and 95 % of them, and the badge map the share that is not to be trusted. "
    "Draw a <b>lasso</b> or a box around some, or press a <b>badge</b>: they are marked in every "
    "figure and listed below. <b>Click</b> near a point, or on a row of the list, for its "
    "posterior. Zoom in to see points again."
)
_TITLES = (
    "Main sequence",
    "Mass and metallicity",
    "Mass and age",
    "Badge map",
    "Width of the posterior",
    "Dust and star formation",
)


class CataloguePanel(LinkedPanel):
    """Widgets on a `CatalogueState`: a run, planes of its results, a list, and one posterior.

    Parameters
    ----------
    results, photometry, posterior, out, **choice
        As of `CatalogueState`.

    Examples
    --------
    >>> panel = CataloguePanel("results.ecsv", photometry="galaxies.csv")
    >>> panel.state.select_badge("refine")
    """

    state: CatalogueState
    _titles = _TITLES
    _share = 3

    def __init__(
        self,
        results: Any = None,
        photometry: Photometry | str | Path | None = None,
        posterior: Source = None,
        *,
        out: str | Path | None = None,
        **choice: Any,
    ) -> None:
        self.state = CatalogueState(results, photometry, posterior, out=out, **choice)
        super().__init__(self.state)
        self._make_controls()
        self._make_planes()
        self._make_list()
        self._make_galaxy()
        self.children = [
            w.HTML(html.help_text(_HELP) + html.of_galaxies(self.state.simulated)),
            self._run_controls,
            self.status,
            self._badge_box,
            columns(*self._plane_boxes),
            self._list_box,
            self._galaxy_box,
        ]
        self._watch(["running", "done", "finished", "message", "opening"], self._tell)
        self._watch(["results", "planes"], self._refresh)
        self._watch("chosen", self._show_chosen)
        self._watch("tapped", self._mark)
        self._watch("outcome", self._show_galaxy)
        self._refresh()
        self._show_galaxy()

    def _make_controls(self) -> None:
        state = self.state
        self.method = methods(sorted(AMORTIZED, key=lambda word: word != "fast"))
        numbers = sorted({200, 500, 1000, 2000, state.draws})
        self.draws = drop_down("Draws", numbers, 130, label_width=44)
        self._link(method=self.method, draws=self.draws)
        self.run = button("Infer", "play", state.run)
        self.run.button_style = "primary"
        self.cancel = button("Cancel", "stop", state.cancel)
        self.progress = w.IntProgress(layout=w.Layout(width="120px"))
        self.progress_text, self._pace = w.HTML(), Pace()
        how = w.HTML("<span class='sedflow-label first'>Method</span>")
        parts = (how, self.method, self.draws, self.run, self.cancel)
        self._run_controls = row(*parts, self.progress, self.progress_text)
        self._run_controls.layout.display = "flex" if state.can_run else "none"
        self.status = w.HTML()

    def _make_galaxy(self) -> None:
        self.corner: CornerFigure | None = None
        self.galaxy, self.medians, self._drawn = w.HTML(), w.HTML(), columns()
        self._galaxy_box = w.VBox([self.galaxy, self._drawn, self.medians])

    def _make_figures_of_galaxy(self) -> None:
        """Make the figures of one galaxy, once one is opened."""
        self.corner, self.history = CornerFigure(), HistoryFigure()
        self.sed = SEDFigure(self.state.posterior.model)
        parts = ("sed", self.sed.layout), ("history", self.history.figure)
        left = corner_box(self._show("corner", self.corner.figure))
        self._drawn.children = [left, beside(*(self._show(*part) for part in parts))]

    def _no_label(self, name: str) -> str:
        return axis_text(name)

    def _show_galaxy(self) -> None:
        """Show the posterior of one galaxy."""
        outcome = self.state.outcome
        self._drawn.layout.display = "none" if outcome is None else "flex"
        self.medians.value = "" if outcome is None else _medians(outcome)
        if outcome is not None:
            result, model = outcome.result, self.state.posterior.model
            if self.corner is None:
                self._make_figures_of_galaxy()
            assert self.corner is not None
            with self._together():
                self.corner.update(outcome.drawn)
                self.sed.update(outcome.photometry, result, model)
                self.history.update(result, model)
        self._tell()

    def _tell(self) -> None:
        """Say how the run goes, and what is known of the galaxy that is open."""
        state = self.state
        self.progress.max, self.progress.value = state.total, state.done
        told = self._pace.words(state.done, state.total)
        self.progress_text.value = told if state.done else ""
        going_on = 0 < state.done and not state.finished
        self.run.description = "Go on" if going_on else f"Infer {len(state.galaxies):,} galaxies"
        self.run.disabled = state.running or state.finished
        self.cancel.layout.display = None if state.running else "none"
        parts = [html.busy("inferring")] if state.running else []
        if state.message and state.tapped is None:
            parts.append(html.failure(state.message))
        self.status.value = html.strip(parts)
        self.galaxy.value = _about(state)


def _about(state: CatalogueState) -> str:
    """A line on the galaxy that is open."""
    found, number = state.results, state.tapped
    if found is None or number is None:
        return ""
    parts = [f"<b>Galaxy {html.escape(str(found.ids[number]))}</b>"]
    if state.opening:
        parts.append(html.busy("opening"))
    if state.message:
        parts.append(html.failure(state.message))
    if "redshift" in found.columns:
        parts.append(f"z {found.columns['redshift'][number]:.4f}")
    if (word := str(found.badges[number])) in BADGES:
        parts += [html.badge(word), html.escape(BADGES[word].meaning)]
    return html.strip(parts)


def _medians(outcome: Outcome) -> str:
    """Medians and 68 % intervals of one galaxy."""
    values = np.stack([outcome.values[name] for name in QUANTITIES], axis=-1)
    low, middle, high = weighted_quantile(values, outcome.result.weights[0], (0.16, 0.5, 0.84))
    rows = [
        (
            html.cell(q.axis_text, q.description),
            html.cell(f"<b>{m:.2f}</b>", width=52),
            html.cell(f"{a:.2f} … {b:.2f}", width=108),
        )
        for q, a, m, b in zip(QUANTITIES.values(), low, middle, high, strict=True)
    ]
    return html.listing("<b>Medians and 68 % intervals</b>", rows)
