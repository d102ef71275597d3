"""A Bokeh corner plot of chosen quantities, updated in place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from bokeh.layouts import gridplot
from bokeh.models import ColumnDataSource, FixedTicker, Range1d, Span
from bokeh.plotting import figure
from bokeh.plotting.contour import contour_data
from scipy.ndimage import gaussian_filter

from ...parameters import PARAMETERS
from ...plots.style import COLORS
from ...posterior.weighting import weighted_quantile
from ...sps.properties import DERIVED
from ..galaxy.figures import dress

__all__ = ["DEFAULT_QUANTITIES", "QUANTITIES", "CornerFigure", "Quantity", "credible", "marginal"]

DEFAULT_QUANTITIES = ("log_mstar", "log_ssfr_1gyr", "age_mw", "log_z_mw", "tau_ism")
"""What the corner plot shows at first."""

LEVELS = (0.68, 0.95)
"""Probability inside the contours."""

_PANEL = 96  # pixels


@dataclass(frozen=True)
class Quantity:
    """A parameter or derived quantity: its label in plain text, and the limits of its axis."""

    name: str
    label: str
    unit: str
    low: float
    high: float
    description: str

    @property
    def axis_label(self) -> str:
        """Label with unit."""
        return f"{self.label} [{self.unit}]" if self.unit else self.label


# Bokeh needs no MathJax for these, which takes seconds to load.
_LABELS = {
    "log_mstar": ("log M★", "M☉"),
    "beta1": ("β₁", ""),
    "beta2": ("β₂", ""),
    "beta3": ("β₃", ""),
    "beta4": ("β₄", ""),
    "fburst": ("f burst", ""),
    "tburst": ("t burst", "Gyr"),
    "log_gamma1": ("log γ₁", ""),
    "log_gamma2": ("log γ₂", ""),
    "tau_bc": ("τ BC", ""),
    "tau_ism": ("τ ISM", ""),
    "n_dust": ("n dust", ""),
}
# Derived quantities have no prior limits of their own: these hold nearly all of the prior.
_DERIVED = {
    "log_sfr_1gyr": ("log SFR 1 Gyr", "M☉/yr", -4.0, 2.5),
    "log_sfr_100myr": ("log SFR 100 Myr", "M☉/yr", -4.0, 2.5),
    "log_ssfr_1gyr": ("log sSFR", "1/yr", -14.0, -8.5),
    "log_z_mw": ("log Z (label)", "", -3.6, -1.3),
    "log_z_mw_true": ("log Z (true)", "", -3.7, -1.4),
    "age_mw": ("age", "Gyr", 0.0, 13.5),
    "log_mstar_surviving": ("log M★ now", "M☉", 6.7, 12.5),
}
QUANTITIES: dict[str, Quantity] = {
    p.name: Quantity(p.name, *_LABELS[p.name], p.low, p.high, p.description) for p in PARAMETERS
} | {q.name: Quantity(q.name, *_DERIVED[q.name], q.description) for q in DERIVED}
"""All that a corner plot may show: parameters with the limits of their priors, then the rest."""


def marginal(
    x: np.ndarray, weights: np.ndarray, limits: tuple[float, float], ess: float
) -> tuple[np.ndarray, np.ndarray]:
    """Smoothed histogram of weighted draws.

    Parameters
    ----------
    x, weights : ndarray, shape (D,)
    limits : tuple of float
    ess : float
        Effective draws: fewer are smoothed more (Scott's rule).

    Returns
    -------
    edges : ndarray, shape (K + 1,)
    density : ndarray, shape (K,)
        Its integral is the weight within the limits.
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
    """Density of weighted draws in a plane, and the densities that bound 95 and 68 %.

    Parameters
    ----------
    x, y, weights : ndarray, shape (D,)
    limits : two tuples of float
    ess : float
        Effective draws: fewer are smoothed more (Scott's rule).

    Returns
    -------
    x, y : ndarray, shape (K,), (L,)
        Middles of the bins.
    density : ndarray, shape (L, K)
    thresholds : ndarray, shape (2,)
        The densest bins above them hold 95 and 68 % of the weight; increasing.
    """
    (x_edges, x_width), (y_edges, y_width) = (
        _bins(v, weights, limit) for v, limit in zip((x, y), limits, strict=True)
    )
    counts = np.histogram2d(y, x, [y_edges, x_edges], weights=weights)[0]
    factor = max(ess, 1.0) ** (-1 / 6)
    counts = gaussian_filter(counts, (y_width * factor, x_width * factor), mode="reflect")
    ordered = np.sort(counts, axis=None)[::-1]
    inside = np.cumsum(ordered) / max(ordered.sum(), np.finfo(float).tiny)
    index = np.searchsorted(inside, LEVELS[::-1]).clip(0, len(ordered) - 1)
    thresholds = ordered[index]
    thresholds[1] = max(thresholds[1], thresholds[0] * (1 + 1e-9))
    middles = [0.5 * (edges[1:] + edges[:-1]) for edges in (x_edges, y_edges)]
    return middles[0], middles[1], counts, thresholds


def _bins(
    x: np.ndarray, weights: np.ndarray, limits: tuple[float, float]
) -> tuple[np.ndarray, float]:
    """Edges of as many bins as resolve the draws, and the spread of these in bins."""
    low, high = limits
    ends = weighted_quantile(x[None, :, None], weights[None], (0.025, 0.975))[:, 0, 0]
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
        self.medians: list[Span] = []
        self.pairs: dict[tuple[int, int], Any] = {}
        n = len(self.quantities)
        rows: list[list[Any]] = [[None] * n for _ in range(n)]
        for i in range(n):
            for j in range(i + 1):
                rows[i][j] = self._cell(i, j, n)
        self.layout = gridplot(rows, merge_tools=False, toolbar_location=None)

    def _cell(self, i: int, j: int, n: int) -> figure:
        x, y = self.quantities[j], self.quantities[i]
        left, bottom = j == 0 and i > 0, i == n - 1
        plot = figure(
            frame_width=_PANEL,
            frame_height=_PANEL,
            x_range=self.ranges[j],
            y_range=self.ranges[i] if i != j else Range1d(0, 1),
            x_axis_label=x.axis_label if bottom else None,
            y_axis_label=y.axis_label if left else None,
            tools="",
            toolbar_location=None,
            min_border=4,
            min_border_left=58 if j == 0 else 4,
        )
        plot.xaxis.ticker = plot.xgrid.ticker = self.tickers[j]
        plot.yaxis.ticker = plot.ygrid.ticker = self.tickers[i] if i != j else FixedTicker(ticks=[])
        dress(plot)
        plot.axis.axis_label_text_font_size = plot.axis.major_label_text_font_size = "11px"
        plot.axis.axis_label_standoff = 2
        plot.xaxis.visible, plot.yaxis.visible = bottom, left
        if i == j:
            self.marginals.append(
                plot.quad(
                    left="left", right="right", top="top", bottom=0, line_color=None,
                    fill_alpha=0.45, source=ColumnDataSource({"left": [], "right": [], "top": []}),
                )
            )  # fmt: skip
            self.medians.append(Span(location=0, visible=False, dimension="height", line_width=1.5))
            plot.add_layout(self.medians[-1])
        else:
            self.pairs[i, j] = plot.multi_polygons(
                "xs", "ys", fill_alpha="alpha", line_width=1,
                source=ColumnDataSource({"xs": [], "ys": [], "alpha": []}),
            )  # fmt: skip
        return plot

    def update(
        self,
        values: dict[str, np.ndarray],
        weights: np.ndarray,
        ess: float,
        method: str,
        zoom: bool = False,
    ) -> None:
        """Show one posterior.

        Parameters
        ----------
        values : dict of ndarray, shape (D,)
            Draws of every quantity of the figure, by name.
        weights : ndarray, shape (D,)
        ess : float
        method : str
            Sets the colour.
        zoom : bool
            Let the axes show the posterior only, and not the prior's limits.
        """
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
            top = density / max(float(density.max()), np.finfo(float).tiny) / 1.1
            self.marginals[k].data_source.data = {
                "left": edges[:-1], "right": edges[1:], "top": top,
            }  # fmt: skip
            self.marginals[k].glyph.fill_color = self.medians[k].line_color = colour
            middle = weighted_quantile(x[None, :, None], weights[None], 0.5)
            self.medians[k].update(location=float(middle[0, 0]), visible=True)
        for (i, j), contours in self.pairs.items():
            x, y, density, thresholds = credible(
                columns[j], columns[i], weights, (limits[j], limits[i]), ess
            )
            steps = [*thresholds, 2 * max(float(density.max()), float(thresholds[-1]))]
            fill = contour_data(x, y, density, steps, want_fill=True, want_line=False).fill_data
            contours.data_source.data = {"xs": fill.xs, "ys": fill.ys, "alpha": [0.25, 0.65]}
            contours.glyph.update(fill_color=colour, line_color=colour)

    def clear(self) -> None:
        """Show nothing."""
        for marks in (*self.marginals, *self.pairs.values()):
            marks.data_source.data = {name: [] for name in marks.data_source.data}
        for span in self.medians:
            span.visible = False


def _zoomed(x: np.ndarray, weights: np.ndarray, quantity: Quantity) -> tuple[float, float]:
    """Limits of the draws and a little more, within the prior's."""
    low, high = weighted_quantile(x[None, :, None], weights[None], (0.002, 0.998))[:, 0, 0]
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
