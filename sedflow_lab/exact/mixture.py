r"""Mixtures of multivariate Student-t distributions, fitted to weighted points of many galaxies.

.. math:: g(x) = \sum_k w_k \, t_\nu(x; m_k, S_k)

Expectation maximisation finds a Gaussian mixture; its components then get heavy tails, so that
the density does not fall off faster than a posterior would. scikit-learn's mixtures take neither
weights nor a batch of galaxies; where a chain must be resumed exactly and has neither,
`samplers.moves.FittedProposal` fits with them.

References
----------
Dempster, Laird & Rubin 1977, J. R. Stat. Soc. B 39, 1; Cappé et al. 2008, Stat. Comput. 18, 447
(mixtures as importance densities).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

__all__ = ["StudentMixture"]

_FREEDOM = 6.0
_INFLATION = 1.15  # of the variance
_ROUNDS = 12
_RIDGE = 0.03  # of the whole variance, added to that of each component
_LEAST_RIDGE = 1e-9  # of the whole, a width
_LARGEST_RIDGE, _SHRINKAGE = 0.01, 0.01  # of a coordinate's own variance
_ROUNDING = 256  # times which a width is more than the last digit of its coordinate
_FARTHEST = 1e4  # standard deviations of a point that has any weight


@dataclass(frozen=True)
class StudentMixture:
    """Student-t mixtures of G galaxies, K components each, in d dimensions.

    Attributes
    ----------
    weights : tensor, shape (G, K)
    means : tensor, shape (G, K, d)
    roots : tensor, shape (G, K, d, d)
        Lower Cholesky factors of the scale matrices.
    """

    weights: torch.Tensor
    means: torch.Tensor
    roots: torch.Tensor

    @cached_property
    def _whitening(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Inverse roots below each other (G, K d, d), whitened means (G, K d, 1), log factors."""
        n, k, size = self.means.shape
        inverse = torch.linalg.inv(self.roots)
        shift = (inverse @ self.means[..., None])[..., 0]
        log_det = torch.diagonal(self.roots, dim1=-2, dim2=-1).log().sum(-1)
        log_factor = torch.log(self.weights) - log_det + _log_norm(size)
        return inverse.reshape(n, k * size, size), shift.reshape(n, -1, 1), log_factor[..., None]

    @classmethod
    def fit(
        cls,
        points: torch.Tensor,
        weights: torch.Tensor,
        generator: torch.Generator,
        components: int = 8,
    ) -> StudentMixture:
        """Fit to weighted points, however degenerate: copies, a plane, fewer than coordinates.

        Parameters
        ----------
        points : tensor, shape (G, N, d)
        weights : tensor, shape (G, N)
            Not negative, with the sum 1 for each galaxy.
        generator : torch.Generator
            Picks the points around which the components begin.
        components : int
            As many as there are points at most.

        Returns
        -------
        StudentMixture
        """
        size = points.shape[-1]
        eye = torch.eye(size, dtype=points.dtype, device=points.device)
        centre = (weights[..., None] * points).sum(1, keepdim=True)
        apart = points - centre
        whole = torch.einsum("gni,gnj->gij", apart * weights[..., None], apart)
        root = _root(whole, centre[:, 0])
        white = torch.linalg.solve_triangular(root, apart.mT, upper=False).mT
        white = white.clamp(-_FARTHEST, _FARTHEST)

        # Densities and moments are linear in the products of coordinates: an iteration is two
        # products of matrices.
        i, j = torch.triu_indices(size, size, device=points.device)
        products = white[..., i] * white[..., j]
        terms = torch.cat([torch.ones_like(white[..., :1]), white, products], -1)
        across = terms.mT.contiguous()  # sums over a dozen neighbours in memory are slow
        factor = torch.where(i == j, -0.5, -1.0)

        components = min(components, points.shape[1])
        seeds = torch.multinomial(weights.clamp_min(1e-12), components, generator=generator)
        means = white.gather(1, seeds[..., None].expand(-1, -1, size))
        roots = (0.7 * eye).expand(*means.shape, size)
        share = torch.full_like(means[..., 0], 1.0 / components)
        for _ in range(_ROUNDS):
            inverse = torch.linalg.inv(roots)
            precision = inverse.mT @ inverse
            slope = (precision @ means[..., None])[..., 0]
            log_det = torch.diagonal(roots, dim1=-2, dim2=-1).log().sum(-1)
            level = torch.log(share) - log_det - 0.5 * (slope * means).sum(-1)
            form = torch.cat([level[..., None], slope, factor * precision[..., i, j]], -1)
            belongs = torch.softmax(form @ across, 1) * weights[:, None]
            count, total, squares = (belongs @ terms).split([1, size, len(i)], -1)
            count = count.clamp_min(1e-8)
            share = (count / count.sum(1, keepdim=True))[..., 0]
            means = total / count
            outer = torch.empty_like(roots)
            outer[..., i, j] = outer[..., j, i] = squares / count
            outer = outer - means[..., :, None] * means[..., None, :]
            roots, _ = torch.linalg.cholesky_ex(outer + _RIDGE * eye)
            # Far from the centre rounding may leave no covariance: that of all points does then.
            sound = torch.diagonal(roots, dim1=-2, dim2=-1).amin(-1) > 0.5 * math.sqrt(_RIDGE)
            roots = torch.where(sound[..., None, None], roots, eye)
        return cls(
            share,
            centre + torch.einsum("gij,gkj->gki", root, means),
            math.sqrt(_INFLATION) * root[:, None] @ roots,
        )

    def add(self, other: StudentMixture, weight: float | torch.Tensor) -> StudentMixture:
        """The mixture with the components of another that gets a share `weight`, or one each."""
        share = self.weights.new_tensor(weight) if isinstance(weight, float) else weight[:, None]
        return StudentMixture(
            torch.cat([(1 - share) * self.weights, share * other.weights], 1),
            torch.cat([self.means, other.means], 1),
            torch.cat([self.roots, other.roots], 1),
        )

    def select(self, rows: torch.Tensor) -> StudentMixture:
        """The mixtures of some of the galaxies, by their indices."""
        return StudentMixture(self.weights[rows], self.means[rows], self.roots[rows])

    def sample(self, n: int, generator: torch.Generator) -> torch.Tensor:
        """Draw points, shape (G, n, d)."""
        which = torch.multinomial(self.weights, n, replacement=True, generator=generator)
        shape = (*which.shape, self.means.shape[-1])
        kind: dict[str, Any] = {
            "generator": generator,
            "dtype": self.means.dtype,
            "device": self.means.device,
        }
        normal = torch.randn(shape, **kind)
        # χ² with an even number of degrees of freedom is a sum of exponentials.
        uniform = torch.rand(*which.shape, int(_FREEDOM) // 2, **kind).clamp_min(1e-12)
        normal = normal * torch.sqrt(_FREEDOM / (-2 * uniform.log().sum(-1)))[..., None]
        rows = torch.arange(len(which), device=which.device)[:, None]
        return self.means[rows, which] + torch.einsum(
            "gnij,gnj->gni", self.roots[rows, which], normal
        )

    def log_prob(self, x: torch.Tensor) -> torch.Tensor:
        """Log density of points (G, n, d), shape (G, n)."""
        n, k, size = self.means.shape
        inverse, shift, log_factor = self._whitening
        # Points come last: sums over a dozen neighbours in memory are slow.
        square = (inverse @ x.mT - shift).square_().reshape(n, k, size, -1).sum(2)
        tail = torch.log1p(square / _FREEDOM) * (0.5 * (_FREEDOM + size))
        return torch.logsumexp(log_factor - tail, 1)


def _root(whole: torch.Tensor, centre: torch.Tensor) -> torch.Tensor:
    """Lower Cholesky factors of covariances (G, d, d) around centres (G, d), with a ridge.

    It keeps them defined should the points lie in a plane, and leaves no coordinate narrower than
    its rounding; where rounding has spoilt a covariance, correlations are shrunk by one per cent.
    """
    own = torch.diagonal(whole, dim1=-2, dim2=-1)
    ridge = 1e-6 * own.mean(-1, keepdim=True).clamp_min(1e-12)
    ridge = torch.minimum(ridge, _LARGEST_RIDGE * own).clamp_min(_LEAST_RIDGE**2)
    digit = _ROUNDING * torch.finfo(whole.dtype).eps * centre
    ridge = torch.maximum(ridge, digit.square())
    root, info = torch.linalg.cholesky_ex(whole + torch.diag_embed(ridge))
    shrunk = whole + torch.diag_embed(ridge + _SHRINKAGE * own)
    return torch.where((info > 0)[:, None, None], torch.linalg.cholesky_ex(shrunk)[0], root)


def _log_norm(size: int) -> float:
    """Log of the factor before a Student-t density in so many dimensions."""
    half = 0.5 * _FREEDOM
    norm = math.lgamma(half + 0.5 * size) - math.lgamma(half)
    return norm - 0.5 * size * math.log(_FREEDOM * math.pi)
