r"""From posteriors to a population: the distribution of mass and star formation of a sample.

The posteriors of N galaxies were made with a prior π(θ). If galaxies are in truth distributed as
:math:`f(y \mid \eta)` in some quantities y of θ, then the likelihood of η is

.. math:: L(\eta) = \prod_i \int p(d_i \mid \theta)\, \pi(\theta)\,
          \frac{f(y(\theta) \mid \eta)}{\pi(y(\theta))}\, \mathrm{d}\theta
          \propto \prod_i \sum_j w_{ij}\, \frac{f(y_{ij} \mid \eta)}{\pi(y_{ij})},

a sum over the draws of each posterior with the prior that they were made with divided out
(hierarchical importance reweighting). Here f is a mixture of normal distributions; the likelihood
is climbed with its derivatives, and errors come from choosing galaxies anew (bootstrap).

References
----------
Hogg, Myers & Bovy 2010, ApJ 725, 2166; Bovy, Hogg & Roweis 2011, Ann. Appl. Stat. 5, 1657.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.optimize import minimize
from scipy.special import logsumexp

from ..errors import InputError
from ..parameters import Prior, get_prior
from .reweight import implied_prior, log_flat_over, values_of

if TYPE_CHECKING:
    from ..sps.model import SEDModel
    from .result import PosteriorResult

__all__ = [
    "POPULATION",
    "Evidence",
    "Population",
    "bootstrap_population",
    "divide_prior_out",
    "draw_population",
    "fit_population",
]

POPULATION = ("log_mstar", "log_ssfr_1gyr")
"""The quantities y: log of the mass formed and of the specific star-formation rate."""

_REDSHIFT_STEP = 0.05  # over which the prior of the specific rate hardly changes
_DRAWS = 200_000  # of the prior
_NARROWEST = 0.1  # dex, standard deviation of a component
_ENOUGH = 1e-6  # gain in log likelihood a galaxy, at which climbing ends


@dataclass(frozen=True, eq=False, repr=False)
class Population:
    """A mixture of K normal distributions of Q quantities.

    Attributes
    ----------
    share : ndarray, shape (K,)
        They sum to 1.
    mean : ndarray, shape (K, Q)
    covariance : ndarray, shape (K, Q, Q)
    """

    share: np.ndarray
    mean: np.ndarray
    covariance: np.ndarray

    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean (Q,) and standard deviation (Q,) of the whole population."""
        mean = self.share @ self.mean
        spread = np.einsum("kqq->kq", self.covariance) + np.square(self.mean - mean)
        return mean, np.sqrt(self.share @ spread)

    def log_density(self, values: np.ndarray) -> np.ndarray:
        """Log density (...) at values (..., Q)."""
        root = np.linalg.cholesky(self.covariance)
        parts = (np.log(np.maximum(self.share, 1e-300)), self.mean, root)
        each = _log_each(torch.as_tensor(values), *(torch.as_tensor(part) for part in parts))
        return np.asarray(torch.logsumexp(each, -1))

    def marginal(self, q: int, at: np.ndarray) -> np.ndarray:
        """Density of the q-th quantity at values (M,)."""
        part = Population(
            self.share, self.mean[:, q : q + 1], self.covariance[:, q : q + 1, q : q + 1]
        )
        return np.exp(part.log_density(at[:, None]))

    def sample(self, n: int, seed: int = 0) -> np.ndarray:
        """Draws (n, Q)."""
        rng = np.random.default_rng(seed)
        which = rng.choice(len(self.share), n, p=self.share)
        root = np.linalg.cholesky(self.covariance)[which]
        unit = rng.normal(size=(n, self.mean.shape[1]))
        return self.mean[which] + np.einsum("nij,nj->ni", root, unit)


