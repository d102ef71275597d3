"""Where the walkers of MCMC live, which is on the ridge of `exact.ridge`, and where they start."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from .._version import __version__
from ..errors import InputError, SedflowError
from ..exact.likelihood import LogPosterior
from ..exact.outliers import Outliers
from ..exact.profile import REFERENCE_MASS, log_best_factor, with_mass
from ..exact.ridge import MassRidge
from ..observations.photometry import Photometry
from ..parameters import N_FREE, N_THETA, PARAMETERS, Prior
from ..posterior.result import PosteriorResult
from ..sps import SEDModel

if TYPE_CHECKING:
    from ..anpe import AmortizedPosterior

__all__ = ["Start", "WalkerTarget", "model_for", "reach_of", "resolve_start", "settings_of"]

_NEAR, _FARTHEST = 0.2, 10.0  # redshifts that models reach
_REACH = 5.0  # standard deviations of a redshift
_POOL = 8192  # prior draws among which each ensemble finds its start


class WalkerTarget(MassRidge):
    """Log posterior of one galaxy on the ridge of its mass, for emcee and nautilus.

    In NumPy and double precision throughout, but for the model itself. The moves and proposals of
    walkers find their scales themselves: u is in units of log mass.

    Attributes
    ----------
    size : int
        Coordinates of a point: 11, or 12 where the redshift is uncertain.
    """

    def __init__(
        self,
        photometry: Photometry,
        model: SEDModel,
        prior: Prior,
        outliers: Outliers | None = None,
    ) -> None:
        super().__init__(LogPosterior(photometry, model, prior, outliers))
        self.width = 1.0
        self.size = self.exact.n_free
        used = photometry.mask[0]
        self._flux = np.where(used, photometry.flux[0], 0.0)
        self._inverse_variance = np.where(used, photometry.sigma[0], np.inf) ** -2.0
        self._redshift = float(photometry.redshift[0])
        self._root = np.sqrt(self._inverse_variance)
        snr = self._flux * self._root
        self._bands = None if outliers is None else outliers.terms(snr, used)

    def _unit(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Model fluxes (n, B) at the reference mass, and log10 of the best factor (n,)."""
        theta, redshift = self._reported(with_mass(x, REFERENCE_MASS))
        with torch.no_grad():
            unit = self.exact.model.photometry(theta, redshift)
        weighted = unit * self._inverse_variance
        norm = np.einsum("nb,nb->n", weighted, unit)
        if self._bands is not None:
            best = self._bands.best_factor(unit * self._root, self._flux * self._root)
            return unit, log_best_factor(best, norm)
        return unit, log_best_factor(weighted @ self._flux / norm, norm)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Log of prior times likelihood, up to a constant, of points (n, size), shape (n,)."""
        unit, log_best = self._unit(x)
        log_prior = self.exact.log_prior(with_mass(x, REFERENCE_MASS + log_best + x[:, 0]))
        # Walkers on the way to a mass that overflows are outside the prior anyway.
        scale = 10.0 ** np.clip(log_best + x[:, 0], -30.0, 30.0)
        residual = unit * scale[:, None] - self._flux
        if self._bands is None:
            log_prob = log_prior - 0.5 * np.square(residual) @ self._inverse_variance
        else:
            log_prob = log_prior + self._bands.log_likelihood(residual * self._root)
        return np.where(np.isfinite(log_prob), log_prob, -np.inf)

    def best_log_mass(self, x: np.ndarray) -> np.ndarray:
        """Log mass that fits best at the other coordinates of points (n, size), shape (n,)."""
        return REFERENCE_MASS + self._unit(x)[1]

    def to_reported(self, x: np.ndarray) -> np.ndarray:
        """From points (n, size) to reported parameters, (n, 12), or (n, 13) with the redshift."""
        theta, redshift = self._reported(self.to_phi(x))
        if self.size == N_FREE:
            return theta
        return np.column_stack([theta, redshift])

    def from_reported(self, points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """From reported parameters (n, 12 or 13) to points (n, size); redshifts may be drawn."""
        phi = self.exact.prior.to_free(points[:, :N_THETA])
        if self.size > N_FREE:
            zeta = rng.normal(size=len(points))
            if points.shape[1] > N_THETA:
                zeta = self.exact.redshift_prior.coordinate(points[None, :, N_THETA])[0]
            phi = np.column_stack([phi, zeta])
        return self.from_phi(phi)

    def _reported(self, phi: np.ndarray) -> tuple[np.ndarray, Any]:
        """Reported parameters (n, 12) and redshifts (n,), or one, of free coordinates (n, size)."""
        if self.size == N_FREE:
            return self.exact.prior.from_free(phi), self._redshift
        theta, redshift = self.exact.reported(phi[None])
        return theta[0], redshift[0]


def model_for(photometry: Photometry, model: SEDModel | None) -> SEDModel:
    """The model, by default one for the photometry's bands, which reaches all usable galaxies."""
    redshift = np.where(photometry.usable, photometry.redshift, 0.0)
    top = float(redshift.max(initial=0.0))
    if model is None:
        return SEDModel(photometry.bands, redshift_max=reach_of(photometry))
    if top > model.redshift_max:
        raise InputError(
            f"Galaxy {photometry.ids[redshift.argmax()]} is at redshift {top:g}, but the model "
            f"ends at {model.redshift_max:g}: give one that reaches further."
        )
    return model


