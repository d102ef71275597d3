"""Corner plots: all pairs of parameters, several methods over one another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from scipy.ndimage import gaussian_filter1d

from ..errors import InputError
from ..methods import Method
from ..parameters import NAMES, PRIORS, Prior, get_prior
from ..posterior.reweight import values_of
from ..posterior.weighting import weighted_quantile
from ..quantities import REDSHIFT, Quantity, get_quantity
from ..sps import SEDModel
from .layers import Layer, Results, as_layers, as_truth, title_of
from .palette import COLORS, CREDIBLE, method_look
from .style import LabFigure, dress, new_figure, use_style

__all__ = ["plot_corner"]

_PRIOR_DRAWS = 200_000
_STRAY = 0.005  # of the draws at either end, to which axes need not reach
_NEED_NO_MODEL = {*NAMES, REDSHIFT.name}
_METALLICITY_NOTE = (
    "Metallicities are PROVABGS labels:\n"
    "Z = 0.019 is solar (true Z is\n"
    "0.0142 in MIST, 0.02 in BC03)."
)


class _Axis(NamedTuple):
    """One row and column of the plot."""

    label: str
    low: float
    high: float
    bins: int
    spread: tuple[float, ...]  # one standard deviation or so, of each layer

    def smoothing(self, k: int, layer: Layer, dimensions: int) -> float:
        """Width [bins] of the kernel for the k-th layer.

        Three quarters of Scott's rule with effective draws: more would widen the contours of
        correlated parameters noticeably.
        """
        factor = 0.75 * max(float(layer.result.ess[0]), 1.0) ** (-1 / (dimensions + 4))
        return factor * self.spread[k] * self.bins / (self.high - self.low)


@use_style()
def plot_corner(
    results: Results,
    galaxy: int | str = 0,
    parameters: Sequence[str] | None = None,
    truth: Any = None,
    title: str | None = None,
    *,
    prior: str | Prior | None = None,
    model: SEDModel | None = None,
    zoom: bool = False,
) -> LabFigure:
    """Draw the posterior of one galaxy by one or more methods as a corner plot.

    Contours hold 68 and 95 % of the probability; those of the first result are filled.
    Histograms are densities, so methods with different numbers of draws compare; vertical lines
    mark the weighted medians. Axes of parameters run over the whole prior.

    Parameters
    ----------
    results : PosteriorResult, or a sequence or mapping (label to result) of them
    galaxy : int or str, default 0
        Row in the first result, or id; the others are searched for its id.
    parameters : sequence of str, optional
        Names of parameters (default all 12) and, where `model` is given, of derived quantities
        (`sedflow_lab.sps.properties.DERIVED`), also at rest (`sedflow_lab.sps.rest_frame`);
        and ``"redshift"`` where it is uncertain.
    truth : array, shape (12,), optional
        True parameters, drawn as lines.
    title : str, optional
        Default: the galaxy's id and redshift.
    prior : str or Prior, optional
        Prior whose marginals are drawn behind the histograms; by default that of the first
        result where there are derived quantities, in which it is not flat.
    model : SEDModel, optional
        Computes derived quantities.
    zoom : bool, default False
        Let axes of parameters, too, span the posteriors only.

    Raises
    ------
    InputError
        If a parameter is unknown, or the redshift known, or the results do not hold the same
        galaxy.
    """
    layers, theta_true = as_layers(results, galaxy), as_truth(truth)
    names = tuple(NAMES if parameters is None else parameters)
    _check_names(names, model, layers)
    columns = [_values(names, layer.theta, model, layer.redshifts) for layer in layers]
    true = np.full(len(names), np.nan)
    if theta_true is not None:
        true = _values(names, theta_true[None], model, layers[0].redshift)[0]
    quantities = [
        _axis(name, [values[:, k] for values in columns], layers, true[k], zoom)
        for k, name in enumerate(names)
    ]
    background = None
    if prior is None and not set(names) <= _NEED_NO_MODEL:
        made_under = layers[0].result.provenance.get("prior")
        prior = made_under if made_under in PRIORS else None
    if prior is not None:
        theta = get_prior(prior).sample(_PRIOR_DRAWS)
        background = _values(names, theta, model, layers[0].redshift)

    figure, axes = _grid(len(quantities))
    for i, row in enumerate(quantities):
        _draw_marginal(axes[i, i], row, i, layers, columns, background)
        for j, column in enumerate(quantities[:i]):
            for k, (layer, values) in enumerate(zip(layers, columns, strict=True)):
                _draw_pair(axes[i, j], column, row, values[:, [j, i]], layer, k)
    if theta_true is not None:
        _draw_truth(axes, true)
    _label(axes, quantities)
    looks = [layer.look for layer in layers]
    given = {"truth": theta_true, "prior": prior}
    looks += [method_look(name) for name, value in given.items() if value is not None]
    title = title_of(layers[0].result) if title is None else title
    _annotate(figure, looks, title, any(name.startswith(("log_gamma", "log_z")) for name in names))
    return figure


def _values(
    names: tuple[str, ...], theta: np.ndarray, model: SEDModel | None, redshift: Any
) -> np.ndarray:
    """Quantities (D, K) of parameters (D, 12); of one redshift, as it was measured, it is NaN."""
    z = np.full(len(theta), np.nan) if np.ndim(redshift) == 0 else redshift
    others = [name for name in names if name != REDSHIFT.name]
    found = {}
    if others:
        found = dict(zip(others, values_of(others, theta, redshift, model).T, strict=True))
    return np.stack([found.get(name, z) for name in names], axis=-1)


def _quantity(name: str) -> Quantity:
    return REDSHIFT if name == REDSHIFT.name else get_quantity(name)


def _check_names(names: tuple[str, ...], model: SEDModel | None, layers: list[Layer]) -> None:
    if not names or len(set(names)) < len(names):
        raise InputError("parameters needs one or more names, each of them once.")
    for name in names:
        _quantity(name)
        if name not in _NEED_NO_MODEL and model is None:
            raise InputError(f"{name!r} is a derived quantity: give the model that computes it.")
    known = [layer.look.label for layer in layers if np.ptp(layer.redshifts) == 0]
    if REDSHIFT.name in names and known:
        raise InputError(
            f"The redshift is known in the result {known[0]!r}: leave 'redshift' out of parameters."
        )


def _axis(
    name: str, values: list[np.ndarray], layers: list[Layer], true: float, zoom: bool
) -> _Axis:
    """Label, limits, and as many bins as resolve the narrowest posterior."""
    what = _quantity(name)
    outer, inner = (
        [weighted_quantile(x, y.weights, (p, 1 - p)) for x, y in zip(values, layers, strict=True)]
        for p in (_STRAY, 0.025)
    )
    ends = np.array(outer)
    low, high = np.nanmin([*ends[:, 0], true]), np.nanmax([*ends[:, 1], true])
    margin = 0.15 * (high - low) or 0.5
    low, high = low - margin, high + margin
    if name in NAMES:
        low, high = (max(low, what.low), min(high, what.high)) if zoom else (what.low, what.high)
    spread = np.maximum(np.diff(inner)[:, 0] / 4, 1e-3 * (high - low))
    bins = int(np.clip(np.ceil(4 * (high - low) / spread.min()), 30, 250))
    return _Axis(what.axis_label, float(low), float(high), bins, tuple(spread.tolist()))


def _grid(n: int) -> tuple[LabFigure, np.ndarray]:
    """Make the lower triangle of axes."""
    panel = 1.35 if n > 6 else 1.9 if n > 3 else 2.4
    margin, gap = 0.85, 0.2  # inch, for the labels and at the other edges
    height = n * panel + margin + gap
    width = height + (2.4 if n == 1 else 0.0)  # one panel leaves no corner for the legend
    figure = new_figure((width, height), layout=None)
    ends = {"left": margin / width, "right": (height - gap) / width}
    ends |= {"bottom": margin / height, "top": 1 - gap / height}
    spec = figure.add_gridspec(n, n, wspace=0.07, hspace=0.07, **ends)
    axes = np.empty((n, n), dtype=object)
    for i in range(n):
        for j in range(i + 1):
            axes[i, j] = figure.add_subplot(spec[i, j])
    return figure, axes


def _label(axes: np.ndarray, quantities: list[_Axis]) -> None:
    """Set limits, ticks and labels; last, because drawing contours resets them."""
    n = len(quantities)
    for i, y in enumerate(quantities):
        for j, x in enumerate(quantities[: i + 1]):
            ax = axes[i, j]
            dress(ax, 11.0 if n > 6 else 10.0)
            ax.tick_params(labelbottom=i == n - 1, labelleft=j == 0)
            ax.set_xlim(x.low, x.high)
            ax.set_xticks(_ticks(x))
            if i == j:
                ax.set_yticks([])  # a density: only its shape matters
            else:
                ax.set_ylim(y.low, y.high)
                ax.set_yticks(_ticks(y))
    height = axes[0, 0].get_window_extent().height / axes[0, 0].figure.dpi
    for k, quantity in enumerate(quantities):
        axes[-1, k].set_xlabel(quantity.label, fontsize=15 if n > 6 else 13)
        axes[-1, k].xaxis.set_label_coords(0.5, -0.38 / height)
        if k:
            axes[k, 0].set_ylabel(quantity.label, fontsize=15 if n > 6 else 13)
            axes[k, 0].yaxis.set_label_coords(-0.5 / height, 0.5)


def _ticks(quantity: _Axis) -> np.ndarray:
    """Two or three round values, none so close to a corner that it runs into the next panel's."""
    low, high = quantity.low, quantity.high
    inside = 0.09 * (high - low)
    for wanted in (6, 5, 4, 3, 2):
        ticks = np.asarray(MaxNLocator(wanted, steps=[1, 2, 4, 5, 10]).tick_values(low, high))
        ticks = ticks[(ticks > low + inside) & (ticks < high - inside)]
        if len(ticks) <= 3:
            break
    return ticks


