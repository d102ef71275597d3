r"""The best fit: the smallest chi-squared or the mode, by batched Levenberg-Marquardt.

In the free coordinates φ the prior is a standard normal in all but the mass, so both searches
are nonlinear least squares: the residuals of the bands, and for the mode the probits too,

.. math:: \min_\phi \; \sum_X \left(\frac{f_X(\phi) - \hat f_X}{\sigma_X}\right)^2
          \left[ + \sum_{k \ge 1} \phi_k^2 \right].
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from tqdm.auto import tqdm

from ..errors import InputError
from ..observations.photometry import Photometry
from ..parameters import FREE_NAMES, N_FREE, N_THETA, PARAMETERS, Prior, split
from ..quantities import QUANTITIES
from ..sps import SEDModel
from .likelihood import LogPosterior

__all__ = ["BestFit", "Search", "best_fit"]

_GROUP = 256  # galaxies at a time
_SCREENED = 2048  # points tried for each galaxy, of which the best become starting points
# Times of the burst [Gyr] that part the starting points: the deepest minima lie on either side
# of the edge of birth clouds, which no gradient crosses, and few draws of the prior are young.
_BURST_EDGES = (0.03, 0.1, 0.3, 1.0, 2.0, 4.0, 8.0)
_FAINTEST_BURST = 0.003
_LONGEST = 1.5  # a step's limit in every coordinate: probits, or dex of mass
_PROBIT_LIMIT = 6.0
_CONVERGED = 1e-3  # change of the objective


@dataclass(frozen=True)
class BestFit:
    """Best-fitting parameters of G galaxies, each from S starting points.

    Attributes
    ----------
    theta : ndarray, shape (G, 12)
        Parameters of the best end point.
    chi2 : ndarray, shape (G,)
        Their chi-squared.
    starts : ndarray, shape (G, S, 12)
        Where the searches started.
    ends : ndarray, shape (G, S, 12)
        Where they ended, the best first: good starting points for walkers.
    ends_chi2 : ndarray, shape (G, S)
    """

    theta: np.ndarray
    chi2: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    ends_chi2: np.ndarray


def best_fit(
    photometry: Photometry,
    model: SEDModel,
    prior: Prior | str = "flat-dirichlet",
    *,
    objective: Literal["likelihood", "posterior"] = "likelihood",
    starts: int = 16,
    steps: int = 60,
    seed: int = 0,
    progress: bool = False,
    stop: threading.Event | None = None,
) -> BestFit:
    """Find the parameters that fit best, for many galaxies at once.

    Redshifts are as they were measured, uncertain or not.

    Each galaxy is searched for from several points: the best of two thousand, with the mass
    that fits each best and bursts of all ages among them. The model is flat in many directions,
    so equally good ends may lie far apart: this is a point to start from, not a posterior.

    Parameters
    ----------
    photometry : Photometry
        G usable galaxies.
    model : SEDModel
        Must have the photometry's bands.
    prior : Prior or str
        Its range bounds the search; its density counts for the posterior alone.
    objective : {"likelihood", "posterior"}
        Minimise chi-squared, or maximise the posterior density in the free coordinates.
    starts : int
        Starting points a galaxy.
    steps : int
        Largest number of steps.
    seed : int
        The same seed gives the same fits, whatever other galaxies there are.
    progress : bool
        Show a progress bar.
    stop : threading.Event, optional
        Set it to stop soon: galaxies that are not done by then have NaN everywhere.

    Returns
    -------
    BestFit

    Raises
    ------
    InputError
        If a galaxy is not usable, the bands differ, or an option makes no sense.

    References
    ----------
    Marquardt 1963, J. SIAM 11, 431.
    """
    if objective not in ("likelihood", "posterior"):
        raise InputError(f"objective is 'likelihood' or 'posterior', not {objective!r}.")
    if not 1 <= starts <= _SCREENED or steps < 1:
        raise InputError(
            f"best_fit needs 1 to {_SCREENED} starts and one or more steps, not {starts} and "
            f"{steps}."
        )
    target = LogPosterior(photometry.with_redshift_sigma(0), model, prior)
    weight = torch.ones(N_FREE, dtype=torch.float64, device=model.device)
    weight[0] = 0.0
    weight = weight * (objective == "posterior")
    parts: list[tuple[torch.Tensor, ...]] = []
    with tqdm(total=target.n_galaxies, desc="best fit", unit="galaxy", disable=not progress) as bar:
        # A group of galaxies at a time: memory stays bounded.
        for rows in torch.arange(target.n_galaxies, device=model.device).split(_GROUP):
            if stop is not None and stop.is_set():
                break
            generator = torch.Generator().manual_seed(seed)
            parts.append(_fit(Search(target.select(rows), weight), starts, steps, generator))
            bar.update(len(rows))
    missing = target.n_galaxies - sum(len(part[0]) for part in parts)
    if missing or not parts:
        shapes = ((N_THETA,), (), (starts, N_THETA), (starts, N_THETA), (starts,))
        parts.append(tuple(torch.full((missing, *shape), torch.nan) for shape in shapes))
    columns = (torch.cat([c.double().cpu() for c in column]) for column in zip(*parts, strict=True))
    return BestFit(*(column.numpy() for column in columns))


def _fit(
    search: Search, starts: int, steps: int, generator: torch.Generator
) -> tuple[torch.Tensor, ...]:
    """What `BestFit` holds, for the galaxies of one search."""
    target = search.target
    first = search.screen(starts, generator)
    last = search.run(first, steps)
    with torch.no_grad():
        theta_first, theta_last = (target.prior.from_free(phi) for phi in (first, last))
        chi2 = target.chi2(theta_last)
        order = search.objective(last, target.residuals(theta_last)).argsort(dim=1)
    ends = theta_last.gather(1, order[..., None].expand_as(theta_last))
    ends_chi2 = chi2.gather(1, order)
    return ends[:, 0], ends_chi2[:, 0], theta_first, ends, ends_chi2


def _scattered(prior: Prior, generator: torch.Generator) -> torch.Tensor:
    """Points (N, 11): draws from the prior, half of them with young or faint bursts."""
    phi = prior.sample_free(_SCREENED, generator)
    half = torch.rand(2, _SCREENED // 2, generator=generator)
    share, time = QUANTITIES["fburst"], QUANTITIES["tburst"]
    fraction = share.high * _FAINTEST_BURST ** half[0]
    age = time.low * (time.high / time.low) ** half[1]
    levels = torch.stack([fraction, (age - time.low) / (time.high - time.low)], dim=-1)
    first = FREE_NAMES.index("fburst")
    phi[: _SCREENED // 2, first : first + 2] = torch.special.ndtri(levels.clamp(1e-6, 1 - 1e-6))
    return phi


class Search:
    """Levenberg-Marquardt on points (G, S, 11), each with a damping of its own.

    Attributes
    ----------
    evaluations : int
        Of the model, for each galaxy; one with all derivatives counts once.
    """

    def __init__(self, target: LogPosterior, weight: torch.Tensor) -> None:
        self.target, self.weight, self.evaluations = target, weight, 0
        limit = torch.full((N_FREE,), _PROBIT_LIMIT, device=weight.device)
        self.low, self.high = -limit, limit.clone()
        self.low[0], self.high[0] = PARAMETERS[0].low, PARAMETERS[0].high

    def screen(self, starts: int, generator: torch.Generator) -> torch.Tensor:
        """The best of many points (G, starts, 11), at the masses that suit them best."""
        target = self.target
        phi = _scattered(target.prior, generator)
        burst = split(target.prior.from_free(phi)).tburst.contiguous()
        part = torch.bucketize(burst, torch.tensor(_BURST_EDGES)).to(target.redshift.device)
        phi = phi.to(target.redshift).repeat(target.n_galaxies, 1, 1)
        with torch.no_grad():
            phi[..., 0] = target.profile(phi).log_mstar
            self.evaluations += phi.shape[1]
            phi = phi.clamp(self.low, self.high)
            value = self.objective(phi, self._residuals(phi))
        # The best of each part come first, then the second best of each, and so on.
        n_parts = len(_BURST_EDGES) + 1
        each = -(-starts // n_parts)
        best = [
            torch.where(part == k, value, torch.inf).topk(each, dim=1, largest=False)
            for k in range(n_parts)
        ]
        values, rows = (torch.stack(list(c), dim=-1) for c in zip(*best, strict=True))
        rows = rows.gather(-1, values.argsort(-1)).flatten(1)[:, :starts]
        return phi.gather(1, rows[..., None].expand(-1, -1, N_FREE))

    def objective(self, phi: torch.Tensor, residuals: torch.Tensor) -> torch.Tensor:
        """What is minimised (G, S)."""
        return residuals.double().square().sum(-1) + (self.weight * phi.double().square()).sum(-1)

    def run(self, phi: torch.Tensor, steps: int) -> torch.Tensor:
        """Points (G, S, 11) after at most `steps` steps."""
        damping = torch.ones(phi.shape[:-1], dtype=torch.float64, device=phi.device)
        eye = torch.eye(N_FREE, dtype=torch.float64, device=phi.device)
        for _ in range(steps):
            residuals, jacobian = self.linearise(phi)
            here = self.objective(phi, residuals)
            gradient = (jacobian.mT @ residuals[..., None])[..., 0] + self.weight * phi
            normal = jacobian.mT @ jacobian + torch.diag(self.weight)
            damped = normal + damping[..., None, None] * eye
            step = -torch.linalg.solve(damped, gradient).clamp(-_LONGEST, _LONGEST)
            trial = (phi + step.to(phi)).clamp(self.low, self.high)
            with torch.no_grad():
                there = self.objective(trial, self._residuals(trial))
            better = there < here
            phi = torch.where(better[..., None], trial, phi)
            damping = torch.where(better, damping * 0.2, damping * 5.0).clamp(1e-6, 1e12)
            gain = torch.where(better, here - there, torch.zeros_like(here))
            # A refused step says nothing: go on until it is so damped that it must succeed.
            if ((gain < _CONVERGED) & (better | (damping > 1e8))).all():
                break
        return phi

    def _residuals(self, phi: torch.Tensor) -> torch.Tensor:
        self.evaluations += phi.shape[1]
        return self.target.residuals(self.target.prior.from_free(phi))

    def linearise(self, phi: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Residuals (G, S, B) and their derivatives (G, S, B, 11), in double precision."""
        with torch.enable_grad():
            phi = phi.detach().requires_grad_()
            residuals = self._residuals(phi)
            rows = [
                torch.autograd.grad(residuals[..., b].sum(), phi, retain_graph=True)[0]
                for b in range(residuals.shape[-1])
            ]
        return residuals.detach().double(), torch.stack(rows, dim=-2).double()
