"""Where posteriors are right and where not: maps of coverage over what is observed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Normalize

from ..diagnostics.calibration_run import OBSERVABLES, CalibrationRun
from ..diagnostics.conditional import conditional_coverage, coverage_map
from ..diagnostics.scoring import SCORED
from ..diagnostics.uniformity import ALPHA
from .calibration import QUANTITY_LABELS
from .palette import COLORS, method_look
from .style import LabFigure, dress, new_figure, use_style

__all__ = ["observable_label", "plot_conditional", "plot_coverage_map"]

_DIVERGING = "PuOr"
_REACH = 20.0  # points of coverage at which colours end
_SIGMAS = 4.0
_LEVEL = 0.68


@use_style()
def plot_conditional(
    run: CalibrationRun,
    observables: Sequence[str] = OBSERVABLES,
    bins: int = 5,
) -> LabFigure:
    """Draw the coverage of every quantity in groups of simulations, and the sampling efficiency.

    Colours are the coverage of regions of 68 % probability, less that, in points: orange where
    regions hold too few truths (or draws do not fit the data), purple where too many. A dot marks
    groups whose scores are not uniform, by a test corrected for the number of all cells of an
    observable.

    Parameters
    ----------
    run : CalibrationRun
        20 simulations or more for each group.
    observables : sequence of str
        See `CalibrationRun.observable`.
    bins : int
        Groups, equally large.
    """
    figure = new_figure((2.2 + 2.5 * len(observables), 6.8))
    axes = figure.subplots(
        2, len(observables), sharey="row", sharex="col", height_ratios=[3.6, 1], squeeze=False
    )
    image: Any = None
    for (upper, lower), name in zip(axes.T, observables, strict=True):
        found = conditional_coverage(run, name, bins, _LEVEL)
        points = 100 * (found.coverage - _LEVEL)
        norm = Normalize(-_REACH, _REACH)
        image = upper.imshow(points.T, cmap=_DIVERGING, norm=norm, aspect="auto")
        k, quantity = np.nonzero(found.p_holm < ALPHA)
        upper.plot(k, quantity, "o", color=COLORS["data"], ms=3.5)
        dress(upper, 9.5)
        upper.tick_params(which="both", length=0)
        lower.bar(np.arange(bins), 100 * found.efficiency, 0.8, color=method_look(run.method).color)
        lower.set_xlabel(observable_label(run, name))
        dress(lower, 8.5)
        ticks = np.arange(bins + 1) - 0.5
        lower.set_xticks(ticks, [f"{edge:.2g}" for edge in found.edges], rotation=45)
        lower.set_xlim(-0.5, bins - 0.5)
    figure.align_xlabels(axes[1])
    labels = [QUANTITY_LABELS[q].replace(" (all parameters)", "") for q in SCORED]
    axes[0, 0].set_yticks(np.arange(len(SCORED)), labels)
    axes[1, 0].set_ylabel("Median sampling\nefficiency [%]")
    bar = figure.colorbar(image, ax=axes[0].tolist(), pad=0.015, extend="both")
    bar.set_label("Coverage of 68 % regions minus 68 [points]")
    figure.suptitle(f"{len(run)} simulations, groups of {len(run) // bins}")
    return figure


@use_style()
def plot_coverage_map(
    run: CalibrationRun,
    observables: tuple[str, str] = ("redshift", "snr"),
    bins: tuple[int, int] = (4, 4),
) -> LabFigure:
    """Map coverage of 68 % regions of highest density, and efficiency, over two observables.

    Numbers in cells are the coverage with its standard error, and the efficiency, in percent;
    colours of the coverage end at four standard errors. Empty cells have fewer than 20
    simulations.

    Parameters
    ----------
    run : CalibrationRun
    observables : tuple of str
        Of the x and y axis.
    bins : tuple of int
        Cells along them.
    """
    found = coverage_map(run, observables, bins, _LEVEL)
    figure = new_figure((12.0, 4.6))
    left, right = figure.subplots(1, 2, sharey=True)
    error = np.sqrt(_LEVEL * (1 - _LEVEL) / np.maximum(found.n, 1))
    text = _texts(100 * found.coverage, 100 * error)
    _map(left, found.edges, found.z, text, _DIVERGING, Normalize(-_SIGMAS, _SIGMAS))
    efficiency = 100 * found.efficiency
    top = np.nanmax(efficiency, initial=1.0)
    _map(right, found.edges, efficiency, _texts(efficiency), "Blues", Normalize(0, 1.4 * top))
    left.set_title("Truths in 68 % regions of highest density [%]")
    right.set_title("Median sampling efficiency [%]")
    for ax in (left, right):
        ax.set_xlabel(observable_label(run, observables[0]))
        dress(ax, 9)
        ax.tick_params(which="both", length=0)
    left.set_ylabel(observable_label(run, observables[1]))
    return figure


def observable_label(run: CalibrationRun, name: str) -> str:
    """What axes call an observable, with its unit."""
    bands = run.bands.labels
    middle = len(bands) // 2
    return {
        "snr": "Median signal-to-noise ratio",
        "magnitude": f"{bands[middle]} [AB mag]",
        "redshift": "Redshift",
        "colour": f"{bands[max(middle - 1, 0)]} − {bands[middle]} [mag]",
    }[name]


def _map(
    ax: Axes,
    edges: tuple[np.ndarray, np.ndarray],
    values: np.ndarray,
    texts: np.ndarray,
    cmap: str,
    norm: Normalize,
) -> None:
    """Draw cells of equal size with numbers in them; ticks name their limits."""
    ax.imshow(values, cmap=cmap, norm=norm, aspect="auto", origin="lower")
    for row, column in np.ndindex(values.shape):
        shade = np.dot(colormaps[cmap](norm(values[row, column]))[:3], [0.299, 0.587, 0.114])
        colour = "white" if shade < 0.5 else COLORS["data"]
        text = str(texts[row, column])
        ax.text(column, row, text, ha="center", va="center", fontsize=10, color=colour)
    for axis, limits in zip((ax.xaxis, ax.yaxis), edges, strict=True):
        axis.set_ticks(np.arange(len(limits)) - 0.5, [f"{limit:.2g}" for limit in limits])


def _texts(values: np.ndarray, errors: np.ndarray | None = None) -> np.ndarray:
    texts = np.full(values.shape, "", dtype=object)
    for cell in zip(*np.nonzero(np.isfinite(values)), strict=True):
        error = "" if errors is None else f" ± {errors[cell]:.0f}"
        texts[cell] = f"{values[cell]:.0f}{error}"
    return texts
