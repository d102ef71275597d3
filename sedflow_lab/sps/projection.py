"""Tables that turn stellar populations straight into band fluxes behind dust, at any redshift.

The flux of a population with spectrum L behind dust that transmits A is, in one band,

.. math:: f \\propto (1 + z) \\int L(\\lambda) A(\\lambda) R(\\lambda (1 + z)) \\lambda \\, d\\lambda .

L is rough but known beforehand; A depends on the parameters but is smooth. So A is replaced by
the polynomial through a few nodes per band, :math:`A \\approx \\sum_k A(\\lambda_k) \\ell_k`,
and the integrals of :math:`L \\ell_k R \\lambda` become a table: a photometric evaluation needs
no spectrum, only a weighted sum of table rows and the dust at the nodes. This is product
integration; its error is that of interpolating A, not that of sampling L.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import InputError
from .bands import Band, BandSet
from .dust import CALZETTI_BREAK
from .ssp import SSPGrid

__all__ = ["ProjectionTable", "check_coverage", "make_projection", "redshift_nodes"]

REDSHIFT_STEP = 1e-3
"""Step in ln(1 + z) between the tables; fluxes are interpolated linearly in between."""

_SUBSAMPLES = 4
_NODES_PER_LOG_WIDTH = 26.0
_FAINT = 2e-3  # response, relative to the peak, below which a wing counts as a leak


@dataclass(frozen=True)
class ProjectionTable:
    """Band integrals of every SSP against the polynomials of the dust nodes.

    Attributes
    ----------
    wavelength : ndarray, shape (Z, C)
        Rest-frame wavelengths [Angstrom] of the C dust nodes, at Z redshifts.
    band : ndarray of int, shape (C,)
        Band to which a node belongs.
    ssp : ndarray, shape (Z, A, M, C)
        Flux [nanomaggies] at 1 Mpc of one solar mass formed, per node.
    young : ndarray, shape (Z, M, C)
        The same for the mean young spectrum.
    """

    wavelength: np.ndarray
    band: np.ndarray
    ssp: np.ndarray
    young: np.ndarray


def redshift_nodes(redshift_max: float) -> np.ndarray:
    """Redshifts of the tables: even steps in ln(1 + z) from 0 to `redshift_max`."""
    top = np.log1p(redshift_max)
    return np.expm1(np.linspace(0.0, top, max(2, int(np.ceil(top / REDSHIFT_STEP)) + 1)))


def check_coverage(bands: BandSet, grid: SSPGrid, redshift_max: float) -> None:
    """Raise `InputError` if the grid does not reach under every band at every redshift."""
    low, high = grid.wavelength_aa[0], grid.wavelength_aa[-1]
    outside = []
    for band in bands.bands:
        first, last = band.support
        if first / (1 + redshift_max) < low or last > high:
            span = f"{first / (1 + redshift_max):.0f}-{last:.0f}"
            outside.append(f"{band.name} ({span} Angstrom)")
    if outside:
        raise InputError(
            f"The SSP grid covers {low:.0f}-{high:.0f} Angstrom in the rest frame, but up to "
            f"redshift {redshift_max:g} these bands need more: {', '.join(outside)}. Leave them "
            "out, lower redshift_max, or build a wider grid with FSPS (sedflow-lab ssp build)."
        )


def make_projection(grid: SSPGrid, bands: BandSet, redshift_max: float) -> ProjectionTable:
    """Compute the table for a grid, a band set and a range of redshifts."""
    check_coverage(bands, grid, redshift_max)
    pieces = [_pieces(band) for band in bands.bands]
    owner = np.concatenate(
        [np.full(sum(n for _, _, n in p), i) for i, p in enumerate(pieces)]
    ).astype(np.int64)
    redshifts = redshift_nodes(redshift_max)
    n_age, n_met = grid.surviving_mass.shape
    shape = (len(redshifts), len(owner))
    wavelength = np.empty(shape)
    ssp = np.empty((len(redshifts), n_age * n_met, len(owner)), dtype=np.float32)
    young = np.empty((len(redshifts), n_met, len(owner)), dtype=np.float32)
    rows = np.concatenate(
        [grid.ssp_lsun_per_aa.reshape(n_age * n_met, -1), grid.young_lsun_per_aa]
    ).astype(np.float32)
    for i, z in enumerate(redshifts):
        column = 0
        for band, band_pieces in zip(bands.bands, pieces, strict=True):
            for start, stop, count in band_pieces:
                # Grid wavelengths from just below to just above the piece.
                low = np.searchsorted(grid.wavelength_aa, start / (1 + z), side="right") - 1
                high = np.searchsorted(grid.wavelength_aa, stop / (1 + z)) + 1
                part = slice(max(low, 0), high)
                nodes, kernel = _piece_kernel(band, grid.wavelength_aa[part], z, start, stop, count)
                where = slice(column, column + count)
                wavelength[i, where] = nodes
                flux = rows[:, part] @ kernel.astype(np.float32)
                ssp[i, :, where] = flux[: n_age * n_met]
                young[i, :, where] = flux[n_age * n_met :]
                column += count
    return ProjectionTable(wavelength, owner, ssp.reshape(-1, n_age, n_met, len(owner)), young)


def _pieces(band: Band) -> list[tuple[float, float, int]]:
    """Intervals of the observed wavelength, with a number of nodes, that make up a band.

    A band is one piece, but leaks beyond a faint gap are pieces of their own: behind much dust
    a red leak can outshine the band.
    """
    first, last = band.support
    bright = band.response > _FAINT * band.response.max()
    # A run of bright samples starts and stops where the flag flips; thin faint wings join it.
    flips = np.flatnonzero(np.diff(bright.astype(int)))
    cuts = [first]
    for edge in [*(float(band.wavelength[i]) for i in flips), last]:
        if np.log(edge / cuts[-1]) > 0.05:
            cuts.append(edge)
    cuts[max(len(cuts) - 1, 1) :] = [last]
    pieces = []
    for start, stop in zip(cuts[:-1], cuts[1:], strict=True):
        # Attenuation curves are steeper in the blue: more nodes there.
        density = _NODES_PER_LOG_WIDTH * max(0.5, min(1.5, (4500.0 / start) ** 0.7))
        inside = (band.wavelength >= start) & (band.wavelength <= stop) & bright
        if not inside.any():
            density /= 3
        pieces.append((start, stop, 4 + int(np.ceil(density * np.log(stop / start)))))
    return pieces


def _refine(wavelength: np.ndarray) -> np.ndarray:
    """Split each interval into `_SUBSAMPLES`."""
    fraction = np.arange(_SUBSAMPLES) / _SUBSAMPLES
    steps = wavelength[:-1, None] + np.diff(wavelength)[:, None] * fraction
    return np.append(steps.reshape(-1), wavelength[-1])


def _coarsen(fine: np.ndarray) -> np.ndarray:
    """Weights on the grid's own wavelengths from weights on the refined ones."""
    fraction = (np.arange(_SUBSAMPLES) / _SUBSAMPLES)[:, None]
    steps = fine[:-1].reshape(-1, _SUBSAMPLES, fine.shape[1])
    coarse = np.zeros((len(steps) + 1, fine.shape[1]))
    coarse[:-1] += (steps * (1 - fraction)).sum(1)
    coarse[1:] += (steps * fraction).sum(1)
    coarse[-1] += fine[-1]
    return coarse


