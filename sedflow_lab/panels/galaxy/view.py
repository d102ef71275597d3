"""The galaxy panel: pick a galaxy, and see its posterior within a blink."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

import ipywidgets as w
import numpy as np

from ...anpe import AmortizedPosterior
from ...anpe.trust import chi2_limit
from ...methods import BADGES
from ...observations.photometry import Photometry
from ...parameters import NAMES
from ...posterior.weighting import weighted_quantile
from ..kit.base import Panel
from ..kit.corner import DEFAULT_QUANTITIES, QUANTITIES, CornerFigure
from .figures import HistoryFigure, SEDFigure
from .state import GalaxyState, Outcome

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
_METHODS = (("Auto", "auto"), ("Fast", "fast"), ("Weighted", "weighted"), ("Exact", "exact"))
_MAX_QUANTITIES = 6
_TABLE_STYLE = (
    "<style>.sedflow-table{columns:3 275px;column-gap:28px;font-size:13px;line-height:1.5}"
    ".sedflow-table div{display:flex;border-bottom:1px solid #e4e4e4;break-inside:avoid}"
    ".sedflow-table span{white-space:nowrap}.sedflow-table .q{flex:1}"
    ".sedflow-table .v{width:52px}.sedflow-table .r{width:108px}"
    ".sedflow-table .v,.sedflow-table .r{text-align:right;font-variant-numeric:tabular-nums}"
    "</style>"
)


class GalaxyPanel(Panel):
    """Widgets on a `GalaxyState`: controls, badge, corner plot, SED, history, and a table.

    Parameters
    ----------
    posterior : AmortizedPosterior, str or Path, optional
        A posterior, a shipped bundle by name, or a folder; default the shipped ``nsa-ugriz``.
    photometry : Photometry, optional
        The galaxies to choose from; default `sedflow_lab.showcase`.
    **choice
        First values of the state's ``index``, ``method``, ``draws`` and ``observed``.

    Examples
    --------
    >>> panel = GalaxyPanel()
    >>> panel.state.index = 5
    """

    def __init__(
        self,
        posterior: AmortizedPosterior | str | Path | None = None,
        photometry: Photometry | None = None,
        **choice: Any,
    ) -> None:
        self.state = GalaxyState(posterior, photometry, **choice)
        super().__init__(self.state.jobs.loop)
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
        figures = w.Box(
            [w.VBox([self._corner_box, self._corner_controls]), right],
            layout=w.Layout(display="flex", flex_flow="row wrap", width="100%"),
        )
        self.children = [
            w.HTML(f"<div style='font-size:13px;line-height:1.45'>{_HELP}</div>"),
            self._controls,
            self.status,
            figures,
            self.table,
        ]
        self.state.observe(lambda _: self._refresh(), "outcome")
        self.state.observe(lambda _: self._tell(), ["busy", "message"])
        self._refresh()

    def _make_controls(self) -> None:
        state = self.state
        options = [(_describe(state.galaxies[i]), i) for i in range(len(state.galaxies))]
        self.galaxy = w.Dropdown(
            options=options, description="Galaxy", layout=w.Layout(width="385px")
        )
        small = {"width": "auto"}
        self.previous = w.Button(icon="arrow-left", tooltip="Previous galaxy", layout=small)
        self.next = w.Button(icon="arrow-right", tooltip="Next galaxy", layout=small)
        self.random = w.Button(icon="random", description="Random", layout=small)
        self.previous.on_click(lambda _: state.step(-1))
        self.next.on_click(lambda _: state.step(1))
        self.random.on_click(lambda _: self._jump())
        self.method = w.ToggleButtons(
            options=_METHODS, style={"button_width": "86px"}, layout=w.Layout(width="auto")
        )
        self.draws = w.Dropdown(
            options=sorted({500, 1000, 2000, 5000, state.draws}),
            description="Draws",
            layout=w.Layout(width="130px"),
            style={"description_width": "44px"},
        )
        self.cancel = w.Button(description="Cancel", icon="stop", layout=small)
        self.cancel.on_click(lambda _: state.cancel())
        for widget, name in (
            (self.galaxy, "index"),
            (self.method, "method"),
            (self.draws, "draws"),
        ):
            widget.value = getattr(state, name)
            w.link((state, name), (widget, "value"))
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
            options=[(f"{q.axis_label}: {q.description}", q.name) for q in QUANTITIES.values()],
            value=DEFAULT_QUANTITIES,
            rows=5,
            layout=w.Layout(width="100%"),
        )
        self.quantities.observe(lambda _: self._choose_quantities(), "value")
        self.zoom = w.Checkbox(description="Zoom in on the posterior", indent=False)
        self.zoom.observe(lambda _: self._refresh(), "value")
        picker = w.Accordion([self.quantities], titles=("Choose what the corner plot shows",))
        self._corner_controls = w.VBox(
            [
                self.zoom,
                w.HTML(f"<div style='font-size:12px;line-height:1.4'>{_CORNER_HELP}</div>"),
                picker,
            ],
            layout=w.Layout(width="570px"),
        )
        row = w.Layout(display="flex", flex_flow="row wrap", align_items="center")
        self._controls = w.VBox(
            [
                w.Box([self.galaxy, self.previous, self.next, self.random], layout=row),
                w.Box(
                    [
                        w.HTML("<span style='margin:0 8px 0 44px'>Method</span>"),
                        self.method,
                        self.draws,
                        w.HTML("<span style='margin:0 8px 0 20px'>Bands</span>"),
                        *self.bands.values(),
                        self.cancel,
                    ],
                    layout=row,
                ),
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
        values = dict(zip(NAMES, result.samples[0].T, strict=True))
        values |= {name: array[0] for name, array in result.derived(model).items()}
        ess = float(result.ess[0])
        self.corner.update(values, weights, ess, result.method, self.zoom.value)
        self.sed.update(outcome.photometry, result, model)
        self.history.update(result, model)
        self.table.value = _table(values, weights)

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
                f"<span style='background:{BADGES[word].color};color:white;"
                f"border-radius:10px;padding:2px 12px;font-weight:bold'>{html.escape(word)}</span>",
                f"<span>{html.escape(BADGES[word].meaning)}</span>",
                f"<span>ESS <b>{result.ess[0]:.0f}</b> of {result.samples.shape[1]} draws</span>",
                f"<span title='Above {limit:.0f} the model cannot make this galaxy'>"
                f"best χ² <b>{chi2:.2g}</b> in {bands} bands</span>",
                f"<span>made in <b>{_duration(outcome.seconds)}</b></span>",
            ]
        if state.busy:
            parts.append("<b style='color:#B87A00'>making it exact …</b>")
        if state.message:
            parts.append(f"<b style='color:#D55E00'>{html.escape(state.message)}</b>")
        self.cancel.layout.visibility = "visible" if state.busy else "hidden"
        self.status.value = (
            "<div style='display:flex;flex-wrap:wrap;gap:4px 18px;align-items:center;"
            f"font-size:13px;line-height:1.5;min-height:26px'>{''.join(parts)}</div>"
        )


def _describe(galaxy: Photometry) -> str:
    """One line for the list of galaxies: id, redshift, magnitude and colour."""
    magnitudes = dict(zip(galaxy.bands.labels, galaxy.magnitude[0], strict=True))
    parts = [str(galaxy.ids[0]), f"z {galaxy.redshift[0]:.4f}"]
    if "r" in magnitudes:
        parts.append(f"r {magnitudes['r']:.2f}")
    if {"g", "r"} <= set(magnitudes):
        parts.append(f"g−r {magnitudes['g'] - magnitudes['r']:.2f}")
    return "  ·  ".join(parts)


def _duration(seconds: float) -> str:
    return f"{1000 * seconds:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def _table(values: dict[str, np.ndarray], weights: np.ndarray) -> str:
    """Medians and 68 % intervals as HTML, in as many columns as there is room for."""
    array = np.stack([values[name] for name in QUANTITIES], axis=-1)[None]
    low, middle, high = weighted_quantile(array, weights[None], (0.16, 0.5, 0.84))[:, 0]
    rows = [
        f"<div title='{html.escape(q.description)}'><span class='q'>{q.axis_label}</span>"
        f"<span class='v'><b>{m:.2f}</b></span><span class='r'>{a:.2f} … {b:.2f}</span></div>"
        for q, a, m, b in zip(QUANTITIES.values(), low, middle, high, strict=True)
    ]
    return (
        f"{_TABLE_STYLE}<p style='margin:6px 0 2px;font-size:13px'><b>Medians and 68 % intervals"
        f"</b></p><div class='sedflow-table'>{''.join(rows)}</div>"
    )