@dataclass(frozen=True, eq=False, repr=False)
class Evidence:
    """What N posteriors of D draws say of Q quantities, without the prior they were made with.

    Attributes
    ----------
    values : ndarray, shape (N, D, Q)
    weights : ndarray, shape (N, D)
        Of the posteriors; they sum to 1.
    log_likelihood : ndarray, shape (N, D)
        Log of the weights over the prior density of the values, up to a constant of each galaxy.
    """

    values: np.ndarray
    weights: np.ndarray
    log_likelihood: np.ndarray

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, rows: np.ndarray) -> Evidence:
        return Evidence(self.values[rows], self.weights[rows], self.log_likelihood[rows])

    def stacked(self) -> tuple[np.ndarray, np.ndarray]:
        """All draws (N D, Q) and their weights (N D,): the posteriors stacked, which is wrong."""
        size = self.values.shape[-1]
        return self.values.reshape(-1, size), self.weights.ravel() / len(self)

    def effective(self, population: Population) -> np.ndarray:
        """Effective number of draws (N,) with which each galaxy speaks under a population."""
        log_weight = self.log_likelihood + population.log_density(self.values)
        total = logsumexp(log_weight, axis=1)
        return np.exp(2 * total - logsumexp(2 * log_weight, axis=1))


def divide_prior_out(
    result: PosteriorResult,
    model: SEDModel,
    prior: Prior | str = "flat-dirichlet",
    seed: int = 0,
) -> Evidence:
    """Mass and specific star-formation rate of posteriors, with their prior divided out.

    The prior is flat in the mass, and the specific rate does not depend on it: so only the implied
    prior of the specific rate is divided out, at steps of 0.05 in redshift. Galaxies without a
    posterior, and draws where the prior is too thin to tell its density, take no part.

    Parameters
    ----------
    result : PosteriorResult
        Of N galaxies.
    model : SEDModel
        The model that made it.
    prior : Prior or str
        The prior that it was made with.
    seed : int
        Of the draws that tell the density of the prior.

    Raises
    ------
    InputError
        If no galaxy is left.
    """
    good = result[result.usable]
    if not len(good):
        raise InputError("No galaxy has a posterior: there is nothing to infer a population from.")
    values = values_of(POPULATION, good.samples, good.draw_redshift, model)
    log_weight = np.log(np.maximum(good.weights, 1e-300))
    step = (np.floor(good.redshift / _REDSHIFT_STEP) + 0.5) * _REDSHIFT_STEP
    for at in np.unique(step):
        rows = step == at
        drawn = implied_prior(
            model, min(float(at), model.redshift_max), POPULATION[1:], prior, _DRAWS, seed
        )
        some = values[rows][..., 1:]
        flat = log_flat_over(some.reshape(-1, 1), drawn)
        log_weight[rows] += flat.reshape(some.shape[:2])
    speaks = np.isfinite(log_weight).any(1)
    return Evidence(values, good.weights, log_weight)[speaks]


def fit_population(
    evidence: Evidence, components: int = 1, *, start: Population | None = None
) -> Population:
    """The mixture of normal distributions that makes the data likeliest.

    Parameters
    ----------
    evidence : Evidence
    components : int
        Of the mixture.
    start : Population, optional
        Where to start instead.
    """
    if not 1 <= components <= len(evidence) // 5:
        raise InputError(
            f"{components} components of a population of {len(evidence)} galaxies: take at least "
            "one, and five galaxies for each."
        )
    first = _first(evidence, components) if start is None else start
    size = evidence.values.shape[-1]
    values, log_weight = (torch.as_tensor(a) for a in (evidence.values, evidence.log_likelihood))

    def slope(x: np.ndarray) -> tuple[float, np.ndarray]:
        """Minus the mean log likelihood of a galaxy, and its derivative."""
        free = torch.tensor(x, requires_grad=True)
        joint = log_weight[..., None] + _log_each(values, *_unpack(free, components, size))
        loss = -torch.logsumexp(joint.flatten(1), 1).mean()
        loss.backward()
        assert free.grad is not None
        return float(loss.detach()), free.grad.numpy()

    found = minimize(slope, _pack(first), jac=True, method="L-BFGS-B", tol=_ENOUGH)
    with torch.no_grad():
        share, mean, root = (
            part.numpy() for part in _unpack(torch.as_tensor(found.x), components, size)
        )
    order = np.argsort(mean[:, 0])
    return Population(np.exp(share)[order], mean[order], (root @ root.swapaxes(1, 2))[order])


def bootstrap_population(
    evidence: Evidence,
    fitted: Population,
    times: int = 50,
    *,
    seed: int = 0,
    stop: threading.Event | None = None,
) -> list[Population]:
    """Fits to as many galaxies that are chosen anew, with repeats: their spread is the error."""
    return list(_refits(evidence, fitted, times, seed, stop))


