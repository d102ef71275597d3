"""Bokeh figures of the explorer: SED, histories and dust of one galaxy, over a fan of others."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from bokeh.models import HoverTool, LogAxis, LogScale, Range1d, Span
from bokeh.plotting import figure

from ...sps import SEDModel
from ...sps.histories import METALLICITY_RANGE, N_YOUNG_BINS, TIME_EDGES
from ...sps.ssp import SOLAR_LABEL, SSPGrid
from ...units import MICRON
from ..kit.colors import FAN_COLORS
from ..kit.style import (
    COLORS,
    RATE_TICKS,
    TIME_TICKS,
    Axis,
    apply_look,
    new_plot,
    set_range,
    source_of,
    ticks_at,
)
from .curves import ATTENUATION_UM
from .state import Frame

__all__ = ["AttenuationFigure", "MetallicityFigure", "RateFigure", "SpectrumFigure", "hold"]

_FILTER_HEIGHT = 0.13  # of the figure
_FAN_REACH = 3.0  # magnitudes beyond the galaxy that the axis may make room for
_MARKS = np.array([0.15, 0.25, 0.3, 0.4, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0])
_TIME = ("Lookback time [Gyr]", float(TIME_EDGES[N_YOUNG_BINS]), 13.8)
_SMALL: Any = {"toolbar_location": None, "x_axis_type": "log"}


def hold(now: tuple[float, float], wanted: tuple[float, float]) -> tuple[float, float]:
    """Limits of an axis: those it has, unless they are too tight or far too wide.

    An axis that follows every move hides what the move did.
    """
    low, high = wanted
    fits = now[0] <= low and high <= now[1]
    if fits and now[1] - now[0] <= 2.5 * (high - low):
        return now
    margin = 0.2 * (high - low)
    return low - margin, high + margin


class _Lines:
    """Lines of the fan, and on top of them that of the chosen galaxy."""

    def __init__(self, plot: figure, weight: float = 1.0, **look: Any) -> None:
        self.weight = weight
        self.source = source_of("xs", "ys", "color", "width")
        paint = {"line_color": "color", "line_width": "width"}
        plot.multi_line("xs", "ys", source=self.source, **paint, **look)
        self._shown: tuple[np.ndarray, np.ndarray] | None = None

    def show(self, x: np.ndarray, y: np.ndarray) -> None:
        """Draw lines (N, L), the chosen galaxy's first, unless they are there already."""
        new = np.broadcast_to(x, y.shape).astype(np.float32), y.astype(np.float32)
        old, self._shown = self._shown, new
        # Most parameters change but some of the figures, and drawing is what takes time.
        if old is not None and all(map(partial(np.array_equal, equal_nan=True), old, new)):
            return
        n_fan = len(y) - 1
        xs, ys = (list(np.roll(values, -1, axis=0)) for values in new)
        self.source.data = {
            "xs": xs,
            "ys": ys,
            "color": [*FAN_COLORS[:n_fan], COLORS["data"]],
            "width": [1.3 * self.weight] * n_fan + [2.2 * self.weight],
        }


class _FanFigure:
    """A figure with one line for the chosen galaxy over one for each of the fan."""

    def __init__(self, title: str, height: int, x: Axis, y: Axis, **options: Any) -> None:
        self.figure = new_plot(title, height, x, y, **options)
        self.lines = _Lines(self.figure)

    def _set_y(self, low: float, high: float, logarithmic: bool = False) -> None:
        """Hold or move the y axis."""
        axis = self.figure.y_range
        ends = np.array([axis.start, axis.end], dtype=float)
        now = np.log10(ends) if logarithmic else ends
        flipped = now[0] > now[1]
        limits = np.array(hold((now.min(), now.max()), (low, high)))
        if not np.array_equal(limits, np.sort(now)):
            limits = 10.0**limits if logarithmic else limits
            start, end = limits[::-1] if flipped else limits
            set_range(axis, start, end)


