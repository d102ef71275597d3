r"""The 12 parameters of the PROVABGS model, their priors, and the 11 free coordinates.

Twelve numbers are reported but only eleven are free, because the four weights of the
star-formation-history bases sum to one. The free coordinates are

.. math:: \phi = (\log M_*, \Phi^{-1}(u_1), \ldots, \Phi^{-1}(u_{10})),

where each :math:`u_k \sim U(0, 1)` under the prior and :math:`\Phi` is the standard normal
distribution function. In them the prior is uniform in the mass and a standard normal in all
else: nothing can leak out of it, and samplers and flows meet an easy space.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

from ._arrays import ArrayLike, like_input, to_tensor
from .errors import InputError
from .quantities import NAMES, PARAMETERS, QUANTITIES

__all__ = [
    "FREE_NAMES",
    "NAMES",
    "N_FREE",
    "N_THETA",
    "PARAMETERS",
    "PRIORS",
    "Parameters",
    "Prior",
    "add_young_bursts",
    "get_prior",
    "split",
    "weigh_young_bursts",
]


FREE_NAMES: tuple[str, ...] = ("log_mstar", "stick1", "stick2", "stick3", *NAMES[5:])
N_THETA = len(NAMES)
N_FREE = len(FREE_NAMES)


class Parameters(NamedTuple):
    """Views of reported parameters (..., 12): beta (..., 4), log_gamma (..., 2), others (...)."""

    log_mstar: Any
    beta: Any
    fburst: Any
    tburst: Any
    log_gamma: Any
    tau_bc: Any
    tau_ism: Any
    n_dust: Any


def split(theta: Any) -> Parameters:
    """Name the parameters of an array or tensor (..., 12), without copying."""
    return Parameters(*(theta[..., k] for k in (0, slice(1, 5), 5, 6, slice(7, 9), 9, 10, 11)))


PRIORS: dict[str, tuple[float, float, float]] = {
    "flat-dirichlet": (3.0, 2.0, 1.0),
    "stick-breaking": (1.0, 1.0, 1.0),
}
"""Named priors on the SFH weights: what is left of the stick after each break is u^(1/power)."""

# Probits beyond this carry 1e-15 of the prior; beyond it float64 cannot tell u from 0 or 1.
_PROBIT_LIMIT = 8.0
_BURST = FREE_NAMES.index("tburst")
_BOX = slice(5, 12)


@dataclass(frozen=True)
class Prior:
    """A prior of the PROVABGS model in reported and in free coordinates.

    The SFH weights are made by breaking a stick of unit length: the k-th break leaves the
    fraction :math:`(1 - u_k)^{1/p_k}` of what there was. Powers (3, 2, 1) make a flat
    Dirichlet distribution (mean 1/4 each); powers (1, 1, 1) are what the published PROVABGS
    and SEDflow code draws (means 1/2, 1/4, 1/8, 1/8).

    Parameters
    ----------
    name : str
    powers : tuple of float
        The three powers :math:`p_k`.

    References
    ----------
    Hahn et al. 2022, arXiv:2202.01809, table 1.
    """

    name: str
    powers: tuple[float, float, float]

    def from_free(self, phi: Any) -> Any:
        """Reported parameters (..., 12) from free coordinates (..., 11)."""
        x = _checked(phi, N_FREE, "free coordinates")
        powers = x.new_tensor(self.powers)
        # log(1 - u) = log Phi(-phi) keeps its digits where u is close to 1.
        log_left = torch.special.log_ndtr(-x[..., 1:4]) / powers
        broken = -torch.expm1(log_left)
        left = torch.cumsum(log_left, dim=-1).exp()
        before = torch.cat([torch.ones_like(left[..., :1]), left[..., :2]], dim=-1)
        low, high = _limits(x, _BOX)
        box = low + (high - low) * torch.special.ndtr(x[..., 4:])
        theta = torch.cat([x[..., :1], before * broken, left[..., 2:], box], dim=-1)
        return like_input(theta, phi)

    def to_free(self, theta: Any) -> Any:
        """Free coordinates (..., 11) from reported parameters (..., 12), inverse of `from_free`.

        Parameters on an edge of the prior map to probits of ±8, beyond which lies 1e-15 of the
        prior: they come back to within 1e-14 of their range, SFH weights to within 1e-5.

        Raises
        ------
        InputError
            If a parameter is outside its prior or the SFH weights do not sum to one.
        """
        t = _checked(theta, N_THETA, "parameters")
        _check_inside(t)
        beta = split(t).beta
        # What is left of the stick, summed from the far end: no cancellation for small rests.
        left = beta.flip(-1).cumsum(-1).flip(-1)
        ratio = left[..., 1:] / left[..., :3].clamp_min(torch.finfo(t.dtype).tiny)
        powers = t.new_tensor(self.powers)
        sticks = -_probit(ratio.clamp(0.0, 1.0) ** powers, 1 - ratio.clamp(0.0, 1.0) ** powers)
        low, high = _limits(t, _BOX)
        box = t[..., _BOX]
        probits = _probit((box - low) / (high - low), (high - box) / (high - low))
        return like_input(torch.cat([t[..., :1], sticks, probits], dim=-1), theta)

    def log_prob_free(self, phi: Any) -> Any:
        """Normalised log prior density (...) in the free coordinates (..., 11).

        Minus infinity where log M* is outside its limits.
        """
        x = _checked(phi, N_FREE, "free coordinates")
        mass = PARAMETERS[0]
        normal = -0.5 * (x[..., 1:].square().sum(-1) + (N_FREE - 1) * math.log(2 * math.pi))
        inside = (x[..., 0] >= mass.low) & (x[..., 0] <= mass.high)
        log_prob = normal - math.log(mass.high - mass.low)
        return like_input(torch.where(inside, log_prob, -torch.inf), phi)

    def log_abs_det_jacobian(self, phi: Any) -> Any:
        r"""Log of :math:`|\partial\theta/\partial\phi|` (...), at φ (..., 11), without β4 in θ."""
        x = _checked(phi, N_FREE, "free coordinates")
        log_normal = -0.5 * (x[..., 1:].square() + math.log(2 * math.pi))
        log_survival = torch.special.log_ndtr(-x[..., 1:4])
        powers = x.new_tensor(self.powers)
        # v = 1 - (1 - u)^(1/p): dv/dphi = (1 - u)^(1/p - 1) N(phi) / p; the k-th weight is v_k
        # times the stick before it, and the matrix of derivatives is triangular.
        log_break = (1 / powers - 1) * log_survival - torch.log(powers)
        log_left = log_survival / powers
        log_stick = 2 * log_left[..., 0] + log_left[..., 1]
        low, high = _limits(x, _BOX)
        log_range = torch.log(high - low).sum()
        total = log_normal.sum(-1) + log_break.sum(-1) + log_stick + log_range
        return like_input(total, phi)

    def log_prob(self, theta: Any) -> Any:
        """Normalised log prior density (...) in the reported parameters (..., 12) without β4.

        Minus infinity outside the prior.
        """
        t = _checked(theta, N_THETA, "parameters")
        inside = _inside(t)
        low, high = _limits(t, slice(0, 12))
        width = torch.log(high - low)
        log_prob = torch.full_like(t[..., 0], -float(width[0] + width[_BOX].sum()))
        beta = torch.where(inside[..., None], split(t).beta, 0.25)
        left = beta.flip(-1).cumsum(-1).flip(-1)
        p1, p2, p3 = self.powers
        # With L_k the stick left before break k, p(beta) = prod_k p_k (L_{k+1}/L_k)^(p_k-1) / L_k;
        # collecting powers of each L leaves a constant for (3, 2, 1), as a flat Dirichlet must.
        exponents = t.new_tensor([-p1, p1 - 1 - p2, p2 - 1 - p3, p3 - 1])
        # A zero exponent takes the term out even where the stick has no length left.
        terms = torch.where(exponents == 0, torch.zeros_like(left), exponents * torch.log(left))
        log_prob = log_prob + math.log(p1 * p2 * p3) + terms.sum(-1)
        return like_input(torch.where(inside, log_prob, -torch.inf), theta)

    def sample_free(self, n: int, generator: torch.Generator | None = None) -> torch.Tensor:
        """Draw free coordinates from the prior: float32 tensor of shape (n, 11)."""
        device = generator.device if generator is not None else None
        phi = torch.randn(n, N_FREE, generator=generator, device=device)
        mass = PARAMETERS[0]
        uniform = torch.rand(n, generator=generator, device=device)
        phi[:, 0] = mass.low + (mass.high - mass.low) * uniform
        return phi

    def sample(self, n: int, seed: int | None = 0) -> Any:
        """Draw reported parameters from the prior: float64 array of shape (n, 12)."""
        generator = torch.Generator()
        generator.manual_seed(generator.seed() if seed is None else seed)
        return self.from_free(self.sample_free(n, generator).double().numpy())


def add_young_bursts(
    phi: torch.Tensor, share: float, generator: torch.Generator | None = None
) -> torch.Tensor:
    """Draws (n, 11) of the prior, a share of them with bursts uniform in the log of their age."""
    burst = QUANTITIES["tburst"]
    chosen, power = torch.rand(2, len(phi), generator=generator, device=phi.device).double()
    age = burst.low * (burst.high / burst.low) ** power
    level = ((age - burst.low) / (burst.high - burst.low)).clamp(1e-12, 1 - 1e-12)
    changed = phi.clone()
    changed[:, _BURST] = torch.where(
        chosen < share, torch.special.ndtri(level).to(phi), phi[:, _BURST]
    )
    return changed


def weigh_young_bursts(phi: torch.Tensor, share: float) -> torch.Tensor:
    r"""Weights (...) that make draws (..., 11) of the prior of those with young bursts added.

    Bursts younger than 20 Myr are 0.1 % of the prior and yet own the posterior of one blue galaxy
    in ten. With a share s of lookback times t that are uniform in ln t between the prior's limits
    a and b, the ratio of prior and proposal,

    .. math:: w = \left[1 - s + \frac{s (b - a)}{t \ln(b / a)}\right]^{-1},

    is bounded by 1 / (1 - s) and has mean 1 under the proposal.
    """
    burst = QUANTITIES["tburst"]
    span = burst.high - burst.low
    age = burst.low + span * torch.special.ndtr(phi[..., _BURST])
    logarithmic = span / (age * math.log(burst.high / burst.low))
    return 1 / (1 - share + share * logarithmic)


def get_prior(name: str | Prior = "flat-dirichlet") -> Prior:
    """Return a prior by name.

    Raises
    ------
    InputError
        If there is no prior of that name.
    """
    if isinstance(name, Prior):
        return name
    if name not in PRIORS:
        raise InputError(f"There is no prior {name!r}: choose one of {', '.join(PRIORS)}.")
    return Prior(name, PRIORS[name])


def _checked(array: ArrayLike, size: int, what: str) -> torch.Tensor:
    tensor = to_tensor(array)
    if tensor.ndim == 0 or tensor.shape[-1] != size:
        raise InputError(
            f"The {what} need {size} values on the last axis, but the array has shape "
            f"{tuple(tensor.shape)}."
        )
    return tensor


def _limits(like: torch.Tensor, which: slice) -> tuple[torch.Tensor, torch.Tensor]:
    low, high = zip(*((p.low, p.high) for p in PARAMETERS[which]), strict=True)
    return like.new_tensor(low), like.new_tensor(high)


def _inside(theta: torch.Tensor) -> torch.Tensor:
    # Room for the rounding of values that were stored in single precision.
    low, high = _limits(theta, slice(0, 12))
    room = 1e-5 * (high - low)
    box = ((theta >= low - room) & (theta <= high + room)).all(-1)
    return box & ((split(theta).beta.sum(-1) - 1).abs() < 1e-4)


def _check_inside(theta: torch.Tensor) -> None:
    bad = ~_inside(theta)
    if not bad.any():
        return
    row = int(torch.nonzero(bad.reshape(-1))[0])
    values = theta.reshape(-1, N_THETA)[row]
    for value, parameter in zip(values.tolist(), PARAMETERS, strict=True):
        if not parameter.low - 1e-5 <= value <= parameter.high + 1e-5:
            raise InputError(
                f"Row {row}: {parameter.name} = {value:g} is outside its prior "
                f"[{parameter.low:g}, {parameter.high:g}]."
            )
    total = float(split(values).beta.sum())
    raise InputError(f"Row {row}: beta1..beta4 sum to {total:g}, but they must sum to 1.")


def _probit(u: torch.Tensor, complement: torch.Tensor) -> torch.Tensor:
    """Probit of `u` from whichever of u and 1 - u is small, so that neither tail loses digits."""
    lower = torch.special.ndtri(u.clamp(0.0, 0.5))
    upper = -torch.special.ndtri(complement.clamp(0.0, 0.5))
    return torch.where(u < 0.5, lower, upper).clamp(-_PROBIT_LIMIT, _PROBIT_LIMIT)