def _refits(
    evidence: Evidence, fitted: Population, times: int, seed: int, stop: threading.Event | None
) -> Iterator[Population]:
    rng = np.random.default_rng(seed)
    for _ in range(times):
        if stop is not None and stop.is_set():
            return
        rows = rng.integers(len(evidence), size=len(evidence))
        yield fit_population(evidence[rows], len(fitted.share), start=fitted)


def draw_population(
    population: Population,
    n: int,
    redshift: float,
    model: SEDModel,
    prior: Prior | str = "flat-dirichlet",
    seed: int = 0,
) -> np.ndarray:
    """Parameters (n, 12) of galaxies of a population: for simulations with a known answer.

    Of all else the prior decides: masses and specific rates are as the population has them, and
    galaxies of one specific rate are those that the prior holds.
    """
    rng = np.random.default_rng(seed)
    theta = get_prior(prior).sample(_DRAWS, seed)
    rates = values_of(POPULATION[1:], theta, np.full(len(theta), redshift), model)[:, 0]
    wanted = population.sample(n, seed)
    order = np.argsort(rates)
    # For each wanted rate one of the fifty draws of the prior that come nearest to it.
    at = np.searchsorted(rates[order], wanted[:, 1]) + rng.integers(-25, 25, n)
    chosen = theta[order[np.clip(at, 0, len(order) - 1)]]
    chosen[:, 0] = wanted[:, 0]
    return chosen


def _first(evidence: Evidence, components: int) -> Population:
    """Components that start at the quantiles of the galaxies' rates, with the spread of all."""
    total = logsumexp(evidence.log_likelihood, axis=1, keepdims=True)
    weights = np.exp(evidence.log_likelihood - total)
    means = np.einsum("nd,ndq->nq", weights, evidence.values)
    spread = np.cov(means.T) + _NARROWEST**2 * np.eye(means.shape[1])
    by_rate = np.array_split(means[np.argsort(means[:, -1], kind="stable")], components)
    return Population(
        np.full(components, 1 / components),
        np.array([part.mean(0) for part in by_rate]),
        np.tile(spread, (components, 1, 1)),
    )


def _pack(population: Population) -> np.ndarray:
    """Free numbers of a mixture: log shares, means, and roots of covariances, log on diagonals."""
    size = population.mean.shape[1]
    spread = population.covariance - _NARROWEST**2 * np.eye(size)
    # What is as narrow as can be must have a root, too.
    root = np.linalg.cholesky(spread + 1e-6 * np.eye(size))
    k = np.arange(size)
    root[:, k, k] = np.log(root[:, k, k])
    below = np.tril_indices(size)
    logits = np.log(np.maximum(population.share, 1e-6))
    return np.concatenate([logits, population.mean.ravel(), root[:, *below].ravel()])


def _unpack(
    free: torch.Tensor, components: int, size: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Log shares (K,), means (K, Q) and roots (K, Q, Q) of covariances, from free numbers."""
    share = torch.log_softmax(free[:components], 0)
    mean, rest = free[components:].split((components * size, len(free) - components * (1 + size)))
    rows, columns = np.tril_indices(size)
    root = free.new_zeros(components, size, size)
    root[:, rows, columns] = rest.reshape(components, -1)
    k = torch.arange(size)
    diagonal = root[:, k, k].exp()
    lower = root.tril(-1) + torch.diag_embed(diagonal)
    floor = _NARROWEST**2 * torch.eye(size, dtype=free.dtype)
    covariance = lower @ lower.mT + floor
    return share, mean.reshape(components, size), torch.linalg.cholesky(covariance)


def _log_each(
    values: torch.Tensor, share: torch.Tensor, mean: torch.Tensor, root: torch.Tensor
) -> torch.Tensor:
    """Log of share times density (..., K) at values (..., Q)."""
    parts = []
    for log_share, middle, lower in zip(share, mean, root, strict=True):
        apart = (values - middle).reshape(-1, values.shape[-1])
        unit = torch.linalg.solve_triangular(lower, apart.T, upper=False)
        log_size = torch.log(torch.diagonal(lower)).sum()
        constant = log_share - log_size - 0.5 * len(middle) * math.log(2 * math.pi)
        parts.append((constant - 0.5 * unit.square().sum(0)).reshape(values.shape[:-1]))
    return torch.stack(parts, -1)