def reach_of(photometry: Photometry) -> float:
    """How far a model for all usable galaxies reaches.

    That is a redshift of 0.2, as shipped networks do; or, where a galaxy is farther, as far as
    uncertain redshifts may be.
    """
    redshift = photometry.redshift[photometry.usable]
    top = float(redshift.max(initial=0.0))
    if top <= _NEAR:
        return _NEAR
    farthest = redshift + _REACH * photometry.redshift_sigma[photometry.usable]
    return max(top, min(_FARTHEST, float(farthest.max())))


def settings_of(
    photometry: Photometry, model: SEDModel, prior: Prior, outliers: Outliers | None
) -> dict[str, Any]:
    """What decides about a posterior (JSON-able)."""
    about = {"prior": prior.name, "sedflow_lab": __version__}
    bad = outliers.settings() if outliers else {}
    return model.settings() | about | photometry.settings() | bad


Start = Callable[[WalkerTarget, int, int, int, int], np.ndarray]
"""From target, row, walkers, ensembles and seed to where the walkers start (W, size)."""

Points = Callable[[int, int, int], np.ndarray]
"""From row, walkers and seed to reported parameters (W, 12) at which walkers start.

The redshift may be a thirteenth."""


def resolve_start(start: Any, photometry: Photometry) -> tuple[Start, str]:
    """How to start, and what to call it in the provenance."""
    if isinstance(start, tuple):
        if not start:
            raise InputError("No start is given: give one, or one for each ensemble in turn.")
        each = [resolve_start(one, photometry) for one in start]
        return partial(_in_turn, [one for one, _ in each]), " and ".join(name for _, name in each)
    if isinstance(start, PosteriorResult):
        if len(start) != len(photometry):
            raise InputError(
                f"The start has {len(start)} galaxies, but the photometry has {len(photometry)}."
            )
        return partial(_at, partial(_of_result, start)), f"result of {start.method}"
    if isinstance(start, np.ndarray):
        return partial(_at, partial(_of_array, np.atleast_2d(start))), "given parameters"
    if isinstance(start, str) and start not in ("prior", "posterior"):
        raise InputError(f"start is {start!r}: give 'prior', 'posterior', a result or parameters.")
    name = "amortized posterior"
    if start == "posterior" or start is None:
        from ..anpe import load_posterior
        from ..anpe.bundle import shipped_for

        try:
            given, name = start, "shipped posterior"
            start = load_posterior(shipped_for(photometry.bands) or "nsa-ugriz")
            start.check(photometry[photometry.usable], "raise")
        except SedflowError:
            if given == "posterior":
                raise
            start = "prior"
    if isinstance(start, str):
        return _from_prior, "prior"
    network: AmortizedPosterior = start

    def drawn(row: int, walkers: int, seed: int) -> np.ndarray:
        if photometry.redshift_sigma[row]:
            return _of_result(network.infer(photometry[row], walkers, seed=seed), 0, walkers, seed)
        return network.sample(photometry[row], walkers, seed)[0]

    return partial(_at, drawn), name


