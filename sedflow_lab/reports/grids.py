"""Compare two grids of simple stellar populations in bands, where both have populations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Table
from matplotlib.figure import Figure

from ..errors import InputError
from ..sps.bands import Band, BandSet, get_bands
from ..sps.projection import make_projection
from ..sps.ssp import SSPGrid, load_ssp_grid

__all__ = ["GridComparison", "compare_ssp_grids", "plot_comparison"]

_NOWHERE = 1e-6  # redshift of rest-frame bands; tables begin at 0
_ROUNDING = 1e-4  # relative; nodes of two grids that are this close are the same


@dataclass(frozen=True)
class GridComparison:
    """Differences between grid B and grid A, per population of A that B reaches too, and band."""

    a: str  # what the grid is
    b: str
    bands: BandSet  # rest-frame
    age_gyr: np.ndarray  # (A,)
    metallicity: np.ndarray  # (M,), PROVABGS labels
    delta_mag: np.ndarray  # (A, M, B), magnitude in B less that in A, of one solar mass formed
    young_delta_mag: np.ndarray  # (M, B), the same for the mean young spectrum
    delta_surviving_mass: np.ndarray  # (A, M), fraction in B less that in A

    def summary(self) -> Table:
        """One row a band: median, scatter (1.48 MAD) and worst case over all populations."""
        flat = self.delta_mag.reshape(-1, len(self.bands))
        median = np.median(flat, axis=0)
        worst = np.abs(flat).argmax(axis=0)
        i_age, i_met = np.unravel_index(worst, self.delta_mag.shape[:2])
        columns: dict[str, Any] = {
            "band": list(self.bands.labels),
            "median": median,
            "scatter": 1.4826 * np.median(np.abs(flat - median), axis=0),
            "worst": flat[worst, np.arange(len(self.bands))],
            "worst_age": self.age_gyr[i_age],
            "worst_metallicity": self.metallicity[i_met],
            "young_median": np.median(self.young_delta_mag, axis=0),
        }
        table = Table(columns)
        for name in ("median", "scatter", "worst", "young_median"):
            table[name].unit = "mag"
            table[name].info.format = "+.4f"
        table["worst_age"].unit = "Gyr"
        table["worst_age"].info.format = table["worst_metallicity"].info.format = ".4g"
        return table


def compare_ssp_grids(
    a: SSPGrid | str | Path | None,
    b: SSPGrid | str | Path | None,
    bands: str | BandSet | Sequence[str | Path | Band] = "sdss-ugriz",
) -> GridComparison:
    """Compare two grids at the ages and metallicities of A within the reach of B.

    Between its nodes, B is interpolated as in `SEDModel`: linearly in log age and log Z.

    Parameters
    ----------
    a, b : SSPGrid, path or None
        The grids; None is the shipped one.
    bands : str, BandSet or sequence of filters, default ``"sdss-ugriz"``
        Rest-frame bands (see `sedflow_lab.sps.bands.get_bands`).

    Raises
    ------
    InputError
        If a grid cannot be read or does not reach under a band, or the two share no population.
    """
    first, second = (g if isinstance(g, SSPGrid) else load_ssp_grid(g) for g in (a, b))
    band_set = get_bands(bands)
    ages = _shared("ages", first.age_gyr, second.age_gyr)
    metals = _shared("metallicities", first.metallicity, second.metallicity)
    (ssp_a, young_a), (ssp_b, young_b) = (_rest_frame(g, band_set) for g in (first, second))
    in_age = partial(_interpolate, nodes=second.age_gyr, x=first.age_gyr[ages])
    in_metal = partial(_interpolate, nodes=second.metallicity, x=first.metallicity[metals])
    ssp_b, mass_b = (in_metal(in_age(v, 0), 1) for v in (ssp_b, second.surviving_mass))
    young_b = in_metal(young_b, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return GridComparison(
            a=_title(a, first),
            b=_title(b, second),
            bands=band_set,
            age_gyr=first.age_gyr[ages],
            metallicity=first.metallicity[metals],
            delta_mag=-2.5 * np.log10(ssp_b / ssp_a[ages][:, metals]),
            young_delta_mag=-2.5 * np.log10(young_b / young_a[metals]),
            delta_surviving_mass=mass_b - first.surviving_mass[ages][:, metals],
        )


def plot_comparison(comparison: GridComparison) -> Figure:
    """Draw one panel a band: the difference against age, one line a metallicity."""
    from matplotlib import colormaps

    bands, metals = comparison.bands, comparison.metallicity
    n_rows, n_columns = -(-len(bands) // 3), min(len(bands), 3)
    figure = Figure(figsize=(2.0 + 2.9 * n_columns, 1.2 + 2.3 * n_rows), layout="constrained")
    axes = figure.subplots(n_rows, n_columns, sharex=True, sharey=True, squeeze=False)
    colours = colormaps["viridis"](np.linspace(0.0, 0.95, len(metals)))
    for i, axis in enumerate(axes.flat):
        if i >= len(bands):
            axis.set_axis_off()
            continue
        axis.axhline(0.0, color="#999999", linewidth=1.0)
        for j, (z, colour) in enumerate(zip(metals, colours, strict=True)):
            label = f"{z:.2g}" if i == 0 else None
            axis.plot(
                comparison.age_gyr, comparison.delta_mag[:, j, i], color=colour, lw=1.2, label=label
            )
        axis.set_xscale("log")
        axis.set_title(f"{bands.labels[i]}  ({bands.effective_wavelength[i]:.0f} Å)", fontsize=10)
        if i + n_columns >= len(bands):  # nothing below
            axis.tick_params(labelbottom=True)
            axis.set_xlabel("Age [Gyr]")
        if i % n_columns == 0:
            axis.set_ylabel(r"$m_\mathrm{B} - m_\mathrm{A}$ [mag]")
    figure.legend(
        loc="outside right center", title="Metallicity\n(0.019: solar)", fontsize=8, frameon=False
    )
    figure.suptitle(f"A: {comparison.a}\nB: {comparison.b}", x=0.02, ha="left", fontsize=10)
    return figure


def _title(given: SSPGrid | str | Path | None, grid: SSPGrid) -> str:
    if given is None:
        what = "shipped grid"
    else:
        what = "SSP grid" if isinstance(given, SSPGrid) else Path(given).name
    return f"{what} ({grid.title}; {grid.hash})"


def _shared(what: str, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Indices of the nodes of A within the range of B."""
    inside = (a >= b[0] * (1 - _ROUNDING)) & (a <= b[-1] * (1 + _ROUNDING))
    if not inside.any():
        raise InputError(
            f"The grids share no {what}: A has {a[0]:.3g} to {a[-1]:.3g}, B {b[0]:.3g} to "
            f"{b[-1]:.3g}."
        )
    return np.flatnonzero(inside)


def _rest_frame(grid: SSPGrid, bands: BandSet) -> tuple[np.ndarray, np.ndarray]:
    """Rest-frame band fluxes of the populations (A, M, B) and of the young mean (M, B)."""
    table = make_projection(grid, bands, _NOWHERE)
    to_band = np.equal.outer(table.band, np.arange(len(bands))).astype(np.float64)
    return table.ssp[0] @ to_band, table.young[0] @ to_band


def _interpolate(values: np.ndarray, axis: int, nodes: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Values at `x`, on lines in the logarithm of the nodes."""
    position = np.interp(np.log(x), np.log(nodes), np.arange(len(nodes)))
    lower = np.minimum(position.astype(int), len(nodes) - 2)
    shape = [-1 if i == axis else 1 for i in range(values.ndim)]
    fraction = (position - lower).reshape(shape)
    below, above = (np.take(values, lower + k, axis=axis) for k in (0, 1))
    return below * (1 - fraction) + above * fraction
