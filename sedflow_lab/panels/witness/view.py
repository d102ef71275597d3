"""The witness panel: emcee grows beside the network's posterior, and says whether they agree."""

from __future__ import annotations

from typing import Any

import ipywidgets as w
import numpy as np

from ...methods import METHODS
from ...observations.photometry import Photometry
from ...parameters import NAMES, PARAMETERS
from ...quantities import QUANTITIES
from ...samplers.ensemble import MIN_TAUS
from ..kit import html
from ..kit.base import Panel
from ..kit.choice import Outcome, Source
from ..kit.corner import CornerFigure
from ..kit.pace import time_left
from ..kit.widgets import (
    allowances,
    button,
    columns,
    corner_box,
    drop_down,
    galaxy_buttons,
    galaxy_list,
    row,
)
from .figures import WalkerFigure
from .state import ChainSoFar, WitnessState

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
_MEASURES = (("js", "JS", 0.05), ("w1", "W₁", 0.1), ("shift", "shift", 0.1))


class WitnessPanel(Panel):
    """Widgets on a `WitnessState`: controls, progress, overlaid corner plot, walkers, table.

    Parameters
    ----------
    posterior, photometry, **settings
        As of `WitnessState`.

    Examples
    --------
    >>> panel = WitnessPanel(start="both")
    >>> panel.state.run_emcee()
    >>> panel.close()
    """

    def __init__(
        self, posterior: Source = None, photometry: Photometry | None = None, **settings: Any
    ) -> None:
        self.state = WitnessState(posterior, photometry, **settings)
        super().__init__(self.state)
        self.corner, self.walkers = CornerFigure(), WalkerFigure()
        self._make_controls()
        left = corner_box(self._show("corner", self.corner.figure), self.zoom)
        right = w.VBox(
            [self._show("walkers", self.walkers.figure), self.trace, self.verdict],
            layout=w.Layout(flex="1 1 380px", min_width="360px", max_width="760px"),
        )
        self.children = [
            w.HTML(html.help_text(_HELP) + html.of_galaxies(self.state.simulated)),
            self._controls,
            self.status,
            columns(left, right),
            self.legend,
            self.table,
        ]
        self._watch("network", self._show_network)
        self._watch("exact", self._show_exact)
        self._watch("chain", self._show_chain)
        self._watch(["sampling", "making_exact", "comparing", "message"], self._tell)
        self._watch(["tables", "comparing"], self._tabulate)
        self._show_network()

    def _make_controls(self) -> None:
        state = self.state
        self.galaxy = galaxy_list(state, 345, 52)
        self.previous, self.next = galaxy_buttons(state)
        options = [("the prior", "prior"), ("the network", "network"), ("both", "both")]
        where = "Where emcee's walkers start"
        self.start = drop_down("Start at", options, 160, label_width=56, tooltip=where)
        self.allow = allowances()
        self._link(index=self.galaxy, start=self.start, **self.allow)
        self.run = button("Run emcee", "play", state.run_emcee)
        self.run.style.button_color = METHODS["mcmc"].color
        self.run.style.text_color = "white"
        self.cancel = button("Cancel", "stop", self._cancel)
        self.exact = button("Make exact", "magic", state.make_exact)
        self.status, self.verdict, self.legend = w.HTML(), w.HTML(), w.HTML()
        self.table = w.HTML(layout=w.Layout(width="100%", overflow="auto"))
        self.zoom = w.Checkbox(description="Zoom in on the network's posterior", indent=False)
        self.zoom.observe(lambda _: self._show_all(), "value")
        self.trace = w.Dropdown(
            options=[(f"{q.axis_text}: {q.description}", q.name) for q in PARAMETERS],
            value="tau_ism",
            description="Walkers in",
            layout=w.Layout(width="auto"),  # "100%" has the margins beyond it, where they are cut
        )
        self.trace.observe(lambda _: self._show_all(), "value")
        buttons = (self.run, self.exact, self.cancel)
        self._controls = w.VBox(
            [
                row(self.galaxy, self.previous, self.next, w.HBox(list(self.allow.values()))),
                row(self.start, *buttons),
            ]
        )

    def _cancel(self) -> None:
        self.state.cancel_emcee()
        self.state.cancel_exact()

    def _show_all(self) -> None:
        """Draw everything anew, as the axes have changed."""
        self._show_network()
        self._show_exact()
        self._show_chain()

    def _show_network(self) -> None:
        shown = self.state.network
        with self._together():
            if shown is None:
                self.corner.clear()
                self.walkers.clear()
            else:
                self.corner.update(shown.drawn, self.zoom.value)
                self.walkers.show_network(self.trace.value, shown.values[self.trace.value])
        self._tell()

    def _overlay(self, method: str, shown: Outcome | None) -> None:
        with self._together():
            if shown is None:
                self.corner.remove(method)
            else:
                self.corner.overlay(shown.drawn)
        self._tell()

    def _show_exact(self) -> None:
        self._overlay("exact", self.state.exact)

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
        for shown, method in ((state.network, "fast"), (state.exact, "exact")):
            if shown is not None:
                pill = html.badge(str(shown.result.badge[0]))
                spent = html.duration(shown.seconds)
                parts.append(f"{html.key(method)}{pill} in <b>{spent}</b>")
        if state.chain is not None:
            parts.append(html.key("mcmc") + _progress(state.chain))
        elif state.sampling:
            parts.append(html.key("mcmc") + "looking for a place to start …")
        if state.making_exact:
            parts.append(html.key("exact") + html.busy("making it exact"))
        if state.message:
            parts.append(html.failure(state.message))
        self.status.value = html.strip(parts)
        usable = state.network is not None
        self.run.description = "Run emcee again" if state.sampling or state.chain else "Run emcee"
        self.run.disabled, self.exact.disabled = not usable, not usable or state.making_exact
        running = state.sampling or state.making_exact
        self.cancel.layout.visibility = "visible" if running else "hidden"

    def _tabulate(self) -> None:
        """Show how far the posteriors are from the chain, and what that means."""
        state, lines = self.state, []
        converged = state.chain is not None and state.chain.status == "converged"
        if state.tables and not converged:
            doubt = "The chain has not converged: this is a comparison with an unreliable witness."
            lines.append(f"<b>{doubt}</b>")
        for method, table in state.tables.items():
            lines.append(html.key(method) + table.meta["verdict"])
        if state.comparing:
            lines.append(html.busy("comparing"))
        self.verdict.value = html.verdict(lines)
        self.table.value = _table(state.tables) if state.tables else ""
        self.legend.value = html.paragraph(_TABLE_HELP) if state.tables else ""


