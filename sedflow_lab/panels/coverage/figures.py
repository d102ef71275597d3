"""Bokeh figures of the coverage panel, updated in place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from bokeh.models import (
    Band,
    BoxAnnotation,
    ColumnDataSource,
    HoverTool,
    Range1d,
    Span,
    TapTool,
)
from bokeh.plotting import figure

from ...diagnostics.calibration_run import CalibrationRun
from ...diagnostics.scoring import SCORED
from ...plots.style import COLORS, SPARE_COLORS
from ..galaxy.figures import dress
from ..kit.corner import QUANTITIES as CORNER_QUANTITIES
from ..kit.corner import CornerFigure
from .state import GRID, Frame

__all__ = [
    "BAD_COLOR",
    "CurveFigure",
    "RankFigure",
    "SimulationFigure",
    "TruthCorner",
    "quantity_label",
]

BAD_COLOR = SPARE_COLORS[0]
"""Colour of quantities that are not as they should be."""

_QUIET = "#9fb4c7"
_BAND = "#dddddd"
_NAMES = {"HPD regions": "HPD regions (joint)", "TARP": "TARP (joint)"}
OBSERVABLE_LABELS = {
    "snr": "Median signal-to-noise ratio",
    "magnitude": "Magnitude, middle band [AB mag]",
    "redshift": "Redshift",
    "colour": "Colour [mag]",
}
"""Axes that simulations may be sorted by."""


def quantity_label(name: str) -> str:
    """What the panel calls a quantity."""
    return CORNER_QUANTITIES[name].label if name in CORNER_QUANTITIES else _NAMES.get(name, name)


def _figure(title: str, height: int = 320, **options: Any) -> figure:
    plot = figure(
        title=title,
        height=height,
        sizing_mode="stretch_width",
        toolbar_location="right",
        active_drag=None,
        **{"tools": "save"} | options,
    )
    dress(plot)
    return plot


class CurveFigure:
    """p–p curves less the diagonal, one a quantity, in the band of right posteriors."""

    def __init__(self) -> None:
        self.curves = ColumnDataSource({"xs": [], "ys": [], "color": [], "width": [], "name": []})
        self.band = ColumnDataSource({"x": [], "low": [], "high": []})
        plot = _figure(
            "p–p curves less the diagonal",
            x_axis_label="Percentile of the truth, or credibility",
            y_axis_label="Share of simulations − expected",
            x_range=Range1d(0, 1),
            y_range=Range1d(-0.2, 0.2),
        )
        plot.add_layout(
            Band(
                base="x", lower="low", upper="high", source=self.band, fill_color=_BAND,
                fill_alpha=0.8, line_color=None, level="underlay",
            )
        )  # fmt: skip
        plot.add_layout(
            Span(location=0, dimension="width", line_color="#888888", line_dash="dashed")
        )
        lines = plot.multi_line(
            "xs", "ys", source=self.curves, line_color="color", line_width="width"
        )
        plot.add_tools(HoverTool(renderers=[lines], tooltips="@name", line_policy="nearest"))
        self.figure = plot

    def update(self, frame: Frame, names: Sequence[str], chosen: str, color: str) -> None:
        """Show the curves of some quantities; the chosen one is drawn last, and thick."""
        order = [name for name in names if name != chosen] + [chosen]
        rows = [SCORED.index(name) for name in order]
        ys = [frame.curves[:, k] - GRID for k in rows]
        bad = [frame.check is not None and not frame.check.uniform[k] for k in rows]
        quiet = [BAD_COLOR if b else _QUIET for b in bad]
        quiet[-1] = BAD_COLOR if bad[-1] else color
        self.band.data = {"x": GRID, "low": frame.low - GRID, "high": frame.high - GRID}
        self.curves.data = {
            "xs": [GRID] * len(rows),
            "ys": ys,
            "color": quiet,
            "width": [1.5] * (len(rows) - 1) + [3.5],
            "name": [quantity_label(name) for name in order],
        }
        reach = max(float(np.abs(ys).max()), float(np.abs(frame.high - GRID).max()))
        self.figure.y_range.update(start=-1.15 * reach, end=1.15 * reach)

    def clear(self) -> None:
        """Show nothing."""
        for source in (self.curves, self.band):
            source.data = {name: [] for name in source.data}


class RankFigure:
    """Rank histogram of one quantity, with the band of right posteriors."""

    def __init__(self) -> None:
        self.bars = ColumnDataSource({"left": [], "right": [], "top": []})
        self.figure = _figure(
            "Ranks",
            x_axis_label="Rank of the truth / number of draws",
            y_axis_label="Simulations / expected",
            x_range=Range1d(0, 1),
            y_range=Range1d(0, 2),
        )
        self._box = BoxAnnotation(fill_color=_BAND, fill_alpha=0.8, level="underlay", visible=False)
        self.figure.add_layout(self._box)
        self._quads = self.figure.quad(
            left="left", right="right", top="top", bottom=0, source=self.bars, fill_alpha=0.55,
            line_color="white",
        )  # fmt: skip
        self.figure.add_layout(
            Span(location=1, dimension="width", line_color="#888888", line_dash="dashed")
        )

    def update(self, frame: Frame, chosen: str, color: str) -> None:
        """Show the histogram of the chosen quantity."""
        k = SCORED.index(chosen)
        counts = frame.counts[:, k]
        edges = np.linspace(0, 1, len(counts) + 1)
        bad = frame.check is not None and not frame.check.uniform[k]
        self._quads.glyph.fill_color = BAD_COLOR if bad else color
        self.bars.data = {"left": edges[:-1], "right": edges[1:], "top": counts}
        self._box.update(bottom=frame.bars[0], top=frame.bars[1], visible=True)
        self.figure.y_range.end = 1.1 * max(float(counts.max()), frame.bars[1])
        self.figure.title.text = f"Ranks: {quantity_label(chosen)}"
        self.figure.xaxis.axis_label = {
            "TARP": "Share of draws nearer to a reference than the truth",
            "HPD regions": "Credibility of the region that just holds the truth",
            "fit to the data": "Probability of a worse fit than that of a draw",
        }.get(chosen, "Rank of the truth / number of draws")

    def clear(self) -> None:
        """Show nothing."""
        self.bars.data = {name: [] for name in self.bars.data}
        self._box.visible = False


class SimulationFigure:
    """Every simulation as a point: the score of one quantity over an observable; tap one."""

    def __init__(self) -> None:
        self.points = ColumnDataSource({"x": [], "y": [], "index": []})
        self.figure = _figure(
            "Simulations: click one",
            tools="tap,box_zoom,reset,save",
            x_axis_label="",
            y_axis_label="Score",
            x_range=Range1d(0, 1),
            y_range=Range1d(-0.03, 1.03),
        )
        self.marks = self.figure.scatter(
            "x", "y", source=self.points, size=7, fill_alpha=0.6, line_color=None,
            nonselection_fill_alpha=0.35, selection_fill_color="#E69F00",
            selection_line_color=COLORS["data"], selection_fill_alpha=1.0,
        )  # fmt: skip
        self.figure.add_tools(
            HoverTool(renderers=[self.marks], tooltips="simulation @index: score @y{0.00}")
        )
        self.figure.select_one(TapTool).renderers = [self.marks]

    def update(self, run: CalibrationRun, chosen: str, observable: str, color: str) -> None:
        """Show the scores of the chosen quantity."""
        x, y = run.observable(observable), run.scores[:, SCORED.index(chosen)]
        known = np.isfinite(x) & np.isfinite(y)
        self.points.data = {"x": x[known], "y": y[known], "index": np.flatnonzero(known)}
        low, high = (float(v) for v in (x[known].min(), x[known].max()))
        margin = 0.03 * (high - low) or 1.0
        axis = self.figure.x_range
        axis.update(start=low - margin, end=high + margin)
        axis.update(reset_start=axis.start, reset_end=axis.end)
        self.marks.glyph.fill_color = color
        self.figure.xaxis.axis_label = OBSERVABLE_LABELS[observable]
        self.figure.yaxis.axis_label = f"Score of {quantity_label(chosen)}"

    def clear(self) -> None:
        """Show nothing."""
        self.points.selected.indices = []
        self.points.data = {name: [] for name in self.points.data}


class TruthCorner(CornerFigure):
    """A corner plot with the truth marked.

    Parameters
    ----------
    names : sequence of str
        Names of parameters.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.truths: dict[tuple[int, int], Any] = {}
        super().__init__(names)

    def _cell(self, i: int, j: int, n: int) -> figure:
        plot = super()._cell(i, j, n)
        source = ColumnDataSource({"x": [], "y": []})
        self.truths[i, j] = source
        if i == j:
            plot.segment("x", 0, "x", 1, source=source, line_color=COLORS["data"], line_width=2,
                         line_dash="dashed")  # fmt: skip
        else:
            plot.scatter("x", "y", source=source, marker="x", size=12, line_width=3,
                         line_color=COLORS["data"])  # fmt: skip
        return plot

    def mark(self, truth: dict[str, float]) -> None:
        """Mark true values, by name."""
        for (i, j), source in self.truths.items():
            x, y = (truth[self.quantities[k].name] for k in (j, i))
            source.data = {"x": [x], "y": [y]}

    def clear(self) -> None:
        """Show nothing."""
        super().clear()
        for source in self.truths.values():
            source.data = {"x": [], "y": []}
