"""Spectral energy distributions: data, posterior predictions, residuals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from ..errors import InputError
from ..observations.photometry import Photometry
from ..posterior.weighting import weighted_quantile
from ..sps import SEDModel
from ..sps.bands import BandSet
from ..sps.model import at_first
from ..units import MICRON
from .layers import Layer, Results, as_layers, as_truth, title_of
from .palette import COLORS, LABELS, method_look, span_of
from .sed_axes import FluxScale, Unit, aside, draw_filters, flux_axis, wavelength_axis
from .style import LabFigure, dress, new_figure, use_style

__all__ = ["Prediction", "draw_sed", "plot_sed", "predict"]

N_DRAWS = 300
"""Spectra from which bands are made: their quantiles then are good to 3 % in probability."""

_BANDS = ((0.16, 0.84, 0.34), (0.025, 0.975, 0.16))


@dataclass(frozen=True)
class Prediction:
    """Photometry that one posterior predicts, to be held against the data."""

    layer: Layer
    flux: np.ndarray  # (3, B), quantiles 0.16, 0.5 and 0.84 [nanomaggies]
    chi2_best: float  # smallest χ² among the draws, over the observed bands


def predict(photometry: Photometry, layer: Layer, model: SEDModel) -> Prediction:
    """Compute the posterior predictive photometry of one galaxy."""
    flux = model.photometry(layer.theta, layer.redshifts)
    quantiles = weighted_quantile(flux, layer.weights, (0.16, 0.5, 0.84))
    mask = photometry.mask[0]
    residual = (flux - photometry.flux[0])[:, mask] / photometry.sigma[0, mask]
    return Prediction(layer, quantiles, float(np.square(residual).sum(-1).min()))


@use_style()
def plot_sed(
    photometry: Photometry,
    results: Results,
    model: SEDModel,
    *,
    truth: Any = None,
    unit: Unit = "nmgy",
    title: str | None = None,
) -> LabFigure:
    """Draw the photometry of one galaxy, what its posteriors predict, and the residuals.

    The bands around the spectrum hold 68 and 95 % of the first result's posterior, wavelength by
    wavelength. Predicted fluxes are medians with 68 % ranges, moved aside a little from the data,
    one step a method. Bands that were not observed have a prediction only, drawn open. Filter
    curves lie along the bottom.

    Parameters
    ----------
    photometry : Photometry
        One galaxy; the results are searched for its id.
    model : SEDModel
        In the bands of the photometry.
    results, truth, title
        As for `plot_corner`; the true spectrum is drawn dashed.
    unit : {'nmgy', 'mag'}
        Nanomaggies or AB magnitudes.

    Raises
    ------
    InputError
        If there is not one usable galaxy, or photometry, results and model do not fit together.
    """
    figure = new_figure((8.0, 6.2))
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(2.8, 1))
    draw_sed(top, bottom, photometry, results, model, truth=truth, unit=unit, title=title)
    return figure


def draw_sed(
    top: Axes,
    bottom: Axes,
    photometry: Photometry,
    results: Results,
    model: SEDModel,
    *,
    truth: Any = None,
    unit: Unit = "nmgy",
    title: str | None = None,
) -> None:
    """Draw what `plot_sed` does on axes of one's own, `bottom` for the residuals."""
    layers = _layers_of(photometry, results, model)
    scale = FluxScale(unit, photometry)
    span = span_of(model.bands)
    predictions = [predict(photometry, layer, model) for layer in layers]
    for ax in (top, bottom):
        dress(ax)
        wavelength_axis(ax, span)

    levels = _draw_spectrum(top, layers[0], model, span, scale)
    true = as_truth(truth)
    if true is not None:
        wavelength, flux = _spectrum(model, true[None], layers[0].redshift, span)
        look = method_look("truth")
        line = look.line | {"linewidth": 1.0, "zorder": 2.5}
        top.plot(wavelength, scale(flux[0]), label=look.label, **line)
    levels += _draw_data(top, photometry, model.bands, scale)
    for k, prediction in enumerate(predictions):
        x = aside(model.bands, span, k + 1)
        levels.append(_draw_prediction(top, prediction, x, photometry.mask[0], scale))
    if not photometry.mask.all():
        square: Any = {"color": COLORS["prior"], "markerfacecolor": "white", "markersize": 5.5}
        top.plot([], [], "s", label="Predicted, not observed", **square)
    flux_axis(top, np.concatenate([np.ravel(a) for a in levels]), scale)
    draw_filters(top, model.bands)
    _draw_residuals(bottom, photometry, predictions, span)

    top.tick_params(labelbottom=False)
    top.set_title(title_of(photometry) if title is None else title, loc="left")
    handles, labels = top.get_legend_handles_labels()
    # Data first, then the methods in their order.
    order = sorted(range(len(labels)), key=lambda k: labels[k] != LABELS["data"])
    entries = [handles[k] for k in order], [labels[k] for k in order]
    top.figure.legend(*entries, loc="outside lower left", ncols=3)
    bottom.set_xlabel("Observed wavelength [µm]")


