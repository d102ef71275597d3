"""Bokeh figures of the ABC panel, updated in place."""

from __future__ import annotations

from typing import Any

import numpy as np
from bokeh.models import Span
from bokeh.plotting.contour import contour_data

from ...plots.palette import SPARE_COLORS
from ...quantities import QUANTITIES
from ...samplers.mass_and_dust import FREE, MassAndDust
from ..kit.densities import credible, marginal
from ..kit.style import COLORS, empty, new_plot, set_range, small_legend, source_of, ticks_at
from .state import LARGEST, Exact, Findings

__all__ = ["ABC_COLOR", "MarginalFigure", "PlaneFigure", "PriceFigure"]

ABC_COLOR = SPARE_COLORS[0]
"""Colour of what ABC keeps."""

_MOST = 3000  # points that are drawn
_FEW = 100  # points that are drawn large
_EXACT = COLORS["exact"]
_RAISED = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
_NOW: Any = {"dimension": "height", "line_color": "#888888", "line_dash": "dashed"}


def _limits(k: int, problem: MassAndDust) -> tuple[float, float]:
    return problem.low[k], problem.high[k]


class PlaneFigure:
    """The draws that are kept, over the exact posterior's 68 and 95 % in mass and dust."""

    def __init__(self, problem: MassAndDust) -> None:
        self._spans = [_limits(k, problem) for k in (0, 1)]
        x, y = (
            (QUANTITIES[name].axis_text, *span)
            for name, span in zip(FREE, self._spans, strict=True)
        )
        self.areas = source_of("xs", "ys", "alpha")
        self.points = source_of("x", "y")
        plot = self.figure = new_plot("What is kept", 430, x, y)
        fill: Any = {"fill_alpha": "alpha", "fill_color": _EXACT, "line_color": None}
        plot.multi_polygons(
            "xs", "ys", source=self.areas, legend_label="exact, 68 and 95 %", **fill
        )
        dots: Any = {"size": 4, "fill_alpha": 0.55, "line_color": None, "fill_color": ABC_COLOR}
        self._dots = plot.scatter("x", "y", source=self.points, legend_label="ABC", **dots)
        edge: Any = {"fill_color": None, "line_color": _EXACT, "line_width": 1.5}
        plot.multi_polygons("xs", "ys", source=self.areas, **edge)
        cross: Any = {"marker": "x", "size": 13, "line_width": 3, "line_color": COLORS["data"]}
        at = problem.truth
        plot.scatter([at[0]], [at[1]], legend_label="truth", **cross)
        small_legend(plot.legend, location="top_left")

    def show_exact(self, exact: Exact) -> None:
        """Draw the exact posterior."""
        mass, dust = exact.draws.T
        even = np.full(len(mass), 1 / len(mass))
        x, y, density, low = credible(mass, dust, even, (self._spans[0], self._spans[1]), len(mass))
        steps = [*low, 2 * max(float(density.max()), float(low[-1]))]
        fill = contour_data(x, y, density, steps, want_fill=True, want_line=False).fill_data
        self.areas.data = {"xs": fill.xs, "ys": fill.ys, "alpha": [0.25, 0.65]}

    def update(self, kept: np.ndarray) -> None:
        """Show what is kept (n, 2), or the first of many."""
        self._dots.glyph.size = 4 if len(kept) > _FEW else 9
        self.points.data = {"x": kept[:_MOST, 0], "y": kept[:_MOST, 1]}

    def clear(self) -> None:
        """Show nothing but the truth."""
        empty(self.areas, self.points)


