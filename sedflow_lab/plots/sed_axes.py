"""Axes of SED plots: wavelengths, fluxes in one of two units, filter curves."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter

from ..errors import InputError
from ..observations.photometry import Photometry
from ..sps.bands import BandSet
from ..units import MICRON, magnitude
from .palette import COLORS
from .style import log_ticks

__all__ = ["FluxScale", "Unit", "aside", "draw_filters", "flux_axis", "wavelength_axis"]

Unit = Literal["nmgy", "mag"]

_FILTER_HEIGHT = 0.16  # of the axes
_STEP = 0.014  # of the axes, from one method's points to the next's
_WIDE = 6.0  # ratio of wavelengths from which their axis is logarithmic
_MARKS = np.array([0.15, 0.2, 0.3, 0.4, 0.6, 0.8, 1, 1.5, 2, 3, 4, 6, 8, 10, 15, 20])


class FluxScale:
    """Converts nanomaggies to what the flux axis shows.

    Attributes
    ----------
    magnitudes : bool
        AB magnitudes instead of nanomaggies.
    linear : bool
        Nanomaggies on a linear axis, for galaxies with a flux below its uncertainty.
    """

    def __init__(self, unit: Unit, photometry: Photometry) -> None:
        if unit not in ("nmgy", "mag"):
            raise InputError(f"unit is {unit!r}: use 'nmgy' or 'mag'.")
        self.magnitudes = unit == "mag"
        mask = photometry.mask[0]
        flux, sigma = photometry.flux[0, mask], photometry.sigma[0, mask]
        # A logarithmic axis cannot show a flux that is compatible with nothing at all.
        self.linear = not self.magnitudes and bool((flux <= sigma).any())

    def __call__(self, flux: np.ndarray) -> np.ndarray:
        """Nanomaggies or magnitudes; NaN for a flux that has no magnitude."""
        return magnitude(flux) if self.magnitudes else flux


def wavelength_axis(ax: Axes, span: tuple[float, float]) -> None:
    """Set the limits; logarithmic, with round ticks, where bands are far apart."""
    ax.set_xlim(*span)
    if span[1] < _WIDE * span[0]:
        return
    ax.set_xscale("log")
    inside = _MARKS[(_MARKS > span[0]) & (_MARKS < span[1])]
    ax.xaxis.set_major_locator(FixedLocator(inside.tolist()))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.xaxis.set_minor_formatter(NullFormatter())


def aside(bands: BandSet, span: tuple[float, float], step: float) -> np.ndarray:
    """Effective wavelengths [micron] moved to the right by so many steps of the axis."""
    wavelength = bands.effective_wavelength * MICRON
    if span[1] < _WIDE * span[0]:
        return wavelength + _STEP * step * (span[1] - span[0])
    return wavelength * (span[1] / span[0]) ** (_STEP * step)


def flux_axis(ax: Axes, flux: np.ndarray, scale: FluxScale) -> None:
    """Set label and limits, with room for the filter curves below all fluxes [nanomaggies]."""
    ax.set_ylabel("AB magnitude" if scale.magnitudes else r"Flux density $f_\nu$ [nanomaggies]")
    if scale.magnitudes or scale.linear:
        values = scale(flux)
        ends = np.nanmin(values), np.nanmax(values)
        bottom, top = ends[::-1] if scale.magnitudes else ends
        ax.set_ylim(bottom - 0.3 * (top - bottom), top + 0.08 * (top - bottom))
        if scale.linear:
            ax.axhline(0, color=COLORS["prior"], linewidth=0.7, zorder=1)
    else:
        bottom, top = flux[flux > 0].min(), flux.max()
        ax.set_yscale("log")
        ax.set_ylim(bottom * (bottom / top) ** 0.3, top * (top / bottom) ** 0.08)
        log_ticks(ax.yaxis, *ax.get_ylim())


def draw_filters(ax: Axes, bands: BandSet) -> None:
    """Draw the response curves, each with its label, along the bottom."""
    below = ax.get_xaxis_transform()
    for band, label in zip(bands.bands, bands.labels, strict=True):
        height = _FILTER_HEIGHT * band.response / band.response.max()
        shade: Any = {"color": COLORS["prior"], "alpha": 0.22, "linewidth": 0, "zorder": 1}
        ax.fill_between(band.wavelength * MICRON, 0, height, transform=below, **shade)
        text: Any = {"ha": "center", "color": "#666666", "fontsize": 9.5}
        ax.text(band.effective_wavelength * MICRON, 0.025, label, transform=below, **text)