def _layers_of(photometry: Photometry, results: Results, model: SEDModel) -> list[Layer]:
    if len(photometry) != 1:
        raise InputError(
            f"An SED plot shows one galaxy, the photometry holds {len(photometry)}: give "
            "photometry[i]."
        )
    if not photometry.usable[0]:
        raise InputError(str(photometry.problems[0]))
    if photometry.bands != model.bands:
        raise InputError(
            f"The photometry is in {', '.join(photometry.bands.names)}, but the model in "
            f"{', '.join(model.bands.names)}."
        )
    layers = as_layers(results, str(photometry.ids[0]))
    if not np.isclose(layers[0].redshift, photometry.redshift[0], rtol=1e-5, atol=0):
        raise InputError(
            f"Galaxy {str(photometry.ids[0])!r} is at redshift {photometry.redshift[0]:g} in the "
            f"photometry, but at {layers[0].redshift:g} in the results: plot results of the same "
            "photometry."
        )
    return layers


def _spectrum(
    model: SEDModel, theta: np.ndarray, redshift: Any, span: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Observed wavelengths (L,) [micron] and fluxes (D, L) [nanomaggies] within the span."""
    wavelength, flux = at_first(*model.observed_spectrum(theta, redshift))
    micron = wavelength * MICRON
    inside = (micron > span[0]) & (micron < span[1])
    return micron[inside], flux[:, inside]


def _draw_spectrum(
    ax: Axes, layer: Layer, model: SEDModel, span: tuple[float, float], scale: FluxScale
) -> list[np.ndarray]:
    wavelength, flux = _spectrum(model, *layer.draws(N_DRAWS), span)
    edges = []
    for low, high, alpha in _BANDS:
        lower, upper = np.quantile(flux, (low, high), axis=0)
        shade: Any = {"color": layer.look.color, "alpha": alpha, "linewidth": 0, "zorder": 1.5}
        shade["label"] = f"{layer.look.label} spectra, {high - low:.0%}"
        ax.fill_between(wavelength, scale(lower), scale(upper), **shade)
        edges += [lower, upper]
    return edges


def _draw_data(
    ax: Axes, photometry: Photometry, bands: BandSet, scale: FluxScale
) -> list[np.ndarray]:
    mask = photometry.mask[0]
    x = bands.effective_wavelength[mask] * MICRON
    flux, sigma = photometry.flux[0, mask], photometry.sigma[0, mask]
    seen = flux > sigma if scale.magnitudes else np.ones_like(flux, dtype=bool)
    ends = np.stack([flux - sigma, flux + sigma])
    middle = scale(flux)
    reach = np.abs(np.sort(scale(ends), axis=0) - middle)[:, seen]
    ink: Any = {"color": COLORS["data"], "zorder": 5}
    dot: Any = {"fmt": "o", "markersize": 6, "markeredgecolor": "white", "markeredgewidth": 0.8}
    dot |= {"capsize": 2.5, "elinewidth": 1.3, "label": LABELS["data"]}
    ax.errorbar(x[seen], middle[seen], yerr=reach, **dot, **ink)
    if seen.all():
        return [ends]
    limit = (np.maximum(flux, 0) + 2 * sigma)[~seen]
    ax.plot(x[~seen], scale(limit), "v", label="2σ upper limit", markersize=7, **ink)
    return [ends[:, seen], limit]


def _draw_prediction(
    ax: Axes, prediction: Prediction, x: np.ndarray, mask: np.ndarray, scale: FluxScale
) -> np.ndarray:
    look, flux = prediction.layer.look, prediction.flux
    low, middle, high = scale(flux)
    kind: Any = {"elinewidth": 1.3, "markersize": 5, "zorder": 4}
    kind |= {"color": look.color, "fmt": look.marker}
    chi2 = prediction.chi2_best
    label = f"{look.label}, best $\\chi^2$ = {chi2:.{2 if chi2 < 10 else 0}f}"
    reach = np.abs(np.stack([low - middle, high - middle]))
    for at, face, text in ((mask, look.color, label), (~mask, "white", None)):
        if at.any():
            kind |= {"yerr": reach[:, at], "markerfacecolor": face, "label": text}
            ax.errorbar(x[at], middle[at], **kind)
    return flux


def _draw_residuals(
    ax: Axes, photometry: Photometry, predictions: list[Prediction], span: tuple[float, float]
) -> None:
    mask = photometry.mask[0]
    flux, sigma = photometry.flux[0, mask], photometry.sigma[0, mask]
    ax.axhspan(-1, 1, color=COLORS["prior"], alpha=0.15, linewidth=0)
    ax.axhline(0, color=COLORS["data"], linewidth=0.8)
    extents = []
    for k, prediction in enumerate(predictions):
        low, middle, high = (flux - prediction.flux[::-1, mask]) / sigma
        x = aside(photometry.bands, span, k - 0.5 * (len(predictions) - 1))[mask]
        look = prediction.layer.look
        bars: Any = {"fmt": look.marker, "color": look.color, "markersize": 5, "elinewidth": 1.3}
        ax.errorbar(x, middle, yerr=np.stack([middle - low, high - middle]), **bars)
        extents.append(1.2 * float(np.abs([low, high]).max()))
    # One broad posterior must not flatten the others: its bars may run out of the panel.
    extent = max(2.5, min(max(extents), max(8.0, min(extents))))
    ax.set_ylim(-extent, extent)
    ticks = np.asarray(MaxNLocator(6, steps=[1, 2, 5, 10]).tick_values(-extent, extent))
    ax.set_yticks(ticks[np.abs(ticks) < 0.9 * extent])
    ax.set_ylabel("data − model\n[σ]")
