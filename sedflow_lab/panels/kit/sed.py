"""Bokeh figures of one galaxy's SED and star-formation history, updated in place."""

from __future__ import annotations

from typing import Any

import numpy as np
from bokeh.core.properties import value
from bokeh.layouts import column
from bokeh.models import FixedTicker, Span

from ...observations.photometry import Photometry
from ...plots.palette import method_look, span_of
from ...posterior.result import PosteriorResult
from ...posterior.weighting import systematic_resample
from ...sps import SEDModel
from ...sps.histories import N_YOUNG_BINS, TIME_EDGES
from ...sps.model import at_first
from ...units import MICRON, magnitude
from .choice import Outcome
from .style import (
    COLORS,
    RATE_TICKS,
    SPARE_COLORS,
    TIME_TICKS,
    Axis,
    draw_band,
    empty,
    hover_over,
    named,
    new_plot,
    set_range,
    small_legend,
    source_of,
    ticks_at,
)

__all__ = ["HistoryFigure", "SEDFigure", "history_data", "sed_data"]

N_DRAWS = 300
"""Spectra and histories from which bands are made: their quantiles then are good to 3 %."""

_QUANTILES = (0.16, 0.5, 0.84)
_YOUNGEST = TIME_EDGES[N_YOUNG_BINS]  # Gyr: star formation is constant below, in every draw
_TINY_FLUX = 1e-6  # nanomaggies
_OTHER = SPARE_COLORS[0]
_SINGLE = 6  # histories that are drawn one by one
_LEFT = 62  # pixels beside frames, so that those above each other are in line


def sed_data(
    photometry: Photometry, result: PosteriorResult, model: SEDModel
) -> dict[str, dict[str, Any]]:
    """Numbers that `SEDFigure` shows: columns of its four sources.

    Wavelengths are observed ones [micron], ``low``, ``middle`` and ``high`` are AB magnitudes:
    measurements with one standard deviation, and medians with 68 % ranges of what the posterior
    predicts in the bands (all of them, observed or not) and for the spectrum. Of ``residuals``
    they are measurement less median prediction, in standard deviations of the measurement, with
    the 68 % range of the prediction.
    """
    labels, mask = np.array(photometry.bands.labels), photometry.mask[0]
    effective = photometry.bands.effective_wavelength * MICRON
    flux, sigma = photometry.flux[0, mask], photometry.sigma[0, mask]
    data = {
        "x": effective[mask],
        "band": labels[mask],
        "middle": _magnitude(flux),
        "low": _magnitude(flux - sigma),
        "high": _magnitude(flux + sigma),
    }
    theta, redshift = _draws(result)
    predicted = np.quantile(model.photometry(theta, redshift), _QUANTILES, axis=0)
    prediction = {"x": effective, "band": labels} | _levels(predicted)
    low, middle, high = (flux - predicted[::-1, mask]) / sigma
    residuals = {"x": effective[mask], "band": labels[mask]}
    residuals |= {"low": low, "middle": middle, "high": high}
    wavelength, spectra = at_first(*model.observed_spectrum(theta, redshift))
    low, high = span_of(model.bands)
    inside = (wavelength * MICRON > low) & (wavelength * MICRON < high)
    spectrum = _levels(np.quantile(spectra[:, inside], _QUANTILES, axis=0))
    return {
        "data": data,
        "prediction": prediction,
        "residuals": residuals,
        "spectrum": {"x": wavelength[inside] * MICRON} | spectrum,
    }


