"""Bokeh figures of the witness panel: posteriors over one another, and the way of the walkers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from bokeh.models import Range1d, Span
from bokeh.plotting import figure
from bokeh.plotting.contour import contour_data

from ...methods import METHODS
from ...posterior.weighting import weighted_quantile
from ...quantities import QUANTITIES
from ..kit.choice import Drawn
from ..kit.corner import DEFAULT_QUANTITIES, CornerFigure, credible, marginal
from ..kit.style import COLORS, draw_band, empty, new_plot, set_range, small_legend, source_of

__all__ = ["OVERLAYS", "OverlayCorner", "WalkerFigure", "contour_lines"]

OVERLAYS = ("exact", "mcmc")
"""Methods drawn as lines over the network's filled contours, in this order."""

_HEADROOM = 1.1


def contour_lines(
    x: np.ndarray,
    y: np.ndarray,
    weights: np.ndarray,
    limits: tuple[tuple[float, float], tuple[float, float]],
    ess: float,
) -> dict[str, list[np.ndarray]]:
    """Lines around 68 and 95 % of weighted draws: ``xs`` and ``ys``, one array a level."""
    columns, rows, density, thresholds = credible(x, y, weights, limits, ess)
    lines = contour_data(
        columns, rows, density, list(thresholds), want_fill=False, want_line=True
    ).line_data
    return {"xs": list(lines.xs), "ys": list(lines.ys)}


class OverlayCorner(CornerFigure):
    """The network's posterior, filled, with lines of others over it."""

    def __init__(self, names: Sequence[str] = DEFAULT_QUANTITIES) -> None:
        self.lines: dict[str, dict[tuple[int, int], Any]] = {m: {} for m in OVERLAYS}
        self.middles: dict[str, dict[int, Span]] = {m: {} for m in OVERLAYS}
        self._heights: list[Range1d] = []
        self._tops: dict[str, list[float]] = {}
        super().__init__(names)

    def _cell(self, i: int, j: int, n: int) -> figure:
        plot = super()._cell(i, j, n)
        for method in OVERLAYS:
            paint = {"line_color": COLORS[method], "line_width": 1.8}
            if i == j:
                source = source_of("x", "y")
                self.lines[method][i, j] = plot.line("x", "y", source=source, **paint)
                span = Span(location=0, visible=False, dimension="height", line_width=1.5)
                span.line_color, span.line_dash = COLORS[method], "dashed"
                self.middles[method][i] = span
                plot.add_layout(span)
            else:
                source = source_of("xs", "ys")
                self.lines[method][i, j] = plot.multi_line("xs", "ys", source=source, **paint)
        if i == j:
            self._heights.append(plot.y_range)
        return plot

    def update(self, drawn: Drawn, zoom: bool = False) -> None:
        """Show the network's posterior (see `CornerFigure.update`), and nothing over it."""
        for other in OVERLAYS:
            self.remove(other)
        super().update(drawn, zoom)

    def overlay(self, drawn: Drawn) -> None:
        """Draw lines of another posterior; areas under marginals are all the same."""
        values, weights, ess, method = drawn
        limits, columns = self._limits(), [values[q.name] for q in self.quantities]
        tops = []
        for (i, j), line in self.lines[method].items():
            if i == j:
                edges, density = marginal(columns[i], weights, limits[i], ess)
                height = density / self._peaks[i] / _HEADROOM
                line.data_source.data = {"x": np.repeat(edges, 2)[1:-1], "y": np.repeat(height, 2)}
                tops.append(float(height.max()) * _HEADROOM)
                middle = float(weighted_quantile(columns[i], weights, 0.5))
                self.middles[method][i].update(location=middle, visible=True)
            else:
                line.data_source.data = contour_lines(
                    columns[j], columns[i], weights, (limits[j], limits[i]), ess
                )
        self._tops[method] = tops
        self._fit_heights()

    def remove(self, method: str) -> None:
        """Take the lines of a posterior away."""
        empty(*(line.data_source for line in self.lines[method].values()))
        for span in self.middles[method].values():
            span.visible = False
        self._tops.pop(method, None)
        self._fit_heights()

    def clear(self) -> None:
        """Show nothing."""
        super().clear()
        for method in OVERLAYS:
            self.remove(method)

    def _limits(self) -> list[tuple[float, float]]:
        return [(float(axis.start), float(axis.end)) for axis in self.ranges]

    def _fit_heights(self) -> None:
        for k, axis in enumerate(self._heights):
            axis.end = max([1.0, *(tops[k] for tops in self._tops.values())])


class WalkerFigure:
    """Where the walkers are, step by step, beside the network's median and 68 % interval."""

    def __init__(self) -> None:
        steps = ("Steps of emcee", 0, 1000)
        self.figure = new_plot("The way of the walkers", 300, steps, ("", 0, 1))
        (self.network, _), (self.source, _) = (
            draw_band(self.figure, color=method.color, legend_label=f"{method.label}{who}, 68 %")
            for method, who in ((METHODS["fast"], ""), (METHODS["mcmc"], ", walkers"))
        )
        small_legend(self.figure.legend, spacing=10)

    def show_network(self, name: str, draws: np.ndarray) -> None:
        """Show the network's interval of a parameter, draws (D,), and no walkers yet."""
        quantity = QUANTITIES[name]
        self.figure.yaxis.axis_label = quantity.axis_text
        low, middle, high = np.quantile(draws, (0.16, 0.5, 0.84))
        ends = {"low": low, "middle": middle, "high": high}
        self.network.data = {"x": [-1e6, 1e6]} | {k: [v, v] for k, v in ends.items()}
        empty(self.source)
        set_range(self.figure.y_range, quantity.low, quantity.high)
        set_range(self.figure.x_range, 0, 1000)

    def show_walkers(self, steps: np.ndarray, spread: np.ndarray) -> None:
        """Show quantiles (T, 3) of the walkers at steps (T,)."""
        low, middle, high = spread.T
        self.source.data = {"x": steps, "low": low, "middle": middle, "high": high}
        end = max(1000.0, 1.05 * float(steps[-1]))
        self.figure.x_range.update(end=end, reset_end=end)

    def clear(self) -> None:
        """Show nothing."""
        empty(self.source, self.network)
