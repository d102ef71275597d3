"""Calibration figures: p–p curves, rank histograms, joint coverage, with bands of right posteriors.

The posterior in question has its own colour, the reference (MCMC) is grey.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ..diagnostics.bands import default_bins, histogram, histogram_band, pp_band, pp_curve
from ..diagnostics.calibration_run import CalibrationRun
from ..diagnostics.scoring import SCORED
from ..errors import InputError
from ..methods import Method
from ..parameters import N_THETA, PARAMETERS
from .layers import with_looks
from .style import LabFigure, dress, new_figure, use_style

__all__ = [
    "QUANTITY_LABELS",
    "Runs",
    "plot_contraction",
    "plot_joint_coverage",
    "plot_pp",
    "plot_ranks",
]

Runs = CalibrationRun | Sequence[CalibrationRun] | Mapping[str, CalibrationRun]
"""One run, several, or several with labels of one's own for the legend."""

QUANTITY_LABELS: dict[str, str] = {p.name: p.label for p in PARAMETERS} | {
    "TARP": "TARP (all parameters)",
    "HPD regions": "Highest density (all parameters)",
    "fit to the data": "Fit to the data",
}
"""What figures call quantities."""

_GRID = np.linspace(0, 1, 101)
_REFERENCE = "#8c8c8c"
_GUIDE: Any = {"color": "#444444", "lw": 0.8, "ls": "--"}
_LEVEL = 0.95


@use_style()
def plot_pp(runs: Runs) -> LabFigure:
    """Draw p–p curves of all parameters together, and how far each is off the diagonal.

    Parameters
    ----------
    runs : CalibrationRun, or a sequence or mapping (label to run) of them
        MCMC is drawn in grey.
    """
    layers = _layers(runs)
    figure = new_figure((12.5, 5.6))
    parts: Any = figure.subfigures(1, 2, width_ratios=[1, 1.62])
    left, right = parts
    ax = left.subplots()
    ax.plot([0, 1], [0, 1], **_GUIDE)
    for run, look in reversed(layers):
        curves = pp_curve(run.scores[:, :N_THETA], _GRID)
        ax.plot(_GRID, curves, color=look.color, lw=1.0, alpha=0.8)
    ax.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    ax.set(xlabel="Percentile of the truth in its posterior", ylabel="Fraction of simulations")
    dress(ax)
    ax.legend(handles=_handles(layers), loc="upper left")
    axes = right.subplots(3, 4, sharex=True, sharey=True)
    reach = 0.0
    for k, panel in enumerate(axes.flat):
        for run, look in reversed(layers):
            reach = max(reach, _draw_curve(panel, run.scores[:, k], look, _GRID, lw=1.4))
        panel.axhline(0, **_GUIDE)
        panel.set_title(PARAMETERS[k].label, fontsize=11, pad=3)
        dress(panel, 8.5)
    reach = 1.1 * reach
    axes[0, 0].set(xlim=(0, 1), ylim=(-reach, reach), xticks=[0, 0.5, 1])
    for panel in axes.flat:
        panel.set_xticklabels(["0", "0.5", "1"])
    right.supylabel("Curve minus diagonal", fontsize=11)
    right.supxlabel("Percentile of the truth in its posterior", fontsize=11)
    return figure


@use_style()
def plot_ranks(runs: Runs) -> LabFigure:
    """Draw rank histograms of all parameters: flat if posteriors are right.

    There are as many bins as suit the number of simulations of each run; `plot_pp` says what runs
    may be.
    """
    layers = _layers(runs)
    figure = new_figure((11.5, 6.8))
    axes = figure.subplots(3, 4, sharex=True, sharey=True)
    top = 0.0
    for k, ax in enumerate(axes.flat):
        for run, look in reversed(layers):
            scores = run.scores[:, k][np.isfinite(run.scores[:, k])]
            n, count = len(scores), default_bins(len(scores))
            edges = np.linspace(0, 1, count + 1)
            density = histogram(scores, count) * count / n
            low, high = (b * count / n for b in histogram_band(n, count, _LEVEL))
            ax.axhspan(low, high, color=look.color, alpha=0.15, lw=0)
            ax.stairs(density, edges, baseline=None, color=look.color, lw=1.6, ls=look.linestyle)
            top = max(top, density.max(), high)
        ax.axhline(1, **_GUIDE)
        ax.set_title(PARAMETERS[k].label, fontsize=11.5, pad=3)
        dress(ax, 9)
    axes[0, 0].set(xlim=(0, 1), ylim=(0, 1.05 * top), xticks=[0, 0.5, 1])
    figure.supxlabel("Rank of the truth among the draws / number of draws", fontsize=11)
    figure.supylabel("Simulations / expected number", fontsize=11)
    band = f"{100 * _LEVEL:.0f} % of right posteriors"
    handles = [*_handles(layers), Patch(color=layers[0][1].color, alpha=0.2, lw=0, label=band)]
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles))
    return figure


