"""The ABC panel: turn the tolerance down, and see what it costs and what it buys."""

from __future__ import annotations

from typing import Any

import ipywidgets as w
import numpy as np

from ...samplers.abc import expected_acceptance
from ..kit import html
from ..kit.base import Panel
from ..kit.choice import Source
from ..kit.pace import Pace
from ..kit.style import COLORS
from ..kit.widgets import button, columns, drop_down, row
from .figures import ABC_COLOR, MarginalFigure, PlaneFigure, PriceFigure
from .state import BUDGETS, ERRORS, LARGEST, ABCState, Findings

__all__ = ["ABCPanel"]

_HELP = (
    "Parameters are drawn from the prior and galaxies simulated from them. <b>Kept</b> are those "
    "whose fluxes differ from the observed ones by less than the <b>tolerance ε</b>: the root mean "
    "square of the differences, in units of their uncertainty σ. Turn ε down: what is kept "
    "closes in on the exact posterior, and there is less and less of it."
)
_FEW = 100
_WANTED = 1000  # draws, of which the price is told
_FSPS = 0.34  # seconds a galaxy (Hahn et al. 2022)
_UNITS = ((1.0, "s"), (60.0, "minutes"), (3600.0, "hours"), (86400.0, "days"), (3.156e7, "years"))


class ABCPanel(Panel):
    """Widgets on an `ABCState`: choices, what is kept beside the exact posterior, price and gain.

    Parameters
    ----------
    posterior, **choice
        As of `ABCState`.

    Examples
    --------
    >>> panel = ABCPanel(error=0.05)
    >>> panel.state.tolerance = 1.0
    """

    def __init__(self, posterior: Source = None, **choice: Any) -> None:
        self.state = ABCState(posterior, **choice)
        super().__init__(self.state)
        problem = self.state.problem
        self.plane, self.price = PlaneFigure(problem), PriceFigure(len(problem.sigma))
        self.marginals = [MarginalFigure(k, problem) for k in (0, 1)]
        self._make_controls()
        left = w.Layout(flex="1 1 340px", min_width="300px", max_width="560px")
        right = w.Layout(flex="1 1 290px", min_width="270px", max_width="440px")
        middle = [self._show(f"marginal{k}", m.figure) for k, m in enumerate(self.marginals)]
        costs = [
            self._show("price", self.price.price),
            self._show("gain", self.price.gain),
        ]
        self.children = [
            w.HTML(html.help_text(_HELP)),
            self._controls,
            self.verdict,
            columns(
                w.Box([self._show("plane", self.plane.figure)], layout=left),
                w.VBox(middle, layout=right),
                w.VBox(costs, layout=right),
            ),
        ]
        self._watch("findings", self._refresh)
        self._watch("tolerance", self._choose)
        self._watch(["busy", "message"], self._tell)
        self._refresh()
        self.state.start()

    def _make_controls(self) -> None:
        state = self.state
        self.tolerance = w.FloatLogSlider(
            value=state.tolerance,
            base=10,
            min=float(np.log10(0.2)),
            max=float(np.log10(LARGEST)),
            step=0.02,
            description="Tolerance ε",
            readout_format=".2f",
            continuous_update=True,
        )
        self.tolerance.layout.width = "430px"
        self.all_twelve = w.ToggleButtons(
            options=[("Mass and dust unknown", False), ("All twelve unknown", True)],
            tooltips=["The ten others are held at the truth", "All are drawn from the prior"],
        )
        self.all_twelve.style.button_width = "178px"
        self.all_twelve.layout.width = "auto"
        errors = [(f"{100 * error:g} %", error) for error in ERRORS]
        self.error = drop_down("Flux errors", errors, 165, label_width=72)
        numbers = [(f"{n:,}", n) for n in sorted({*BUDGETS, state.budget})]
        self.budget = drop_down("Simulations", numbers, 190, label_width=82)
        self.seed = w.BoundedIntText(value=state.seed, min=0, max=10**6, description="Seed")
        self.seed.layout.width = "150px"
        self._link(tolerance=self.tolerance, all_twelve=self.all_twelve, error=self.error)
        self._link(budget=self.budget, seed=self.seed)
        self.run = button("Simulate again", "play", state.start)
        self.cancel = button("Cancel", "stop", state.cancel)
        self.progress, self._pace = w.HTML(), Pace()
        self._controls = w.VBox(
            (
                row(self.tolerance, self.all_twelve),
                row(self.error, self.budget, self.seed, self.run, self.cancel, self.progress),
            )
        )
        self.verdict = w.HTML(layout=w.Layout(min_height="96px"))  # what is below does not jump

    def _refresh(self) -> None:
        """Show the newest findings."""
        found = self.state.findings
        parts: list[Any] = [self.plane, *self.marginals]
        with self._together():
            if found is None:
                for part in (*parts, self.price):
                    part.clear()
            else:
                for part in parts:
                    part.show_exact(found.exact)
                self.price.update(found)
        self._choose()

    def _choose(self) -> None:
        """Show what the tolerance keeps."""
        kept = self.state.kept()
        with self._together():
            self.price.mark(self.state.tolerance)
            self.plane.update(kept)
            for part in self.marginals:
                part.update(kept)
        self._tell()

    def _tell(self) -> None:
        """Say what is kept, how near it is, and what went wrong."""
        state, found = self.state, self.state.findings
        self.cancel.disabled = not state.busy
        done = found.run.simulations if found else 0
        told = self._pace.words(done, state.budget)
        self.progress.value = html.busy(told) if state.busy else ""
        lines = [html.failure(state.message)] if state.message else []
        if found is not None:
            lines += _story(found, state.kept(), state.tolerance, state.problem.sigma)
        self.verdict.value = html.verdict(lines or [html.busy("simulating")])


