"""A Bokeh corner plot of chosen quantities in one figure, updated in place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from bokeh.models import FixedTicker, Legend, LegendItem, LinearAxis, Range1d
from bokeh.plotting import figure
from bokeh.plotting.contour import contour_data

from ...plots.palette import method_look
from ...posterior.weighting import weighted_quantile
from ...quantities import QUANTITIES, Quantity
from .choice import DEFAULT_QUANTITIES, Drawn
from .densities import Limits, credible, marginal
from .style import COLORS, FONT, apply_look, empty, hover_over, named, small_legend, source_of

__all__ = ["CornerFigure", "Layer"]

_GAP = 0.03  # of a cell, around it
_ABOVE, _BESIDE = 0.46, 0.66  # of a cell, above the first and beside the last: room for titles
_HEADROOM = 1.1
_GREY, _DARK_GREY, _FRAME = "#c4c4c4", "#6f6f6f", "#888888"
_MAIN, _BEHIND = "", "behind"


class Layer:
    """One posterior in a corner plot: its densities, and the marks that draw it.

    Parameters
    ----------
    plot : bokeh.plotting.figure
    filled : bool
        Areas, or lines alone.
    color : str
    """

    def __init__(self, plot: figure, filled: bool, color: str) -> None:
        self.densities: list[tuple[np.ndarray, np.ndarray]] = []
        self.filled = filled
        self.contours = source_of("xs", "ys", *(["alpha"] if filled else []))
        self.sides, self.middles = source_of("xs", "ys"), source_of("x", "low", "high", "text")
        self.marks: list[Any] = []
        if filled:
            look: Any = {"fill_alpha": "alpha", "line_width": 1}
            self.marks += [
                plot.patches("xs", "ys", source=self.sides, fill_alpha=0.45, line_color=None),
                plot.multi_polygons("xs", "ys", source=self.contours, **look),
            ]
        else:
            look = {"line_width": 1.7}
            self.marks += [
                plot.multi_line("xs", "ys", source=self.sides, **look),
                plot.multi_line("xs", "ys", source=self.contours, **look),
            ]
        line: Any = {"line_width": 1.5, "line_dash": "solid" if filled else "dashed"}
        self.marks.append(plot.segment("x", "low", "x", "high", source=self.middles, **line))
        self.paint(color)

    def paint(self, color: str) -> None:
        """Give all marks a colour."""
        for mark in self.marks:
            names = [k for k in ("fill_color", "line_color") if hasattr(mark.glyph, k)]
            if mark.glyph.line_color is None:
                names.remove("line_color")
            mark.glyph.update(**dict.fromkeys(names, color))

    def clear(self) -> None:
        """Show nothing."""
        self.densities = []
        empty(self.contours, self.sides, self.middles)


class CornerFigure:
    """All pairs of some quantities: contours of 68 and 95 %, and marginal densities.

    All cells are in one Bokeh figure, in units of a cell, so that there is one picture to draw, to
    save and to tab to.

    Parameters
    ----------
    names : sequence of str
        Keys of `QUANTITIES`.

    Attributes
    ----------
    figure : bokeh.plotting.figure
    limits : list of tuple
        Where the axis of each quantity begins and ends.
    layers : dict of Layer
        The posterior, filled, by ``""``; others over it by their names.
    """

    def __init__(self, names: Sequence[str] = DEFAULT_QUANTITIES) -> None:
        self.figure = plot = figure(
            x_range=Range1d(0, 1),
            y_range=Range1d(0, 1),
            sizing_mode="stretch_width",
            aspect_ratio=1.0,
            tools="box_zoom,wheel_zoom,pan,reset,save",
            active_drag=None,
            toolbar_location="right",
            toolbar_inner=True,
            min_border=2,
        )
        self._names = {side: LinearAxis(axis_line_color=None) for side in ("below", "left")}
        for side, axis in self._names.items():
            plot.add_layout(axis, side)
        apply_look(plot)
        plot.toolbar.autohide = True
        plot.grid.visible = False
        plot.outline_line_color = None
        plot.axis.axis_line_color = None
        for axis in self._names.values():
            axis.update(major_tick_line_color=None, major_label_standoff=0)
            axis.update(major_label_text_font_size=FONT["label"])
        for axis in plot.yaxis:
            axis.major_label_orientation = "vertical"
        self._frames, self._titles = source_of("xs", "ys"), source_of("x", "y", "text")
        self.prior = source_of("xs", "ys")
        look: Any = {"source": self.prior, "fill_color": _GREY, "fill_alpha": 0.6}
        self._prior = plot.patches("xs", "ys", line_color=None, **look)
        self.layers = {
            _BEHIND: Layer(plot, False, _DARK_GREY),
            _MAIN: Layer(plot, True, COLORS["fast"]),
        }
        plot.multi_line("xs", "ys", source=self._frames, line_color=_FRAME, line_width=1)
        ink: Any = {"text_color": COLORS["data"], "text_font_size": FONT["tick"]}
        ink |= {"text_line_height": 1.15, "text_baseline": "bottom"}
        plot.text("x", "y", "text", source=self._titles, x_offset=1, **ink)
        ink = {"line_color": COLORS["data"], "line_width": 2.5}
        self.truth = source_of("x", "y")
        self.truth_lines = source_of("x", "low", "high")
        plot.scatter("x", "y", source=self.truth, marker="x", size=11, **ink)
        ends = ("x", "low", "x", "high")
        plot.segment(*ends, source=self.truth_lines, **ink | {"line_width": 2, "line_dash": [5, 3]})
        plot.add_tools(hover_over(self.layers[_MAIN].marks[-1], "@text"))
        self.legend = Legend(location="top_right", margin=34)
        small_legend(self.legend)
        self.legend.orientation = "vertical"
        plot.add_layout(self.legend)
        self._drawn: dict[str, Drawn] = {}
        self.choose(names)

    def choose(self, names: Sequence[str]) -> None:
        """Show other quantities; what is drawn of the old ones goes."""
        self.quantities = [QUANTITIES[name] for name in names]
        self.limits: list[Limits] = [(q.low, q.high) for q in self.quantities]
        n = len(names)
        self.clear()
        self.figure.x_range.update(end=n + _BESIDE, reset_end=n + _BESIDE)
        self.figure.y_range.update(end=n + _ABOVE, reset_end=n + _ABOVE)
        cells = [(i, j) for i in range(n) for j in range(i + 1)]
        self._frames.data = {
            "xs": [self._x(j, np.array([0, 1, 1, 0, 0])) for _, j in cells],
            "ys": [self._y(i, np.array([0, 0, 1, 1, 0])) for i, _ in cells],
        }
        names_of = [q.axis_text.replace(" [", "\n[") for q in self.quantities]
        below, left = self._names["below"], self._names["left"]
        _ticks_of(below, {j + 0.5: text for j, text in enumerate(names_of)})
        _ticks_of(left, {n - i - 0.5: text for i, text in enumerate(names_of) if i})
        self._tick()
        named(self.figure, f"Corner plot of {', '.join(q.text for q in self.quantities)}")

    def update(self, drawn: Drawn, zoom: bool = False) -> None:
        """Show a posterior, and no others over it; zoomed axes show it only, and no limits."""
        values, weights = drawn.values, drawn.weights
        columns = [values[q.name] for q in self.quantities]
        self.limits = [
            _zoomed(x, weights, q) if zoom else (q.low, q.high)
            for x, q in zip(columns, self.quantities, strict=True)
        ]
        for name in tuple(self.layers):
            if name not in (_MAIN, _BEHIND):
                self.layers[name].clear()
        self._tick()
        self._draw(_MAIN, drawn, method_look(drawn.method).color, method_look(drawn.method).label)
        self._title(columns, weights)

    def overlay(
        self, drawn: Drawn, color: str | None = None, label: str | None = None, name: str = ""
    ) -> None:
        """Draw lines of another posterior; areas under marginals are all the same.

        It goes by its method's name, colour and label, unless others are given.
        """
        look, name = method_look(drawn.method), name or drawn.method
        color = color or look.color
        if name not in self.layers:
            self.layers[name] = Layer(self.figure, False, color)
        self._draw(name, drawn, color, label or look.label)

    def show_behind(self, drawn: Drawn, label: str = "before") -> None:
        """Show another posterior in grey, on the axes as they are: its outlines and marginals."""
        self._draw(_BEHIND, drawn, _DARK_GREY, label)

    def remove(self, name: str) -> None:
        """Take the lines of a posterior away, if there are any."""
        if name in self.layers and self.layers[name].densities:
            self.layers[name].clear()
            self._labels.pop(name, None)
            self._level()

    def show_prior(self, prior: Mapping[str, np.ndarray] | None) -> None:
        """Show the density of draws (M,) of the prior behind the marginals, on the same scale.

        What would be higher than its cell ends at the top. None takes it away.
        """
        if prior is None:
            empty(self.prior)
            return
        peaks, sides = self._peaks(), []
        for k, quantity in enumerate(self.quantities):
            drawn = prior[quantity.name]
            even = np.full(len(drawn), 1 / len(drawn))
            sides.append(marginal(drawn, even, self.limits[k], len(drawn)))
        self.prior.data = self._sides(sides, peaks)

    def mark(self, truth: Mapping[str, float] | None) -> None:
        """Mark true values, by name; those beyond the axes are left out. None takes them away."""
        if truth is None:
            empty(self.truth, self.truth_lines)
            return
        n, at = len(self.quantities), [self._share(k, truth[q.name]) for k, q in self._each()]
        seen = [k for k in range(n) if 0 <= at[k] <= 1]
        pairs = [(i, j) for i in seen for j in seen if j < i]
        self.truth.data = {
            "x": [float(self._x(j, at[j])) for _, j in pairs],
            "y": [float(self._y(i, at[i])) for i, _ in pairs],
        }
        self.truth_lines.data = {
            "x": [float(self._x(k, at[k])) for k in seen],
            "low": [float(self._y(k, 0.0)) for k in seen],
            "high": [float(self._y(k, 1.0)) for k in seen],
        }

    def clear(self) -> None:
        """Show nothing."""
        for layer in self.layers.values():
            layer.clear()
        empty(self.prior, self._titles, self.truth, self.truth_lines)
        self._labels: dict[str, str] = {}
        self.legend.items = []

    def _each(self) -> Iterable[tuple[int, Quantity]]:
        return enumerate(self.quantities)

    def _x(self, j: int, share: Any) -> Any:
        """Place of a share of the cells of column j."""
        return j + _GAP + (1 - 2 * _GAP) * share

    def _y(self, i: int, share: Any) -> Any:
        """Place of a share of the cells of row i, which run downwards."""
        return self._x(len(self.quantities) - 1 - i, share)

    def _share(self, k: int, value: Any) -> Any:
        """Values of the k-th quantity as shares of its axis."""
        low, high = self.limits[k]
        return (value - low) / (high - low)

    def _tick(self) -> None:
        """Put ticks of all quantities on the two axes of the figure."""
        below, left = {}, {}
        for k, _ in self._each():
            for tick in _ticks(*self.limits[k]):
                place = self._share(k, tick)
                below[float(self._x(k, place))] = f"{tick:.6g}".replace("-", "−")
                if k:
                    left[float(self._y(k, place))] = f"{tick:.6g}".replace("-", "−")
        _ticks_of(self.figure.xaxis[0], below)
        _ticks_of(self.figure.yaxis[0], left)

    def _draw(self, name: str, drawn: Drawn, color: str, label: str) -> None:
        """Draw one layer, and all marginals on one scale."""
        layer, (values, weights, ess, _) = self.layers[name], drawn
        layer.paint(color)
        columns = [values[q.name] for q in self.quantities]
        layer.densities = [marginal(x, weights, self.limits[k], ess) for k, x in enumerate(columns)]
        at = [float(weighted_quantile(x, weights, 0.5)) for x in columns]
        shares = [self._share(k, x) for k, x in enumerate(at)]
        seen = [k for k, share in enumerate(shares) if 0 <= share <= 1]
        layer.middles.data = {
            "x": [float(self._x(k, shares[k])) for k in seen],
            "low": [float(self._y(k, 0.0)) for k in seen],
            "high": [float(self._y(k, 1.0)) for k in seen],
            "text": [f"{self.quantities[k].axis_text}: median {at[k]:.3f}" for k in seen],
        }
        xs: list[Any] = []
        ys: list[Any] = []
        for i in range(len(columns)):
            for j in range(i):
                limits = (self.limits[j], self.limits[i])
                x, y, density, levels = credible(columns[j], columns[i], weights, limits, ess)
                x, y = self._x(j, self._share(j, x)), self._y(i, self._share(i, y))
                if layer.filled:
                    steps = [*levels, 2 * max(float(density.max()), float(levels[-1]))]
                    fill = contour_data(x, y, density, steps, want_fill=True, want_line=False)
                    assert fill.fill_data is not None
                    xs, ys = [*xs, *fill.fill_data.xs], [*ys, *fill.fill_data.ys]
                else:
                    lines = contour_data(
                        x, y, density, list(levels), want_fill=False, want_line=True
                    )
                    assert lines.line_data is not None
                    xs, ys = [*xs, *lines.line_data.xs], [*ys, *lines.line_data.ys]
        layer.contours.data = {"xs": xs, "ys": ys} | (
            {"alpha": [0.25, 0.65] * (len(xs) // 2)} if layer.filled else {}
        )
        self._labels[name] = label
        self._level()

    def _level(self) -> None:
        """Draw the marginals of all layers, the highest as high as its cell; and the legend."""
        peaks = self._peaks()
        shown = [name for name, layer in self.layers.items() if layer.densities]
        for name in shown:
            layer = self.layers[name]
            layer.sides.data = self._sides(layer.densities, peaks)
        items = [
            LegendItem(label=self._labels[name], renderers=[self.layers[name].marks[1]])
            for name in sorted(shown, key=lambda name: name != _MAIN)
        ]
        known = [(item.label.value, item.renderers) for item in self.legend.items]
        if [(item.label.value, item.renderers) for item in items] != known:
            self.legend.items = items

    def _peaks(self) -> list[float]:
        """The highest densities of each quantity, of all layers."""
        shown = [layer.densities for layer in self.layers.values() if layer.densities]
        least = float(np.finfo(float).tiny)
        return [max([least, *(float(each[k][1].max()) for each in shown)]) for k, _ in self._each()]

    def _sides(
        self, densities: Sequence[tuple[np.ndarray, np.ndarray]], peaks: Sequence[float]
    ) -> dict[str, list[np.ndarray]]:
        """Outlines of densities, from the floor of their cells and back to it."""
        xs, ys = [], []
        for k, (edges, density) in enumerate(densities):
            top = np.minimum(density / peaks[k] / _HEADROOM, 1.0)
            xs.append(self._x(k, self._share(k, np.repeat(edges, 2))))
            ys.append(self._y(k, np.concatenate([[0.0], np.repeat(top, 2), [0.0]])))
        return {"xs": xs, "ys": ys}

    def _title(self, columns: Sequence[np.ndarray], weights: np.ndarray) -> None:
        """Write median and 68 % interval of each quantity above its marginal."""
        texts = []
        for x, q in zip(columns, self.quantities, strict=True):
            low, middle, high = (float(v) for v in weighted_quantile(x, weights, (0.16, 0.5, 0.84)))
            number = f"{middle:.2f}".replace("-", "−")
            texts.append(f"{q.text}\n{number} +{high - middle:.2f} −{middle - low:.2f}")
        n = len(texts)
        self._titles.data = {
            "x": [float(self._x(k, 0.0)) for k in range(n)],
            "y": [float(self._y(k, 1.0)) + 0.02 for k in range(n)],
            "text": texts,
        }


def _ticks_of(axis: LinearAxis, texts: Mapping[float, str]) -> None:
    """Put texts at places of an axis."""
    axis.update(ticker=FixedTicker(ticks=list(texts)), major_label_overrides=dict(texts))


def _zoomed(x: np.ndarray, weights: np.ndarray, quantity: Quantity) -> Limits:
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
        if len("".join(f"{tick:.6g}" for tick in ticks)) <= 5:
            break
    return [float(f"{tick:.6g}") for tick in ticks]