@use_style()
def plot_joint_coverage(runs: Runs) -> LabFigure:
    """Draw expected coverage by TARP and by regions of highest density, and the check of the fit.

    `plot_pp` says what runs may be.
    """
    layers = _layers(runs)
    figure = new_figure((11.5, 4.3))
    axes = figure.subplots(1, 3, sharex=True, sharey=True)
    region = "Credibility of the region"
    x_labels = (region, region, "Probability of a worse fit")
    for k, (ax, label) in enumerate(zip(axes, x_labels, strict=True), start=N_THETA):
        for run, look in reversed(layers):
            _draw_curve(ax, run.scores[:, k], look)
        ax.plot([0, 1], [0, 1], **_GUIDE)
        ax.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", xlabel=label)
        ax.set_title(QUANTITY_LABELS[SCORED[k]], fontsize=11, pad=4)
        dress(ax)
    axes[0].set_ylabel("Fraction of simulations")
    axes[0].legend(handles=_handles(layers), loc="lower right")
    return figure


@use_style()
def plot_contraction(run: CalibrationRun) -> LabFigure:
    """Draw posterior z-scores over contraction, one point a simulation.

    Right posteriors have z-scores of mean 0 and mean square 1. Those near a contraction of 1 have
    learnt nearly all from the data, those near 0 nothing. The grey band is ± 2.
    """
    (_, look), *_ = _layers(run)
    table = run.z_table()
    figure = new_figure((11.5, 6.8))
    axes = figure.subplots(3, 4, sharex=True, sharey=True)
    for k, ax in enumerate(axes.flat):
        ax.axhspan(-2, 2, color="#eeeeee", lw=0)
        ax.axhline(0, **_GUIDE)
        ax.plot(run.contraction[:, k], run.z_scores[:, k], ".", color=look.color, ms=2.5, alpha=0.5)
        row = table[k]
        text = (
            f"{PARAMETERS[k].label}\n"
            f"mean {row['mean']:+.2f} ± {row['mean_error']:.2f}\n"
            f"mean square {row['mean_square']:.2f} ± {row['square_error']:.2f}"
        )
        ax.text(0.03, 0.96, text, transform=ax.transAxes, va="top", fontsize=8.5)
        dress(ax, 9)
    axes[0, 0].set(xlim=(-0.75, 1.05), ylim=(-4.5, 7))
    figure.supxlabel("Contraction: 1 − posterior variance / prior variance", fontsize=11)
    figure.supylabel("z-score: (posterior mean − truth) / posterior σ", fontsize=11)
    figure.suptitle(look.label)
    return figure


def _draw_curve(ax: Axes, scores: np.ndarray, look: Method, less: Any = 0.0, **line: Any) -> float:
    """Draw a p–p curve less something, with its band; returns how far either reaches."""
    scores = scores[np.isfinite(scores)]
    low, high = (edge - less for edge in pp_band(len(scores), _GRID, _LEVEL))
    curve = pp_curve(scores, _GRID) - less
    ax.fill_between(_GRID, low, high, color=look.color, alpha=0.15, lw=0)
    ax.plot(_GRID, curve, **look.line, **line)
    return float(np.max(np.abs([low, high, curve])))


def _layers(runs: Runs) -> list[tuple[CalibrationRun, Method]]:
    """Runs with their looks, the references last, so that they are drawn first."""
    layers = []
    for run, look in with_looks(runs, CalibrationRun):
        if not len(run):
            raise InputError("There is nothing to plot: give runs of one simulation or more.")
        label = look.label if isinstance(runs, Mapping) else f"{look.label}, {len(run)} simulations"
        colour = _REFERENCE if run.method == "mcmc" else look.color
        layers.append((run, replace(look, label=label, color=colour)))
    return sorted(layers, key=lambda layer: layer[0].method == "mcmc")


def _handles(layers: list[tuple[CalibrationRun, Method]]) -> list[Any]:
    return [Line2D([], [], label=look.label, **look.line) for _, look in layers]