def history_data(result: PosteriorResult, model: SEDModel) -> dict[str, np.ndarray]:
    """Star-formation rates [Msun/yr] as steps over lookback time [Gyr], with 68 % ranges.

    ``x``, ``low``, ``middle`` and ``high`` have two points for each time bin, and so has each of
    the histories of ``single`` draws (6, 2 N).
    """
    # Of whatever redshift a draw is: bins are those of one age of the universe.
    edges, sfr, _ = model.histories(_draws(result)[0], float(result.redshift[0])).steps()
    used = np.isfinite(sfr[0])
    used[:N_YOUNG_BINS] = False
    low, middle, high = np.repeat(np.quantile(sfr[:, used], _QUANTILES, axis=0), 2, axis=1)
    ends = np.stack([edges[0, :-1][used], edges[0, 1:][used]], axis=1)
    single = np.repeat(sfr[:: max(1, len(sfr) // _SINGLE), used][:_SINGLE], 2, axis=1)
    levels = {"low": low, "middle": middle, "high": high}
    return {"x": ends.ravel(), "single": single} | levels


class _Figure:
    """A figure with a band, lines of its edges, and a legend for the method."""

    def __init__(self, title: str, height: int, x: Axis, y: Axis, **options: Any) -> None:
        self.figure = new_plot(title, height, x, y, **options)
        self.band, self.marks = draw_band(self.figure, legend_label=" ")
        small_legend(self.figure.legend, spacing=0)

    def _recolour(self, method: str, what: str) -> None:
        look = method_look(method)
        for glyph in (mark.glyph for mark in self.marks):
            glyph.update(
                **{k: look.color for k in ("fill_color", "line_color") if hasattr(glyph, k)}
            )
        self.figure.legend[0].items[0].label = value(f"{look.label} {what}")

    def _make_other(self) -> None:
        """Make the line and the points of another galaxy."""
        look: Any = {"line_color": _OTHER, "line_width": 1.6}
        self.other, self.other_points = source_of("x", "middle"), source_of("x", "middle")
        self.figure.line("x", "middle", source=self.other, line_dash="dashed", **look)
        points: Any = {"marker": "diamond", "size": 10, "fill_color": _OTHER}
        points["line_color"] = "white"
        self.figure.scatter("x", "middle", source=self.other_points, **points)


class SEDFigure(_Figure):
    """Measured and predicted photometry over the posterior of the spectrum."""

    def __init__(self, model: SEDModel) -> None:
        super().__init__(
            "Spectral energy distribution",
            200,
            ("", *span_of(model.bands)),
            ("AB magnitude", 20, 15),
            min_border_left=_LEFT,
            toolbar_inner=True,
        )
        self.figure.xaxis.major_label_text_font_size = "0px"  # those of the residuals serve
        self.prediction = source_of("x", "band", "middle", "low", "high")
        self.data = source_of("x", "band", "middle", "low", "high")
        plot, ends = self.figure, ("x", "low", "x", "high")
        bars = plot.segment(*ends, source=self.prediction, line_width=3)
        self.marks.append(bars)
        look: Any = {"fill_color": "white", "line_color": COLORS["fast"], "line_width": 2}
        look |= {"size": 11, "marker": "square", "legend_label": "predicted"}
        self._squares = plot.scatter("x", "middle", source=self.prediction, **look)
        plot.segment(*ends, source=self.data, line_width=1.6, line_color=COLORS["data"])
        look = {"fill_color": COLORS["data"], "line_color": "white", "line_width": 1}
        look |= {"size": 8, "marker": "circle", "legend_label": "Data, 1σ"}
        dots = plot.scatter("x", "middle", source=self.data, **look)
        plot.legend.location = "bottom_right"
        plot.add_tools(hover_over(dots, [("band", "@band"), ("AB", "@middle{0.00}")]))
        self._make_other()
        self._make_residuals()

    def _make_residuals(self) -> None:
        """Make the small figure below, on the same wavelengths."""
        self.off = source_of("x", "band", "low", "middle", "high")
        plot = self.residuals = new_plot(
            "",
            92,
            ("Observed wavelength [µm]", 0, 1),
            ("off [σ]", -3, 3),
            tools="",
            toolbar_location=None,
            min_border_left=_LEFT,
        )
        plot.x_range = self.figure.x_range
        named(plot, "What was measured less what the posterior predicts, in standard deviations")
        plot.add_layout(Span(location=0, dimension="width", line_color="#888888", line_width=1))
        plot.yaxis.ticker = FixedTicker(ticks=[-2, 0, 2])
        bars = plot.segment("x", "low", "x", "high", source=self.off, line_width=4, line_alpha=0.5)
        dots: Any = {"size": 7, "fill_color": COLORS["data"], "line_color": "white"}
        shown = plot.scatter("x", "middle", source=self.off, **dots)
        tips = [("band", "@band"), ("measured less predicted", "@middle{+0.00} σ")]
        plot.add_tools(hover_over(shown, tips))
        self.marks.append(bars)
        both: Any = {"sizing_mode": "stretch_width", "spacing": 0}
        self.layout = column([self.figure, self.residuals], **both)

    def update(self, photometry: Photometry, result: PosteriorResult, model: SEDModel) -> None:
        """Show one galaxy and its posterior."""
        columns = sed_data(photometry, result, model)
        self._recolour(result.method, "spectrum, 68 %")
        self._squares.glyph.line_color = method_look(result.method).color
        self.band.data = columns["spectrum"]
        self.prediction.data = columns["prediction"]
        self.data.data = columns["data"]
        self.off.data = columns["residuals"]
        reach = max(3.0, 1.15 * float(np.abs(columns["residuals"]["middle"]).max(initial=0.0)))
        self.residuals.y_range.update(start=-reach, end=reach)
        ticks = [-2, 0, 2] if reach < 5 else [-round(0.7 * reach), 0, round(0.7 * reach)]
        self.residuals.yaxis.ticker.ticks = ticks
        # Absorption bands of the spectrum may run out of the figure, photometry may not.
        shown = [columns[part] for part in ("data", "prediction")]
        faint = np.nanmax(np.concatenate([part["low"] for part in shown]))
        bright = np.nanmin(np.concatenate([part["high"] for part in shown]))
        room = max(faint - bright, 0.5)
        set_range(self.figure.y_range, faint + 0.55 * room, bright - 0.15 * room)

    def compare(self, other: Outcome | None, model: SEDModel | None) -> None:
        """Show another galaxy's data and median spectrum as well; None takes them away."""
        empty(self.other, self.other_points)
        if other is not None and model is not None:
            columns = sed_data(other.photometry, other.result, model)
            for source, part in ((self.other, "spectrum"), (self.other_points, "data")):
                source.data = {name: columns[part][name] for name in ("x", "middle")}
            known = columns["data"]["middle"]
            start, end = float(self.figure.y_range.start), float(self.figure.y_range.end)
            faint, bright = float(np.nanmax(known)) + 0.4, float(np.nanmin(known)) - 0.4
            set_range(self.figure.y_range, max(start, faint), min(end, bright))

    def clear(self) -> None:
        """Show nothing."""
        empty(self.band, self.prediction, self.data, self.off, self.other, self.other_points)


class HistoryFigure(_Figure):
    """Star-formation rate over lookback time."""

    def __init__(self) -> None:
        super().__init__(
            "Star-formation history",
            160,
            ("Lookback time [Gyr]", _YOUNGEST, 13.8),
            ("SFR [M☉ / yr]", 1e-3, 10),
            x_axis_type="log",
            y_axis_type="log",
            min_border_left=_LEFT,
            toolbar_inner=True,
        )
        plot = self.figure
        # Medians of each time hide bursts, which single histories show.
        self.single = source_of("xs", "ys")
        thin: Any = {"line_width": 0.7, "line_alpha": 0.45}
        self.marks.append(plot.multi_line("xs", "ys", source=self.single, **thin))
        ticks_at(plot.xaxis, plot.xgrid, TIME_TICKS)
        ticks_at(plot.yaxis, plot.ygrid, RATE_TICKS)
        plot.legend.location = "top_left"
        self._make_other()

    def update(self, result: PosteriorResult, model: SEDModel) -> None:
        """Show one posterior."""
        columns = history_data(result, model)
        top = float(columns["high"].max())
        # Rates that are as good as nothing must not squeeze the ones that matter.
        bottom = max(float(columns["low"].min()), 1e-4 * top)
        for name in ("low", "middle", "high"):
            columns[name] = np.maximum(columns[name], 1e-3 * bottom)
        self._recolour(result.method, "68 %, six draws")
        singles = columns.pop("single")
        self.band.data = columns
        lines = np.maximum(singles, 1e-3 * bottom)
        self.single.data = {"xs": [columns["x"]] * len(lines), "ys": list(lines)}
        set_range(self.figure.y_range, 0.7 * bottom, top * (top / bottom) ** 0.3)

    def compare(self, other: Outcome | None, model: SEDModel | None) -> None:
        """Show another galaxy's median history as well; None takes it away."""
        empty(self.other)
        if other is not None and model is not None:
            columns = history_data(other.result, model)
            self.other.data = {name: columns[name] for name in ("x", "middle")}

    def clear(self) -> None:
        """Show nothing."""
        empty(self.band, self.single, self.other)


def _draws(result: PosteriorResult) -> tuple[np.ndarray, np.ndarray]:
    """Equally weighted draws (300, 12), and their redshifts (300,)."""
    chosen = systematic_resample(result.weights, N_DRAWS)[0]
    return result.samples[0, chosen], result.draw_redshift[0, chosen]


def _magnitude(flux: np.ndarray) -> np.ndarray:
    """AB magnitudes; faint ones for fluxes that are not above zero, out of the figure."""
    return magnitude(np.maximum(flux, _TINY_FLUX))


def _levels(flux: np.ndarray) -> dict[str, np.ndarray]:
    low, middle, high = _magnitude(flux)
    return {"low": low, "middle": middle, "high": high}
