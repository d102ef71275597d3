"""Figures of a study: how far methods are from emcee, galaxy by galaxy, beside the noise floor."""

from __future__ import annotations

import numpy as np
from astropy.table import Table
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter

from ...methods import METHODS
from ...plots.style import LabFigure, dress, new_figure, use_style
from .report import by_method, columns

__all__ = ["plot_distances"]

_FLOOR = "#777777"
_PANELS = (
    ("c2st", "C2ST", (0.45, 1.0)),
    ("js", "Jensen–Shannon distance", (0.0, 0.5)),
    ("w1", "Wasserstein distance [σ]", (0.0, 0.8)),
    ("shift", "|Shift of the median| [σ]", (0.0, 0.8)),
    ("width", "Ratio of 68 % widths", (0.5, 1.6)),
)
_TITLES = {"showcase": "real galaxies", "simulations": "simulations"}


@use_style()
def plot_distances(table: Table, sample: str) -> LabFigure:
    """Draw the distribution of each measure over galaxies and parameters, and of its floor.

    The table is what `study.report.collect` returned, the sample ``"showcase"`` or
    ``"simulations"``.
    """
    figure = new_figure((10.5, 6.2))
    axes = figure.subplots(2, 3).ravel()
    parts = by_method(table, sample)
    last = list(parts.values())[-1]
    for ax, (name, label, limits) in zip(axes, _PANELS, strict=False):
        for method, part in parts.items():
            look = METHODS[method]
            _steps(ax, _values(part, name), look.color, look.linestyle, limits)
        if name in ("c2st", "js", "w1"):
            _steps(ax, _values(last, f"{name}_floor"), _FLOOR, ":", limits)
        ax.set(xlim=limits, ylim=(0, 1), xlabel=label)
        ax.yaxis.set_major_formatter(PercentFormatter(1.0))
        dress(ax)
    axes[0].set_ylabel("Galaxies that are nearer")
    axes[3].set_ylabel("Marginals that are nearer")
    axes[-1].axis("off")
    looks = [METHODS[method] for method in parts]
    handles = [Line2D([], [], color=k.color, linestyle=k.linestyle, label=k.label) for k in looks]
    handles.append(Line2D([], [], color=_FLOOR, linestyle=":", label="Noise floor (exact)"))
    title = f"Against emcee, {len(last)} {_TITLES[sample]}"
    axes[-1].legend(handles=handles, loc="center", title=title, fontsize=11, title_fontsize=11)
    return figure


def _values(part: Table, name: str) -> np.ndarray:
    if name.startswith("c2st"):
        return np.asarray(part[name], dtype=float)
    values = columns(part, name)
    return np.abs(values).ravel() if name == "shift" else values.ravel()


def _steps(
    ax: Axes, values: np.ndarray, colour: str, style: str, limits: tuple[float, float]
) -> None:
    """Share of the values below each one."""
    ordered = np.sort(values[np.isfinite(values)])
    if not len(ordered):
        return
    share = np.arange(1, len(ordered) + 1) / len(ordered)
    x = np.concatenate([[limits[0]], ordered, [limits[1]]])
    y = np.concatenate([[0.0], share, [1.0 if ordered[-1] <= limits[1] else np.nan]])
    ax.step(x, y, where="post", color=colour, linestyle=style)
