"""Posteriors of two parameters, each beside the exact one."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..methods import METHODS
from ..samplers.grid import Grid
from .palette import CREDIBLE, SPARE_COLORS
from .style import LabFigure, new_figure, use_style

__all__ = ["plot_beside_exact"]

_MOST = 1000  # points that are drawn


@use_style()
def plot_beside_exact(
    exact: Grid,
    draws: Mapping[str, np.ndarray],
    labels: tuple[str, str],
    truth: tuple[float, float] | None = None,
) -> LabFigure:
    """Draw samples of two parameters over the exact posterior's 68 and 95 %, a panel each.

    Parameters
    ----------
    exact : Grid
    draws : mapping of str to ndarray, shape (n, 2)
        By the title of the panel, in which the distance to the exact posterior is told.
    labels : tuple of str
        Of the two axes.
    truth : tuple of float, optional
    """
    figure = new_figure((0.6 + 2.7 * len(draws), 3.2))
    panels = figure.subplots(1, len(draws), sharex=True, sharey=True, squeeze=False)[0]
    levels = [exact.level(share) for share in sorted(CREDIBLE, reverse=True)]
    for ax, (title, some) in zip(panels, draws.items(), strict=True):
        ax.contour(
            exact.x, exact.y, exact.density.T, levels, colors=METHODS["exact"].color, zorder=3
        )
        ax.plot(*some[:_MOST].T, ".", ms=2.5, alpha=0.5, color=SPARE_COLORS[0], zorder=2)
        if truth is not None:
            ax.plot(*truth, "x", ms=9, mew=2.5, color="black", zorder=4)
        ax.set(title=f"{title}: {exact.distance(some):.2f}", xlabel=labels[0])
    panels[0].set_ylabel(labels[1])
    # A few draws far away do not decide what is seen of the others.
    spread = [np.quantile(some, (0.01, 0.99), axis=0) for some in draws.values() if len(some)]
    spans = np.stack([*spread, [[exact.x[0], exact.y[0]], [exact.x[-1], exact.y[-1]]]])
    low, high = spans.min((0, 1)), spans.max((0, 1))
    panels[0].set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
    return figure