def _story(found: Findings, kept: np.ndarray, tolerance: float, sigma: np.ndarray) -> list[str]:
    """What a tolerance keeps, how far that is from exact, and what more of it would cost."""
    run, n = found.run, len(kept)
    share = n / run.simulations
    keys = html.line_key(ABC_COLOR, "ABC"), html.line_key(COLORS["exact"], "exact posterior")
    lines = [
        html.strip(
            (
                *keys,
                f"<b>{n:,}</b> of {run.simulations:,} simulations are kept: "
                f"<b>{100 * share:.3g} %</b>",
            )
        )
    ]
    if n < _FEW:
        lines.append(
            html.remark(
                f"{n} draws are too few to tell a posterior: raise ε, or simulate more. This is "
                "the price."
            )
        )
    else:
        distance, chance = found.exact.grid.distance(kept), 2 / np.sqrt(n)
        lines.append(
            f"Their distance from the exact posterior (total variation, 0 to 1) is "
            f"<b>{distance:.2f}</b>; as many exact draws have {chance:.2f} by chance."
        )
    expected = float(expected_acceptance(found.exact.log_evidence, sigma, tolerance))
    # The ball is no guide where it is large: what has been counted is.
    likely = share if n >= _FEW or expected > 1 else expected
    needed = _WANTED / max(likely, 1e-300)
    rate = found.seconds / run.simulations
    lines.append(
        f"For {_WANTED:,} draws at this ε: {_count(needed)} simulations, which is "
        f"{_time(needed * rate)} with this model, and {_time(needed * _FSPS)} with one that takes "
        "0.34 s, as FSPS does."
    )
    return lines


def _count(number: float) -> str:
    """A number, or a large one with two digits and its power of ten."""
    if number < 1e6:
        return f"{number:,.0f}"
    digits, power = f"{number:.1e}".split("e")
    return f"{digits} × 10<sup>{int(power)}</sup>"


def _time(seconds: float) -> str:
    """A time in the largest unit that fits."""
    size, name = next((unit for unit in reversed(_UNITS) if seconds >= unit[0]), _UNITS[0])
    number = seconds / size
    return f"{number:,.0f} {name}" if number >= 10 else f"{number:.2g} {name}"
