"""A Bokeh corner plot of chosen quantities, updated in place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from bokeh.layouts import gridplot
from bokeh.models import FixedTicker, Range1d, Span
from bokeh.plotting import figure
from bokeh.plotting.contour import contour_data
from scipy.ndimage import gaussian_filter

from ...plots.palette import CREDIBLE
from ...posterior.weighting import weighted_quantile
from ...quantities import QUANTITIES, Quantity
from .choice import Drawn
from .style import COLORS, apply_look, empty, named, source_of

__all__ = ["DEFAULT_QUANTITIES", "CornerFigure", "credible", "marginal"]

DEFAULT_QUANTITIES = ("log_mstar", "log_ssfr_1gyr", "age_mw", "log_z_mw", "tau_ism")
"""What the corner plot shows at first."""

_PANEL = 96  # pixels
_HEADROOM = 1.1
_GREY = "#C4C4C4"
_DARK_GREY = "#6f6f6f"


def marginal(
    x: np.ndarray, weights: np.ndarray, limits: tuple[float, float], ess: float
) -> tuple[np.ndarray, np.ndarray]:
    """Smoothed histogram of weighted draws (D,): edges (K + 1,) and density (K,) of its bins.

    Fewer effective draws are smoothed more (Scott's rule). The integral is the weight within the
    limits.
    """
    edges, width = _bins(x, weights, limits)
    counts = np.histogram(x, edges, weights=weights)[0] / np.diff(edges)
    # The filter reflects at the ends, so nothing leaks out of the prior.
    return edges, gaussian_filter(counts, width * max(ess, 1.0) ** (-1 / 5), mode="reflect")


def credible(
    x: np.ndarray,
    y: np.ndarray,
    weights: np.ndarray,
    limits: tuple[tuple[float, float], tuple[float, float]],
    ess: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Density of weighted draws (D,) in a plane, and the densities that bound 95 and 68 %.

    Returns the middles of the bins in x (K,) and y (L,), the density (L, K), smoothed as in
    `marginal`, and two thresholds, increasing: the densest bins above them hold 95 and 68 %.
    """
    (x_edges, x_width), (y_edges, y_width) = (
        _bins(v, weights, limit) for v, limit in zip((x, y), limits, strict=True)
    )
    counts = np.histogram2d(y, x, [y_edges, x_edges], weights=weights)[0]
    factor = max(ess, 1.0) ** (-1 / 6)
    counts = gaussian_filter(counts, (y_width * factor, x_width * factor), mode="reflect")
    ordered = np.sort(counts, axis=None)[::-1]
    inside = np.cumsum(ordered) / max(ordered.sum(), np.finfo(float).tiny)
    index = np.searchsorted(inside, CREDIBLE[::-1]).clip(0, len(ordered) - 1)
    thresholds = ordered[index]
    thresholds[1] = max(thresholds[1], thresholds[0] * (1 + 1e-9))
    middles = [0.5 * (edges[1:] + edges[:-1]) for edges in (x_edges, y_edges)]
    return middles[0], middles[1], counts, thresholds


def _bins(
    x: np.ndarray, weights: np.ndarray, limits: tuple[float, float]
) -> tuple[np.ndarray, float]:
    """Edges of as many bins as resolve the draws, and the spread of these in bins."""
    low, high = limits
    ends = weighted_quantile(x, weights, (0.025, 0.975))
    spread = max(float(ends[1] - ends[0]) / 4, 2e-3 * (high - low))
    n = int(np.clip(np.ceil(4 * (high - low) / spread), 30, 120))
    return np.linspace(low, high, n + 1), spread * n / (high - low)


class CornerFigure:
    """All pairs of some quantities: contours of 68 and 95 %, and marginal densities.

    Parameters
    ----------
    names : sequence of str
        Keys of `QUANTITIES`.
    """

    def __init__(self, names: Sequence[str] = DEFAULT_QUANTITIES) -> None:
        self.quantities = [QUANTITIES[name] for name in names]
        self.ranges = [Range1d(q.low, q.high) for q in self.quantities]
        self.tickers = [FixedTicker(ticks=_ticks(q.low, q.high)) for q in self.quantities]
        self.marginals: list[Any] = []
        self.priors: list[Any] = []
        self._peaks = np.ones(len(self.quantities))
        self.medians: list[Span] = []
        self.pairs: dict[tuple[int, int], Any] = {}
        self.behind: dict[tuple[int, int], Any] = {}
        n = len(self.quantities)
        rows: list[list[Any]] = [[None] * n for _ in range(n)]
        for i in range(n):
            for j in range(i + 1):
                rows[i][j] = self._cell(i, j, n)
        self.layout = gridplot(rows, merge_tools=False, toolbar_location=None)
        named(self.layout, f"Corner plot of {', '.join(q.text for q in self.quantities)}")

    def _cell(self, i: int, j: int, n: int) -> figure:
        x, y = self.quantities[j], self.quantities[i]
        left, bottom = j == 0 and i > 0, i == n - 1
        plot = figure(
            frame_width=_PANEL,
            frame_height=_PANEL,
            x_range=self.ranges[j],
            y_range=self.ranges[i] if i != j else Range1d(0, 1),
            x_axis_label=x.axis_text if bottom else None,
            y_axis_label=y.axis_text if left else None,
            tools="",
            toolbar_location=None,
            min_border=4,
            min_border_left=58 if j == 0 else 4,
        )
        plot.xaxis.ticker = plot.xgrid.ticker = self.tickers[j]
        plot.yaxis.ticker = plot.ygrid.ticker = self.tickers[i] if i != j else FixedTicker(ticks=[])
        apply_look(plot)
        plot.axis.axis_label_text_font_size = plot.axis.major_label_text_font_size = "11px"
        plot.axis.axis_label_standoff = 2
        plot.xaxis.visible, plot.yaxis.visible = bottom, left
        if i == j:
            area: Any = {"source": source_of("x", "top"), "color": _GREY, "fill_alpha": 0.6}
            self.priors.append(plot.varea("x", 0, "top", **area))
            bars = source_of("left", "right", "top")
            sides: Any = {name: name for name in bars.data} | {"bottom": 0, "source": bars}
            self.marginals.append(plot.quad(**sides, line_color=None, fill_alpha=0.45))
            self.medians.append(Span(location=0, visible=False, dimension="height", line_width=1.5))
            plot.add_layout(self.medians[-1])
        else:
            areas = source_of("xs", "ys", "alpha")
            look: Any = {"fill_alpha": "alpha", "line_width": 1, "source": areas}
            self.pairs[i, j] = plot.multi_polygons("xs", "ys", **look)
            lines: Any = {"line_color": _DARK_GREY, "line_dash": [4, 3], "line_width": 1.3}
            self.behind[i, j] = plot.multi_line("xs", "ys", source=source_of("xs", "ys"), **lines)
        return plot

    def update(self, drawn: Drawn, zoom: bool = False) -> None:
        """Show a posterior; zoomed axes show it only, and not the prior's limits."""
        values, weights, ess, method = drawn
        colour = COLORS.get(method, COLORS["data"])
        columns = [values[q.name] for q in self.quantities]
        limits = [
            _zoomed(x, weights, q) if zoom else (q.low, q.high)
            for x, q in zip(columns, self.quantities, strict=True)
        ]
        for axis, ticker, (low, high) in zip(self.ranges, self.tickers, limits, strict=True):
            axis.update(start=low, end=high)
            ticker.ticks = _ticks(low, high)
        for k, x in enumerate(columns):
            edges, density = marginal(x, weights, limits[k], ess)
            self._peaks[k] = max(float(density.max()), np.finfo(float).tiny)
            top = density / self._peaks[k] / _HEADROOM
            bars = {"left": edges[:-1], "right": edges[1:], "top": top}
            self.marginals[k].data_source.data = bars
            self.marginals[k].glyph.fill_color = self.medians[k].line_color = colour
            middle = float(weighted_quantile(x, weights, 0.5))
            self.medians[k].update(location=middle, visible=True)
        for (i, j), contours in self.pairs.items():
            x, y, density, thresholds = credible(
                columns[j], columns[i], weights, (limits[j], limits[i]), ess
            )
            steps = [*thresholds, 2 * max(float(density.max()), float(thresholds[-1]))]
            fill = contour_data(x, y, density, steps, want_fill=True, want_line=False).fill_data
            contours.data_source.data = {"xs": fill.xs, "ys": fill.ys, "alpha": [0.25, 0.65]}
            contours.glyph.update(fill_color=colour, line_color=colour)

    def show_behind(self, drawn: Drawn) -> None:
        """Show another posterior in grey, on the axes as they are: its outlines and marginals."""
        values, weights, ess, _ = drawn
        columns = [values[q.name] for q in self.quantities]
        limits = [(float(axis.start), float(axis.end)) for axis in self.ranges]
        for k, (x, area) in enumerate(zip(columns, self.priors, strict=True)):
            edges, density = marginal(x, weights, limits[k], ess)
            top = density / max(float(density.max()), np.finfo(float).tiny) / _HEADROOM
            area.data_source.data = {"x": np.repeat(edges, 2)[1:-1], "top": np.repeat(top, 2)}
        for (i, j), outlines in self.behind.items():
            x, y, density, thresholds = credible(
                columns[j], columns[i], weights, (limits[j], limits[i]), ess
            )
            lines = contour_data(x, y, density, list(thresholds), want_fill=False).line_data
            outlines.data_source.data = {"xs": lines.xs, "ys": lines.ys}

    def show_prior(self, prior: Mapping[str, np.ndarray] | None) -> None:
        """Show the density of draws (M,) of the prior behind the marginals, on the same scale.

        What would be higher than the figure ends at its top. None takes it away.
        """
        for k, (quantity, area) in enumerate(zip(self.quantities, self.priors, strict=True)):
            if prior is None:
                empty(area.data_source)
                continue
            drawn, axis = prior[quantity.name], self.ranges[k]
            even, limits = np.full(len(drawn), 1 / len(drawn)), (float(axis.start), float(axis.end))
            edges, density = marginal(drawn, even, limits, len(drawn))
            top = np.minimum(density / self._peaks[k] / _HEADROOM, 1.0)
            area.data_source.data = {"x": np.repeat(edges, 2)[1:-1], "top": np.repeat(top, 2)}

    def clear(self) -> None:
        """Show nothing."""
        marks = (*self.priors, *self.marginals, *self.pairs.values(), *self.behind.values())
        empty(*(mark.data_source for mark in marks))
        for span in self.medians:
            span.visible = False


def _zoomed(x: np.ndarray, weights: np.ndarray, quantity: Quantity) -> tuple[float, float]:
    """Limits of the draws and a little more, within the prior's."""
    low, high = weighted_quantile(x, weights, (0.002, 0.998))
    margin = 0.15 * (high - low) or 0.5
    return max(float(low - margin), quantity.low), min(float(high + margin), quantity.high)


def _ticks(low: float, high: float) -> list[float]:
    """A few round values, none so near an end that its digits run into the next panel's."""
    inside = 0.1 * (high - low)
    decade = 10.0 ** np.floor(np.log10(high - low))
    for step in decade * np.array([0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0]):
        ticks = step * np.arange(np.ceil((low + inside) / step), (high - inside) / step + 1e-9)
        if len("".join(f"{tick:.6g}" for tick in ticks)) <= 7:
            break
    return [float(f"{tick:.6g}") for tick in ticks]
