"""Bokeh figures of one galaxy's SED and star-formation history, updated in place."""

from __future__ import annotations

from typing import Any

import numpy as np
from bokeh.core.properties import value
from bokeh.models import ColumnDataSource, FixedTicker, Range1d
from bokeh.plotting import figure

from ...observations.photometry import Photometry
from ...plots.style import COLORS, LABELS
from ...posterior.result import PosteriorResult
from ...posterior.weighting import systematic_resample
from ...sps import SEDModel

__all__ = ["HistoryFigure", "SEDFigure", "dress", "history_data", "sed_data"]

N_DRAWS = 300
"""Spectra and histories from which bands are made: their quantiles then are good to 3 %."""

_MICRON = 1e-4  # micron per Angstrom
_ZERO_POINT = 22.5
_LEVELS = (0.16, 0.5, 0.84)
_YOUNGEST = 10**-2.05  # Gyr: star formation is constant below, in every draw
_TINY_FLUX = 1e-6  # nanomaggies


def sed_data(
    photometry: Photometry, result: PosteriorResult, model: SEDModel
) -> dict[str, dict[str, Any]]:
    """Numbers that `SEDFigure` shows: columns of its three sources.

    Wavelengths are observed ones [micron], ``low``, ``middle`` and ``high`` are AB magnitudes:
    measurements with one standard deviation, and medians with 68 % ranges of what the posterior
    predicts in the bands (all of them, observed or not) and for the spectrum.
    """
    labels, mask = np.array(photometry.bands.labels), photometry.mask[0]
    effective = photometry.bands.effective_wavelength * _MICRON
    flux, sigma = photometry.flux[0, mask], photometry.sigma[0, mask]
    data = {
        "x": effective[mask],
        "band": labels[mask],
        "middle": _magnitude(flux),
        "low": _magnitude(flux - sigma),
        "high": _magnitude(flux + sigma),
    }
    theta = result.samples[0, systematic_resample(result.weights, N_DRAWS)[0]]
    redshift = float(result.redshift[0])
    predicted = np.quantile(model.photometry(theta, redshift), _LEVELS, axis=0)
    prediction = {"x": effective, "band": labels} | _levels(predicted)
    wavelength, spectra = model.observed_spectrum(theta, redshift)
    low, high = _span(model)
    inside = (wavelength[0] * _MICRON > low) & (wavelength[0] * _MICRON < high)
    spectrum = _levels(np.quantile(spectra[:, inside], _LEVELS, axis=0))
    return {
        "data": data,
        "prediction": prediction,
        "spectrum": {"x": wavelength[0, inside] * _MICRON} | spectrum,
    }


def history_data(result: PosteriorResult, model: SEDModel) -> dict[str, np.ndarray]:
    """Star-formation rates [Msun/yr] as steps over lookback time [Gyr], with 68 % ranges.

    Returns
    -------
    dict
        ``x``, ``low``, ``middle``, ``high``: two points for each time bin.
    """
    theta = result.samples[0, systematic_resample(result.weights, N_DRAWS)[0]]
    redshift = float(result.redshift[0])
    history = model.histories(theta, redshift)
    age = float(model.cosmology.age(model.check_inputs(theta, redshift)[1])[0])
    edges = np.maximum(history.edges_gyr, _YOUNGEST)
    used = np.flatnonzero((np.diff(edges) > 0) & (edges[:-1] < age))
    last = used[-1]
    # The model means over whole bins; the oldest has stars after the Big Bang only.
    share = (min(age, edges[last + 1]) - edges[last]) / (edges[last + 1] - edges[last])
    rate = np.quantile(history.sfr[:, used], _LEVELS, axis=0)
    rate[:, -1] /= share
    ends = np.minimum(np.stack([edges[used], edges[used + 1]], axis=1), age)
    low, middle, high = np.repeat(rate, 2, axis=1)
    return {"x": ends.ravel(), "low": low, "middle": middle, "high": high}


def dress(plot: figure) -> None:
    """Give a figure the look that all panels share."""
    for axis in plot.axis:
        axis.axis_label_text_font_style = "normal"
        axis.axis_label_text_font_size = "13px"
        axis.axis_label_text_color = axis.major_label_text_color = COLORS["data"]
        axis.major_label_text_font_size = "12px"
        axis.axis_line_color = axis.major_tick_line_color = "#444444"
        axis.minor_tick_line_color = None
    plot.grid.grid_line_color = "#eeeeee"
    plot.outline_line_color = "#444444"
    plot.title.text_font_size = "14px"
    plot.toolbar.logo = None


class _Figure:
    """A figure with a band, lines of its edges, and a legend for the method."""

    def __init__(self, title: str, height: int, **axes: Any) -> None:
        self.figure = figure(
            title=title,
            height=height,
            sizing_mode="stretch_width",
            tools="box_zoom,reset,save",
            active_drag="box_zoom",
            toolbar_location="right",
            **axes,
        )
        self.band = ColumnDataSource({"x": [], "low": [], "middle": [], "high": []})
        self.marks: list[Any] = [
            self.figure.varea(
                "x", "low", "high", source=self.band, fill_alpha=0.3, legend_label=" "
            ),
            self.figure.line("x", "middle", source=self.band, line_width=1.6, legend_label=" "),
        ]
        self.figure.legend.update(
            label_text_font_size="11px",
            glyph_width=14,
            background_fill_alpha=0.75,
            border_line_color=None,
            padding=4,
            spacing=0,
            orientation="horizontal",
        )

    def _recolour(self, method: str, what: str) -> None:
        colour = COLORS.get(method, COLORS["data"])
        for mark in self.marks:
            for name in ("fill_color", "line_color"):
                if hasattr(mark.glyph, name):
                    setattr(mark.glyph, name, colour)
        self.figure.legend[0].items[0].label = value(f"{LABELS.get(method, method)} {what}")


