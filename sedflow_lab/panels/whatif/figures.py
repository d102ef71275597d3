"""The figure of the what-if panel: photometry that a mouse takes hold of."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from bokeh.events import Pan, PanEnd, PanStart, PointEvent
from bokeh.models import HoverTool

from ...observations.photometry import Photometry
from ...plots.palette import method_look, span_of
from ...posterior.result import PosteriorResult
from ...posterior.weighting import systematic_resample
from ...sps import SEDModel
from ...units import MICRON, POGSON, flux_of_magnitude, magnitude
from ..kit.style import COLORS, empty, new_plot, set_range, small_legend, source_of

__all__ = ["PhotometryFigure"]

_DRAWS = 300
_QUANTILES = (0.16, 0.5, 0.84)
_BEFORE = "#8a8a8a"
_TINY_FLUX = 1e-6  # nanomaggies
_ROOM = 1.2  # magnitudes above and below, into which points may be dragged
_NEAR = 0.05  # of the axis: so near must a mouse be to an end of an error bar to take hold of it
_Move = Callable[[str, str, float], None]


class PhotometryFigure:
    """Measured photometry, as it was and as it would be, over what the posterior predicts.

    Parameters
    ----------
    model : SEDModel
    move : callable
        Called with a band, ``"flux"`` or ``"sigma"``, and its new value [nanomaggies], while the
        mouse drags a point or an end of its error bar.
    """

    def __init__(self, model: SEDModel, move: _Move) -> None:
        self._move, self._held = move, ("", "")
        axes = ("Observed wavelength [µm]", *span_of(model.bands)), ("AB magnitude", 20.0, 15.0)
        self.figure = plot = new_plot(
            "Drag a point, or an end of its error bar", 330, *axes, tools="reset,save"
        )
        names = ("x", "band", "middle", "low", "high")
        self.before, self.predicted, self.now = (
            source_of(*names),
            source_of(*names),
            source_of(*names),
        )
        ends = ("x", "low", "x", "high")
        old: Any = {"line_color": _BEFORE, "legend_label": "as measured"}
        plot.segment(*ends, source=self.before, line_width=1.6, **old)
        plot.scatter("x", "middle", source=self.before, size=9, fill_color="white", **old)
        guess: Any = {"source": self.predicted, "line_color": COLORS["fast"]}
        self._bars = plot.segment(*ends, **guess, line_width=9, line_alpha=0.35)
        self._squares = plot.scatter(
            "x", "middle", **guess, marker="square", size=11, fill_color="white", line_width=2
        )
        point: Any = {"source": self.now, "line_color": COLORS["data"]}
        plot.segment(*ends, **point, line_width=2)
        for end in ("low", "high"):
            plot.scatter("x", end, **point, marker="dash", size=16, line_width=3)
        dots = plot.scatter(
            "x", "middle", **point, size=13, fill_color=COLORS["data"], legend_label="what if"
        )
        tips = [("band", "@band"), ("magnitude", "@middle{0.000}")]
        plot.add_tools(HoverTool(renderers=[dots], tooltips=tips))
        plot.on_event(PanStart, self._take)
        plot.on_event(Pan, self._drag)
        plot.on_event(PanEnd, self._leave)
        small_legend(plot.legend, spacing=6)
        plot.legend.location = "bottom_right"

    def begin(self, photometry: Photometry) -> None:
        """Show another galaxy, as it was measured."""
        self.before.data = _columns(photometry)
        self.show(photometry)
        shown = photometry.magnitude[0][photometry.mask[0]]
        set_range(self.figure.y_range, np.nanmax(shown) + _ROOM, np.nanmin(shown) - _ROOM)

    def show(self, photometry: Photometry) -> None:
        """Show the photometry as it would be, at once."""
        self.now.data = _columns(photometry)

    def predict(self, result: PosteriorResult, model: SEDModel) -> None:
        """Show what a posterior predicts: medians and 68 % intervals in all bands."""
        chosen = systematic_resample(result.weights, _DRAWS)[0]
        theta, redshift = result.samples[0, chosen], result.draw_redshift[0, chosen]
        flux = np.quantile(model.photometry(theta, redshift), _QUANTILES, axis=0)
        low, middle, high = magnitude(np.maximum(flux, _TINY_FLUX))
        wavelength = model.bands.effective_wavelength * MICRON
        levels = {"x": wavelength, "band": list(model.bands.labels)}
        self.predicted.data = levels | {"low": low, "middle": middle, "high": high}
        colour = method_look(result.method).color
        for mark in (self._bars, self._squares):
            mark.glyph.line_color = colour

    def clear(self) -> None:
        """Show no prediction."""
        empty(self.predicted)

    def _take(self, event: PointEvent) -> None:
        """Take hold of the band nearest to the mouse, by its point or an end of its error bar."""
        points = self.now.data
        if event.x is None or event.y is None or not len(points["x"]):
            return
        k = int(np.argmin(np.abs(np.asarray(points["x"]) - event.x)))
        middle = abs(points["middle"][k] - event.y)
        ends = min(abs(points[end][k] - event.y) for end in ("low", "high"))
        at_an_end = ends < min(
            middle, _NEAR * abs(self.figure.y_range.end - self.figure.y_range.start)
        )
        self._held = str(points["band"][k]), "sigma" if at_an_end else "flux"

    def _drag(self, event: PointEvent) -> None:
        band, what = self._held
        if not band or event.y is None or not math.isfinite(event.y):
            return
        if what == "flux":
            self._move(band, what, float(flux_of_magnitude(event.y)))
            return
        points = self.now.data
        middle = float(points["middle"][list(points["band"]).index(band)])
        share = abs(event.y - middle) / POGSON
        self._move(band, what, share * float(flux_of_magnitude(middle)))

    def _leave(self, event: PointEvent) -> None:
        self._held = "", ""


def _columns(photometry: Photometry) -> dict[str, Any]:
    """Magnitudes of the observed bands with one standard deviation."""
    seen = photometry.mask[0]
    flux, sigma = photometry.flux[0, seen], photometry.sigma[0, seen]
    middle = magnitude(np.maximum(flux, _TINY_FLUX))
    # Symmetric in magnitudes, as the ends are what a mouse takes hold of.
    half = POGSON * sigma / np.maximum(np.abs(flux), _TINY_FLUX)
    return {
        "x": photometry.bands.effective_wavelength[seen] * MICRON,
        "band": np.array(photometry.bands.labels)[seen].tolist(),
        "middle": middle,
        "low": middle + half,
        "high": middle - half,
    }
