"""A still picture of Bokeh figures, as SVG: for pages where a saved notebook has no kernel."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from html import escape
from typing import Any

import numpy as np
from bokeh.models import FixedTicker, GlyphRenderer, LogScale, Plot, UIElement

__all__ = ["picture"]

_WIDTH, _GAP = 470.0, 14.0
_LEFT, _BOTTOM, _TOP, _RIGHT = 62.0, 44.0, 24.0, 8.0
_INK = "#222222"
_MOST_DOTS = 1000


def picture(models: Iterable[UIElement]) -> str:
    """Figures and layouts of figures, in two columns, as they are now."""
    plots = [plot for model in models for plot in _plots(model) if plot.visible]
    ends, parts = [0.0, 0.0], []
    for plot in plots:
        height = _WIDTH if plot.aspect_ratio else float(plot.height or 300)
        side = int(np.argmin(ends))
        at = f"x='{side * (_WIDTH + _GAP):.0f}' y='{ends[side]:.0f}'"
        drawn = _draw(plot, _WIDTH, height)
        parts.append(f"<svg {at} width='{_WIDTH:.0f}' height='{height:.0f}'>{drawn}</svg>")
        ends[side] += height + _GAP
    size = f"0 0 {2 * _WIDTH + _GAP:.0f} {max(ends):.0f}"
    font = "font-family='sans-serif' font-size='11'"
    back = "<rect width='100%' height='100%' fill='white'/>"
    opened = f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='{size}' {font}>"
    return f"{opened}{back}{''.join(parts)}</svg>"


def _plots(model: Any) -> list[Any]:
    """Figures of a layout, in their order."""
    if isinstance(model, Plot):
        return [model]
    return [plot for child in getattr(model, "children", []) for plot in _plots(child)]


class _Frame:
    """Pixels of what an axis shows."""

    def __init__(self, span: Any, scale: Any, pixels: float, flipped: bool) -> None:
        self.log = isinstance(scale, LogScale)
        ends = np.array([span.start, span.end], dtype=float)
        self.low, self.high = np.log10(ends) if self.log else ends
        self.pixels, self.flipped = pixels, flipped

    def __call__(self, values: Any) -> np.ndarray:
        x = np.asarray(values, dtype=float)
        with np.errstate(invalid="ignore", divide="ignore"):
            x = np.log10(x) if self.log else x
        share = (x - self.low) / (self.high - self.low)
        place = self.pixels * (1 - share if self.flipped else share)
        return np.clip(place, -3 * self.pixels, 4 * self.pixels)

    def ticks(self, axis: Any) -> Iterator[tuple[float, str]]:
        """Places and texts of an axis."""
        if isinstance(axis.ticker, FixedTicker):
            places = [float(tick) for tick in axis.ticker.ticks]
        else:
            low, high = sorted((self.low, self.high))
            step = 10.0 ** np.floor(np.log10(max(high - low, 1e-12)))
            step *= 0.5 if (high - low) / step < 3 else 1.0 if (high - low) / step < 6 else 2.0
            places = (step * np.arange(np.ceil(low / step), high / step + 1e-9)).tolist()
            places = [10.0**place for place in places] if self.log else places
        for tick in places:
            if 0 <= (place := float(self(tick))) <= self.pixels:
                yield place, str(axis.major_label_overrides.get(tick, f"{tick:.4g}"))


def _draw(plot: Any, width: float, height: float) -> str:
    """One figure: frame, marks, ticks and labels."""
    w, h = width - _LEFT - _RIGHT, height - _TOP - _BOTTOM
    x = _Frame(plot.x_range, plot.x_scale, w, False)
    y = _Frame(plot.y_range, plot.y_scale, h, True)
    marks = "".join(_marks(renderer, x, y) for renderer in plot.renderers)
    frame = "" if plot.outline_line_color is None else "stroke='#444444'"
    parts = [
        f"<svg x='{_LEFT}' y='{_TOP}' width='{w}' height='{h}'>{marks}</svg>",
        f"<rect x='{_LEFT}' y='{_TOP}' width='{w}' height='{h}' fill='none' {frame}/>",
        _text(_LEFT, 15, plot.title.text if plot.title else "", "font-size='13'"),
    ]
    middle = "text-anchor='middle'"
    for row, axis in enumerate(a for a in plot.below if a.visible and hasattr(a, "ticker")):
        for place, text in x.ticks(axis):
            parts.append(_text(_LEFT + place, height - _BOTTOM + 14 + 14 * row, text, middle))
        parts.append(_text(_LEFT + w / 2, height - 6, axis.axis_label or "", middle))
    for row, axis in enumerate(a for a in plot.left if a.visible and hasattr(a, "ticker")):
        for place, text in y.ticks(axis):
            beside = _LEFT - 8 - 16 * row - 12 * text.count("\n")
            down = f"{middle} transform='rotate(-90 {beside} {_TOP + place:.1f})'"
            level = down if axis.major_label_orientation == "vertical" else "text-anchor='end'"
            parts.append(_text(beside, _TOP + place, text, level))
        turned = f"{middle} transform='rotate(-90 12 {_TOP + h / 2:.0f})'"
        parts.append(_text(12, _TOP + h / 2, axis.axis_label or "", turned))
    return "".join(parts)


def _text(x: float, y: float, text: Any, more: str = "") -> str:
    lines = [escape(line) for line in str(text).split("\n")]
    spans = "".join(
        f"<tspan x='{x:.1f}' dy='{0 if k == 0 else 12}'>{line}</tspan>"
        for k, line in enumerate(lines)
    )
    return f"<text x='{x:.1f}' y='{y:.1f}' fill='{_INK}' {more}>{spans}</text>" if text else ""


def _marks(renderer: Any, x: _Frame, y: _Frame) -> str:
    """What one glyph draws."""
    if not isinstance(renderer, GlyphRenderer) or not renderer.visible:
        return ""
    if renderer.y_range_name != "default":
        return ""  # what lies behind, on axes of its own
    glyph, data = renderer.glyph, renderer.data_source.data
    kind = type(glyph).__name__
    get = {name: _Values(getattr(glyph, name), data) for name in glyph.properties()}
    paths: Iterable[tuple[Any, str]] = ()
    if kind in ("Line", "Patch"):
        paths = [(0, _path(x(get["x"].all()), y(get["y"].all())))]
    elif kind in ("MultiLine", "Patches"):
        pairs = zip(get["xs"].all(), get["ys"].all(), strict=True)
        paths = [(k, _path(x(a), y(b))) for k, (a, b) in enumerate(pairs)]
    elif kind == "MultiPolygons":
        shapes = zip(get["xs"].all(), get["ys"].all(), strict=True)
        paths = [(k, _holes(a, b, x, y)) for k, (a, b) in enumerate(shapes)]
    elif kind == "VArea" and len(get["x"].all()):
        over = np.concatenate([get["x"].all(), get["x"].all()[::-1]])
        ends = [y(np.broadcast_to(get[name].all(), len(over) // 2)) for name in ("y1", "y2")]
        paths = [(0, _path(x(over), np.concatenate([ends[0], ends[1][::-1]])))]
    elif kind == "Segment":
        sides = ((x, "x0"), (y, "y0"), (x, "x1"), (y, "y1"))
        ends = list(np.broadcast_arrays(*(scale(get[name].all()) for scale, name in sides)))
        paths = [
            (k, f"M{a:.1f} {b:.1f}L{c:.1f} {d:.1f}")
            for k, (a, b, c, d) in enumerate(zip(*ends, strict=True))
        ]
    elif kind == "Quad":
        ends = [scale(get[n].all()) for scale, n in ((x, "left"), (x, "right"), (y, "top"))]
        floor = float(y(get["bottom"].all()).flat[0])
        bars = enumerate(zip(*ends, strict=True))
        paths = [(k, f"M{a:.1f} {floor:.1f}V{t:.1f}H{b:.1f}V{floor:.1f}") for k, (a, b, t) in bars]
    elif kind == "Scatter":
        return "".join(_dots(get, x, y))
    elif kind == "Text":
        places = zip(x(get["x"].all()), y(get["y"].all()), get["text"].all(), strict=True)
        return "".join(_text(a, b - 14 * str(t).count("\n"), t) for a, b, t in places)
    return "".join(f"<path d='{path}' {_paint(get, k)}/>" for k, path in paths if path)


def _dots(get: Mapping[str, _Values], x: _Frame, y: _Frame) -> Iterator[str]:
    places = np.broadcast_arrays(x(get["x"].all()), y(get["y"].all()))
    every = 1 + len(places[0]) // _MOST_DOTS
    for k, (a, b) in enumerate(zip(*places, strict=True)):
        if k % every == 0 and np.isfinite(a) and np.isfinite(b):
            r = 0.5 * float(get["size"].at(k) or 6)
            yield f"<circle cx='{a:.1f}' cy='{b:.1f}' r='{r:.1f}' {_paint(get, k)}/>"


class _Values:
    """Values of one property of a glyph: a column, or one value for all."""

    def __init__(self, spec: Any, data: Mapping[str, Any]) -> None:
        field = getattr(spec, "field", None) or (
            spec if isinstance(spec, str) and spec in data else None
        )
        self.column = data.get(field) if isinstance(field, str) else None
        self.one = getattr(spec, "value", spec)

    def all(self) -> Any:
        """All of them."""
        return self.column if self.column is not None else np.atleast_1d(self.one)

    def at(self, k: int) -> Any:
        """The k-th."""
        return self.one if self.column is None else self.column[k]


def _paint(get: Mapping[str, _Values], k: int) -> str:
    """Fill and line of the k-th mark."""
    parts = []
    for what, name in (("fill", "fill"), ("stroke", "line")):
        color = get[f"{name}_color"].at(k) if f"{name}_color" in get else None
        parts.append(f"{what}='{color or 'none'}'")
        if color:
            parts.append(f"{what}-opacity='{float(get[f'{name}_alpha'].at(k)):g}'")
    if "line_width" in get:
        parts.append(f"stroke-width='{float(get['line_width'].at(k) or 1):g}'")
    return " ".join(parts) + " fill-rule='evenodd'"


def _path(x: np.ndarray, y: np.ndarray) -> str:
    """A line through points, without those that a pixel cannot tell apart; gaps stay."""
    text, pen, last = [], "M", ""
    for a, b in zip(x, y, strict=True):
        if not (np.isfinite(a) and np.isfinite(b)):
            pen = "M"
            continue
        place = f"{a:.0f} {b:.0f}" if len(x) > 400 else f"{a:.1f} {b:.1f}"
        if place != last or pen == "M":
            text.append(pen + place)
        pen, last = "L", place
    return "".join(text)


def _holes(xs: Any, ys: Any, x: _Frame, y: _Frame) -> str:
    """A shape of polygons, each an outline and its holes."""
    rings = [
        (a, b)
        for outer, others in zip(xs, ys, strict=True)
        for a, b in zip(outer, others, strict=True)
    ]
    return "".join(_path(x(a), y(b)) + "Z" for a, b in rings)
