r"""Points that owe nothing to a network: the prior, stretched where it hides modes.

Bursts younger than 20 Myr are 0.1 % of the prior, yet own the posterior of one blue galaxy in
ten: in probits they are a spike at -3. So the burst's lookback time t gets the coordinate

.. math:: v = \Phi^{-1}\left(\tfrac12 \frac{t - a}{b - a} + \tfrac12 \frac{\ln(t / a)}{\ln(b / a)}
          \right), \qquad a \le t \le b,

a standard normal where one half of the times is uniform, as under the prior, and the other half
uniform in the logarithm. Scattered points are standard normal in v and in the other probits, and
have a Student-t for the mass offset u of `ridge`, whose posterior is close to a standard normal;
a few lie far out, where the mass is if it was measured by bands that are bad.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from ..parameters import FREE_NAMES, N_FREE, weigh_young_bursts
from ..quantities import QUANTITIES

__all__ = ["FAR_SCALE", "is_young", "log_density", "relax", "scatter", "stretch"]

_YOUNG = 0.5  # share of times that are uniform in the logarithm
_FREEDOM, _SCALE = 5, 1.3  # of the Student-t of u: wider than the normal that it is to cover
_FAR, FAR_SCALE = 0.05, 50.0  # share and scale of those with another, of one degree of freedom
_STEPS = 9  # of Newton's, from the worst start to the last digit of single precision
_BURST = FREE_NAMES.index("tburst")
_TIME = QUANTITIES["tburst"]
_LOG_RANGE = math.log(_TIME.high / _TIME.low)
_YOUNG_BELOW = -1.2  # in the stretched coordinate: 50 Myr
_LIMIT = 7.5  # beyond which double precision cannot tell a level from 0 or 1


def stretch(phi: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Stretched coordinates from points (..., 11) whose burst is a probit.

    Returns
    -------
    x : tensor, shape (..., 11)
    log_density : tensor, shape (...)
        What to add to a log density of `phi` to make it one of `x`.
    """
    level = torch.special.ndtr(phi[..., _BURST].double())
    age = torch.log1p(level * (_TIME.high / _TIME.low - 1)) / _LOG_RANGE
    v = torch.special.ndtri((1 - _YOUNG) * level + _YOUNG * age).clamp(-_LIMIT, _LIMIT)
    return _with_burst(phi, v), _log_stretch(phi, v)


def relax(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The inverse of `stretch`, with the same second tensor."""
    v = x[..., _BURST].double()
    level = torch.special.ndtr(v.clamp(-_LIMIT, _LIMIT))
    # The level is convex in the log of the age: from above, Newton's steps only come closer.
    ratio = _TIME.high / _TIME.low - 1
    age = (level / _YOUNG).clamp_max(1.0)
    for _ in range(_STEPS):
        power = torch.expm1(age * _LOG_RANGE)
        slope = _YOUNG + (1 - _YOUNG) * _LOG_RANGE * (1 + power) / ratio
        age = age - (_YOUNG * age + (1 - _YOUNG) * power / ratio - level) / slope
    uniform = torch.expm1(age * _LOG_RANGE) / ratio
    phi = _with_burst(x, torch.special.ndtri(uniform).clamp(-_LIMIT, _LIMIT))
    return phi, _log_stretch(phi, v)


def scatter(
    n_galaxies: int, n: int, generator: torch.Generator, size: int = N_FREE
) -> torch.Tensor:
    """Scattered points (G, n, size), with the mass offset u and a stretched burst."""
    kind: dict[str, Any] = {"generator": generator, "device": generator.device}
    points = torch.randn(n_galaxies, n, size, **kind)
    squares = torch.randn(n_galaxies, n, _FREEDOM, **kind).square()
    near = _SCALE * torch.sqrt(_FREEDOM / squares.sum(-1))
    far = torch.rand(n_galaxies, n, **kind) < _FAR
    points[..., 0] *= torch.where(far, FAR_SCALE / squares[..., 0].sqrt(), near)
    return points


def is_young(x: torch.Tensor) -> torch.Tensor:
    """Whether bursts of points (..., 11), with a stretched burst, are young: a mode of its own."""
    return x[..., _BURST] < _YOUNG_BELOW


def log_density(x: torch.Tensor) -> torch.Tensor:
    """Log of the density (...) of scattered points at points (..., size)."""
    near, far = (
        math.log(share) + _log_student(x[..., 0] / scale, freedom) - math.log(scale)
        for share, freedom, scale in ((1 - _FAR, _FREEDOM, _SCALE), (_FAR, 1, FAR_SCALE))
    )
    normal = x[..., 1:].square().sum(-1) + (x.shape[-1] - 1) * math.log(2 * math.pi)
    return torch.logaddexp(near, far) - 0.5 * normal


def _log_student(x: torch.Tensor, freedom: int) -> torch.Tensor:
    half = 0.5 * (freedom + 1)
    norm = math.lgamma(half) - math.lgamma(0.5 * freedom) - 0.5 * math.log(freedom * math.pi)
    return norm - half * torch.log1p(x.square() / freedom)


def _with_burst(points: torch.Tensor, burst: torch.Tensor) -> torch.Tensor:
    changed = points.clone()
    changed[..., _BURST] = burst.to(points)
    return changed


def _log_stretch(phi: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """Log of dφ/dv: both are standard normal under their densities, whose ratio is known."""
    apart = 0.5 * (phi[..., _BURST].square() - v.square())
    return (apart + torch.log(weigh_young_bursts(phi, _YOUNG))).to(phi)
