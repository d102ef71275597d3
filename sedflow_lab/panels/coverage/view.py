"""The coverage panel: whether the network is calibrated, and what it looks like if not."""

from __future__ import annotations

from typing import Any

import ipywidgets as w
import numpy as np

from ...anpe.bundle import fetched_bundles, shipped_bundles
from ...diagnostics.calibration_run import OBSERVABLES
from ...diagnostics.scoring import SCORED
from ...diagnostics.witnesses import CASES, WITNESSES, Sight
from ...parameters import NAMES
from ..kit import html
from ..kit.base import Panel
from ..kit.choice import Drawn, Source
from ..kit.corner import CornerFigure
from ..kit.pace import Pace
from ..kit.style import COLORS
from ..kit.widgets import button, columns, corner_box, drop_down, methods, row
from .figures import (
    BAD_COLOR,
    OBSERVABLE_LABELS,
    CurveFigure,
    RankFigure,
    SimulationFigure,
    quantity_label,
)
from .state import KINDS, CoverageState, Example, Findings

__all__ = ["CoveragePanel"]

_HELP = (
    "Truths are drawn from the prior, observed, and inferred. If posteriors are right, the truth "
    "is just another draw: its rank is uniform, and every curve stays within its grey band, which "
    "holds 95 % of the curves of right posteriors and shrinks as simulations are added. "
    "Press <b>Run</b>, then break something on purpose and run again."
)
_OTHER = "a folder …"
_FACTORS = (0.25, 0.4, 0.5, 0.7, 1.0, 1.5, 2.0, 2.5, 4.0)
_SHIFTS = (-1.0, -0.75, -0.5, -0.25, 0.0, 0.25, 0.5, 0.75, 1.0)
_CORNER = ("log_mstar", "fburst", "tburst", "tau_ism", "n_dust")
_MAX_CORNER = 6
_SEES, _BLIND = "yes", "no"
_WITNESS_NAMES = {
    "own": "own simulations",
    "SBC": "SBC",
    "TARP": "TARP",
    "HPD": "HPD",
    "fit": "fit",
    "support": "support",
    "weights": "weights",
    "defensive": "defensive mixture",
}
_GOOD_COLOR, _UNKNOWN_COLOR = "#009E73", "#666666"


