r"""Points that owe nothing to a network: scattered over the prior, its rare corners included.

Importance weights cannot see a mode that the proposal never draws. So some points come from a
density that is known, wide, and everywhere: the prior, at the mass that fits best, with young
bursts made common. Bursts younger than 20 Myr are 0.1 % of the prior and yet own the posterior
of one blue galaxy in ten; with the logarithm of their age drawn uniformly for every second point,
each factor of two in age gets as many.

In the coordinates of `ridge.MassRidge` the density is

.. math:: d(x) = \tfrac12\left[1 + \frac{p_{\log}(t)}{p(t)}\right]
          \prod_{k \ge 1} \mathcal N(x_k)\; t_5(x_0 / s) / s.
"""

from __future__ import annotations

import math

import torch

from ..parameters import FREE_NAMES, N_FREE
from ..quantities import QUANTITIES

__all__ = ["log_density", "scatter"]

_BURST = FREE_NAMES.index("tburst")
_YOUNGEST, _OLDEST = QUANTITIES["tburst"].low, QUANTITIES["tburst"].high
_FREEDOM, _WIDTH = 5.0, 1.3  # of the Student t of the mass about its best, in its errors
_LOG_NORM = (
    math.lgamma(0.5 * (_FREEDOM + 1))
    - math.lgamma(0.5 * _FREEDOM)
    - 0.5 * math.log(_FREEDOM * math.pi)
    - math.log(_WIDTH)
)


def scatter(galaxies: int, points: int, generator: torch.Generator) -> torch.Tensor:
    """Draw points (galaxies, points, 11) in the coordinates of the mass ridge."""
    x = torch.randn(galaxies, points, N_FREE, generator=generator, device=generator.device)
    uniform = torch.rand(galaxies, points // 2, generator=generator, device=generator.device)
    age = _YOUNGEST * (_OLDEST / _YOUNGEST) ** uniform.double()
    level = ((age - _YOUNGEST) / (_OLDEST - _YOUNGEST)).clamp(1e-12, 1 - 1e-12)
    x[:, : 2 * (points // 2) : 2, _BURST] = torch.special.ndtri(level).to(x)
    # A normal over the root of a scaled chi-squared: five degrees of freedom, five normals.
    normals = torch.randn(galaxies, points, int(_FREEDOM), generator=generator, device=x.device)
    x[..., 0] *= _WIDTH * (normals.square().mean(-1)).rsqrt()
    return x


def log_density(x: torch.Tensor) -> torch.Tensor:
    """Normalised log density (...) of `scatter` at points (..., 11)."""
    age = _YOUNGEST + (_OLDEST - _YOUNGEST) * torch.special.ndtr(x[..., _BURST])
    logarithmic = (_OLDEST - _YOUNGEST) / (age * math.log(_OLDEST / _YOUNGEST))
    normal = -0.5 * (x[..., 1:].square().sum(-1) + (N_FREE - 1) * math.log(2 * math.pi))
    tail = torch.log1p((x[..., 0] / _WIDTH).square() / _FREEDOM) * (0.5 * (_FREEDOM + 1))
    return torch.log(0.5 * (1 + logarithmic)) + normal + _LOG_NORM - tail
