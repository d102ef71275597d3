"""The coverage panel: whether the network is calibrated, and what it looks like if not."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

import ipywidgets as w
import numpy as np

from ...anpe import AmortizedPosterior
from ...anpe.bundle import shipped_bundles
from ...diagnostics.calibration_run import OBSERVABLES
from ...diagnostics.scoring import SCORED
from ...parameters import NAMES
from ...plots.style import COLORS
from ..kit.base import Panel
from .figures import (
    BAD_COLOR,
    OBSERVABLE_LABELS,
    CurveFigure,
    RankFigure,
    SimulationFigure,
    TruthCorner,
    quantity_label,
)
from .state import CoverageState, Example, Frame

__all__ = ["CoveragePanel"]

_HELP = (
    "Truths are drawn from the prior, observed, and inferred. If posteriors are right, the truth "
    "is just another draw: its rank is uniform, and every curve stays within its grey band, which "
    "holds 95 % of the curves of right posteriors and shrinks as simulations are added. "
    "Press <b>Run</b>, then break something on purpose and run again."
)
_METHODS = (("Fast", "fast"), ("Weighted", "weighted"), ("Refined", "exact"))
_OTHER = "a folder …"
_FACTORS = (0.25, 0.4, 0.5, 0.7, 1.0, 1.5, 2.0, 2.5, 4.0)
_SHIFTS = (-1.0, -0.75, -0.5, -0.25, 0.0, 0.25, 0.5, 0.75, 1.0)
_CORNER = ("log_mstar", "fburst", "tburst", "tau_ism", "n_dust")
_MAX_CORNER = 6
_GOOD_COLOR = "#009E73"
_ROW: Any = {"display": "flex", "flex_flow": "row wrap", "align_items": "center"}


class CoveragePanel(Panel):
    """Widgets on a `CoverageState`: choices, faults, curves in their bands, verdict, one galaxy.

    Parameters
    ----------
    posterior : AmortizedPosterior, str or Path, optional
        A posterior, a shipped bundle by name, or a folder; default the shipped ``nsa-ugriz``.
    **choice
        First values of the state's traits, such as ``simulations`` and ``sigma``.

    Examples
    --------
    >>> panel = CoveragePanel(sigma=0.5)
    >>> panel.state.start()
    """

    def __init__(
        self, posterior: AmortizedPosterior | str | Path | None = None, **choice: Any
    ) -> None:
        self.state = CoverageState(posterior, **choice)
        super().__init__(self.state.jobs.loop)
        self.curves, self.ranks, self.simulations = CurveFigure(), RankFigure(), SimulationFigure()
        self.corner = TruthCorner(_CORNER)
        self._make_controls()
        wide = w.Layout(flex="1 1 300px", min_width="265px", max_width="640px")
        parts = (("curves", self.curves), ("ranks", self.ranks), ("simulations", self.simulations))
        figures = [w.Box([self._show(name, part.figure)], layout=wide) for name, part in parts]
        self._corner_box = w.VBox(layout=w.Layout(flex="0 0 auto"))
        self._place(self._corner_box, "corner", self.corner.layout)
        self._drilled = w.Box(
            [self._corner_box, w.VBox([self.story], layout=w.Layout(flex="1 1 300px"))],
            layout=w.Layout(display="none", flex_flow="row wrap", width="100%"),
        )
        self.children = [
            w.HTML(f"<div style='font-size:13px;line-height:1.45'>{_HELP}</div>"),
            self._controls,
            self.verdict,
            w.Box(figures, layout=w.Layout(display="flex", flex_flow="row wrap", width="100%")),
            self.table,
            self._drill_controls,
            self._drilled,
        ]
        state = self.state
        state.observe(lambda _: self._refresh(), "frame")
        state.observe(lambda _: self._open(), "example")
        state.observe(lambda _: self._redraw(), ["quantity"])
        choices = ["method", "draws", "seed", "sigma", "prior_shift", "narrow"]
        state.observe(lambda _: self._tell(), ["busy", "opening", "message", *choices])
        self._refresh()

    def _make_controls(self) -> None:
        state = self.state
        auto = w.Layout(width="auto")
        shipped = shipped_bundles()
        names = [*shipped, *({state.bundle} - set(shipped)), _OTHER]
        self.posterior = w.Dropdown(
            options=names,
            value=state.bundle,
            description="Posterior",
            layout=w.Layout(width="270px"),
        )
        self.folder = w.Text(
            placeholder="folder of a bundle, then Enter", continuous_update=False,
            layout=w.Layout(width="240px", display="none"),
        )  # fmt: skip
        self.posterior.observe(lambda change: self._choose_posterior(change.new), "value")
        self.folder.observe(lambda change: self._choose_folder(change.new), "value")
        self.method = w.ToggleButtons(options=_METHODS, style={"button_width": "86px"}, layout=auto)
        self.number = _dropdown("Simulations", (100, 200, 500, 1000, 2000), state.simulations, 185)
        self.draws = _dropdown("Draws", (50, 100, 200, 500, 1000), state.draws, 150)
        self.seed = w.BoundedIntText(
            value=state.seed, min=0, max=10**6, description="Seed", layout=w.Layout(width="150px")
        )
        self.sigma = _slider("Errors told × ", _FACTORS, state.sigma)
        self.prior_shift = _slider("Prior shift", _SHIFTS, state.prior_shift, "{:+g} σ")
        self.narrow = _slider("Posterior × ", _FACTORS, state.narrow)
        for widget, name in (
            (self.method, "method"), (self.number, "simulations"), (self.draws, "draws"),
            (self.seed, "seed"), (self.sigma, "sigma"), (self.prior_shift, "prior_shift"),
            (self.narrow, "narrow"),
        ):  # fmt: skip
            widget.value = getattr(state, name)
            w.link((state, name), (widget, "value"))
        self.run = w.Button(description="Run", icon="play", button_style="primary", layout=auto)
        self.cancel = w.Button(description="Cancel", icon="stop", layout=auto, disabled=True)
        self.reset = w.Button(description="Nothing wrong", icon="undo", layout=auto)
        self.run.on_click(lambda _: state.start())
        self.cancel.on_click(lambda _: state.cancel())
        self.reset.on_click(lambda _: state.reset())
        self.progress = w.IntProgress(layout=w.Layout(width="170px", visibility="hidden"))
        self.progress_text = w.HTML()
        self.quantity = w.Dropdown(
            options=[(quantity_label(name), name) for name in SCORED],
            value=state.quantity, description="Look at", layout=w.Layout(width="250px"),
        )  # fmt: skip
        w.link((state, "quantity"), (self.quantity, "value"))
        self.observable = w.Dropdown(
            options=[(OBSERVABLE_LABELS[name], name) for name in OBSERVABLES],
            description="sorted by", layout=w.Layout(width="330px"),
        )  # fmt: skip
        self.observable.observe(lambda _: self._redraw(), "value")
        self.chosen = w.SelectMultiple(
            options=[(quantity_label(name), name) for name in SCORED],
            value=SCORED, rows=8, layout=w.Layout(width="260px"),
        )  # fmt: skip
        self.chosen.observe(lambda _: self._choose_quantities(), "value")
        picker = w.Accordion([self.chosen], titles=("Quantities and parameters shown",))
        fail = w.HTML("<b style='margin:0 6px 0 10px;color:#8a3ffc'>Fail on purpose</b>")
        self._controls = w.VBox(
            [
                w.Box([self.posterior, self.folder, self.method], layout=w.Layout(**_ROW)),
                w.Box([self.number, self.draws, self.seed, self.run, self.cancel, self.progress,
                       self.progress_text], layout=w.Layout(**_ROW)),
                w.Box([fail, self.sigma, self.prior_shift, self.narrow, self.reset],
                      layout=w.Layout(**_ROW)),
                w.Box([self.quantity, self.observable, picker], layout=w.Layout(**_ROW)),
            ]
        )  # fmt: skip
        self.verdict, self.table, self.story = w.HTML(), w.HTML(), w.HTML()
        self.index = w.BoundedIntText(
            min=0, max=0, description="Simulation", layout=w.Layout(width="170px")
        )
        self.open = w.Button(description="Open", icon="search", layout=auto)
        self.surprise = w.Button(description="Most surprising", icon="bolt", layout=auto)
        self.open.on_click(lambda _: state.drill(self.index.value))
        self.surprise.on_click(lambda _: state.drill(state.most_surprising()))
        self.opening = w.HTML()
        self._drill_controls = w.Box(
            [self.index, self.open, self.surprise, self.opening],
            layout=w.Layout(visibility="hidden", **_ROW),
        )
        self.simulations.points.selected.on_change("indices", self._tapped)

    def _choose_posterior(self, name: str) -> None:
        self.folder.layout.display = None if name == _OTHER else "none"
        if name != _OTHER and name != self.state.bundle:
            self.state.bundle = name

    def _choose_folder(self, path: str) -> None:
        if path.strip():
            self.state.bundle = path.strip()

    def _choose_quantities(self) -> None:
        names = [name for name in self.chosen.value if name in NAMES]
        if not self.chosen.value:
            return  # in the midst of choosing
        shown = tuple(names) if 1 <= len(names) <= _MAX_CORNER else _CORNER
        if shown != tuple(q.name for q in self.corner.quantities):
            self.corner = TruthCorner(shown)
            self._place(self._corner_box, "corner", self.corner.layout)
            self._open()
        self._refresh()

    def _tapped(self, attribute: str, old: list[int], new: list[int]) -> None:
        if new:
            index = int(self.simulations.points.data["index"][new[0]])
            # Browsers report a tap more than once.
            if self.state.example is None or self.state.example.index != index:
                self.state.drill(index)

    def _refresh(self) -> None:
        """Show the newest frame."""
        frame = self.state.frame
        self._drill_controls.layout.visibility = "visible" if frame else "hidden"
        self._redraw()
        self.table.value = _table(frame, self.chosen.value) if frame else ""
        if frame:
            self.index.max = len(frame.run) - 1
        self._tell()

    def _redraw(self) -> None:
        frame, state = self.state.frame, self.state
        with self._together():
            if frame is None:
                for part in (self.curves, self.ranks, self.simulations, self.corner):
                    part.clear()
            else:
                color = COLORS[frame.run.method]
                self.curves.update(frame, self.chosen.value, state.quantity, color)
                self.ranks.update(frame, state.quantity, color)
                self.simulations.update(frame.run, state.quantity, self.observable.value, color)
        self._changed()

    def _open(self) -> None:
        """Show the example."""
        example = self.state.example
        self._drilled.layout.display = "none" if example is None else "flex"
        if example is None:
            return
        self.index.value = example.index
        result = example.result
        draws = dict(zip(NAMES, result.samples[0].T, strict=True))
        with self._together():
            self.corner.update(draws, result.weights[0], float(result.ess[0]), result.method)
            self.corner.mark(dict(zip(NAMES, example.truth.tolist(), strict=True)))
            self._mark_point(example.index)
        assert self.state.frame is not None
        self.story.value = _story(example, self.state.frame)
        self._changed()

    def _mark_point(self, index: int) -> None:
        rows = np.flatnonzero(np.asarray(self.simulations.points.data["index"]) == index)
        self.simulations.points.selected.indices = [int(row) for row in rows]

    def _tell(self) -> None:
        """Say how far the run is, what it says, and what went wrong."""
        state, frame = self.state, self.state.frame
        done = len(frame.run) if frame else 0
        self.run.disabled, self.cancel.disabled = state.busy, not state.busy
        self.progress.layout.visibility = "visible" if state.busy else "hidden"
        self.progress.max, self.progress.value = state.simulations, done
        self.progress_text.value = f"{done} of {state.simulations}" if state.busy else ""
        self.opening.value = "opening …" if state.opening else ""
        lines = []
        if state.message:
            lines.append(f"<b style='color:#D55E00'>{html.escape(state.message)}</b>")
        if frame is not None:
            fine = frame.check is not None and frame.check.uniform.all()
            color = _GOOD_COLOR if fine else BAD_COLOR if frame.check is not None else "#666666"
            fault = frame.run.fault
            made = f"On purpose: {fault}. " if fault else ""
            lines.append(
                f"<div style='border-left:5px solid {color};padding:2px 10px'>"
                f"{html.escape(made)}<b>{html.escape(frame.verdict)}</b></div>"
            )
            if state.outdated and not state.busy:
                lines.append("<i>The choice above has changed since: press Run.</i>")
        self.verdict.value = (
            "<div style='font-size:14px;line-height:1.5;min-height:52px'>"
            f"{'<br>'.join(lines) or 'Press Run.'}</div>"
        )


def _dropdown(label: str, options: tuple[int, ...], value: int, width: int) -> w.Dropdown:
    return w.Dropdown(
        options=sorted({*options, value}), value=value, description=label,
        layout=w.Layout(width=f"{width}px"), style={"description_width": "82px"},
    )  # fmt: skip


def _slider(label: str, values: tuple[float, ...], value: float, text: str = "{:g}") -> Any:
    options = [(text.format(v), v) for v in sorted({*values, value})]
    return w.SelectionSlider(
        options=options, value=value, description=label, continuous_update=False,
        layout=w.Layout(width="245px"), style={"description_width": "88px"},
    )  # fmt: skip


def _table(frame: Frame, names: tuple[str, ...]) -> str:
    """Verdict, distance and p-value of each quantity, in as many columns as there is room for."""
    if frame.check is None:
        return ""
    check, rows = frame.check, []
    readings = check.table()["verdict"]
    for k, name in enumerate(SCORED):
        if name not in names:
            continue
        color = "#222222" if check.uniform[k] else "#a03070"
        rows.append(
            f"<div style='display:flex;border-bottom:1px solid #e4e4e4;break-inside:avoid;"
            f"color:{color}'><span style='flex:0 0 140px'>{html.escape(quantity_label(name))}"
            f"</span><span style='flex:0 0 62px;text-align:right'>{100 * check.ks[k]:.1f}</span>"
            f"<span style='flex:0 0 78px;text-align:right;margin-right:14px'>"
            f"{_p(check.p_holm[k])}</span><span>{html.escape(str(readings[k]))}</span></div>"
        )
    return (
        "<p style='margin:6px 0 2px;font-size:13px'><b>Largest distance from the diagonal "
        "[points], p-value</b> of the Kolmogorov-Smirnov and χ² tests, corrected for the number of "
        f"quantities, <b>and what it means</b></p><div style='columns:2 420px;column-gap:28px;"
        f"font-size:13px;line-height:1.55'>{''.join(rows)}</div>"
    )


def _p(p: float) -> str:
    return f"{p:.2f}" if p >= 0.095 else f"{p:.3f}" if p >= 0.0005 else f"{p:.0e}"


def _story(example: Example, frame: Frame) -> str:
    """What the simulation is, and where the truth lies."""
    run, k, galaxy = frame.run, example.index, example.photometry
    scores = run.scores[k]
    bands = ", ".join(
        f"{label} {value:.2f}"
        for label, value in zip(galaxy.bands.labels, galaxy.magnitude[0], strict=True)
        if np.isfinite(value)
    )
    ranks = "".join(
        f"<tr><td>{html.escape(quantity_label(name))}</td><td style='text-align:right'>"
        f"{example.truth[j]:.2f}</td><td style='text-align:right'>{100 * scores[j]:.0f} %</td></tr>"
        for j, name in enumerate(NAMES)
    )
    return (
        "<div style='font-size:13px;line-height:1.5'>"
        f"<b>Simulation {k}</b>: z = {galaxy.redshift[0]:.4f}; {bands} mag; median S/N "
        f"{run.observable('snr')[k]:.0f}; badge “{html.escape(str(run.badge[k]))}”.<br>"
        f"The truth (crosses and dashed lines) lies on the edge of the joint region of "
        f"{100 * scores[SCORED.index('HPD regions')]:.0f} % credibility. A right posterior has "
        "half of its truths beyond 50 %, and one in twenty beyond 95 %."
        "<table style='font-size:12px;border-spacing:12px 0'><tr><th></th><th>truth</th>"
        f"<th>draws below</th></tr>{ranks}</table></div>"
    )
