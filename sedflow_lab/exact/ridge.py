r"""The mass measured from the best one: coordinates that straighten the ridge of a posterior.

The mass is a factor on the flux, so at any shape of the spectrum (φ1, ..., φ10) the mass that
fits best is known, and so is the likelihood of every other. Particles, walkers and the live
points of nested sampling have the coordinates (u, φ1, ..., φ10) with

.. math:: u = (\log M_* - \log \hat M(\phi_{1 \ldots 10})) / w,

in which the narrow bent ridge along which mass and mass-to-light ratio trade places is a straight
one, and with the right w a round one. The volume element is the same up to w: u is shifted by a
function of the others.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from .likelihood import LogPosterior
from .profile import FAINT, with_mass

__all__ = ["MassRidge"]

_NOTHING = -1e30  # log density of what is impossible


class MassRidge:
    r"""Log posterior of G galaxies in the coordinates (u, φ1, ..., φ10).

    The width of the ridge is the error of the mass where all else is known,

    .. math:: w = 1 / (\ln(10) \, S), \qquad S^2 = \sum_X (f_X / \sigma_X)^2.

    Parameters
    ----------
    exact : LogPosterior
    """

    width: Any
    """Of the ridge, in log mass: a tensor (G, 1), or one number."""

    def __init__(self, exact: LogPosterior) -> None:
        self.exact = exact
        # Where the flux is lost in the noise, the mass is free over some dex, not more.
        signal = exact.signal_to_noise.clamp_min(FAINT)
        self.width = (1.0 / (math.log(10) * signal))[:, None]

    def of(self, x: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """Log density of points of some of the galaxies, by their indices."""
        return MassRidge(self.exact.select(rows))(x)

    def __call__(self, x: Any) -> Any:
        """Log of prior times likelihood (G, D) at points (G, D, 11)."""
        profile = self.exact.profile(x)
        mass = profile.log_mstar + x[..., 0] * self.width
        log_prior = self.exact.prior.log_prob_free(with_mass(x, mass))
        log_prob = log_prior + profile.log_likelihood(mass) + torch.log(self.width)
        # A finite floor, so that differences of what is impossible are not NaN.
        return torch.nan_to_num(log_prob, nan=_NOTHING).clamp_min(_NOTHING)

    def best_log_mass(self, x: Any) -> Any:
        """Log of the mass that fits best at the other coordinates of points (..., 11)."""
        return self.exact.profile(x).log_mstar

    def from_phi(self, phi: Any) -> Any:
        """Points from free coordinates (..., 11)."""
        return with_mass(phi, (phi[..., 0] - self.best_log_mass(phi)) / self.width)

    def to_phi(self, x: Any) -> Any:
        """Free coordinates of points (..., 11)."""
        return with_mass(x, self.best_log_mass(x) + x[..., 0] * self.width)