def _draw_marginal(
    ax: Axes,
    quantity: _Axis,
    k: int,
    layers: list[Layer],
    columns: list[np.ndarray],
    background: np.ndarray | None,
) -> None:
    edges = np.linspace(quantity.low, quantity.high, quantity.bins + 1)
    if background is not None and np.isfinite(background[:, k]).all():
        wide = np.linspace(quantity.low, quantity.high, 41)
        density = np.histogram(background[:, k], wide)[0] / np.diff(wide) / len(background)
        ax.stairs(gaussian_filter1d(density, 1.5), wide, **method_look("prior").line)
    top = 0.0
    for n, (layer, values) in enumerate(zip(layers, columns, strict=True)):
        look, x = layer.look, values[:, k]
        density = np.histogram(x, edges, weights=layer.weights, density=True)[0]
        # The filter reflects at the ends, so nothing leaks out of the prior.
        density = gaussian_filter1d(density, quantity.smoothing(n, layer, 1))
        ax.stairs(density, edges, linewidth=1.4, **look.line)
        ax.axvline(float(weighted_quantile(x, layer.weights, 0.5)), linewidth=0.9, **look.line)
        top = max(top, float(density.max()))
    ax.set_ylim(0, 1.12 * top)


def _draw_pair(ax: Axes, x: _Axis, y: _Axis, values: np.ndarray, layer: Layer, k: int) -> None:
    import corner  # with ArviZ and pandas behind it, 100 MB

    color = layer.look.color
    shades = [to_rgba(color, alpha) for alpha in (0.0, 0.18, 0.42)]
    corner.hist2d(
        *values.T,
        ax=ax,
        bins=[x.bins, y.bins],
        range=[(x.low, x.high), (y.low, y.high)],
        weights=layer.weights,
        levels=CREDIBLE,
        smooth=[x.smoothing(k, layer, 2), y.smoothing(k, layer, 2)],
        color=color,
        quiet=True,
        plot_datapoints=False,
        plot_density=False,
        no_fill_contours=True,
        force_range=True,
        fill_contours=k == 0,
        contour_kwargs={"linewidths": 1.2, "linestyles": layer.look.linestyle},
        contourf_kwargs={"colors": shades, "antialiased": True},
    )