class CoveragePanel(Panel):
    """Widgets on a `CoverageState`: choices, faults, curves in their bands, verdict, one galaxy.

    Parameters
    ----------
    posterior, **choice
        As of `CoverageState`.

    Examples
    --------
    >>> panel = CoveragePanel(sigma=0.5)
    >>> panel.state.start()
    """

    def __init__(self, posterior: Source = None, **choice: Any) -> None:
        self.state = CoverageState(posterior, **choice)
        super().__init__(self.state)
        self.curves, self.ranks, self.simulations = CurveFigure(), RankFigure(), SimulationFigure()
        self.corner = CornerFigure(_CORNER)
        self._make_controls()
        wide = w.Layout(flex="1 1 300px", min_width="265px", max_width="640px")
        parts = (("curves", self.curves), ("ranks", self.ranks), ("simulations", self.simulations))
        figures = [w.Box([self._show(name, part.figure)], layout=wide) for name, part in parts]
        corner = corner_box(self._show("corner", self.corner.figure))
        story = w.VBox([self.story], layout={"flex": "1 1 300px"})
        self._drilled = columns(corner, story, display="none")
        self.children = [
            w.HTML(html.help_text(_HELP)),
            self._controls,
            self.verdict,
            self.witnesses,
            columns(*figures),
            self.table,
            self._drill_controls,
            self._drilled,
        ]
        self._watch("findings", self._refresh)
        self._watch("example", self._open)
        self._watch("quantity", self._redraw)
        choices = ["case", "method", "draws", "seed", "sigma", "prior_shift", "narrow"]
        self._watch(["busy", "opening", "message", "seen", *choices], self._tell)
        self._refresh()

    def _make_controls(self) -> None:
        state = self.state
        names = list(dict.fromkeys([*shipped_bundles(), *fetched_bundles(), state.bundle, _OTHER]))
        self.posterior = drop_down("Posterior", names, 270, value=state.bundle)
        self.folder = w.Text(placeholder="folder of a bundle, then Enter", continuous_update=False)
        self.folder.layout.width, self.folder.layout.display = "240px", "none"
        self.posterior.observe(lambda change: self._choose_posterior(change.new), "value")
        self.folder.observe(lambda change: self._choose_folder(change.new), "value")
        self.method = methods(KINDS)
        numbers = sorted({100, 200, 500, 1000, 2000, state.simulations})
        self.number = drop_down("Simulations", numbers, 185, label_width=82)
        numbers = sorted({50, 100, 200, 500, 1000, state.draws})
        self.draws = drop_down("Draws", numbers, 150, label_width=82)
        self.seed = w.BoundedIntText(value=state.seed, min=0, max=10**6, description="Seed")
        self.seed.layout.width = "150px"
        cases = [(case.label, name) for name, case in CASES.items()]
        self.case = drop_down("Break", cases, 300, label_width=44)
        self.sigma = _slider("Errors told × ", _FACTORS, state.sigma)
        self.prior_shift = _slider("Prior shift", _SHIFTS, state.prior_shift, "{:+g} σ")
        self.narrow = _slider("Posterior × ", _FACTORS, state.narrow)
        self._link(method=self.method, simulations=self.number, draws=self.draws, seed=self.seed)
        self._link(
            case=self.case, sigma=self.sigma, prior_shift=self.prior_shift, narrow=self.narrow
        )
        self.run = button("Run", "play", state.start)
        self.run.button_style = "primary"
        self.cancel = button("Cancel", "stop", state.cancel)
        self.reset = button("Nothing wrong", "undo", state.reset)
        self.progress = w.IntProgress(layout=w.Layout(width="170px", visibility="hidden"))
        self.progress_text, self._pace = w.HTML(), Pace()
        scored = [(quantity_label(name), name) for name in SCORED]
        self.quantity = drop_down("Look at", scored, 250)
        self._link(quantity=self.quantity)
        options = [(OBSERVABLE_LABELS[name], name) for name in OBSERVABLES]
        self.observable = drop_down("sorted by", options, 330)
        self.observable.observe(lambda _: self._redraw(), "value")
        self.chosen = w.SelectMultiple(options=scored, value=SCORED, rows=8)
        self.chosen.layout.width = "260px"
        self.chosen.observe(lambda _: self._choose_quantities(), "value")
        picker = w.Accordion([self.chosen], titles=("Quantities and parameters shown",))
        fail = w.HTML("<span class='sedflow-fault'>Fail on purpose</span>")
        running = (self.run, self.cancel, self.progress, self.progress_text)
        rows = (
            row(self.posterior, self.folder, self.method),
            row(self.number, self.draws, self.seed, *running),
            row(fail, self.case, self.reset),
            row(self.sigma, self.prior_shift, self.narrow),
            row(self.quantity, self.observable, picker),
        )
        self._controls = w.VBox(rows)
        self.verdict = w.HTML(layout=w.Layout(min_height="52px"))  # what is below does not jump
        self.witnesses = w.HTML()
        self.table, self.story = w.HTML(), w.HTML()
        self.index = w.BoundedIntText(min=0, max=0, description="Simulation")
        self.index.layout.width = "170px"
        self.open = button("Open", "search", lambda: state.drill(self.index.value))
        surprise = state.most_surprising
        self.surprise = button("Most surprising", "bolt", lambda: state.drill(surprise()))
        self.opening = w.HTML()
        drill = (self.index, self.open, self.surprise, self.opening)
        self._drill_controls = row(*drill, visibility="hidden")
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
            with self._together():
                self.corner.choose(shown)
            self._open()
        self._refresh()

    def _tapped(self, attribute: str, old: list[int], new: list[int]) -> None:
        if new:
            index = int(self.simulations.points.data["index"][new[0]])
            # Browsers report a tap more than once.
            if self.state.example is None or self.state.example.index != index:
                self.state.drill(index)

    def _refresh(self) -> None:
        """Show the newest findings."""
        found = self.state.findings
        self._drill_controls.layout.visibility = "visible" if found else "hidden"
        self._redraw()
        self.table.value = _table(found, self.chosen.value) if found else ""
        if found:
            self.index.max = len(found.run) - 1
        self._tell()

    def _redraw(self) -> None:
        found, state = self.state.findings, self.state
        with self._together():
            if found is None:
                for part in (self.curves, self.ranks, self.simulations, self.corner):
                    part.clear()
            else:
                color = COLORS[found.run.method]
                self.curves.update(found, self.chosen.value, state.quantity, color)
                self.ranks.update(found, state.quantity, color)
                self.simulations.update(found.run, state.quantity, self.observable.value, color)

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
            self.corner.update(Drawn.of(draws, result))
            self.corner.mark(dict(zip(NAMES, example.truth.tolist(), strict=True)))
            points = self.simulations.points
            rows = np.flatnonzero(np.asarray(points.data["index"]) == example.index)
            points.selected.indices = rows.tolist()
        assert self.state.findings is not None
        self.story.value = _story(example, self.state.findings)

    def _tell(self) -> None:
        """Say how far the run is, what it says, and what went wrong."""
        state, found = self.state, self.state.findings
        done = len(found.run) if found else 0
        self.run.disabled, self.cancel.disabled = state.busy, not state.busy
        self.progress.layout.visibility = "visible" if state.busy else "hidden"
        self.progress.max, self.progress.value = state.simulations, done
        told = self._pace.words(done, state.simulations)
        self.progress_text.value = told if state.busy else ""
        self.opening.value = "opening …" if state.opening else ""
        lines = []
        if state.message:
            lines.append(html.failure(state.message))
        if found is not None:
            lines.append(_stripe(found))
            if state.outdated and not state.busy:
                lines.append("<i>The choice above has changed since: press Run.</i>")
        self.verdict.value = html.verdict(lines or ["Press Run."])
        self.witnesses.value = _witnesses(state.seen, CASES[state.ran].why)


