"""The witness panel: emcee grows beside the network's posterior, and says whether they agree."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

import ipywidgets as w
import numpy as np

from ...anpe import AmortizedPosterior
from ...methods import BADGES
from ...observations.photometry import Photometry
from ...parameters import NAMES
from ...plots.style import COLORS, LABELS
from ..galaxy.view import _describe, _duration
from ..kit.base import Panel
from ..kit.corner import QUANTITIES
from .figures import OverlayCorner, WalkerFigure
from .state import Chain, Shown, WitnessState

__all__ = ["WitnessPanel"]

_HELP = (
    "The network's posterior is there at once. <b>Run emcee</b> samples the exact one with Markov "
    "chains, which know nothing of the network unless you start them there: else the walkers "
    "start at likely draws of the prior. <b>Make exact</b> corrects the network's posterior by "
    "sequential Monte Carlo. When emcee has ended, a table says how far apart they are."
)
_TABLE_HELP = (
    "JS is the Jensen-Shannon distance of the marginals, from 0 to 1; W₁ the mean distance "
    "by which draws must move, in σ of the chain; shift that of the medians, in σ; width the ratio "
    "of the 68 % intervals. In grey the same numbers for two halves of the chain: the noise floor, "
    "which two perfect posteriors would show. Bold is what is above twice that floor, and more "
    "than a reader would notice."
)
_STATUS = {"converged": "#009E73", "not converged": "#B87A00", "cancelled": "#666666"}
_STYLE = (
    "<style>.sedflow-witness{border-collapse:collapse;font-size:12.5px;line-height:1.5;"
    "font-variant-numeric:tabular-nums}"
    ".sedflow-witness th,.sedflow-witness td{padding:0 6px;text-align:right;"
    "border-bottom:1px solid #e4e4e4;white-space:nowrap}"
    ".sedflow-witness td:first-child,.sedflow-witness th:first-child{text-align:left}"
    ".sedflow-witness i{color:#767676;font-style:normal;font-size:11px}"
    "</style>"
)
_PARAMETERS = [QUANTITIES[name] for name in NAMES]
_MEASURES = (("js", "JS", 0.05), ("w1", "W₁", 0.1), ("shift", "shift", 0.1))


class WitnessPanel(Panel):
    """Widgets on a `WitnessState`: controls, progress, overlaid corner plot, walkers, table.

    Parameters
    ----------
    posterior : AmortizedPosterior, str or Path, optional
        A posterior, a shipped bundle by name, or a folder; default the shipped ``nsa-ugriz``.
    photometry : Photometry, optional
        The galaxies to choose from; default `sedflow_lab.showcase`.
    **settings
        ``seed``, ``max_steps``, ``walkers``, and first values of ``index`` and ``start``, as of
        `WitnessState`.

    Examples
    --------
    >>> panel = WitnessPanel(start="both")
    >>> panel.state.run_emcee()
    >>> panel.state.close()
    """

    def __init__(
        self,
        posterior: AmortizedPosterior | str | Path | None = None,
        photometry: Photometry | None = None,
        **settings: Any,
    ) -> None:
        self.state = WitnessState(posterior, photometry, **settings)
        super().__init__(self.state.jobs.loop)
        self.corner, self.walkers = OverlayCorner(), WalkerFigure()
        self._make_controls()
        left = w.VBox(
            [self._show("corner", self.corner.layout), self.zoom],
            layout=w.Layout(flex="0 0 auto"),
        )
        right = w.VBox(
            [self._show("walkers", self.walkers.figure), self.trace, self.verdict],
            layout=w.Layout(flex="1 1 380px", min_width="360px", max_width="760px"),
        )
        self.children = [
            w.HTML(f"<div style='font-size:13px;line-height:1.45'>{_HELP}</div>"),
            self._controls,
            self.status,
            w.Box(
                [left, right],
                layout=w.Layout(display="flex", flex_flow="row wrap", width="100%"),
            ),
            self.legend,
            self.table,
        ]
        state = self.state
        state.observe(lambda _: self._show_network(), "network")
        state.observe(lambda _: self._overlay("exact", state.refined), "refined")
        state.observe(lambda _: self._show_chain(), "chain")
        state.observe(lambda _: self._tell(), ["sampling", "refining", "comparing", "message"])
        state.observe(lambda _: self._tabulate(), ["tables", "comparing"])
        self._show_network()

    def _make_controls(self) -> None:
        state = self.state
        small = {"width": "auto"}
        self.galaxy = w.Dropdown(
            options=[(_describe(state.galaxies[i]), i) for i in range(len(state.galaxies))],
            description="Galaxy",
            style={"description_width": "52px"},
            layout=w.Layout(width="345px"),
        )
        self.previous = w.Button(icon="arrow-left", tooltip="Previous galaxy", layout=small)
        self.next = w.Button(icon="arrow-right", tooltip="Next galaxy", layout=small)
        self.previous.on_click(lambda _: state.step(-1))
        self.next.on_click(lambda _: state.step(1))
        self.start = w.Dropdown(
            options=[("the prior", "prior"), ("the network", "network"), ("both", "both")],
            description="Start at",
            tooltip="Where emcee's walkers start",
            style={"description_width": "56px"},
            layout=w.Layout(width="160px"),
        )
        for widget, name in ((self.galaxy, "index"), (self.start, "start")):
            widget.value = getattr(state, name)
            w.link((state, name), (widget, "value"))
        self.run = w.Button(description="Run emcee", icon="play", layout=small)
        self.run.style.button_color = COLORS["mcmc"]
        self.run.style.text_color = "white"
        self.run.on_click(lambda _: state.run_emcee())
        self.cancel = w.Button(description="Cancel", icon="stop", layout=small)
        self.cancel.on_click(lambda _: self._cancel())
        self.exact = w.Button(description="Make exact", icon="magic", layout=small)
        self.exact.on_click(lambda _: state.refine())
        self.status, self.verdict, self.legend = w.HTML(), w.HTML(), w.HTML()
        self.table = w.HTML(layout=w.Layout(width="100%", overflow="auto"))
        self.zoom = w.Checkbox(description="Zoom in on the network's posterior", indent=False)
        self.zoom.observe(lambda _: self._show_all(), "value")
        self.trace = w.Dropdown(
            options=[
                (f"{QUANTITIES[n].axis_label}: {QUANTITIES[n].description}", n) for n in NAMES
            ],
            value="tau_ism",
            description="Walkers in",
            layout=w.Layout(width="100%"),
        )
        self.trace.observe(lambda _: self._show_all(), "value")
        row = w.Layout(display="flex", flex_flow="row wrap", align_items="center")
        self._controls = w.Box(
            [
                self.galaxy, self.previous, self.next, self.start, self.run, self.exact,
                self.cancel,
            ],
            layout=row,
        )  # fmt: skip

    def _cancel(self) -> None:
        self.state.cancel_emcee()
        self.state.cancel_refine()

    def _show_all(self) -> None:
        """Draw everything anew, as the axes have changed."""
        self._show_network()
        self._overlay("exact", self.state.refined)
        self._show_chain()

    def _show_network(self) -> None:
        shown = self.state.network
        with self._together():
            if shown is None:
                self.corner.clear()
                self.walkers.clear()
            else:
                self.corner.update(*_drawn(shown), "fast", self.zoom.value)
                self.walkers.show_network(self.trace.value, shown.values[self.trace.value])
        self._tell()
        self._changed()

    def _overlay(self, method: str, shown: Shown | None) -> None:
        with self._together():
            if shown is None:
                self.corner.remove(method)
            else:
                self.corner.overlay(*_drawn(shown), method)
        self._tell()
        self._changed()

    def _show_chain(self) -> None:
        chain = self.state.chain
        self._overlay("mcmc", None if chain is None else chain.shown)
        with self._together():
            if chain is not None:
                spread = chain.spread[:, :, NAMES.index(self.trace.value)]
                self.walkers.show_walkers(chain.steps, spread)
            elif self.state.network is not None:
                draws = self.state.network.values[self.trace.value]
                self.walkers.show_network(self.trace.value, draws)

    def _tell(self) -> None:
        """Say what is shown, how it was made, and what is under way."""
        state, parts = self.state, []
        for shown, method in ((state.network, "fast"), (state.refined, "exact")):
            if shown is not None:
                word = html.escape(str(shown.result.badge[0]))
                parts.append(
                    f"{_key(method)}{_pill(word, BADGES[word].color)} in "
                    f"<b>{_duration(shown.seconds)}</b>"
                )
        if state.chain is not None:
            parts.append(_key("mcmc") + _progress(state.chain))
        elif state.sampling:
            parts.append(_key("mcmc") + "looking for a place to start …")
        if state.refining:
            parts.append(f"{_key('exact')}<b style='color:#B87A00'>making it exact …</b>")
        if state.message:
            parts.append(f"<b style='color:#D55E00'>{html.escape(state.message)}</b>")
        self.status.value = (
            "<div style='display:flex;flex-wrap:wrap;gap:4px 22px;align-items:center;"
            "font-size:13px;line-height:1.6;min-height:26px'>"
            + "".join(f"<span>{part}</span>" for part in parts)
            + "</div>"
        )
        usable = state.network is not None
        self.run.description = "Run emcee again" if state.sampling or state.chain else "Run emcee"
        self.run.disabled, self.exact.disabled = not usable, not usable or state.refining
        self.cancel.layout.visibility = "visible" if state.sampling or state.refining else "hidden"

    def _tabulate(self) -> None:
        """Show how far the posteriors are from the chain, and what that means."""
        state, lines = self.state, []
        converged = state.chain is not None and state.chain.status == "converged"
        for method, table in state.tables.items():
            lines.append(f"<p style='margin:4px 0'>{_key(method)}{table.meta['verdict']}</p>")
        if state.comparing:
            lines.append("<p style='margin:4px 0'><b style='color:#B87A00'>comparing …</b></p>")
        if state.tables and not converged:
            lines.insert(0, "<p style='margin:4px 0'><b>The chain has not converged: this is a "
                         "comparison with an unreliable witness.</b></p>")  # fmt: skip
        self.verdict.value = f"<div style='font-size:14px;line-height:1.4'>{''.join(lines)}</div>"
        self.table.value = _table(state.tables) if state.tables else ""
        text = f"<div style='font-size:13px;line-height:1.45'>{_TABLE_HELP}</div>"
        self.legend.value = text if state.tables else ""


def _drawn(shown: Shown) -> tuple[Any, np.ndarray, float]:
    """What a corner plot needs of a posterior."""
    return shown.values, shown.result.weights[0], float(shown.result.ess[0])


def _key(method: str) -> str:
    """Name of a method behind a square of its colour."""
    return (
        f"<span style='display:inline-block;width:11px;height:11px;background:{COLORS[method]};"
        f"border-radius:2px;margin-right:5px'></span><b>{LABELS[method]}</b> "
    )


def _pill(word: str, colour: str) -> str:
    return (
        f"<span style='background:{colour};color:white;border-radius:10px;padding:1px 10px;"
        f"font-weight:bold'>{word}</span>"
    )


def _progress(chain: Chain) -> str:
    """How far a chain has come."""
    tau = f", τ ≈ {chain.tau:.0f} steps" if np.isfinite(chain.tau) else ""
    steps = f"{chain.step:,} steps{tau}, {_duration(chain.shown.seconds)}"
    if chain.status == "running":
        return f"<b style='color:#B87A00'>sampling …</b> {steps}"
    return f"{_pill(chain.status, _STATUS[chain.status])} {steps}"


def _table(tables: dict[str, Any]) -> str:
    """Distances from the chain as HTML, their noise floors beside them."""
    methods = [m for m in ("fast", "exact") if m in tables]
    heads = "".join(f"<th colspan='{len(_MEASURES) + 1}'>{_key(m)}</th>" for m in methods)
    names = "".join(f"<th>{label}</th>" for _, label, _ in _MEASURES) + "<th>width</th>"
    rows = []
    for k, name in enumerate(tables[methods[0]]["parameter"]):
        cells = [f"<td title='{QUANTITIES[name].description}'>{QUANTITIES[name].axis_label}</td>"]
        for row in (tables[m][k] for m in methods):
            for measure, _, small in _MEASURES:
                value, floor = float(row[measure]), float(row[f"{measure}_floor"])
                text = f"{value:.3f}" if measure == "js" else f"{value:.2f}"
                loud = abs(value) > max(2 * abs(floor), small)
                text = f"<b>{text}</b>" if loud else text
                cells.append(f"<td>{text} <i>{abs(floor):.3f}</i></td>")
            cells.append(f"<td>{float(row['width']):.2f}</td>")
        rows.append(f"<tr>{''.join(cells)}</tr>")
    return (
        f"{_STYLE}<table class='sedflow-witness'><tr><th></th>{heads}</tr>"
        f"<tr><th></th>{names * len(methods)}</tr>{''.join(rows)}</table>"
    )
