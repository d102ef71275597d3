"""Marginal posteriors of one galaxy: as they came out, and as they should be."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..parameters import NAMES
from ..posterior.result import PosteriorResult
from ..quantities import QUANTITIES
from .palette import COLORS, SPARE_COLORS
from .style import LabFigure, new_figure, use_style

__all__ = ["plot_marginals"]

_BINS = 40


@use_style()
def plot_marginals(
    found: PosteriorResult,
    expected: PosteriorResult,
    truth: np.ndarray,
    parameters: Sequence[str] = ("log_mstar", "tburst", "tau_ism", "n_dust"),
    title: str = "",
) -> LabFigure:
    """Draw marginals of one galaxy over those that it should have (grey), and the truth (12,)."""
    figure = new_figure((2.3 * len(parameters), 2.0))
    panels = figure.subplots(1, len(parameters), squeeze=False)[0]
    for ax, name in zip(panels, parameters, strict=True):
        k, quantity = NAMES.index(name), QUANTITIES[name]
        bins = np.linspace(quantity.low, quantity.high, _BINS + 1)
        grey, line = {"color": COLORS["prior"], "alpha": 0.6}, {"color": SPARE_COLORS[0]}
        for result, look in (
            (expected, grey | {"label": "as it should be"}),
            (found, line | {"histtype": "step", "linewidth": 1.8, "label": "as it came out"}),
        ):
            draws, weights = result.samples[0, :, k], result.weights[0]
            ax.hist(draws, bins, weights=weights, density=True, **look)
        ax.axvline(truth[k], color=COLORS["data"], linestyle="--", linewidth=1.2, label="truth")
        ax.set(xlabel=quantity.axis_label, yticks=[])
    panels[0].set_title(title, loc="left")
    panels[0].legend(fontsize=7, frameon=False)
    return figure