def _in_turn(
    starts: list[Start], target: WalkerTarget, row: int, walkers: int, ensembles: int, seed: int
) -> np.ndarray:
    """Ensembles start in turn from each of several starts."""
    x = np.stack([start(target, row, walkers, ensembles, seed) for start in starts])
    return x[np.arange(walkers) * ensembles // walkers % len(starts), np.arange(walkers)]


def _from_prior(
    target: WalkerTarget, row: int, walkers: int, ensembles: int, seed: int
) -> np.ndarray:
    """Draws of the prior at their best mass, picked by their likelihood at some temperature."""
    rng = np.random.default_rng([seed, 1])
    mass = PARAMETERS[0]
    each = walkers // ensembles
    starts = []
    for _ in range(ensembles):
        x = rng.normal(size=(_POOL, target.size))
        x[:, 0] *= 0.02
        # Best masses beyond the prior's limits start just inside them.
        log_best = target.best_log_mass(x)
        inside = np.clip(log_best + x[:, 0], mass.low + 0.01, mass.high - 0.01)
        x[:, 0] = inside - log_best
        # Drawn from the prior, the points carry it already: what picks them is the likelihood.
        log_likelihood = target(x) + 0.5 * np.square(x[:, 1:]).sum(axis=1)
        weight = _temper(log_likelihood, 4.0 * each)
        starts.append(x[rng.choice(_POOL, size=each, replace=False, p=weight)])
    return np.concatenate(starts)


def _temper(log_weight: np.ndarray, ess: float) -> np.ndarray:
    """Weights of a temperature at which so many of the points count."""
    depth = log_weight - log_weight.max()
    low, high = 1e-9, 1.0
    for _ in range(50):
        power = np.sqrt(low * high)
        weight = np.exp(power * depth)
        low, high = (power, high) if weight.sum() ** 2 > ess * (weight @ weight) else (low, power)
    weight = np.exp(low * depth)
    return weight / weight.sum()


def _of_result(result: PosteriorResult, row: int, walkers: int, seed: int) -> np.ndarray:
    if not result.usable[row]:
        raise InputError(f"The start has no posterior for galaxy {result.ids[row]}.")
    even = result[row].resample(walkers, seed)
    points = even.samples[0]
    if "draw_redshift" in even.diagnostics:
        points = np.column_stack([points, even.draw_redshift[0]])
    return np.random.default_rng([seed, 2]).permutation(points)


def _of_array(points: np.ndarray, row: int, walkers: int, seed: int) -> np.ndarray:
    """Every point is used as often as any other, give or take one."""
    if points.ndim != 2 or points.shape[1] != N_THETA or not len(points):
        raise InputError(f"Starting parameters need the shape (n, {N_THETA}), not {points.shape}.")
    rng = np.random.default_rng([seed, 2])
    return points[rng.permutation(np.resize(rng.permutation(len(points)), walkers))]


def _at(
    points: Points, target: WalkerTarget, row: int, walkers: int, ensembles: int, seed: int
) -> np.ndarray:
    """Walkers at parameters, no two at the same: repeated points are scattered."""
    x = target.from_reported(points(row, walkers, seed), np.random.default_rng([seed, 4]))
    _, first = np.unique(x, axis=0, return_index=True)
    again = np.setdiff1d(np.arange(len(x)), first)
    rng = np.random.default_rng([seed, 3])
    width = 0.1 * x.std(axis=0) + np.append(1e-3, np.full(target.size - 1, 1e-2))
    scattered = x.copy()
    scattered[again] += width * rng.normal(size=(len(again), target.size))
    x = np.where(np.isfinite(target(scattered))[:, None], scattered, x)
    # Rounding can put a walker from an edge of the prior just beyond it.
    good = np.isfinite(target(x))
    if good.any():
        x[~good] = x[rng.choice(np.flatnonzero(good), size=np.count_nonzero(~good))]
    return x
