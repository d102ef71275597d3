"""The galaxy panel: pick a galaxy, and see its posterior within a blink."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ipywidgets as w
import numpy as np

from ...anpe.trust import chi2_limit
from ...methods import AMORTIZED, BADGES
from ...observations.photometry import Photometry
from ...posterior.weighting import weighted_quantile
from ...quantities import QUANTITIES
from ..kit import html
from ..kit.base import Panel
from ..kit.choice import Outcome, Source
from ..kit.corner import DEFAULT_QUANTITIES, CornerFigure
from ..kit.widgets import button, columns, drop_down, galaxy_buttons, galaxy_list, methods, row
from .figures import HistoryFigure, SEDFigure
from .state import GalaxyState

__all__ = ["GalaxyPanel"]

_HELP = (
    "Pick a galaxy, or untick a band to see what it was worth. <b>Fast</b> draws from the network; "
    "<b>Weighted</b> gives each draw a weight that corrects it towards the exact posterior; "
    "<b>Exact</b> moves the draws there in some seconds, while the fast ones are shown; "
    "<b>Auto</b> does so where the badge asks for it. "
    "ESS is the number of independent draws that they are worth; χ² is of the best draw."
)
_CORNER_HELP = (
    "Contours hold 68 and 95 % of the posterior, lines are medians; axes span the prior, or what "
    "is likely under it. Metallicities called a label are PROVABGS's: its 0.019 is the MIST solar "
    "model, whose true Z is 0.0142. M★ is mass formed, sSFR is the mean of 1 Gyr per mass that is "
    "left."
)
_MAX_QUANTITIES = 6


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
        right = w.VBox(
            [self._show("sed", self.sed.figure), self._show("history", self.history.figure)],
            layout=w.Layout(flex="1 1 430px", min_width="380px", max_width="760px"),
        )
        self._place(self._corner_box, "corner", self.corner.layout)
        self.children = [
            w.HTML(html.help_text(_HELP)),
            self._controls,
            self.status,
            columns(w.VBox([self._corner_box, self._corner_controls]), right),
            self.table,
        ]
        self._watch("outcome", self._refresh)
        self._watch(["busy", "message"], self._tell)
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
        self._link(index=self.galaxy, method=self.method, draws=self.draws)
        self.bands = {
            label: w.Checkbox(
                value=label in state.observed,
                description=label,
                indent=False,
                layout=w.Layout(width="38px"),
            )
            for label in state.posterior.bands.labels
        }
        for box in self.bands.values():
            box.observe(lambda _: self._choose_bands(), "value")
        self.status = w.HTML()
        self.table = w.HTML()
        self.quantities = w.SelectMultiple(
            options=[(f"{q.axis_text}: {q.description}", q.name) for q in QUANTITIES.values()],
            value=DEFAULT_QUANTITIES,
            rows=5,
            layout=w.Layout(width="100%"),
        )
        self.quantities.observe(lambda _: self._choose_quantities(), "value")
        self.zoom = w.Checkbox(description="Zoom in on the posterior", indent=False)
        self.zoom.observe(lambda _: self._refresh(), "value")
        picker = w.Accordion([self.quantities], titles=("Choose what the corner plot shows",))
        self._corner_controls = w.VBox(
            [self.zoom, w.HTML(f"<div class='sedflow-small'>{_CORNER_HELP}</div>"), picker],
            layout=w.Layout(width="570px"),
        )
        bands = w.HTML("<span class='sedflow-label'>Bands</span>")
        how = w.HTML("<span class='sedflow-label first'>Method</span>")
        self._controls = w.VBox(
            [
                row(self.galaxy, self.previous, self.next, self.random),
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
        self._refresh()

    def _refresh(self) -> None:
        """Show the newest outcome."""
        outcome = self.state.outcome
        with self._together():
            if outcome is None:
                self._clear()
            else:
                self._draw(outcome)
        self._tell()
        self._changed()

    def _draw(self, outcome: Outcome) -> None:
        result, model = outcome.result, self.state.posterior.model
        weights = result.weights[0]
        ess = float(result.ess[0])
        self.corner.update(outcome.values, weights, ess, result.method, self.zoom.value)
        self.sed.update(outcome.photometry, result, model)
        self.history.update(result, model)
        self.table.value = _table(outcome.values, weights)

    def _clear(self) -> None:
        for part in (self.corner, self.sed, self.history):
            part.clear()
        self.table.value = ""

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
        self.cancel.layout.visibility = "visible" if state.busy else "hidden"
        self.status.value = html.strip(parts)


def _table(values: Mapping[str, np.ndarray], weights: np.ndarray) -> str:
    """Medians and 68 % intervals as HTML."""
    array = np.stack([values[name] for name in QUANTITIES], axis=-1)[None]
    low, middle, high = weighted_quantile(array, weights[None], (0.16, 0.5, 0.84))[:, 0]
    rows = [
        (
            html.cell(q.axis_text, q.description),
            html.cell(f"<b>{m:.2f}</b>", width=52),
            html.cell(f"{a:.2f} … {b:.2f}", width=108),
        )
        for q, a, m, b in zip(QUANTITIES.values(), low, middle, high, strict=True)
    ]
    return html.listing("<b>Medians and 68 % intervals</b>", rows)
