r"""An uncertain redshift: one more coordinate of a point, a standard normal under the prior.

A redshift that was measured as :math:`z_0 \pm \sigma` has a normal prior, cut off at the ends a and
b of the model's range. With the standard normal distribution function Φ it is

.. math:: z(\zeta) = z_0 + \sigma \, \Phi^{-1}\big(A + (B - A) \, \Phi(\zeta)\big), \quad
          A = \Phi\Big(\frac{a - z_0}{\sigma}\Big), \quad B = \Phi\Big(\frac{b - z_0}{\sigma}\Big),

where ζ is a standard normal, as all coordinates but the mass are. It is the last coordinate of a
point, and is there only where a redshift is uncertain: networks draw at the redshift that it gives,
the likelihood has the model's flux there, and what samples points does so in twelve dimensions as
in eleven. The best mass is found at each point's own redshift (see `ridge`), so distance and mass
do not trade places.

One could also infer at many fixed redshifts, and weigh the posteriors by prior times evidence. That
needs no coordinate, but as many runs as there are redshifts, whose spacing must be finer than what
the photometry tells of the redshift, and each evidence with an error of its own.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from .._arrays import like_input, to_tensor
from ..errors import InputError
from ..observations.photometry import Photometry

__all__ = ["REDSHIFT_MIN", "RedshiftPrior", "log_normal"]

REDSHIFT_MIN = 1e-3
"""Lowest redshift of simulations, and of uncertain redshifts; the NSA reaches below 0.004."""

_LIMIT = 7.5  # beyond which double precision cannot tell a level from 0 or 1


class RedshiftPrior:
    """Priors on the redshifts of G galaxies; see the module.

    Parameters
    ----------
    photometry : Photometry
        A redshift below `REDSHIFT_MIN` is the end of its own range.
    highest : float
        Of the model.
    device : str or torch.device

    Attributes
    ----------
    size : int
        Coordinates that points have for it: 1 where any of the galaxies has an uncertain redshift,
        else 0.
    cut : tensor, shape (G,)
        Share of the normal prior that lies beyond the model's range, and is cut off.

    Raises
    ------
    InputError
        If an uncertain redshift is itself beyond the model's range.
    """

    def __init__(
        self, photometry: Photometry, highest: float, device: torch.device | str = "cpu"
    ) -> None:
        mean, sigma = (
            to_tensor(x, torch.float64, device)
            for x in (photometry.redshift, photometry.redshift_sigma)
        )
        beyond = (sigma > 0) & (mean > highest * (1 + 1e-6))
        if beyond.any():
            row = int(torch.nonzero(beyond)[0])
            raise InputError(
                f"Galaxy {str(photometry.ids[row])!r} is at redshift {float(mean[row]):g}, but the "
                f"model ends at {highest:g}: give one that reaches further."
            )
        self.size = int((sigma > 0).any())
        low, high = mean.clamp_max(REDSHIFT_MIN), mean.clamp_min(highest)
        safe = torch.where(sigma > 0, sigma, torch.ones_like(sigma))
        below, above = (torch.special.ndtr((end - mean) / safe) for end in (low, high))
        self.cut = torch.where(sigma > 0, 1 - (above - below), torch.zeros_like(sigma))
        self._columns = torch.stack([mean, sigma, low, high, below, above - below])[..., None]

    def select(self, rows: torch.Tensor) -> RedshiftPrior:
        """The same for some of the galaxies, by their indices."""
        part = object.__new__(RedshiftPrior)
        part.size, part.cut, part._columns = self.size, self.cut[rows], self._columns[:, rows]
        return part

    def redshift(self, zeta: Any) -> Any:
        """Redshifts (G, D) at coordinates (G, D), in double precision; tensors or arrays."""
        mean, sigma, low, high, below, inside = self._columns
        given = to_tensor(zeta, torch.float64, mean.device)
        level = torch.special.ndtr(given.clamp(-_LIMIT, _LIMIT))
        z = mean + sigma * torch.special.ndtri(below + inside * level)
        # Where σ is zero, a level may still be 1, which is infinitely far away.
        found = torch.where(sigma > 0, torch.minimum(torch.maximum(z, low), high), mean)
        return like_input(found, zeta)

    def coordinate(self, redshift: Any) -> Any:
        """Coordinates (G, D) of redshifts (G, D), the inverse; 0 where σ is zero."""
        mean, sigma, low, high, below, inside = self._columns
        safe = torch.where(sigma > 0, sigma, torch.ones_like(sigma))
        given = to_tensor(redshift, torch.float64, mean.device)
        z = torch.minimum(torch.maximum(given, low), high)
        level = (torch.special.ndtr((z - mean) / safe) - below) / inside
        zeta = torch.special.ndtri(level.clamp(0, 1)).clamp(-_LIMIT, _LIMIT)
        return like_input(torch.where(sigma > 0, zeta, torch.zeros_like(zeta)), redshift)

    def draw(self, n: int, generator: torch.Generator) -> torch.Tensor:
        """Coordinates (G, n, size) from the prior: one in each nth part of it, in random order."""
        shape = (self.cut.shape[0], n)
        if not self.size:
            return torch.empty(*shape, 0, device=generator.device)
        kind: dict[str, Any] = {"generator": generator, "device": generator.device}
        within = torch.rand(*shape, dtype=torch.float64, **kind)
        part = torch.rand(*shape, **kind).argsort(1)
        zeta = torch.special.ndtri((part + within) / n).clamp(-_LIMIT, _LIMIT)
        return zeta.float()[..., None]


def log_normal(zeta: Any) -> Any:
    """Log of the standard normal density (...) of coordinates (..., size); 0 for a size of 0."""
    return -0.5 * (zeta * zeta).sum(-1) - 0.5 * zeta.shape[-1] * math.log(2 * math.pi)
