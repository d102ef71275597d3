"""The look that all Bokeh figures share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bokeh.models import ColumnDataSource, FixedTicker, HoverTool, Legend, Range1d
from bokeh.plotting import figure

from ...plots.palette import COLORS, SPARE_COLORS

__all__ = [
    "COLORS",
    "FONT",
    "RATE_TICKS",
    "SPARE_COLORS",
    "TIME_TICKS",
    "Axis",
    "apply_look",
    "draw_band",
    "empty",
    "hover_over",
    "named",
    "new_plot",
    "set_range",
    "small_legend",
    "source_of",
    "ticks_at",
]

TIME_TICKS = (0.01, 0.03, 0.1, 0.3, 1, 3, 10)
"""Lookback times [Gyr] to mark on a logarithmic axis."""

RATE_TICKS = tuple(float(f"{digit}e{power}") for power in range(-12, 7) for digit in (1, 3))
"""Star-formation rates [Msun/yr] to mark on a logarithmic axis."""

FONT = {"title": "14px", "label": "12px", "tick": "11px"}
"""The sizes of text in figures; the HTML around them has 13 and 12 px."""

_FRAME, _GRID = "#444444", "#eeeeee"

Axis = tuple[str, float, float]
"""Label of an axis, and where it begins and ends."""


def new_plot(title: str, height: int, x: Axis, y: Axis, **options: Any) -> figure:
    """Make a figure as wide as its box, which zooms, in the look of all panels."""
    defaults: dict[str, Any] = {"tools": "box_zoom,reset,save", "toolbar_location": "right"}
    options = defaults | options
    if "box_zoom" in options["tools"]:
        options.setdefault("active_drag", "box_zoom")
    for name, (label, start, end) in (("x", x), ("y", y)):
        options[f"{name}_axis_label"] = label
        options[f"{name}_range"] = Range1d(start, end)
    plot = figure(title=title, height=height, sizing_mode="stretch_width", **options)
    apply_look(plot)
    if title:
        named(plot, title)
    return plot


def apply_look(plot: figure) -> None:
    """Give a figure, and all axes that it has by now, the look of all panels."""
    for axis in plot.axis:
        axis.axis_label_text_font_style = "normal"
        axis.axis_label_text_font_size = FONT["label"]
        axis.axis_label_text_color = axis.major_label_text_color = COLORS["data"]
        axis.major_label_text_font_size = FONT["tick"]
        axis.axis_line_color = axis.major_tick_line_color = _FRAME
        axis.minor_tick_line_color = None
    plot.grid.grid_line_color = _GRID
    plot.outline_line_color = _FRAME
    plot.title.update(text_font_size=FONT["title"], text_color=COLORS["data"])
    plot.toolbar.update(logo=None, autohide=True)


def named(plot: Any, text: str) -> None:
    """Tell screen readers what a figure shows; Bokeh before 3.7 cannot."""
    if "html_attributes" in plot.properties():
        plot.html_attributes = {"role": "img", "aria-label": text}


def hover_over(mark: Any, tips: Any) -> HoverTool:
    """Texts to hover over marks, without a button for it."""
    return HoverTool(renderers=[mark], tooltips=tips, visible=False)


def draw_band(plot: figure, **look: Any) -> tuple[ColumnDataSource, list[Any]]:
    """Make a band from low to high with a line in the middle; returns its source and its marks."""
    source = source_of("x", "low", "middle", "high")
    return source, [
        plot.varea("x", "low", "high", source=source, fill_alpha=0.3, **look),
        plot.line("x", "middle", source=source, line_width=1.6, **look),
    ]


def small_legend(legend: Legend, **options: Any) -> None:
    """Make a legend take little room."""
    legend.update(label_text_font_size=FONT["tick"], label_text_color=COLORS["data"])
    legend.update(glyph_width=14, background_fill_alpha=0.75)
    legend.update(border_line_color=None, padding=4, orientation="horizontal", **options)


def ticks_at(axis: Any, grid: Any, places: Sequence[float]) -> None:
    """Put ticks with plain numbers at some places of an axis, and lines of its grid."""
    axis.ticker = grid.ticker = FixedTicker(ticks=list(places))
    axis.major_label_overrides = {place: f"{place:g}" for place in places}


def set_range(axis: Range1d, start: float, end: float) -> None:
    """Move an axis, for the reset tool as well."""
    axis.update(start=start, end=end, reset_start=start, reset_end=end)


def source_of(*columns: str) -> ColumnDataSource:
    """Make a source of these columns, with nothing in them."""
    return ColumnDataSource({name: [] for name in columns})


def empty(*sources: ColumnDataSource) -> None:
    """Leave nothing in sources but the names of their columns."""
    for source in sources:
        source.data = {name: [] for name in source.data}