class SpectrumFigure(_FanFigure):
    """Spectrum and photometry, over the bands' responses."""

    def __init__(self, model: SEDModel) -> None:
        bands = model.bands.bands
        low = min(0.25, *(0.95 * band.support[0] * MICRON for band in bands))
        high = max(2.5, *(1.05 * band.support[1] * MICRON for band in bands))
        super().__init__(
            "Spectral energy distribution",
            375,
            ("Observed wavelength [µm]", low, high),
            ("AB magnitude", 20.1, 20.0),
            x_axis_type="log",
        )
        plot = self.figure
        ticks_at(plot.xaxis, plot.xgrid, _MARKS[(low < _MARKS) & (high > _MARKS)].tolist())
        plot.extra_y_ranges = {"response": Range1d(0, 1 / _FILTER_HEIGHT)}
        shade: Any = {"y_range_name": "response", "color": COLORS["prior"]}
        shade |= {"fill_alpha": 0.25, "line_alpha": 0.6}
        for band in bands:
            plot.patch(band.wavelength * MICRON, band.response / band.response.max(), **shade)
        self.effective = np.array([band.effective_wavelength for band in bands]) * MICRON
        self.labels = list(model.bands.labels)
        text: Any = {"text": self.labels, "y_range_name": "response", "text_align": "center"}
        text |= {"text_color": "#555555", "text_font_size": "11px"}
        plot.text(self.effective, 0.12, **text)
        self.points = source_of("x", "y", "band", "color", "size")
        look: Any = {"size": "size", "marker": "square", "fill_color": "color"}
        points = plot.scatter("x", "y", source=self.points, line_color="white", **look)
        plot.add_tools(
            HoverTool(renderers=[points], tooltips=[("band", "@band"), ("AB mag", "@y{0.00}")])
        )

    def update(self, frame: Frame) -> None:
        """Show a frame."""
        curves = frame.curves
        self.lines.show(curves.spectrum_x, curves.spectrum)
        n, n_bands = curves.photometry.shape
        self.points.data = {
            "x": np.tile(self.effective, n),
            "y": np.roll(curves.photometry, -1, axis=0).ravel(),
            "band": self.labels * n,
            "color": np.repeat([*FAN_COLORS[: n - 1], COLORS["data"]], n_bands).tolist(),
            "size": np.repeat([5.0] * (n - 1) + [10.0], n_bands),
        }
        own, fan = curves.photometry[0], curves.photometry
        faint = min(float(fan.max()), float(own.max()) + _FAN_REACH)
        bright = max(float(fan.min()), float(own.min()) - _FAN_REACH)
        room = max(faint - bright, 1.0)
        # Spectra run below the photometry in the ultraviolet, and above it in the infrared.
        self._set_y(bright - 0.2 * room, faint + 0.4 * room)


class RateFigure(_FanFigure):
    """Star-formation rate over lookback time."""

    def __init__(self) -> None:
        rate = ("SFR [M☉ / yr]", 1.0, 1.01)
        super().__init__("Star-formation history", 240, _TIME, rate, y_axis_type="log", **_SMALL)
        ticks_at(self.figure.xaxis, self.figure.xgrid, TIME_TICKS)
        ticks_at(self.figure.yaxis, self.figure.ygrid, RATE_TICKS)

    def update(self, frame: Frame) -> None:
        """Show a frame."""
        curves = frame.curves
        own, fan = np.nanmax(curves.sfr[0]), np.nanmax(curves.sfr)
        top = np.log10(min(fan, 30 * own))
        # Rates that are as good as nothing must not squeeze the ones that matter.
        bottom = max(float(np.log10(np.nanmin(np.maximum(curves.sfr, 1e-30)))), top - 4.0)
        # A logarithmic axis has no place for no stars at all.
        self.lines.show(curves.time, np.maximum(curves.sfr, 10.0 ** (top - 8.0)))
        self._set_y(min(bottom, top - 1.0), top, logarithmic=True)


class MetallicityFigure(_FanFigure):
    """Metallicity of the stars that formed, over lookback time."""

    def __init__(self, grid: SSPGrid) -> None:
        low, high = 0.8 * METALLICITY_RANGE[0], 1.3 * METALLICITY_RANGE[1]
        label = ("Z label (solar 0.019)", low, high)
        super().__init__("Metallicity history", 240, _TIME, label, y_axis_type="log", **_SMALL)
        plot = self.figure
        ticks_at(plot.xaxis, plot.xgrid, TIME_TICKS[::2])  # the second axis leaves less room
        ratio, solar = grid.true_over_label, f"{grid.solar_metallicity:.3g}"
        plot.extra_y_ranges = {"true": Range1d(low * ratio, high * ratio)}
        plot.extra_y_scales = {"true": LogScale()}
        plot.add_layout(LogAxis(y_range_name="true", axis_label=f"true Z (solar {solar})"), "right")
        ticks_at(plot.yaxis, plot.ygrid, (1e-4, 1e-3, 1e-2))
        dots = {"line_color": "#666666", "line_dash": "dotted"}
        plot.add_layout(Span(location=SOLAR_LABEL, dimension="width", **dots))
        apply_look(plot)

    def update(self, frame: Frame) -> None:
        """Show a frame."""
        self.lines.show(frame.curves.time, frame.curves.metallicity)


class AttenuationFigure(_FanFigure):
    """What dust takes, from stars in and out of birth clouds."""

    def __init__(self, birth_cloud_age: float) -> None:
        super().__init__(
            f"Attenuation (dashed: < {1000 * birth_cloud_age:g} Myr)",
            240,
            ("Rest-frame wavelength [µm]", *ATTENUATION_UM[[0, -1]].tolist()),
            ("A [mag]", 0.0, 0.01),
            **_SMALL,
        )
        self.clouds = _Lines(self.figure, 0.8, line_dash="dashed")
        ticks_at(self.figure.xaxis, self.figure.xgrid, (0.15, 0.25, 0.5, 1.0, 2.0))

    def update(self, frame: Frame) -> None:
        """Show a frame."""
        magnitudes = frame.curves.attenuation
        self.lines.show(ATTENUATION_UM, magnitudes[:, 0])
        self.clouds.show(ATTENUATION_UM, magnitudes[:, 1])
        # The steepest curves run out of the figure in the ultraviolet.
        shown = magnitudes[..., ATTENUATION_UM > 0.2]
        top = min(float(shown.max()), float(shown[0].max()) + 2 * _FAN_REACH)
        self._set_y(0.0, max(top, 0.5))