class SEDFigure(_Figure):
    """Measured and predicted photometry over the posterior of the spectrum."""

    def __init__(self, model: SEDModel) -> None:
        super().__init__(
            "Spectral energy distribution",
            290,
            x_axis_label="Observed wavelength [µm]",
            y_axis_label="AB magnitude",
            x_range=Range1d(*_span(model)),
            y_range=Range1d(20, 15),
        )
        empty: dict[str, Any] = {"x": [], "band": [], "middle": [], "low": [], "high": []}
        self.prediction = ColumnDataSource(dict(empty))
        self.data = ColumnDataSource(dict(empty))
        plot = self.figure
        for source, size, shape, label, width in (
            (self.prediction, 11, "square", "predicted", 3),
            (self.data, 8, "circle", "Data, 1σ", 1.6),
        ):
            own = source is self.data
            paint = {"line_color": COLORS["data"]} if own else {}
            bars = plot.segment("x", "low", "x", "high", source=source, line_width=width, **paint)
            points = plot.scatter(
                "x", "middle", source=source, size=size, marker=shape,
                fill_color=COLORS["data"] if own else "white", legend_label=label,
                line_color="white" if own else COLORS["fast"], line_width=1 if own else 2,
            )  # fmt: skip
            if not own:
                self.marks.append(bars)
                self._squares = points
        plot.legend.location = "bottom_right"
        dress(plot)

    def update(self, photometry: Photometry, result: PosteriorResult, model: SEDModel) -> None:
        """Show one galaxy and its posterior."""
        columns = sed_data(photometry, result, model)
        self._recolour(result.method, "spectrum, 68 %")
        self._squares.glyph.line_color = COLORS.get(result.method, COLORS["data"])
        self.band.data = columns["spectrum"]
        self.prediction.data = columns["prediction"]
        self.data.data = columns["data"]
        # Absorption bands of the spectrum may run out of the figure, photometry may not.
        values = np.concatenate(
            [columns[part][end] for part in ("data", "prediction") for end in ("low", "high")]
        )
        faint, bright = np.nanmax(values), np.nanmin(values)
        room = max(faint - bright, 0.5)
        axis = self.figure.y_range
        axis.update(start=faint + 0.55 * room, end=bright - 0.15 * room)
        axis.update(reset_start=axis.start, reset_end=axis.end)

    def clear(self) -> None:
        """Show nothing."""
        for source in (self.band, self.prediction, self.data):
            source.data = {name: [] for name in source.data}


class HistoryFigure(_Figure):
    """Star-formation rate over lookback time."""

    def __init__(self) -> None:
        super().__init__(
            "Star-formation history",
            250,
            x_axis_label="Lookback time [Gyr]",
            y_axis_label="SFR [M☉ / yr]",
            x_axis_type="log",
            y_axis_type="log",
            x_range=Range1d(_YOUNGEST, 13.8),
            y_range=Range1d(1e-3, 10),
        )
        ticks = [0.01, 0.03, 0.1, 0.3, 1, 3, 10]
        self.figure.xaxis.ticker = FixedTicker(ticks=ticks)
        self.figure.xaxis.major_label_overrides = {tick: f"{tick:g}" for tick in ticks}
        rates = [float(f"{digit}e{power}") for power in range(-12, 6) for digit in (1, 3)]
        self.figure.yaxis.ticker = self.figure.ygrid.ticker = FixedTicker(ticks=rates)
        self.figure.yaxis.major_label_overrides = {rate: f"{rate:g}" for rate in rates}
        self.figure.legend.location = "top_left"
        dress(self.figure)

    def update(self, result: PosteriorResult, model: SEDModel) -> None:
        """Show one posterior."""
        columns = history_data(result, model)
        top = float(columns["high"].max())
        # Rates that are as good as nothing must not squeeze the ones that matter.
        bottom = max(float(columns["low"].min()), 1e-4 * top)
        for name in ("low", "middle", "high"):
            columns[name] = np.maximum(columns[name], 1e-3 * bottom)
        self._recolour(result.method, "median and 68 %")
        self.band.data = columns
        axis = self.figure.y_range
        axis.update(start=0.7 * bottom, end=top * (top / bottom) ** 0.3)
        axis.update(reset_start=axis.start, reset_end=axis.end)

    def clear(self) -> None:
        """Show nothing."""
        self.band.data = {name: [] for name in self.band.data}


def _magnitude(flux: np.ndarray) -> np.ndarray:
    """AB magnitudes; faint ones for fluxes that are not above zero, out of the figure."""
    return _ZERO_POINT - 2.5 * np.log10(np.maximum(flux, _TINY_FLUX))


def _levels(flux: np.ndarray) -> dict[str, np.ndarray]:
    low, middle, high = _magnitude(flux)
    return {"low": low, "middle": middle, "high": high}


def _span(model: SEDModel) -> tuple[float, float]:
    """Wavelengths [micron] of all filters and a little more."""
    ends = [band.support for band in model.bands.bands]
    return 0.95 * min(e[0] for e in ends) * _MICRON, 1.03 * max(e[1] for e in ends) * _MICRON
