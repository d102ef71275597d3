"""What a network has seen: parameters, redshifts, magnitudes and uncertainties of simulations."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from scipy.ndimage import gaussian_filter

from ..errors import InputError
from ..observations.photometry import Photometry
from ..parameters import N_THETA, PARAMETERS
from ..units import POGSON
from .palette import COLORS
from .style import LabFigure, dress, new_figure, use_style

__all__ = ["plot_training_set"]

_LEVELS = (0.997, 0.95, 0.68)
_SHADES = ("#dbe7f0", "#a9c8de", "#6ea5cb")
_CELLS = 60
_COLUMNS = 5


@use_style()
def plot_training_set(
    theta: np.ndarray, simulations: Photometry, galaxies: Photometry | None = None
) -> LabFigure:
    """Draw the distribution of simulations, with real galaxies over it.

    Shades hold 68, 95 and 99.7 % of the simulations.

    Parameters
    ----------
    theta : ndarray, shape (N, 12)
        Parameters of the simulations.
    simulations : Photometry
        N simulated galaxies, as a network sees them.
    galaxies : Photometry, optional
        Real ones, in the same bands.

    Raises
    ------
    InputError
        If the bands differ, or there are few simulations.
    """
    if len(theta) != len(simulations) or len(theta) < 1000:
        raise InputError(
            f"Give 1000 simulations or more with their parameters, not {len(simulations)} with "
            f"{len(theta)}."
        )
    if galaxies is not None and galaxies.bands != simulations.bands:
        raise InputError("Galaxies and simulations must be in the same bands.")
    planes = list(_planes(simulations))
    points = None if galaxies is None else list(_planes(galaxies))
    rows = -(-len(planes) // _COLUMNS)
    figure = new_figure((13.0, 3.4 + 2.65 * rows))
    parts: Any = figure.subfigures(2, 1, height_ratios=[3.4, 2.65 * rows])
    for ax, parameter, values in zip(
        parts[0].subplots(2, N_THETA // 2).flat, PARAMETERS, theta.T, strict=True
    ):
        ax.hist(values, 40, range=(parameter.low, parameter.high), color=_SHADES[1], density=True)
        ax.set(xlim=(parameter.low, parameter.high), yticks=[], xlabel=parameter.axis_label)
        dress(ax, 8.5)
    axes = parts[1].subplots(rows, _COLUMNS, squeeze=False).ravel()
    for k, (ax, (x, y, labels)) in enumerate(zip(axes, planes, strict=False)):
        _density(ax, x, y)
        if points is not None:
            ax.plot(*points[k][:2], ".", color=COLORS["data"], ms=2.5, alpha=0.8)
        ax.set(xlabel=labels[0], ylabel=labels[1])
        dress(ax, 8.5)
    for ax in axes[len(planes) :]:
        ax.axis("off")
    handles: list[Any] = [
        Patch(color=shade, label=f"{100 * level:g} % of {len(theta):,} simulations")
        for shade, level in zip(_SHADES[::-1], _LEVELS[::-1], strict=True)
    ]
    if galaxies is not None:
        label = f"{len(galaxies)} NSA galaxies"
        handles.append(Line2D([], [], color=COLORS["data"], marker=".", ls="", label=label))
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles))
    return figure


def _planes(photometry: Photometry) -> Iterator[tuple[np.ndarray, np.ndarray, tuple[str, str]]]:
    """Pairs of quantities, with their labels."""
    names, magnitude = photometry.bands.labels, photometry.magnitude.T
    middle = len(names) // 2
    yield photometry.redshift, magnitude[middle], ("Redshift", f"{names[middle]} [AB mag]")
    colours = [
        (magnitude[k] - magnitude[k + 1], f"{a} − {b} [mag]")
        for k, (a, b) in enumerate(pairwise(names))
    ]
    for (x, x_label), (y, y_label) in pairwise(colours):
        yield x, y, (x_label, y_label)
    if len(colours) > 1:
        colour, label = colours[max(middle - 1, 0)]
        yield photometry.redshift, colour, ("Redshift", label)
    with np.errstate(invalid="ignore", divide="ignore"):
        log_sigma = np.log10(POGSON / photometry.snr.T)
    for name, x, y in zip(names, magnitude, log_sigma, strict=True):
        yield x, y, (f"{name} [AB mag]", f"log σ({name}) [mag]")


def _density(ax: Axes, x: np.ndarray, y: np.ndarray) -> None:
    """Shade the regions of highest density that hold most of the points."""
    known = np.isfinite(x) & np.isfinite(y)
    x, y = x[known], y[known]
    limits = [np.quantile(v, [0.0005, 0.9995]) for v in (x, y)]
    limits = [(low - 0.05 * (high - low), high + 0.05 * (high - low)) for low, high in limits]
    counts, x_edges, y_edges = np.histogram2d(x, y, _CELLS, limits)
    counts = gaussian_filter(counts, 1.5, mode="nearest")
    ordered = np.sort(counts, axis=None)[::-1]
    inside = np.cumsum(ordered) / ordered.sum()
    found = [ordered[np.searchsorted(inside, level)] for level in _LEVELS]
    thresholds = np.maximum.accumulate(np.array(found) + 1e-9 * np.arange(len(_LEVELS)))
    middles = [0.5 * (edges[1:] + edges[:-1]) for edges in (x_edges, y_edges)]
    ax.contourf(*middles, counts.T, [*thresholds, np.inf], colors=_SHADES)
