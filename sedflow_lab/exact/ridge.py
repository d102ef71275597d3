r"""The mass measured from the best one: coordinates that straighten the ridge of a posterior.

The mass is a factor on the flux, so at any shape of the spectrum (φ1, ..., φ10) the mass that
fits best is known, and so is the likelihood of every other. Particles, walkers and the live
points of nested sampling have the coordinates (u, φ1, ..., φ10), and ζ behind them where the
redshift is uncertain (see `redshift`), with

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
from .profile import FAINT, MassProfile, with_mass
from .scatter import relax, stretch

__all__ = ["IMPOSSIBLE", "MassRidge", "StraightRidge", "possible"]

IMPOSSIBLE = -1e30
"""Log density of what cannot be: finite, so that differences of two are not NaN."""


def possible(log_prob: torch.Tensor) -> torch.Tensor:
    """Log densities, minus infinity where `IMPOSSIBLE`: of no weight, however that is flattened."""
    return torch.where(log_prob > IMPOSSIBLE, log_prob, -torch.inf)


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

    def best_log_mass(self, x: Any) -> Any:
        """Log of the mass that fits best at the other coordinates of points (..., 11)."""
        return self.exact.profile(x).log_mstar

    def from_phi(self, phi: Any) -> Any:
        """Points from free coordinates (..., 11)."""
        return with_mass(phi, (phi[..., 0] - self.best_log_mass(phi)) / self.width)

    def to_phi(self, x: Any) -> Any:
        """Free coordinates of points (..., 11)."""
        return with_mass(x, self.best_log_mass(x) + x[..., 0] * self.width)


class StraightRidge(MassRidge):
    """Log posterior of G galaxies on the ridge of the mass, the burst's time stretched.

    Coordinates in which posteriors are round, and no mode is a spike: see `scatter.stretch`.
    """

    def of(self, x: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """Log density of points of some of the galaxies, by their indices."""
        return StraightRidge(self.exact.select(rows))(x)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Log of prior times likelihood (G, D) at points (G, D, 11)."""
        return self.place(x)[1]

    def place(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """What points (G, D, 11) are in free coordinates.

        Returns
        -------
        phi : tensor, shape (G, D, 11)
        log_prob : tensor, shape (G, D)
            Log of prior times likelihood, as a density of the points.
        log_volume : tensor, shape (G, D)
            What to add to a log density of `phi` to make it one of the points.
        """
        points, log_stretch = relax(x)
        profile = self.exact.profile(points)
        phi = with_mass(points, profile.log_mstar + x[..., 0] * self.width)
        log_volume = log_stretch + torch.log(self.width)
        return phi, self._log_prob(phi, profile, log_volume), log_volume

    def find(self, phi: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Points (G, D, 11) from free coordinates, and what else `place` returns."""
        points, log_stretch = stretch(phi)
        profile = self.exact.profile(phi)
        x = with_mass(points, (phi[..., 0] - profile.log_mstar) / self.width)
        log_volume = log_stretch + torch.log(self.width)
        return x, self._log_prob(phi, profile, log_volume), log_volume

    def _log_prob(
        self, phi: torch.Tensor, profile: MassProfile, log_volume: torch.Tensor
    ) -> torch.Tensor:
        log_prior = self.exact.log_prior(phi)
        log_prob = log_prior + profile.log_likelihood(phi[..., 0]) + log_volume
        return torch.nan_to_num(log_prob, nan=IMPOSSIBLE).clamp_min(IMPOSSIBLE)