def _piece_kernel(
    band: Band, grid: np.ndarray, z: float, start: float, stop: float, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Rest-frame nodes (count,) of one piece, and weights (L, count) on the grid's wavelengths."""
    fine = _refine(grid)
    observed = fine * (1 + z)
    response = np.interp(observed, band.wavelength, band.response, left=0.0, right=0.0)
    edges = np.append(fine[0], 0.5 * (fine[1:] + fine[:-1]))
    step = np.diff(np.append(edges, fine[-1]))
    # Cells cut by the ends of the piece are shared with the next piece (or lost with the band).
    lower, upper = edges * (1 + z), np.append(edges[1:], fine[-1]) * (1 + z)
    share = (np.minimum(upper, stop) - np.maximum(lower, start)) / (upper - lower)
    weight = response * fine * step * np.clip(share, 0.0, 1.0)
    # nanomaggies at 1 Mpc per L_sun/Angstrom: L_sun (1 + z) / (4 pi Mpc^2).
    scale = 3.846e33 * (1 + z) / (4 * np.pi * 3.0856775814913673e24**2)
    weight *= scale / band.ab_flux
    nodes, basis = _node_basis(fine, start / (1 + z), stop / (1 + z), count)
    return nodes, _coarsen(weight[:, None] * basis)


def _node_basis(
    wavelength: np.ndarray, start: float, stop: float, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Chebyshev nodes in ln λ, and their Lagrange polynomials at `wavelength`.

    The Calzetti curve has a step at 6300 Å; an interval that contains it is split there.
    """
    if start < CALZETTI_BREAK < stop:
        fraction = np.log(CALZETTI_BREAK / start) / np.log(stop / start)
        n_blue = int(np.clip(round(fraction * count), 2, count - 2))
        # The nodes nearest the step lie strictly on their own side of it.
        blue, red = wavelength < CALZETTI_BREAK, wavelength >= CALZETTI_BREAK
        nodes_b, basis_b = _lagrange(wavelength, start, CALZETTI_BREAK, n_blue)
        nodes_r, basis_r = _lagrange(wavelength, CALZETTI_BREAK, stop, count - n_blue)
        basis = np.hstack([basis_b * blue[:, None], basis_r * red[:, None]])
        return np.append(nodes_b, nodes_r), basis
    return _lagrange(wavelength, start, stop, count)


def _lagrange(
    wavelength: np.ndarray, start: float, stop: float, count: int
) -> tuple[np.ndarray, np.ndarray]:
    angle = (2 * np.arange(count) + 1) * np.pi / (2 * count)
    nodes = np.cos(angle)
    centre, half = 0.5 * np.log(start * stop), 0.5 * np.log(stop / start)
    x = (np.log(wavelength) - centre) / half
    # Barycentric form (Berrut & Trefethen 2004); outside the interval the weights are zero anyway.
    barycentric = (-1.0) ** np.arange(count) * np.sin(angle)
    difference = np.clip(x, -1.0, 1.0)[:, None] - nodes
    difference[np.abs(difference) < 1e-13] = 1e-13
    basis = barycentric / difference
    basis /= basis.sum(1, keepdims=True)
    return np.exp(centre + half * nodes), basis
