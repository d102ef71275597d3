"""Mixtures of Gaussians in the bands that were observed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Mixture", "gauss", "log_sum_exp", "rounded"]


@dataclass(frozen=True)
class Mixture:
    """A mixture of K Gaussians in D dimensions.

    Attributes
    ----------
    weights : ndarray, shape (K,)
    means : ndarray, shape (K, D)
    covariances : ndarray, shape (K, D, D)
    """

    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray

    @classmethod
    def fit(cls, x: np.ndarray, components: int, seed: int = 0) -> Mixture:
        """Fit by expectation maximisation to points (N, D)."""
        from sklearn.mixture import GaussianMixture

        found = GaussianMixture(
            components, reg_covar=1e-6, tol=1e-3, max_iter=200, random_state=seed
        ).fit(x)
        return cls(found.weights_, found.means_, found.covariances_)

    def given_last(self, value: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Log weights (N, K), means (N, K, D-1) and covariances (K, D-1, D-1) given the last."""
        mean, cov = self.means, self.covariances
        variance = cov[:, -1, -1]
        gain = cov[:, :-1, -1] / variance[:, None]
        offset = value[:, None] - mean[:, -1]
        log_weight = np.log(self.weights) - 0.5 * (np.log(variance) + offset**2 / variance)
        means = mean[:, :-1] + gain * offset[..., None]
        return log_weight, means, cov[:, :-1, :-1] - gain[..., None] * cov[:, -1:, :-1]

    def to_dict(self) -> dict[str, Any]:
        """JSON-able values, to seven digits."""
        return {k: rounded(v) for k, v in vars(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Mixture:
        """Inverse of `to_dict`; a ValueError if the values are not those of a mixture."""
        names = ("weights", "means", "covariances")
        weights, means, covariances = (np.asarray(values[n], dtype=np.float64) for n in names)
        k, d = means.shape
        if weights.shape != (k,) or covariances.shape != (k, d, d) or not (weights > 0).all():
            raise ValueError("weights, means and covariances of a mixture do not fit together")
        if not np.isfinite(means).all() or not np.isfinite(covariances).all():
            raise ValueError("a mixture has numbers that are not finite")
        np.linalg.cholesky(covariances)  # an error where they are no covariances
        return cls(weights, means, covariances)


def gauss(
    covariance: np.ndarray, diagonal: np.ndarray, residual: np.ndarray, mask: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Log determinants and χ² (N, K) of Gaussians in the observed bands.

    What is missing gets no covariance but its place on the diagonal (N, K, B), which is 1.
    """
    both = mask[:, None, :, None] & mask[:, None, None, :]
    full = np.where(both, covariance, 0.0)
    index = np.arange(mask.shape[1])
    full[..., index, index] += diagonal
    low = np.linalg.cholesky(full)
    white = np.linalg.solve(low, residual[..., None])[..., 0]
    log_det = 2 * np.log(np.diagonal(low, axis1=-2, axis2=-1)).sum(-1)
    return log_det, np.square(white).sum(-1)


def log_sum_exp(x: np.ndarray) -> np.ndarray:
    """Log of the sum of exponentials along the second axis."""
    top = x.max(1, keepdims=True)
    return (top + np.log(np.exp(x - top).sum(1, keepdims=True)))[:, 0]


def rounded(values: np.ndarray) -> list[Any]:
    """Nested lists of numbers with seven digits, for JSON."""
    return np.vectorize(lambda v: float(f"{v:.7g}"))(values).tolist()
