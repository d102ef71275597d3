"""Bokeh figures of the training panel, updated in place."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from bokeh.models import Band, HoverTool

from ...anpe.training import TrainingRecord
from ...quantities import QUANTITIES
from ..kit.style import (
    COLORS,
    SPARE_COLORS,
    empty,
    new_plot,
    set_range,
    small_legend,
    source_of,
    ticks_at,
)
from .state import GRID, Examined

__all__ = ["MINE", "THEIRS", "EfficiencyFigure", "ExamFigure", "LossFigure"]

MINE, THEIRS = SPARE_COLORS[0], COLORS["fast"]
"""Colours of the network that is trained here, and of the one that it is compared with."""

_GREY = "#b5b5b5"
_HEIGHT = 300
_FAR = 1e9  # steps


class LossFigure:
    """Loss over steps: of training, of validation, of trainings before, and where a rival ended."""

    def __init__(self, rival: str, reached: float | None) -> None:
        self.training, self.validation = source_of("x", "y"), source_of("x", "y")
        self.others = source_of("xs", "ys", "how")
        x, y = ("Step", 0, 100), ("Loss [nats]", 5, 16)
        plot = self.figure = new_plot("Loss: the lower, the better", _HEIGHT, x, y)
        earlier = plot.multi_line(
            "xs", "ys", source=self.others, line_color=_GREY, line_width=1.5, legend_label="before"
        )
        plot.add_tools(HoverTool(renderers=[earlier], tooltips="@how", line_policy="nearest"))
        look: Any = {"line_color": MINE, "line_width": 2.5}
        dashed: Any = look | {"line_dash": "dashed", "line_width": 1.6}
        plot.line("x", "y", source=self.training, legend_label="training", **dashed)
        plot.line("x", "y", source=self.validation, legend_label="validation", **look)
        # What is evaluated once only is a point.
        plot.scatter("x", "y", source=self.validation, size=4, color=MINE)
        if reached is not None:
            label = f"{rival} network"
            plot.line([0, _FAR], [reached] * 2, color=THEIRS, line_width=1.6, legend_label=label)
        self._reached = reached
        small_legend(plot.legend, location="top_right", ncols=2)

    def update(self, record: TrainingRecord, steps: int, others: Iterable[tuple[str, Any]]) -> None:
        """Show the present training, of so many steps, and others by how they were done."""
        before = [(how, r) for how, r in others if r.step]
        self.others.data = {
            "xs": [r.step for _, r in before],
            "ys": [r.validation_loss for _, r in before],
            "how": [how for how, _ in before],
        }
        self.training.data = {"x": record.step, "y": record.training_loss}
        self.validation.data = {"x": record.step, "y": record.validation_loss}
        lines = [record.training_loss, record.validation_loss, *self.others.data["ys"]]
        values = np.concatenate([*lines, [] if self._reached is None else [self._reached]])
        longest = max([steps, *(r.step[-1] for _, r in before)])
        set_range(self.figure.x_range, 0, longest)
        if len(values):
            low, high = float(values.min()), float(np.minimum(values, 20.0).max())
            margin = 0.08 * (high - low) or 1.0
            # The legend needs room above the lines.
            set_range(self.figure.y_range, low - margin, high + 4 * margin)

    def clear(self) -> None:
        """Show nothing but where the rival ended."""
        empty(self.training, self.validation, self.others)


class ExamFigure:
    """p–p curves of all quantities less the diagonal, in the band of right posteriors."""

    def __init__(self, rival: str) -> None:
        self.band = source_of("x", "low", "high")
        self.curves = {name: source_of("xs", "ys", "name") for name in ("theirs", "mine")}
        x = ("Percentile of the truth, or credibility", 0, 1)
        y = ("Share of simulations − expected", -0.3, 0.3)
        plot = self.figure = new_plot("Calibrated? Then within the band", _HEIGHT, x, y)
        ends = {"base": "x", "lower": "low", "upper": "high", "source": self.band}
        shade: Any = {"fill_color": "#dddddd", "fill_alpha": 0.8, "level": "underlay"}
        plot.add_layout(Band(**ends, **shade, line_color=None))
        for name, color, label in (("theirs", THEIRS, rival), ("mine", MINE, "yours")):
            look: Any = {"line_color": color, "line_width": 1.5, "line_alpha": 0.75}
            lines = plot.multi_line(
                "xs", "ys", source=self.curves[name], legend_label=label, **look
            )
            plot.add_tools(HoverTool(renderers=[lines], tooltips="@name", line_policy="nearest"))
        small_legend(plot.legend, location="top_right")

    def update(self, mine: Examined, theirs: Examined | None) -> None:
        """Show two exams."""
        reach = 0.05
        for name, found in (("mine", mine), ("theirs", theirs)):
            if found is None:
                continue
            ys = list((found.curves - GRID[:, None]).T)
            names = [QUANTITIES[n].text if n in QUANTITIES else n for n in found.run.check().names]
            self.curves[name].data = {"xs": [GRID] * len(ys), "ys": ys, "name": names}
            reach = max(reach, float(np.abs(ys).max()))
        low, high = mine.band - GRID
        self.band.data = {"x": GRID, "low": low, "high": high}
        set_range(self.figure.y_range, -1.1 * reach, 1.25 * reach)

    def clear(self) -> None:
        """Show nothing."""
        empty(self.band, *self.curves.values())


class EfficiencyFigure:
    """Share of simulations whose sampling efficiency is below a value, for two networks."""

    def __init__(self, rival: str) -> None:
        self.lines = {name: source_of("x", "y") for name in ("theirs", "mine")}
        x, y = ("Sampling efficiency", 1e-3, 1), ("Share of simulations below", 0, 1)
        plot = self.figure = new_plot("Efficiency", _HEIGHT, x, y, x_axis_type="log")
        for name, color, label in (("theirs", THEIRS, rival), ("mine", MINE, "yours")):
            look: Any = {"line_color": color, "line_width": 2.5, "mode": "after"}
            plot.step("x", "y", source=self.lines[name], legend_label=label, **look)
        ticks_at(plot.xaxis, plot.xgrid, (0.001, 0.01, 0.1, 1))
        small_legend(plot.legend, location="top_left")

    def update(self, mine: Examined, theirs: Examined | None) -> None:
        """Show two exams."""
        for name, found in (("mine", mine), ("theirs", theirs)):
            if found is not None:
                x = np.sort(np.clip(found.run.efficiency, 1e-3, 1.0))
                self.lines[name].data = {"x": x, "y": np.arange(1, len(x) + 1) / len(x)}

    def clear(self) -> None:
        """Show nothing."""
        empty(*self.lines.values())