def _slider(label: str, values: tuple[float, ...], value: float, text: str = "{:g}") -> Any:
    options = [(text.format(v), v) for v in sorted({*values, value})]
    look: Any = {"layout": {"width": "245px"}, "style": {"description_width": "88px"}}
    return w.SelectionSlider(
        options=options, value=value, description=label, continuous_update=False, **look
    )


def _witnesses(seen: dict[str, Sight], why: str) -> str:
    """Which diagnostics see that something is wrong, and why."""
    if not seen:
        return ""
    heads = "".join(
        f"<th title='{html.escape(WITNESSES[name])}'>{html.escape(_WITNESS_NAMES[name])}</th>"
        for name in seen
    )
    marks, sizes = (
        [f"<b>{_SEES if s.seen else _BLIND}</b>" for s in seen.values()],
        [f"{100 * s.size:.0f} %, p {_probability(s.p_value)}" for s in seen.values()],
    )
    rows = ("Does it see it?", *marks), ("how far off", *sizes)
    return html.table([f"<th></th>{heads}"], rows) + html.paragraph(html.escape(why))


def _probability(p: float) -> str:
    return f"{p:.2f}" if p >= 0.095 else f"{p:.0e}" if p > 1e-99 else "0"


def _stripe(found: Findings) -> str:
    """What a run says, beside a stripe of the colour of good or bad."""
    color = _UNKNOWN_COLOR
    if found.check is not None:
        color = _GOOD_COLOR if found.check.uniform.all() else BAD_COLOR
    made = f"On purpose: {found.run.fault}. " if found.run.fault else ""
    return html.stripe(color, f"{html.escape(made)}<b>{html.escape(found.verdict)}</b>")


def _table(found: Findings, names: tuple[str, ...]) -> str:
    """Verdict, distance and p-value of each quantity."""
    if found.check is None:
        return ""
    rows, bad = [], []
    for name, of, uniform in zip(SCORED, found.check.table(), found.check.uniform, strict=True):
        if name in names:
            p = of["p_holm"]
            p_text = f"{p:.2f}" if p >= 0.095 else f"{p:.3f}" if p >= 0.0005 else f"{p:.0e}"
            label, distance = html.escape(quantity_label(name)), f"{100 * of['ks']:.1f}"
            numbers = html.cell(distance, width=62), html.cell(p_text, width=78)
            rows.append((html.cell(label), *numbers, html.cell(str(of["verdict"]))))
            bad.append(not uniform)
    heading = (
        "<b>Largest distance from the diagonal [points], p-value</b> of the Kolmogorov-Smirnov "
        "and χ² tests, corrected for the number of quantities, <b>and what it means</b>"
    )
    return html.listing(heading, rows, bad)


def _story(example: Example, found: Findings) -> str:
    """What the simulation is, and where the truth lies."""
    run, k, galaxy = found.run, example.index, example.photometry
    scores = run.scores[k]
    bands = ", ".join(
        f"{label} {value:.2f}"
        for label, value in zip(galaxy.bands.labels, galaxy.magnitude[0], strict=True)
        if np.isfinite(value)
    )
    rows = [
        (html.escape(quantity_label(name)), f"{example.truth[j]:.2f}", f"{100 * scores[j]:.0f} %")
        for j, name in enumerate(NAMES)
    ]
    return html.paragraph(
        f"<b>Simulation {k}</b>: z = {galaxy.redshift[0]:.4f}; {bands} mag; median S/N "
        f"{run.observable('snr')[k]:.0f}; badge “{html.escape(str(run.badge[k]))}”.<br>"
        f"The truth (crosses and dashed lines) lies on the edge of the joint region of "
        f"{100 * scores[SCORED.index('HPD regions')]:.0f} % credibility. A right posterior has "
        "half of its truths beyond 50 %, and one in twenty beyond 95 %."
    ) + html.table(["<th></th><th>truth</th><th>draws below</th>"], rows)
