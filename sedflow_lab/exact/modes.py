r"""Modes found by optimisation, so that no narrow one is missed.

A mode that is narrow holds few particles at any temperature but the last (see `smc`), and scattered
points fall beside it: when it comes to count, there may be none in it. Least squares find it (see
`bestfit`). Around the end φ* of a search the posterior is about a normal one, with the covariance
and the integral

.. math:: C = (J^T J + P)^{-1}, \qquad
          Z \propto e^{-(\chi^2 + \varphi_*^T P \varphi_*) / 2} \, |C|^{1/2},

where J are the derivatives of the residuals, and P is the identity but for the mass, whose prior is
flat. Where they are long, posteriors are bent, and the normal one is good for a short way only: so
points of it move on by themselves, those of each mode apart, before a mixture is fitted to them.

References
----------
Tierney & Kadane 1986, J. Am. Stat. Assoc. 81, 82 (Laplace's approximation).
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import torch

from ..parameters import N_FREE
from .bestfit import Search
from .mixture import StudentMixture
from .particles import Moves
from .ridge import StraightRidge

__all__ = ["Modes", "find_modes"]

_STARTS = 512
_STEPS = 20
_MODES = 8  # at most
_SAME = 4.0  # standard deviations within which two ends are in one mode
_WIDEST = 0.3  # of the points that begin, in probits
_POINTS = 200  # of each mode
_CYCLES = 100  # of their moves
_COMPONENTS = 2  # of each mode


class Modes(NamedTuple):
    """The largest modes of the posteriors of G galaxies.

    Attributes
    ----------
    mixture : StudentMixture
        A few components for each, in the coordinates of the ridge; each mode has the same share,
        for their integrals are not known well.
    evaluations : tensor of int, shape (G,)
        Of the model, to find them.
    """

    mixture: StudentMixture
    evaluations: torch.Tensor


def find_modes(target: StraightRidge, generator: torch.Generator) -> Modes:
    """The largest modes in which searches from all over the prior end.

    Parameters
    ----------
    target : StraightRidge
        Of G galaxies. What their redshifts are known to is left to the moves.
    generator : torch.Generator

    Returns
    -------
    Modes
    """
    seed = int(torch.randint(2**62, (), generator=generator, device=generator.device))
    weight = torch.ones(N_FREE, dtype=torch.float64, device=generator.device)
    weight[0] = 0.0
    search = Search(target.exact.at_measured_redshifts(), weight)
    start = search.screen(_STARTS, torch.Generator().manual_seed(seed))
    ends = search.run(start, _STEPS)
    residuals, jacobian = search.linearise(ends)
    precision = jacobian.mT @ jacobian + torch.diag(weight)
    root, failed = torch.linalg.cholesky_ex(precision)
    log_det = 2 * torch.diagonal(root, dim1=-2, dim2=-1).log().sum(-1)
    log_integral = -0.5 * (search.objective(ends, residuals) + log_det)
    log_integral = log_integral.where((failed == 0) & log_integral.isfinite(), -torch.inf)
    kept = _largest(ends.double(), precision, log_integral)
    rows = torch.arange(len(ends), device=ends.device)[:, None]
    points = _around(target, ends[rows, kept], precision[rows, kept], generator)

    rows = rows.expand_as(kept).flatten()
    points = points.flatten(0, 1)
    moves = Moves(points)
    points = moves.step(points, partial(target.of, rows=rows), _CYCLES, generator)
    even = torch.full_like(points[..., 0], 1.0 / _POINTS)
    fit = StudentMixture.fit(points, even, generator, _COMPONENTS)
    mixture = StudentMixture(
        fit.weights.reshape(len(ends), -1) / _MODES,
        fit.means.reshape(len(ends), -1, points.shape[-1]),
        fit.roots.reshape(len(ends), -1, *fit.roots.shape[-2:]),
    )
    moved = moves.evaluations.reshape(len(ends), -1).sum(1)
    return Modes(mixture, moved + search.evaluations)


def _largest(
    ends: torch.Tensor, precision: torch.Tensor, log_integral: torch.Tensor
) -> torch.Tensor:
    """Indices (G, modes) of the ends (G, S, d) with the largest integrals, each mode once.

    Where there are fewer, some come again.
    """
    rows = torch.arange(len(ends), device=ends.device)
    left, kept = log_integral, []
    for _ in range(_MODES):
        best = left.argmax(1)
        apart = ends - ends[rows, best][:, None]
        distance = torch.einsum("gsi,gij,gsj->gs", apart, precision[rows, best], apart)
        left = torch.where(distance < _SAME**2, -torch.inf, left)
        kept.append(best)
    return torch.stack(kept, 1)


def _around(
    target: StraightRidge, ends: torch.Tensor, precision: torch.Tensor, generator: torch.Generator
) -> torch.Tensor:
    """Points (G, modes, P, d) in the coordinates of the ridge around ends (G, modes, 11)."""
    shape = (*ends.shape[:2], _POINTS, target.exact.n_free)
    points = torch.randn(shape, generator=generator, device=generator.device)
    eye = torch.eye(N_FREE, dtype=precision.dtype, device=ends.device) / _WIDEST**2
    root, failed = torch.linalg.cholesky_ex(precision + eye)
    root = torch.where(failed[..., None, None] == 0, root, eye.sqrt())
    apart = torch.linalg.solve_triangular(
        root, points[..., :N_FREE].to(root), upper=False, left=False
    )
    points[..., :N_FREE] = ends[..., None, :] + apart.to(points)
    x = target.find(points.flatten(1, 2))[0].reshape(shape)
    # Across the ridge, which bends away from the normal distribution, the posterior is known.
    x[..., 0] = torch.randn(shape[:-1], generator=generator, device=generator.device)
    return x
