"""The galaxy panel: pick a galaxy, and see its posterior within a blink."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ipywidgets as w
import numpy as np

from ...anpe.blame import Blame
from ...anpe.trust import chi2_limit
from ...methods import AMORTIZED, BADGES
from ...observations.photometry import Photometry
from ...posterior.weighting import weighted_quantile
from ...quantities import DERIVED, QUANTITIES
from ..kit import html
from ..kit.base import Panel
from ..kit.choice import Outcome, Source
from ..kit.corner import DEFAULT_QUANTITIES, CornerFigure
from ..kit.sed import HistoryFigure, SEDFigure
from ..kit.takeaway import links_of
from ..kit.widgets import (
    allowances,
    button,
    columns,
    drop_down,
    galaxy_buttons,
    galaxy_list,
    methods,
    row,
)
from .state import GalaxyState

__all__ = ["GalaxyPanel"]

_HELP = (
    "Pick a galaxy, or untick a band to see what it was worth. <b>Fast</b> draws from the network; "
    "<b>Weighted</b> gives each draw a weight that corrects it towards the exact posterior; "
    "<b>Exact</b> moves the draws there in some seconds, while the fast ones are shown; "
    "<b>Auto</b> does so where the badge asks for it. Where bands do not agree, the line below "
    "says which is to blame: add an <b>error floor</b>, or <b>allow bad bands</b>. "
    "ESS is the number of independent draws that they are worth; χ² is of the best draw."
)
_CORNER_HELP = (
    "Contours hold 68 and 95 % of the posterior, lines are medians, the prior is grey; axes span "
    "the prior, or what is likely under it. Metallicities called a label are PROVABGS's: its 0.019 "
    "is the MIST solar model, whose true Z is 0.0142. M★ is mass formed, sSFR is the mean of 1 Gyr "
    "per mass that is left."
)
_MAX_QUANTITIES = 6
_MAX_FLAT = 3


class GalaxyPanel(Panel):
    """Widgets on a `GalaxyState`: controls, badge, corner plot, SED, history, and a table.

    Parameters
    ----------
    posterior, photometry, **choice
        As of `GalaxyState`.

    Examples
    --------
    >>> panel = GalaxyPanel()
    >>> panel.state.index = 5
    """

    def __init__(
        self, posterior: Source = None, photometry: Photometry | None = None, **choice: Any
    ) -> None:
        self.state = GalaxyState(posterior, photometry, **choice)
        super().__init__(self.state)
        model = self.state.posterior.model
        self.corner = CornerFigure()
        self.sed = SEDFigure(model)
        self.history = HistoryFigure()
        self._make_controls()
        self._corner_box = w.VBox(layout=w.Layout(flex="0 0 auto"))
        figures = self._show("sed", self.sed.figure), self._show("history", self.history.figure)
        room = w.Layout(flex="1 1 430px", min_width="380px", max_width="760px")
        right = w.VBox(figures, layout=room)
        self._place(self._corner_box, "corner", self.corner.layout)
        self.children = [
            w.HTML(html.help_text(_HELP)),
            self._controls,
            self.status,
            columns(w.VBox([self._corner_box, self._corner_controls]), right),
            self.table,
            self.take_away,
        ]
        self._watch("outcome", self._refresh)
        self._watch(["busy", "message", "blamed", "few"], self._tell)
        self._refresh()

    def _make_controls(self) -> None:
        state = self.state
        self.galaxy = galaxy_list(state, 385)
        self.previous, self.next = galaxy_buttons(state)
        self.random = button("Random", "random", self._jump)
        # Automatic first, as it is the one to begin with.
        self.method = methods(sorted(AMORTIZED, key=lambda word: word != "auto"))
        numbers = sorted({500, 1000, 2000, 5000, state.draws})
        self.draws = drop_down("Draws", numbers, 130, label_width=44)
        self.cancel = button("Cancel", "stop", state.cancel)
        self.allow = allowances()
        self._link(index=self.galaxy, method=self.method, draws=self.draws, **self.allow)
        self.bands = {label: w.Checkbox(indent=False) for label in state.posterior.bands.labels}
        for label, box in self.bands.items():
            box.description, box.layout.width = label, "38px"
            box.value = label in state.observed
            box.observe(lambda _: self._choose_bands(), "value")
        self.status, self.table = w.HTML(), w.HTML()
        self.code, self.links = w.HTML(), w.HTML()
        titles = "The Python that makes exactly this", "Download the draws"
        self.take_away = w.Accordion([self.code, self.links], titles=titles)
        self.take_away.observe(lambda _: self._fill_take_away(), "selected_index")
        self.quantities = w.SelectMultiple(
            options=[(f"{q.axis_text}: {q.description}", q.name) for q in QUANTITIES.values()],
            value=DEFAULT_QUANTITIES,
            rows=5,
            layout=w.Layout(width="100%"),
        )
        self.quantities.observe(lambda _: self._choose_quantities(), "value")
        self.zoom = w.Checkbox(description="Zoom in on the posterior", indent=False)
        self.zoom.observe(lambda _: self._refresh(), "value")
        self.flat = w.Checkbox(indent=False, layout=w.Layout(width="auto"))
        self.flat.observe(lambda _: self._choose_prior(), "value")
        self._choose_prior()
        picker = w.Accordion([self.quantities], titles=("Choose what the corner plot shows",))
        note = w.HTML(f"<div class='sedflow-small'>{_CORNER_HELP}</div>")
        parts = self.zoom, self.flat, note, picker
        self._corner_controls = w.VBox(parts, layout={"width": "570px"})
        bands = w.HTML("<span class='sedflow-label'>Bands</span>")
        how = w.HTML("<span class='sedflow-label first'>Method</span>")
        self._controls = w.VBox(
            [
                row(self.galaxy, self.previous, self.next, self.random, *self.allow.values()),
                row(how, self.method, self.draws, bands, *self.bands.values(), self.cancel),
            ]
        )

    def _jump(self) -> None:
        others = len(self.state.galaxies) - 1
        if others:
            self.state.step(int(np.random.default_rng().integers(others)) + 1)

    def _choose_bands(self) -> None:
        chosen = tuple(label for label, box in self.bands.items() if box.value)
        # The model needs two bands: the last two cannot be unticked.
        for box in self.bands.values():
            box.disabled = box.value and len(chosen) <= 2
        self.state.observed = chosen

    def _choose_quantities(self) -> None:
        chosen = self.quantities.value
        if not 1 <= len(chosen) <= _MAX_QUANTITIES:
            return  # in the midst of choosing
        self.corner = CornerFigure(chosen)
        self._place(self._corner_box, "corner", self.corner.layout)
        self._choose_prior()
        self._refresh()

    def _choose_prior(self) -> None:
        """Make the prior flat in the derived quantities of the corner plot, if that is ticked."""
        derived = [q for q in self.corner.quantities if q in DERIVED]
        possible = 1 <= len(derived) <= _MAX_FLAT
        names = (
            ", ".join(q.text for q in derived) if possible else "one to three derived quantities"
        )
        self.flat.description = f"Make the prior flat in {names}"
        self.flat.disabled = not possible
        chosen = self.flat.value and possible
        self.state.flat = tuple(q.name for q in derived) if chosen else ()

    def _refresh(self) -> None:
        """Show the newest outcome."""
        outcome = self.state.outcome
        with self._together():
            if outcome is None:
                for part in (self.corner, self.sed, self.history):
                    part.clear()
                self.table.value = ""
            else:
                result, model = outcome.result, self.state.posterior.model
                # What a flat prior implies for other quantities is not known well enough to draw.
                flat = "flat_outside" in result.diagnostics
                prior = None if flat else self.state.implied_prior(float(result.redshift[0]))
                self.corner.update(outcome.drawn, self.zoom.value)
                self.corner.show_prior(prior)
                self.sed.update(outcome.photometry, result, model)
                self.history.update(result, model)
                self.table.value = _table(outcome.values, result.weights[0], prior)
        self._fill_take_away()
        self._tell()
        self._changed()

    def _fill_take_away(self) -> None:
        """Fill the part that is open: hundreds of kilobytes are not sent for nothing."""
        outcome, part = self.state.outcome, self.take_away.selected_index
        usable = outcome is not None and bool(outcome.result.usable[0])
        self.code.value = html.code(self.state.code) if usable and part == 0 else ""
        self.links.value = links_of(outcome) if outcome and usable and part == 1 else ""

    def _tell(self) -> None:
        """Say how far to trust what is shown, what it cost, and what went wrong."""
        state, parts = self.state, []
        outcome = state.outcome
        if outcome is not None:
            result = outcome.result
            word, chi2 = str(result.badge[0]), float(result.chi2_min[0])
            bands = int(outcome.photometry.mask.sum())
            limit = float(chi2_limit(np.array(bands)))
            parts += [
                html.badge(word),
                html.escape(BADGES[word].meaning),
                f"ESS <b>{result.ess[0]:.0f}</b> of {result.samples.shape[1]} draws",
                html.cell(
                    f"best χ² <b>{chi2:.2g}</b> in {bands} bands",
                    f"Above {limit:.0f} the model cannot make this galaxy",
                ),
                f"made in <b>{html.duration(outcome.seconds)}</b>",
            ]
        if state.busy:
            parts.append(html.busy("making it exact"))
        if state.message:
            parts.append(html.failure(state.message))
        remarks = [] if outcome is None else _remarks(outcome, state.blamed, state.few)
        self.cancel.layout.visibility = "visible" if state.busy else "hidden"
        self.status.value = html.strip(parts) + (html.remark(" ".join(remarks)) if remarks else "")


def _remarks(outcome: Outcome, blamed: Blame | None, few: bool) -> list[str]:
    """What is to be known of the bands and of the prior."""
    result, said = outcome.result, []
    if blamed is not None:
        way = "brighter" if blamed.off > 0 else "fainter"
        said.append(
            f"The {blamed.band} band is off by {abs(blamed.off):.0f} σ: it is {way} than the other "
            "bands say."
        )
    if "bad_band" in result.diagnostics:
        bad = result.diagnostics["bad_band"][0]
        likely = [f"{outcome.photometry.bands.labels[k]} {bad[k]:.0%}" for k in np.argsort(-bad)]
        said.append(
            "Probability that a band is bad: "
            + ", ".join(text for text in likely[:2] if "nan" not in text).replace("%", " %")
            + "."
        )
    if "flat_outside" in result.diagnostics:
        outside = float(result.diagnostics["flat_outside"][0])
        if outside > 0.01:
            lost = f"{outside:.0%}".replace("%", " %")
            said.append(f"The flat prior ends before {lost} of the posterior, where nothing tells.")
        if few:
            said.append(
                "The flat prior leaves few effective draws: take more draws, or show fewer derived "
                "quantities."
            )
    return said


def _table(
    values: Mapping[str, np.ndarray],
    weights: np.ndarray,
    prior: Mapping[str, np.ndarray] | None = None,
) -> str:
    """Medians and 68 % intervals as HTML; those of the prior to hover."""
    array = np.stack([values[name] for name in QUANTITIES], axis=-1)
    low, middle, high = weighted_quantile(array, weights, (0.16, 0.5, 0.84))
    rows = [
        (
            html.cell(q.axis_text, q.description + _under(prior, q.name)),
            html.cell(f"<b>{m:.2f}</b>", width=52),
            html.cell(f"{a:.2f} … {b:.2f}", width=108),
        )
        for q, a, m, b in zip(QUANTITIES.values(), low, middle, high, strict=True)
    ]
    return html.listing("<b>Medians and 68 % intervals</b>", rows)


def _under(prior: Mapping[str, np.ndarray] | None, name: str) -> str:
    """68 % interval of the prior."""
    if prior is None:
        return ""
    low, high = np.quantile(prior[name], (0.16, 0.84))
    return f"; under the prior 68 % are from {low:.2f} to {high:.2f}"