def _progress(chain: ChainSoFar) -> str:
    """How far a chain has come."""
    tau = f", τ ≈ {chain.tau:.0f} steps" if np.isfinite(chain.tau) else ""
    steps = f"{chain.step:,} steps{tau}, {html.duration(chain.shown.seconds)}"
    if chain.status != "running":
        return f"{html.badge(chain.status)} {steps}"
    left = chain.shown.seconds * (MIN_TAUS * chain.tau / chain.step - 1) if chain.step else np.nan
    more = f", about {time_left(left)}" if left > 0 else ""
    return f"{html.busy('sampling')} {steps}{more}"


def _table(tables: dict[str, Any]) -> str:
    """Distances from the chain, their noise floors beside them."""
    methods = [m for m in ("fast", "exact") if m in tables]
    heads = "".join(f"<th colspan='{len(_MEASURES) + 1}'>{html.key(m)}</th>" for m in methods)
    names = "".join(f"<th>{label}</th>" for _, label, _ in _MEASURES) + "<th>width</th>"
    rows = []
    for k, name in enumerate(tables[methods[0]]["parameter"]):
        cells = [html.cell(QUANTITIES[name].axis_text, QUANTITIES[name].description)]
        for found in (tables[m][k] for m in methods):
            for measure, _, small in _MEASURES:
                value, floor = float(found[measure]), float(found[f"{measure}_floor"])
                text = f"{value:.3f}" if measure == "js" else f"{value:.2f}"
                loud = abs(value) > max(2 * abs(floor), small)
                text = f"<b>{text}</b>" if loud else text
                cells.append(f"{text} <i>{abs(floor):.3f}</i>")
            cells.append(f"{float(found['width']):.2f}")
        rows.append(cells)
    return html.table([f"<th></th>{heads}", f"<th></th>{names * len(methods)}"], rows)
