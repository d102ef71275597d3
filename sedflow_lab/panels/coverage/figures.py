"""Bokeh figures of the coverage panel, updated in place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from bokeh.models import Band, BoxAnnotation, HoverTool, Span, TapTool

from ...diagnostics.calibration_run import CalibrationRun
from ...diagnostics.scoring import SCORED
from ...plots.palette import SPARE_COLORS
from ...quantities import QUANTITIES
from ..kit.style import COLORS, empty, new_plot, set_range, source_of
from .state import GRID, Findings

__all__ = [
    "BAD_COLOR",
    "CurveFigure",
    "RankFigure",
    "SimulationFigure",
    "quantity_label",
]

BAD_COLOR = SPARE_COLORS[0]
"""Colour of quantities that are not as they should be."""

_QUIET = "#9fb4c7"
_SHADE: Any = {"fill_color": "#dddddd", "fill_alpha": 0.8, "level": "underlay"}
_EXPECTED: Any = {"dimension": "width", "line_color": "#888888", "line_dash": "dashed"}
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
    return QUANTITIES[name].text if name in QUANTITIES else _NAMES.get(name, name)


def _color(found: Findings, k: int, good: str) -> str:
    """Colour of the k-th quantity."""
    return BAD_COLOR if found.check is not None and not found.check.uniform[k] else good


class CurveFigure:
    """p–p curves less the diagonal, one a quantity, in the band of right posteriors."""

    def __init__(self) -> None:
        self.curves = source_of("xs", "ys", "color", "width", "name")
        self.band = source_of("x", "low", "high")
        plot = new_plot(
            "p–p curves less the diagonal",
            320,
            ("Percentile of the truth, or credibility", 0, 1),
            ("Share of simulations − expected", -0.2, 0.2),
            tools="save",
        )
        ends = {"base": "x", "lower": "low", "upper": "high", "source": self.band}
        plot.add_layout(Band(**ends, **_SHADE, line_color=None))
        plot.add_layout(Span(location=0, **_EXPECTED))
        lines = plot.multi_line(
            "xs", "ys", source=self.curves, line_color="color", line_width="width"
        )
        plot.add_tools(HoverTool(renderers=[lines], tooltips="@name", line_policy="nearest"))
        self.figure = plot

    def update(self, found: Findings, names: Sequence[str], chosen: str, color: str) -> None:
        """Show the curves of some quantities; the chosen one is drawn last, and thick."""
        order = [name for name in names if name != chosen] + [chosen]
        rows = [SCORED.index(name) for name in order]
        ys = [found.curves[:, k] - GRID for k in rows]
        quiet = [_color(found, k, _QUIET) for k in rows[:-1]]
        low, high = found.band - GRID
        self.band.data = {"x": GRID, "low": low, "high": high}
        self.curves.data = {
            "xs": [GRID] * len(rows),
            "ys": ys,
            "color": [*quiet, _color(found, rows[-1], color)],
            "width": [1.5] * (len(rows) - 1) + [3.5],
            "name": [quantity_label(name) for name in order],
        }
        reach = float(np.abs([*ys, high]).max())
        self.figure.y_range.update(start=-1.15 * reach, end=1.15 * reach)

    def clear(self) -> None:
        """Show nothing."""
        empty(self.curves, self.band)


class RankFigure:
    """Rank histogram of one quantity, with the band of right posteriors."""

    def __init__(self) -> None:
        self.bars = source_of("left", "right", "top")
        self.figure = new_plot(
            "Ranks",
            320,
            ("Rank of the truth / number of draws", 0, 1),
            ("Simulations / expected", 0, 2),
            tools="save",
        )
        self._box = BoxAnnotation(**_SHADE, visible=False)
        self.figure.add_layout(self._box)
        sides: Any = {name: name for name in self.bars.data} | {"bottom": 0, "source": self.bars}
        self._quads = self.figure.quad(**sides, fill_alpha=0.55, line_color="white")
        self.figure.add_layout(Span(location=1, **_EXPECTED))

    def update(self, found: Findings, chosen: str, color: str) -> None:
        """Show the histogram of the chosen quantity."""
        k = SCORED.index(chosen)
        counts = found.counts[:, k]
        edges = np.linspace(0, 1, len(counts) + 1)
        self._quads.glyph.fill_color = _color(found, k, color)
        self.bars.data = {"left": edges[:-1], "right": edges[1:], "top": counts}
        bottom, top = found.bars.tolist()
        self._box.update(bottom=bottom, top=top, visible=True)
        self.figure.y_range.end = 1.1 * float(max(counts.max(), found.bars[1]))
        self.figure.title.text = f"Ranks: {quantity_label(chosen)}"
        self.figure.xaxis.axis_label = {
            "TARP": "Share of draws nearer to a reference than the truth",
            "HPD regions": "Credibility of the region that just holds the truth",
            "fit to the data": "Probability of a worse fit than that of a draw",
        }.get(chosen, "Rank of the truth / number of draws")

    def clear(self) -> None:
        """Show nothing."""
        empty(self.bars)
        self._box.visible = False


class SimulationFigure:
    """Every simulation as a point: the score of one quantity over an observable; tap one."""

    def __init__(self) -> None:
        self.points = source_of("x", "y", "index")
        self.figure = new_plot(
            "Simulations: click one",
            320,
            ("", 0, 1),
            ("Score", -0.03, 1.03),
            tools="tap,box_zoom,reset,save",
            active_drag=None,
        )
        look: Any = {"size": 7, "fill_alpha": 0.6, "line_color": None}
        look |= {"nonselection_fill_alpha": 0.35, "selection_fill_alpha": 1.0}
        look |= {"selection_fill_color": "#E69F00", "selection_line_color": COLORS["data"]}
        self.marks = self.figure.scatter("x", "y", source=self.points, **look)
        self.figure.add_tools(
            HoverTool(renderers=[self.marks], tooltips="simulation @index: score @y{0.00}")
        )
        self.figure.select_one(TapTool).renderers = [self.marks]

    def update(self, run: CalibrationRun, chosen: str, observable: str, color: str) -> None:
        """Show the scores of the chosen quantity."""
        x, y = run.observable(observable), run.scores[:, SCORED.index(chosen)]
        known = np.isfinite(x) & np.isfinite(y)
        self.points.data = {"x": x[known], "y": y[known], "index": np.flatnonzero(known)}
        low, high = float(x[known].min()), float(x[known].max())
        margin = 0.03 * (high - low) or 1.0
        set_range(self.figure.x_range, low - margin, high + margin)
        self.marks.glyph.fill_color = color
        self.figure.xaxis.axis_label = OBSERVABLE_LABELS[observable]
        self.figure.yaxis.axis_label = f"Score of {quantity_label(chosen)}"

    def clear(self) -> None:
        """Show nothing."""
        self.points.selected.indices = []
        empty(self.points)
