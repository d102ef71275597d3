"""Bokeh figures of a catalogue: planes of points, or of density where there are many."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from bokeh.models import (
    BoxSelectTool,
    ColorBar,
    LassoSelectTool,
    LinearColorMapper,
    NumeralTickFormatter,
)
from bokeh.plotting.contour import contour_data

from ...methods import BADGES
from .densities import credible
from .style import COLORS, SPARE_COLORS, empty, named, new_plot, set_range, source_of

__all__ = [
    "CHOSEN_COLOR",
    "MARKERS",
    "MOST_POINTS",
    "UNJUDGED",
    "PlaneFigure",
    "density_of",
    "share_of",
]

# WebGL would draw more, but without a graphics processor is no quicker than the canvas; all points
# of a long catalogue overlap to a blot, and are megabytes for each page that is loaded.
MOST_POINTS = 4000
"""Points in view, beyond which their density is shown."""

UNJUDGED = "#4F6F8F"
"""Colour of the galaxies that have no badge, or none that is known."""

_COLORS = tuple(dict.fromkeys(badge.color for badge in BADGES.values()))
MARKERS = {UNJUDGED: "square"} | dict(
    zip(_COLORS, ("circle", "triangle", "diamond", "x"), strict=True)
)
"""Markers by the colour of a badge: none, good, caution, bad, unfinished."""

CHOSEN_COLOR = SPARE_COLORS[0]
"""Colour of the galaxies that are chosen."""

_MOST_CHOSEN = 1000  # points of the chosen galaxies that are drawn
_TRUSTED = ("ok", "exact", "converged")
_FINE, _COARSE = 80, 48  # bins along each axis: of a density, and of a map of shares
_MARGIN = 0.06
_TAILS = (0.001, 0.999)  # what axes leave out at first

_RAMPS = {
    "density": ("#E3EEF6", COLORS["fast"]),
    "share": ("#D5E9E2", "#E3C58A", BADGES["model cannot fit"].color, "#5A1F00"),
}

Kind = Literal["density", "share"]
Limits = tuple[tuple[float, float], tuple[float, float]]


def density_of(x: np.ndarray, y: np.ndarray, limits: Limits) -> dict[str, Any]:
    """Density of points (N,) within limits: ``image`` (80, 80) of its logarithm, and contours.

    ``xs`` and ``ys`` are lines around the densest parts that hold 68 and 95 % of the points. The
    image is NaN where there is no point.
    """
    columns, rows, density, thresholds = credible(x, y, np.ones(len(x)), limits, len(x))
    lines = contour_data(columns, rows, density, list(thresholds), want_fill=False, want_line=True)
    counts = _histogram(x, y, limits, _FINE)
    image = np.log10(counts, where=counts > 0, out=np.full(counts.shape, np.nan))
    return {"image": image, "xs": list(lines.line_data.xs), "ys": list(lines.line_data.ys)}


def share_of(bad: np.ndarray, x: np.ndarray, y: np.ndarray, limits: Limits) -> np.ndarray:
    """Share (48, 48) of the points (N,) in each bin that are bad; NaN where there is no point."""
    every = _histogram(x, y, limits, _COARSE)
    some = _histogram(x[bad], y[bad], limits, _COARSE)
    return np.divide(some, every, where=every > 0, out=np.full(every.shape, np.nan))


def _histogram(x: np.ndarray, y: np.ndarray, limits: Limits, bins: int) -> np.ndarray:
    return np.histogram2d(y, x, bins, limits[::-1])[0]


class PlaneFigure:
    """Galaxies in a plane: points in the colours of their badges, or the density of many.

    Parameters
    ----------
    kind : {'density', 'share'}
        What is shown of many galaxies: how many there are, or the share that is not to be trusted.
    height : int
        Pixels.
    """

    def __init__(self, kind: Kind = "density", height: int = 300) -> None:
        self.kind = kind
        self.x = self.y = np.array([])
        self.badges = np.array([], dtype=np.str_)
        lasso = LassoSelectTool(renderers=[])  # what is inside is found in Python
        tools = [lasso, BoxSelectTool(renderers=[]), "wheel_zoom", "box_zoom", "reset", "save"]
        look: Any = {"toolbar_location": "above", "active_drag": lasso}
        plot = self.figure = new_plot("", height, ("", 0, 1), ("", 0, 1), tools=tools, **look)
        plot.title.visible = False
        self.colors = LinearColorMapper(_ramp(kind), low=0, high=1, nan_color="#FFFFFF00")
        self.image = source_of("image", "x", "y", "dw", "dh")
        box = ("image", "x", "y", "dw", "dh")
        plot.image(*box, source=self.image, color_mapper=self.colors)
        plot.grid.level = "underlay"
        self.bar = ColorBar(color_mapper=self.colors, visible=False, width=8, title="", padding=2)
        self.bar.formatter = NumeralTickFormatter(format="0 %")
        plot.add_layout(self.bar, "right")
        self.lines = source_of("xs", "ys")
        plot.multi_line("xs", "ys", source=self.lines, line_color=COLORS["data"], line_width=1.2)
        self.points = {color: source_of("x", "y") for color in MARKERS}
        for color, marker in MARKERS.items():  # what is rare lies above what is common
            look = {"marker": marker, "size": 5.5, "fill_color": color, "fill_alpha": 0.65}
            look["line_color"] = color if marker == "x" else None
            plot.scatter("x", "y", source=self.points[color], **look)
        ring: Any = {"fill_color": CHOSEN_COLOR, "fill_alpha": 0.75, "line_color": None}
        self.chosen, self.tapped = source_of("x", "y"), source_of("x", "y")
        plot.scatter("x", "y", source=self.chosen, size=5.5, **ring)
        cross: Any = {"fill_color": None, "line_color": COLORS["data"], "line_width": 2.5}
        plot.scatter("x", "y", source=self.tapped, size=16, marker="circle_cross", **cross)

    @property
    def span(self) -> tuple[float, float]:
        """How far the axes reach."""
        a, b = self.figure.x_range, self.figure.y_range
        return float(a.end - a.start), float(b.end - b.start)

    def update(
        self, x: np.ndarray, y: np.ndarray, badges: np.ndarray, labels: tuple[str, str]
    ) -> None:
        """Show other galaxies (N,), on axes of their own; the same ones, where the axes are."""
        same = x is self.x and y is self.y and len(x) > 0
        self.x, self.y, self.badges = x, y, badges
        if same:
            if self.kind == "share" or not self.image.data["image"]:
                self.draw()
            return
        plot = self.figure
        for axis, scale, values, label in (
            (plot.xaxis, plot.x_range, x, labels[0]),
            (plot.yaxis, plot.y_range, y, labels[1]),
        ):
            axis.axis_label = label
            set_range(scale, *_ends(values))
        named(plot, f"{labels[1]} against {labels[0]} of {len(x):,} galaxies")
        self.draw()

    def draw(self) -> None:
        """Draw what is in view: points, or their density if they are many."""
        plot = self.figure
        a, b = plot.x_range, plot.y_range
        limits: Limits = ((a.start, a.end), (b.start, b.end))
        seen = np.flatnonzero(
            (self.x >= a.start) & (self.x <= a.end) & (self.y >= b.start) & (self.y <= b.end)
        )
        x, y, badges = self.x[seen], self.y[seen], self.badges[seen]
        if len(seen) <= MOST_POINTS:
            empty(self.image, self.lines)
            self.bar.visible = False
            colors = np.array([BADGES[w].color if w in BADGES else UNJUDGED for w in badges])
            for color, source in self.points.items():
                has = colors == color
                source.data = {"x": _short(x[has]), "y": _short(y[has])}
            return
        empty(*self.points.values())
        found = density_of(x, y, limits)
        if self.kind == "share":
            image = share_of(~np.isin(badges, _TRUSTED), x, y, limits)
            ends = 0.0, max(0.1, float(np.nanquantile(image, 0.98)))
            self.bar.visible = True
        else:
            image = found["image"]
            ends = float(np.nanmin(image)), float(np.nanmax(image))
        self.colors.update(low=ends[0], high=max(ends[1], ends[0] + 1e-6))
        box = {"x": [a.start], "y": [b.start], "dw": [self.span[0]], "dh": [self.span[1]]}
        self.image.data = {"image": [_short(image)], **box}
        self.lines.data = {"xs": found["xs"], "ys": found["ys"]}

    def mark(self, chosen: np.ndarray, tapped: int | None) -> None:
        """Mark the galaxies that are chosen, by row, some of very many; and one alone."""
        shown = chosen[:: max(1, -(-len(chosen) // _MOST_CHOSEN))]
        one = [] if tapped is None else [tapped]
        for source, rows in ((self.chosen, shown), (self.tapped, one)):
            source.data = {"x": _short(self.x[rows]), "y": _short(self.y[rows])}

    def clear(self, labels: tuple[str, str]) -> None:
        """Show nothing but the axes."""
        nothing = np.array([])
        self.update(nothing, nothing, nothing.astype(np.str_), labels)
        self.mark(np.zeros(0, int), None)


def _ends(values: np.ndarray) -> tuple[float, float]:
    """Limits that leave out a few of many."""
    known = values[np.isfinite(values)]
    if not len(known):
        return 0.0, 1.0
    low, high = (
        np.quantile(known, _TAILS) if len(known) > MOST_POINTS else (known.min(), known.max())
    )
    room = _MARGIN * (high - low) or 0.5
    return float(low - room), float(high + room)


def _short(values: np.ndarray) -> np.ndarray:
    """Numbers in half the bytes, which a figure cannot tell apart."""
    return np.asarray(values, dtype=np.float32)


def _ramp(kind: Kind) -> list[str]:
    """Colours from little to much."""
    stops = np.array([[int(c[k : k + 2], 16) for k in (1, 3, 5)] for c in _RAMPS[kind]])
    places = np.linspace(0, len(stops) - 1, 256)
    rgb = [np.interp(places, range(len(stops)), column).round().astype(int) for column in stops.T]
    return [f"#{r:02X}{g:02X}{b:02X}" for r, g, b in zip(*rgb, strict=True)]