def _draw_truth(axes: np.ndarray, true: np.ndarray) -> None:
    line = method_look("truth").line | {"linewidth": 1.1}
    for i, j in zip(*np.tril_indices(len(true)), strict=True):
        axes[i, j].axvline(true[j], **line)
        if j < i:
            axes[i, j].axhline(true[i], **line)
            axes[i, j].plot(true[j], true[i], "s", color=COLORS["truth"], markersize=3.5)


def _annotate(figure: LabFigure, looks: list[Method], title: str, with_note: bool) -> None:
    """Put title, legend and a note into the empty upper triangle."""
    handles = [Line2D([], [], linewidth=2.2, label=look.label, **look.line) for look in looks]
    big = len(figure.axes) > 21  # six rows
    legend = figure.legend(
        handles=handles,
        loc="upper right",
        borderaxespad=0.0,
        bbox_to_anchor=(0.985, 0.985),
        title=title,
        fontsize=18 if big else 10.5,
        title_fontsize=21 if big else 12,
        alignment="left",
        labelspacing=0.6,
    )
    if with_note:
        anchor = legend.get_window_extent().transformed(figure.transFigure.inverted())
        text: Any = {"fontsize": 13 if big else 9, "color": "#555555", "linespacing": 1.4}
        figure.text(anchor.x0, anchor.y0 - 0.02, _METALLICITY_NOTE, va="top", **text)
