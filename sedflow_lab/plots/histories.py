"""Star-formation and metallicity histories, alone and beside the SED."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from ..methods import Method
from ..observations.photometry import Photometry
from ..sps import SEDModel
from ..sps.histories import METALLICITY_RANGE
from ..sps.ssp import SOLAR_LABEL, SSPGrid
from .layers import Layer, Results, as_layers, as_truth, title_of
from .palette import COLORS, method_look
from .sed import draw_sed
from .sed_axes import Unit
from .style import LabFigure, dress, log_ticks, new_figure, use_style

__all__ = ["draw_histories", "plot_galaxy", "plot_histories"]

N_DRAWS = 500
"""Histories from which bands are made."""


@use_style()
def plot_histories(
    results: Results,
    model: SEDModel,
    galaxy: int | str = 0,
    *,
    truth: Any = None,
    title: str | None = None,
) -> LabFigure:
    """Draw the star-formation and the metallicity history of one galaxy.

    Lines are medians and bands 68 % ranges, time bin by time bin, of each posterior. The
    star-formation rate includes the burst, which is one bin wide. Metallicities are PROVABGS
    labels (solar is 0.019); the axis on the right has the true ones.

    Parameters
    ----------
    results, galaxy, truth, title
        As for `plot_corner`; true histories are drawn dashed.
    model : SEDModel
        The model that the posteriors are of.

    Raises
    ------
    InputError
        If the results do not hold the same galaxy.
    """
    figure = new_figure((7.0, 6.2))
    top, bottom = figure.subplots(2, 1, sharex=True)
    draw_histories(top, bottom, as_layers(results, galaxy), model, truth=truth, title=title)
    return figure


@use_style()
def plot_galaxy(
    photometry: Photometry,
    results: Results,
    model: SEDModel,
    *,
    truth: Any = None,
    unit: Unit = "nmgy",
    title: str | None = None,
) -> LabFigure:
    """Draw the SED of one galaxy and its histories side by side.

    Parameters
    ----------
    photometry, results, model, truth, unit, title
        As for `plot_sed` and `plot_histories`.

    Raises
    ------
    InputError
        If there is not one usable galaxy, or photometry, results and model do not fit together.
    """
    figure = new_figure((14.0, 6.2))
    left, right = np.asarray(figure.subfigures(1, 2, width_ratios=(1.15, 1)))
    top, bottom = left.subplots(2, 1, sharex=True, height_ratios=(2.8, 1))
    draw_sed(top, bottom, photometry, results, model, truth=truth, unit=unit, title=title)
    layers = as_layers(results, str(photometry.ids[0]))
    top, bottom = right.subplots(2, 1, sharex=True)
    draw_histories(top, bottom, layers, model, truth=truth, title="Histories")
    return figure


def draw_histories(
    top: Axes,
    bottom: Axes,
    layers: list[Layer],
    model: SEDModel,
    *,
    truth: Any = None,
    title: str | None = None,
) -> None:
    """Draw what `plot_histories` does on axes of one's own, `bottom` for the metallicity."""
    true, redshift = as_truth(truth), layers[0].redshift
    rates = []
    for layer in layers:
        # Of whatever redshift a draw is: bins are those of one age of the universe.
        edges, sfr, metallicity = _histories(model, layer.draws(N_DRAWS)[0], redshift)
        rates.append(_draw_band(top, edges, sfr, layer.look))
        _draw_band(bottom, edges, metallicity, layer.look)
    if true is not None:
        edges, sfr, metallicity = _histories(model, true[None], redshift)
        look = method_look("truth")
        line = look.line | {"zorder": 4, "linewidth": 1.4}
        top.stairs(sfr[0], edges, baseline=None, label=look.label, **line)
        bottom.stairs(metallicity[0], edges, baseline=None, **line)
        # A true burst in a narrow bin may run out of the panel, not squeeze what is below.
        rates.append(np.minimum(sfr, 30 * max(float(rate.max()) for rate in rates)))

    _rate_axis(top, np.concatenate([np.ravel(rate) for rate in rates]))
    _metallicity_axis(bottom, model.ssp)
    for ax in (top, bottom):
        dress(ax)
        ax.set_xlim(0, edges[-1])
    bottom.tick_params(which="both", right=False)
    top.tick_params(labelbottom=False)
    top.set_title(title_of(layers[0].result) if title is None else title, loc="left")
    top.legend(loc="upper left", title="median and 68% range", alignment="left", ncols=3)
    bottom.set_xlabel("Lookback time [Gyr]")


def _histories(
    model: SEDModel, theta: np.ndarray, redshift: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Bin edges up to the Big Bang, and rates and metallicities in these bins."""
    edges, sfr, metallicity = model.histories(theta, redshift).steps()
    n = int(np.isfinite(sfr[0]).sum())
    return edges[0, : n + 1], sfr[:, :n], metallicity[:, :n]


def _draw_band(ax: Axes, edges: np.ndarray, values: np.ndarray, look: Method) -> np.ndarray:
    """Draw the median and the 68 % range of values (D, T); returns the three, (3, T)."""
    low, median, high = quantiles = np.quantile(values, (0.16, 0.5, 0.84), axis=0)
    ax.stairs(high, edges, baseline=low, fill=True, color=look.color, alpha=0.16, linewidth=0)
    for edge in (low, high):
        ax.stairs(edge, edges, baseline=None, color=look.color, linewidth=0.6, alpha=0.7)
    ax.stairs(median, edges, baseline=None, linewidth=1.8, label=look.label, **look.line)
    return quantiles


def _rate_axis(ax: Axes, rates: np.ndarray) -> None:
    ax.set_yscale("log")
    top = float(rates.max())
    # Rates that are as good as nothing must not squeeze the ones that matter.
    bottom = max(float(rates[rates > 0].min()), 1e-4 * top)
    ax.set_ylim(0.7 * bottom, top * (top / bottom) ** 0.25 * 2.0)  # room for the legend
    log_ticks(ax.yaxis, *ax.get_ylim())
    ax.set_ylabel(r"SFR [$M_\odot\,{\rm yr}^{-1}$]")


def _metallicity_axis(ax: Axes, grid: SSPGrid) -> None:
    ax.set_yscale("log")
    ax.set_ylim(0.8 * METALLICITY_RANGE[0], 1.3 * METALLICITY_RANGE[1])
    ax.axhline(SOLAR_LABEL, color=COLORS["prior"], linestyle=":", linewidth=1.0, zorder=1)
    place: Any = {"transform": ax.get_yaxis_transform(), "ha": "right", "va": "bottom"}
    ax.text(0.98, SOLAR_LABEL * 1.06, "solar", color="#666666", fontsize=9, **place)
    ax.set_ylabel("Z, PROVABGS label\n(solar = 0.019)")
    ratio = grid.true_over_label
    both_ways = (lambda label: label * ratio), (lambda true: true / ratio)
    true = ax.secondary_yaxis("right", functions=both_ways)
    true.set_ylabel(f"true Z (solar = {grid.solar_metallicity:.3g})")
    for axis in (ax.yaxis, true.yaxis):
        log_ticks(axis, *ax.get_ylim())
    true.tick_params(which="both", direction="in", labelsize=9.5, color="#444444")