class MarginalFigure:
    """Density of one of the two parameters: exact, and of what is kept."""

    def __init__(self, k: int, problem: MassAndDust) -> None:
        self._k, self._limits = k, _limits(k, problem)
        axis = (QUANTITIES[FREE[k]].axis_text, *self._limits)
        self.line, self.bars = source_of("x", "y"), source_of("left", "right", "top")
        plot = self.figure = new_plot("", 215, axis, ("Density", 0, 1), tools="save")
        sides: Any = {name: name for name in self.bars.data} | {"bottom": 0, "source": self.bars}
        plot.quad(**sides, fill_color=ABC_COLOR, fill_alpha=0.5, line_color=None)
        plot.line("x", "y", source=self.line, line_color=_EXACT, line_width=2)
        self._top = 1.0

    def show_exact(self, exact: Exact) -> None:
        """Draw the exact posterior."""
        edges, density = self._density(exact.draws)
        self.line.data = {"x": np.repeat(edges, 2)[1:-1], "y": np.repeat(density, 2)}
        self._top = float(density.max())

    def update(self, kept: np.ndarray) -> None:
        """Show what is kept (n, 2)."""
        if len(kept) < 2:
            empty(self.bars)
            return
        edges, density = self._density(kept)
        self.bars.data = {"left": edges[:-1], "right": edges[1:], "top": density}
        set_range(self.figure.y_range, 0, 1.1 * max(self._top, float(density.max())))

    def _density(self, draws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        n = len(draws)
        return marginal(draws[:, self._k], np.full(n, 1 / n), self._limits, n)

    def clear(self) -> None:
        """Show nothing."""
        empty(self.line, self.bars)


class PriceFigure:
    """What a tolerance costs, and what it buys: acceptance, and distance to the exact one."""

    def __init__(self, bands: int) -> None:
        self.acceptance = source_of("x", "y")
        self.expected = source_of("x", "y")
        self.distance = source_of("x", "y", "chance")
        tolerance = ("Tolerance ε [σ]", 0.2, LARGEST)
        price = new_plot(
            "Price: share that is kept",
            215,
            tolerance,
            ("Acceptance", 1e-7, 100),
            tools="save",
            x_axis_type="log",
            y_axis_type="log",
        )
        gain = new_plot(
            "Gain: distance to the exact one",
            215,
            tolerance,
            ("Distance", 0, 1.3),
            tools="save",
            x_axis_type="log",
        )
        thin: Any = {"line_color": _EXACT, "line_dash": "dashed", "line_width": 1.6}
        ball = f"evidence × ball ∝ ε{str(bands).translate(_RAISED)}"
        price.line("x", "y", source=self.expected, legend_label=ball, **thin)
        thick: Any = {"line_color": ABC_COLOR, "line_width": 3}
        price.line("x", "y", source=self.acceptance, legend_label="ABC", **thick)
        gain.line("x", "y", source=self.distance, legend_label="ABC", **thick)
        gain.line("x", "chance", source=self.distance, legend_label="chance alone", **thin)
        for plot in (price, gain):
            small_legend(plot.legend, location="top_left")
            ticks_at(plot.xaxis, plot.xgrid, (0.2, 0.5, 1, 2, 5, 10))
        ticks_at(price.yaxis, price.ygrid, (1e-6, 1e-4, 1e-2, 1))
        self.marks = [Span(location=LARGEST, **_NOW) for _ in range(2)]
        for plot, mark in zip((price, gain), self.marks, strict=True):
            plot.add_layout(mark)
        self.price, self.gain = price, gain

    def update(self, found: Findings) -> None:
        """Show a run at all tolerances."""
        some, known = found.acceptance > 0, np.isfinite(found.distance)
        x = found.tolerances
        self.acceptance.data = {"x": x[some], "y": found.acceptance[some]}
        small = found.expected < 1
        self.expected.data = {"x": x[small], "y": found.expected[small]}
        chance = 2 / np.sqrt(found.acceptance[known] * found.run.simulations)
        columns = {"x": x[known], "y": found.distance[known], "chance": chance}
        self.distance.data = columns

    def mark(self, tolerance: float) -> None:
        """Mark the tolerance."""
        for span in self.marks:
            span.location = tolerance

    def clear(self) -> None:
        """Show nothing."""
        empty(self.acceptance, self.expected, self.distance)
