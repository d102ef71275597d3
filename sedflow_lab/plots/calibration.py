"""Calibration figures: p–p curves, rank histograms, joint coverage, with bands of right posteriors.

The posterior in question has its own colour, the reference (MCMC) is grey.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from ..diagnostics.bands import default_bins, histogram, histogram_band, pp_band, pp_curve
from ..diagnostics.calibration_run import CalibrationRun
from ..diagnostics.scoring import SCORED
from ..errors import InputError
from ..parameters import N_THETA, PARAMETERS
from .style import LabFigure, Look, dress, method_look, new_figure, use_style

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
_LEVEL = 0.95


@use_style()
def plot_pp(runs: Runs, title: str | None = None) -> LabFigure:
    """Draw p–p curves of all parameters together, and how far each is off the diagonal.

    Parameters
    ----------
    runs : CalibrationRun, or a sequence or mapping (label to run) of them
        MCMC is drawn in grey.
    title : str, optional

    Returns
    -------
    matplotlib.figure.Figure
    """
    layers = _layers(runs)
    figure = new_figure((12.5, 5.6))
    parts: Any = figure.subfigures(1, 2, width_ratios=[1, 1.62])
    left, right = parts
    ax = left.subplots()
    ax.plot([0, 1], [0, 1], color="#444444", lw=0.8, ls="--")
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
            reach = max(reach, _draw_difference(panel, run, k, look))
        panel.axhline(0, color="#444444", lw=0.8, ls="--")
        panel.set_title(PARAMETERS[k].label, fontsize=11, pad=3)
        dress(panel, 8.5)
    reach = 1.1 * reach
    axes[0, 0].set(xlim=(0, 1), ylim=(-reach, reach), xticks=[0, 0.5, 1])
    for panel in axes.flat:
        panel.set_xticklabels(["0", "0.5", "1"])
    right.supylabel("Curve minus diagonal", fontsize=11)
    right.supxlabel("Percentile of the truth in its posterior", fontsize=11)
    if title:
        figure.suptitle(title)
    return figure


@use_style()
def plot_ranks(runs: Runs, bins: int | None = None, title: str | None = None) -> LabFigure:
    """Draw rank histograms of all parameters: flat if posteriors are right.

    Parameters
    ----------
    runs, title
        As for `plot_pp`.
    bins : int, optional
        By default as many as suit the number of simulations of each run.

    Returns
    -------
    matplotlib.figure.Figure
    """
    layers = _layers(runs)
    figure = new_figure((11.5, 6.8))
    axes = figure.subplots(3, 4, sharex=True, sharey=True)
    top = 0.0
    for k, ax in enumerate(axes.flat):
        for run, look in reversed(layers):
            scores = run.scores[:, k][np.isfinite(run.scores[:, k])]
            n, count = len(scores), bins or default_bins(len(scores))
            edges = np.linspace(0, 1, count + 1)
            density = histogram(scores, count) * count / n
            low, high = (b * count / n for b in histogram_band(n, count, _LEVEL))
            ax.axhspan(low, high, color=look.color, alpha=0.15, lw=0)
            ax.stairs(density, edges, baseline=None, color=look.color, lw=1.6, ls=look.linestyle)
            top = max(top, density.max(), high)
        ax.axhline(1, color="#444444", lw=0.8, ls="--")
        ax.set_title(PARAMETERS[k].label, fontsize=11.5, pad=3)
        dress(ax, 9)
    axes[0, 0].set(xlim=(0, 1), ylim=(0, 1.05 * top), xticks=[0, 0.5, 1])
    figure.supxlabel("Rank of the truth among the draws / number of draws", fontsize=11)
    figure.supylabel("Simulations / expected number", fontsize=11)
    handles = _handles(layers, patches=True)
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles), title=title)
    return figure


@use_style()
def plot_joint_coverage(runs: Runs, title: str | None = None) -> LabFigure:
    """Draw expected coverage by TARP and by regions of highest density, and the check of the fit.

    Parameters
    ----------
    runs, title
        As for `plot_pp`.

    Returns
    -------
    matplotlib.figure.Figure
    """
    layers = _layers(runs)
    figure = new_figure((11.5, 4.3))
    axes = figure.subplots(1, 3, sharex=True, sharey=True)
    x_labels = (
        "Credibility of the region",
        "Credibility of the region",
        "Probability of a worse fit",
    )
    for ax, name, label in zip(axes, SCORED[N_THETA:], x_labels, strict=True):
        k = SCORED.index(name)
        for run, look in reversed(layers):
            scores = run.scores[:, k][np.isfinite(run.scores[:, k])]
            low, high = pp_band(len(scores), _GRID, _LEVEL)
            ax.fill_between(_GRID, low, high, color=look.color, alpha=0.15, lw=0)
            ax.plot(_GRID, pp_curve(scores, _GRID), color=look.color, ls=look.linestyle)
        ax.plot([0, 1], [0, 1], color="#444444", lw=0.8, ls="--")
        ax.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", xlabel=label)
        ax.set_title(QUANTITY_LABELS[name], fontsize=11, pad=4)
        dress(ax)
    axes[0].set_ylabel("Fraction of simulations")
    axes[0].legend(handles=_handles(layers), loc="lower right")
    if title:
        figure.suptitle(title)
    return figure


@use_style()
def plot_contraction(run: CalibrationRun, title: str | None = None) -> LabFigure:
    """Draw posterior z-scores over contraction, one point a simulation.

    Right posteriors have z-scores of mean 0 and mean square 1. Those near a contraction of 1 have
    learnt nearly all from the data, those near 0 nothing. The grey band is ± 2.

    Parameters
    ----------
    run : CalibrationRun
    title : str, optional

    Returns
    -------
    matplotlib.figure.Figure
    """
    (_, look), *_ = _layers(run)
    table = run.z_table()
    figure = new_figure((11.5, 6.8))
    axes = figure.subplots(3, 4, sharex=True, sharey=True)
    for k, ax in enumerate(axes.flat):
        ax.axhspan(-2, 2, color="#eeeeee", lw=0)
        ax.axhline(0, color="#444444", lw=0.8, ls="--")
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
    figure.suptitle(title or look.label)
    return figure


def _draw_difference(ax: Axes, run: CalibrationRun, k: int, look: Look) -> float:
    """Draw one curve minus the diagonal, with its band; returns how far either reaches."""
    scores = run.scores[:, k][np.isfinite(run.scores[:, k])]
    low, high = (edge - _GRID for edge in pp_band(len(scores), _GRID, _LEVEL))
    curve = pp_curve(scores, _GRID) - _GRID
    ax.fill_between(_GRID, low, high, color=look.color, alpha=0.15, lw=0)
    ax.plot(_GRID, curve, color=look.color, ls=look.linestyle, lw=1.4)
    return float(np.max(np.abs([low, high, curve])))


def _layers(runs: Runs) -> list[tuple[CalibrationRun, Look]]:
    """Runs with their looks, the references last, so that they are drawn first."""
    if isinstance(runs, Mapping):
        pairs = [(run, label) for label, run in runs.items()]
    else:
        members = [runs] if isinstance(runs, CalibrationRun) else list(runs)
        pairs = [
            (run, f"{method_look(run.method).label}, {len(run)} simulations") for run in members
        ]
    if not pairs or any(len(run) == 0 for run, _ in pairs):
        raise InputError("There is nothing to plot: give runs of one simulation or more.")
    layers = []
    for run, label in pairs:
        own = method_look(run.method)
        colour = _REFERENCE if run.method == "mcmc" else own.color
        layers.append((run, Look(label, colour, own.linestyle, own.marker)))
    return sorted(layers, key=lambda layer: layer[0].method == "mcmc")


def _handles(layers: list[tuple[CalibrationRun, Look]], *, patches: bool = False) -> list[Any]:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = [
        Line2D([], [], color=look.color, ls=look.linestyle, label=look.label) for _, look in layers
    ]
    if patches:
        band = f"{100 * _LEVEL:.0f} % of right posteriors"
        handles.append(Patch(color=layers[0][1].color, alpha=0.2, lw=0, label=band))
    return handles
