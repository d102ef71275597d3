"""The galaxy panel: pick a galaxy, and see its posterior within a blink."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ipywidgets as w
import numpy as np

from ...methods import AMORTIZED
from ...observations.photometry import Photometry
from ...quantities import DERIVED, QUANTITIES, Quantity
from ..kit import html
from ..kit.base import Panel
from ..kit.choice import Source
from ..kit.corner import CornerFigure
from ..kit.sed import HistoryFigure, SEDFigure
from ..kit.takeaway import figure_links_of, links_of
from ..kit.widgets import (
    allowances,
    beside,
    button,
    columns,
    corner_box,
    drop_down,
    galaxy_buttons,
    galaxy_list,
    methods,
    row,
    toggles,
)
from . import words
from .advice import advise
from .state import MAX_QUANTITIES, GalaxyState

__all__ = ["GalaxyPanel"]

_HELP = (
    "Pick a galaxy, or untick a band to see what it was worth. <b>Fast</b> draws from the network; "
    "<b>Weighted</b> gives each draw a weight that corrects it towards the exact posterior; "
    "<b>Exact</b> moves the draws there in some seconds, while the fast ones are shown; "
    "<b>Auto</b> does so where the badge asks for it. <b>Run emcee</b> draws another method's "
    "outlines over it. <b>Pin</b> keeps a galaxy, to compare others with. Where bands do not "
    "agree, a line says which is to blame: add an <b>error floor</b>, or <b>allow bad bands</b>. "
    "Contours hold 68 and 95 % of the posterior, titles have medians and 68 % intervals, the prior "
    "is grey; axes span the prior, or what is likely under it. ESS is the number of independent "
    "draws that those shown are worth; χ² is of the best draw. Metallicities called a label are "
    "PROVABGS's: 0.019 is the solar model, whose true Z is 0.0142 in MIST. M★ is mass formed, "
    "sSFR is the mean of 1 Gyr per mass that is left. Other words are in the glossary, "
    "docs/glossary.md."
)
_MAX_FLAT = 3


class GalaxyPanel(Panel):
    """Widgets on a `GalaxyState`: controls, badge, corner plot, SED, history, and a table.

    Parameters
    ----------
    posterior, photometry, truth, **choice
        As of `GalaxyState`.

    Examples
    --------
    >>> panel = GalaxyPanel()
    >>> panel.state.index = 5
    >>> view = panel.state.to_json()
    >>> again = GalaxyPanel.from_json(view)
    """

    def __init__(
        self,
        posterior: Source = None,
        photometry: Photometry | None = None,
        truth: Any = None,
        **choice: Any,
    ) -> None:
        self.state = GalaxyState(posterior, photometry, truth, **choice)
        super().__init__(self.state)
        self.corner = CornerFigure(self.state.quantities)
        self.sed = SEDFigure(self.state.posterior.model)
        self.history = HistoryFigure()
        self._make_controls()
        self._make_drawers()
        figures = {"sed": self.sed.layout, "history": self.history.figure}
        numbers = w.VBox([self.table], layout={"flex": "1 1 400px", "min_width": "290px"})
        help_text = html.folded_help("What this is, and how to read it", _HELP)
        self.children = [
            w.HTML(help_text + html.of_galaxies(self.state.simulated)),
            self._controls,
            self.status,
            row(self.advice, self.act),
            columns(
                corner_box(self._show("corner", self.corner.figure)),
                beside(*(self._show(name, figure) for name, figure in figures.items())),
                numbers,
            ),
            self.drawers,
        ]
        self._watch("outcome", self._refresh)
        self._watch("zoom", self._refresh)
        self._watch("quantities", self._choose_quantities)
        self._watch(["others", "pinned"], self._overlay)
        self._watch(["busy", "message", "blamed", "few", "sampling", "progress"], self._tell)
        self._refresh()

    @classmethod
    def from_json(
        cls, view: str, posterior: Source = None, photometry: Photometry | None = None
    ) -> GalaxyPanel:
        """A panel that shows a view which `GalaxyState.to_json` has told."""
        return cls(posterior, photometry, **GalaxyState.read_json(view))

    def _make_controls(self) -> None:
        state = self.state
        self.galaxy = galaxy_list(state, 330, 48)
        self.previous, self.next = galaxy_buttons(state)
        self.random = button("Random", "", self._jump, "Another galaxy, by chance")
        # Automatic first, as it is the one to begin with.
        self.method = methods(sorted(AMORTIZED, key=lambda word: word != "auto"))
        numbers = sorted({500, 1000, 2000, 5000, state.draws})
        self.draws = drop_down("Draws", numbers, 122, label_width=46)
        self.emcee = button("Run emcee", "", state.run_emcee, "An independent posterior, by MCMC")
        self.cancel = button("Cancel", "", state.cancel, "Give up what is under way")
        self.pin = button("Pin", "", state.pin, "Keep this galaxy, to compare others with it")
        self.allow = allowances()
        size: Any = {"layout": {"width": "auto"}}
        tip = "Axes show the posterior, and not all of the prior"
        self.zoom = w.ToggleButton(description="Zoom in", tooltip=tip, **size)
        self._link(index=self.galaxy, method=self.method, draws=self.draws, zoom=self.zoom)
        self._link(**self.allow)
        self.bands = {label: w.Checkbox(indent=False) for label in state.posterior.bands.labels}
        for label, box in self.bands.items():
            box.description, box.layout.width = label, "38px"
            box.tooltip = f"Use {label}"
            box.value = label in state.observed
            box.observe(lambda _: self._choose_bands(), "value")
        self._watch("observed", self._tick_bands)
        self.status, self.table = w.HTML(), w.HTML(layout={"width": "100%"})
        self.advice, self.act = w.HTML(), button("", "", self._follow_advice)
        bands = w.HTML("<span class='sedflow-label first'>Bands</span>")
        choice = self.galaxy, self.previous, self.next, self.random, self.pin, self.zoom
        how = self.method, self.draws, self.emcee, self.cancel
        ticks = w.HBox([bands, *self.bands.values()])
        self._controls = row(*choice, *self.allow.values(), *how, ticks)

    def _make_drawers(self) -> None:
        """Make what opens below: choices for the corner plot, and what people take home."""
        names = {q.name: q.text for q in QUANTITIES.values()}
        tips = {q.name: f"{q.axis_text}: {q.description}" for q in QUANTITIES.values()}
        self.quantities = toggles(names, tips)
        for name, switch in self.quantities.items():
            switch.observe(lambda change, name=name: self._toggle(name, change.new), "value")
        self.flat = w.Checkbox(indent=False, layout=w.Layout(width="auto"))
        self.flat.observe(lambda _: self._choose_prior(), "value")
        note = w.HTML(f"<div class='sedflow-small'>Up to {MAX_QUANTITIES} at a time.</div>")
        choice = w.VBox([row(*self.quantities.values(), note), self.flat])
        self.code, self.links, self.figure_links = w.HTML(), w.HTML(), w.HTML()
        self.view = w.HTML()
        titles = {
            "What the corner plot shows, and a flat prior": choice,
            "The Python that makes exactly this": self.code,
            "Download the draws": self.links,
            "Download figures for a paper": self.figure_links,
            "Share this view": self.view,
        }
        self.drawers = w.Accordion(list(titles.values()), titles=tuple(titles))
        self.drawers.observe(lambda _: self._fill_drawers(), "selected_index")
        self._tick_quantities()

    def _jump(self) -> None:
        others = len(self.state.galaxies) - 1
        if others:
            with self.state.patiently():
                self.state.step(int(np.random.default_rng().integers(others)) + 1)

    def _choose_bands(self) -> None:
        chosen = tuple(label for label, box in self.bands.items() if box.value)
        with self.state.patiently():
            self.state.observed = chosen
        self._tick_bands()

    def _tick_bands(self) -> None:
        chosen = self.state.observed
        for label, box in self.bands.items():
            # The model needs two bands: the last two cannot be unticked.
            box.disabled = label in chosen and len(chosen) <= 2
            if box.value != (label in chosen):
                box.value = label in chosen

    def _toggle(self, name: str, on: bool) -> None:
        """Show a quantity in the corner plot, in the order of the switches, or not."""
        now = self.state.quantities
        if on != (name in now):
            chosen = [q for q in QUANTITIES if (q in now and q != name) or (on and q == name)]
            self.state.quantities = tuple(chosen)

    def _tick_quantities(self) -> None:
        now = self.state.quantities
        for name, switch in self.quantities.items():
            switch.value = name in now
            full, last = len(now) >= MAX_QUANTITIES, len(now) == 1
            switch.disabled = last if name in now else full
        derived = [q for q in self._derived()]
        possible = 1 <= len(derived) <= _MAX_FLAT
        texts = ", ".join(q.text for q in derived)
        of = texts if possible else "one to three derived quantities"
        self.flat.description = f"Make the prior flat in {of}"
        self.flat.disabled = not possible
        self.flat.value = bool(self.state.flat) and possible

    def _derived(self) -> list[Quantity]:
        return [q for q in DERIVED if q.name in self.state.quantities]

    def _choose_quantities(self) -> None:
        with self._together():
            self.corner.choose(self.state.quantities)
        self._tick_quantities()
        self._choose_prior()
        self._refresh()

    def _choose_prior(self) -> None:
        """Make the prior flat in the derived quantities of the corner plot, if that is ticked."""
        wanted = self.flat.value and not self.flat.disabled
        self.state.flat = tuple(q.name for q in self._derived()) if wanted else ()

    def _refresh(self) -> None:
        """Show the newest outcome."""
        outcome, state = self.state.outcome, self.state
        with self._together():
            if outcome is None:
                for part in (self.corner, self.sed, self.history):
                    part.clear()
            else:
                result, model = outcome.result, state.posterior.model
                self.corner.update(outcome.drawn, state.zoom)
                self.corner.show_prior(self._prior())
                self.corner.mark(state.truth)
                self.sed.update(outcome.photometry, result, model)
                self.history.update(result, model)
        self._overlay()
        self._tell()

    def _prior(self) -> Mapping[str, np.ndarray] | None:
        """What the prior says of all quantities."""
        assert self.state.outcome is not None
        result = self.state.outcome.result
        # What a flat prior implies for other quantities is not known well enough to draw.
        if "flat_outside" in result.diagnostics:
            return None
        return self.state.implied_prior(float(result.redshift[0]))

    def _overlay(self) -> None:
        """Draw other posteriors of this galaxy, and another galaxy, over it; and list numbers."""
        state, outcome = self.state, self.state.outcome
        pinned = state.pinned if state.pinned is not outcome else None
        self.pin.description = "Pin" if state.pinned is None else "Let go"
        with self._together():
            for name in tuple(self.corner.layers):
                if name not in ("", "behind"):
                    self.corner.remove(name)
            self.sed.compare(None, None)
            self.history.compare(None, None)
            if outcome is not None:
                for other in state.others.values():
                    if other.result.method != outcome.result.method:
                        self.corner.overlay(other.drawn)
                if pinned is not None:
                    label = f"pinned {pinned.result.ids[0]}"
                    self.corner.overlay(pinned.drawn, words.PIN_COLOR, label, "pinned")
                    self.sed.compare(pinned, state.posterior.model)
                    self.history.compare(pinned, state.posterior.model)
                self.corner.show_prior(self._prior())
        self.table.value = "" if outcome is None else words.table(outcome, pinned, state.truth)
        self._fill_drawers()

    def _fill_drawers(self) -> None:
        """Fill the one that is open: hundreds of kilobytes are not sent for nothing."""
        state, part = self.state, self.drawers.selected_index
        outcome = state.outcome
        usable = outcome is not None and bool(outcome.result.usable[0])
        self.code.value = html.code(state.code) if usable and part == 1 else ""
        self.links.value = links_of(outcome) if outcome and usable and part == 2 else ""
        made = ""
        if outcome and usable and part == 3:
            others = [o for o in state.others.values() if o.result.method != outcome.result.method]
            names, model = state.quantities, state.posterior.model
            made = figure_links_of([outcome, *others], names, model, state.zoom)
        self.figure_links.value = made
        self.view.value = words.shared(state) if part == 4 else ""

    def _tell(self) -> None:
        """Say how far to trust what is shown, what it cost, and what went wrong."""
        state, parts = self.state, []
        outcome = state.outcome
        if outcome is not None:
            parts = words.about(outcome)
        if state.busy:
            parts.append(html.busy("making it exact"))
        if state.sampling:
            parts.append(html.busy(f"emcee: {state.progress}"))
        if state.message:
            parts.append(html.failure(state.message))
        remarks = [] if outcome is None else words.remarks(outcome, state.blamed, state.few)
        waits = state.busy or state.sampling
        self.cancel.layout.visibility = "visible" if waits else "hidden"
        self.emcee.disabled = state.sampling or outcome is None
        self.status.value = html.strip(parts) + (html.remark(" ".join(remarks)) if remarks else "")
        self._advise()

    def _advise(self) -> None:
        """Say what to do about the badge, with a button that does it."""
        state, outcome = self.state, self.state.outcome
        self._action = ""
        if outcome is None:
            self.advice.value = html.paragraph("Tick two bands or more.")
        else:
            found = advise(
                outcome,
                state.blamed,
                busy=state.busy,
                witnessed="mcmc" in state.others or state.sampling,
                outliers=state.outliers,
                error_floor=state.error_floor,
            )
            self._action, self.act.description = found.action, found.label
            self.advice.value = html.paragraph(f"<b>What to do:</b> {html.escape(found.text)}")
        self.act.layout.display = None if self._action else "none"

    def _follow_advice(self) -> None:
        state, action = self.state, self._action
        if action == "exact":
            state.method = "exact"
        elif action == "emcee":
            state.run_emcee()
        elif action in ("outliers", "error_floor"):
            setattr(state, action, True)
        elif action == "all_bands":
            state.observed = state.posterior.bands.labels
        elif action:
            state.observed = tuple(label for label in state.observed if label != action)
