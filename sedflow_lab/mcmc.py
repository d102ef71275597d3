r"""MCMC with emcee: the independent witness for what the network says.

Walkers move in the free coordinates, with the mass measured from the best one for the rest,

.. math:: u = \log M_* - \log \hat M(\phi_{1 \ldots 10}),

where :math:`\hat M` fits the photometry best at the other ten. The volume element is the same
(u is shifted by a function of the others), but the narrow bent ridge along which mass and
mass-to-light ratio trade places is gone, and ten times more proposals are accepted.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from . import __version__
from .ensemble import Chain, sample_ensembles
from .errors import InputError, SedflowError
from .exact import LogPosterior
from .parameters import N_FREE, N_THETA, PARAMETERS, Prior, get_prior
from .photometry import Photometry
from .posterior import PosteriorResult
from .sps import SEDModel

if TYPE_CHECKING:
    from emcee import State

    from .anpe import AmortizedPosterior

__all__ = ["Progress", "run_mcmc"]

_POOL = 8192  # prior draws among which each ensemble finds its start
_REFERENCE = 10.0  # log M* at which the model is evaluated; other masses only scale the flux
_FAINT = 0.3  # amplitude, in its own σ, below which a fit of the mass means nothing


@dataclass(frozen=True)
class Progress:
    """Where a run stands, for live displays.

    Attributes
    ----------
    step, max_steps : int
    samples : ndarray, shape (W, 12)
        Where the walkers are, in reported parameters.
    log_prob : ndarray, shape (W,)
        Log of prior times likelihood there, up to a constant.
    tau : ndarray, shape (11,), or None
        Latest estimate of the autocorrelation times [steps].
    """

    step: int
    max_steps: int
    samples: np.ndarray
    log_prob: np.ndarray
    tau: np.ndarray | None


def run_mcmc(
    phot: Photometry,
    model: SEDModel | None = None,
    prior: Prior | str = "flat-dirichlet",
    *,
    start: str | AmortizedPosterior | PosteriorResult | np.ndarray | None = None,
    walkers: int = 128,
    ensembles: int = 2,
    max_steps: int = 20_000,
    draws: int = 4000,
    seed: int = 0,
    backend: str | Path | None = None,
    progress: bool = False,
    stop: threading.Event | None = None,
    callback: Callable[[Progress], None] | None = None,
) -> PosteriorResult:
    """Sample the exact posterior with emcee until it has converged.

    Parameters
    ----------
    phot : Photometry
        One galaxy; several are done one after the other.
    model : SEDModel, optional
        By default one for the photometry's bands.
    prior : Prior or str
    start : str, AmortizedPosterior, PosteriorResult or array, optional
        Where the walkers start: ``"prior"``; ``"posterior"``, the shipped network's posterior;
        an amortized posterior; a result with a row for each galaxy; or parameters of shape
        (n, 12). By default the shipped network's posterior if there is one for these bands,
        else the prior. From the prior, each ensemble starts at the best of many draws, flattened
        by a temperature that leaves them diverse.
    walkers : int
        Walkers in all, shared evenly among the ensembles.
    ensembles : int
        Independent ensembles, at least 2, whose agreement is one of the criteria.
    max_steps : int
        Steps after which to give up, a multiple of 50.
    draws : int
        Draws to return, spread evenly over the kept steps and the ensembles.
    seed : int
        The same seed gives the same numbers.
    backend : path, optional
        HDF5 file to keep the chains in. The same call on the same file goes on where the last
        one ended, exactly as if it had never stopped; other galaxies and settings get their own
        group in it.
    progress : bool
        Show a progress bar.
    stop : threading.Event, optional
        Set it to stop within a few steps with what there is.
    callback : callable, optional
        Called with a `Progress` every 50 steps.

    Returns
    -------
    PosteriorResult
        With the method ``"mcmc"``. The badge is ``"converged"`` where all the criteria of
        `ensemble.sample_ensembles` are met, else ``"not converged"`` or ``"cancelled"``.
        Diagnostics: ``tau`` (11), of the coordinates that are sampled, in steps; ``rhat``,
        ``ess_bulk`` and ``ess_tail`` (12), of the reported parameters; ``acceptance``,
        ``n_steps``, ``n_kept`` (steps), ``n_evaluations``, ``seconds``; ``draw_chain``, the
        ensemble of each draw, and ``draw_log_prob``.

    Raises
    ------
    InputError
        If the settings or the start do not suit, or the bands differ from the model's.

    References
    ----------
    Foreman-Mackey et al. 2013, PASP 125, 306.
    """
    prior = get_prior(prior)
    if ensembles < 2 or draws < ensembles:
        raise InputError(
            f"{ensembles} ensembles and {draws} draws: take at least two ensembles, whose "
            "agreement can be checked, and a draw from each."
        )
    if model is None:
        model = SEDModel(phot.bands, redshift_max=max(0.2, float(np.nanmax(phot.redshift))))
    begin, start_name = _resolve_start(start, phot)
    settings = {
        "method": "mcmc", "prior": prior.name, "birth_cloud_age": model.birth_cloud_age,
        "ssp_hash": model.ssp.hash, "start": start_name, "walkers": walkers,
        "ensembles": ensembles, "seed": seed, "sedflow_lab": __version__,
    }  # fmt: skip
    results = []
    for row in range(len(phot)):
        one = phot[row]
        if one.problems[0]:
            results.append(_nothing(one, draws, ensembles, str(one.problems[0])))
            continue
        target = _Target(one, model, prior)
        chain = _run_one(
            target,
            partial(begin, target, row, walkers, ensembles, seed),
            ensembles=ensembles,
            max_steps=max_steps,
            seed=seed,
            backend=None if backend is None else (backend, _group(one, settings)),
            stop=stop,
            progress=progress,
            callback=callback,
        )
        results.append(_result(one, target, chain, ensembles, draws))
    whole = PosteriorResult.concatenate(results)
    whole.provenance = settings | {"draws": draws, "max_steps": max_steps}
    return whole


class _Target:
    """Log posterior of one galaxy in the coordinates (u, φ1, ..., φ10) of the walkers."""

    def __init__(self, phot: Photometry, model: SEDModel, prior: Prior) -> None:
        self.exact = LogPosterior(phot, model, prior)
        self.model, self.prior = model, prior
        used = phot.mask[0]
        self.flux = np.where(used, phot.flux[0], 0.0)
        self.inverse_variance = np.where(used, phot.sigma[0], np.inf) ** -2.0
        self.redshift = float(phot.redshift[0])

    def _unit(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Model fluxes (n, B) at the reference mass, and log10 of the best factor (n,)."""
        phi = x.copy()
        phi[:, 0] = _REFERENCE
        with torch.no_grad():
            unit = self.model.photometry(self.prior.from_free(phi), self.redshift)
        weighted = unit * self.inverse_variance
        norm = np.einsum("nb,nb->n", weighted, unit)
        best = weighted @ self.flux / norm
        return unit, np.log10(np.maximum(best, _FAINT / np.sqrt(norm)))

    def __call__(self, x: np.ndarray) -> np.ndarray:
        unit, log_best = self._unit(x)
        phi = x.copy()
        phi[:, 0] += _REFERENCE + log_best
        log_prior = self.prior.log_prob_free(phi)
        # Walkers on the way to a mass that overflows are outside the prior anyway.
        scale = 10.0 ** np.clip(log_best + x[:, 0], -30.0, 30.0)
        residual = unit * scale[:, None] - self.flux
        log_prob = log_prior - 0.5 * np.square(residual) @ self.inverse_variance
        return np.where(np.isfinite(log_prob), log_prob, -np.inf)

    def to_walkers(self, phi: np.ndarray) -> np.ndarray:
        """From free coordinates (n, 11) to those of the walkers."""
        x = phi.copy()
        x[:, 0] -= _REFERENCE + self._unit(x)[1]
        return x

    def to_reported(self, x: np.ndarray) -> np.ndarray:
        """From the coordinates of the walkers to reported parameters (n, 12)."""
        phi = x.copy()
        phi[:, 0] += _REFERENCE + self._unit(x)[1]
        return self.prior.from_free(phi)


Begin = Callable[[_Target, int, int, int, int], np.ndarray]
"""From target, row, walkers, ensembles and seed to where the walkers start (W, 11)."""


def _resolve_start(start: Any, phot: Photometry) -> tuple[Begin, str]:
    """How to start, and what to call it in the provenance."""
    if isinstance(start, PosteriorResult):
        if len(start) != len(phot):
            raise InputError(
                f"The start has {len(start)} galaxies, but the photometry has {len(phot)}."
            )
        return partial(_from_result, start), f"result of {start.method}"
    if isinstance(start, np.ndarray):
        return partial(_from_points, np.atleast_2d(start)), "given parameters"
    if isinstance(start, str) and start not in ("prior", "posterior"):
        raise InputError(f"start is {start!r}: give 'prior', 'posterior', a result or parameters.")
    if start == "prior":
        return _from_prior, "prior"
    if start is None or start == "posterior":
        from .anpe import load_posterior

        try:
            network = load_posterior()
            network.check(phot[phot.usable], "raise")
        except SedflowError:
            if start == "posterior":
                raise
            return _from_prior, "prior"
        return partial(_from_network, network, phot), "shipped posterior"
    return partial(_from_network, start, phot), "amortized posterior"


def _from_prior(target: _Target, row: int, walkers: int, ensembles: int, seed: int) -> np.ndarray:
    """Draws of the prior at their best mass, picked by their likelihood at some temperature."""
    rng = np.random.default_rng([seed, 1])
    mass = PARAMETERS[0]
    each = walkers // ensembles
    starts = []
    for _ in range(ensembles):
        x = rng.normal(size=(_POOL, N_FREE))
        x[:, 0] *= 0.02
        # Best masses beyond the prior's limits start just inside them.
        log_best = _REFERENCE + target._unit(x)[1]
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


def _from_network(
    network: AmortizedPosterior,
    phot: Photometry,
    target: _Target,
    row: int,
    walkers: int,
    ensembles: int,
    seed: int,
) -> np.ndarray:
    return _spread(target, network.sample(phot[row], walkers, seed)[0], seed)


def _from_result(
    result: PosteriorResult, target: _Target, row: int, walkers: int, ensembles: int, seed: int
) -> np.ndarray:
    if not result.usable[row]:
        raise InputError(f"The start has no posterior for galaxy {result.ids[row]}.")
    even = result[row].resample(walkers, seed).samples[0]
    return _spread(target, np.random.default_rng([seed, 2]).permutation(even), seed)


def _from_points(
    points: np.ndarray, target: _Target, row: int, walkers: int, ensembles: int, seed: int
) -> np.ndarray:
    if points.ndim != 2 or points.shape[1] != N_THETA or not len(points):
        raise InputError(f"Starting parameters need the shape (n, {N_THETA}), not {points.shape}.")
    rng = np.random.default_rng([seed, 2])
    # Every point is used as often as any other, give or take one.
    pick = rng.permutation(np.resize(rng.permutation(len(points)), walkers))
    return _spread(target, points[pick], seed)


def _spread(target: _Target, theta: np.ndarray, seed: int) -> np.ndarray:
    """Coordinates of walkers at `theta`, no two the same: repeated points are scattered."""
    x = target.to_walkers(target.prior.to_free(theta))
    _, first = np.unique(x, axis=0, return_index=True)
    again = np.setdiff1d(np.arange(len(x)), first)
    rng = np.random.default_rng([seed, 3])
    width = 0.1 * x.std(axis=0) + np.append(1e-3, np.full(N_FREE - 1, 1e-2))
    scattered = x[again] + width * rng.normal(size=(len(again), N_FREE))
    fine = np.isfinite(target(scattered)) if len(again) else np.zeros(0, dtype=bool)
    x[again[fine]] = scattered[fine]
    return x


def _run_one(
    target: _Target,
    start: Callable[[], np.ndarray],
    *,
    max_steps: int,
    progress: bool,
    callback: Callable[[Progress], None] | None,
    **settings: Any,
) -> Chain:
    from tqdm.auto import tqdm

    with tqdm(total=max_steps, unit=" steps", desc="mcmc", disable=not progress) as bar:

        def watch(step: int, state: State, tau: np.ndarray | None) -> None:
            if tau is not None:
                bar.set_postfix_str(f"tau {tau.max():.0f} steps", refresh=False)
            bar.update(step - bar.n)
            if callback is not None:
                samples = target.to_reported(state.coords)
                callback(Progress(step, max_steps, samples, state.log_prob.copy(), tau))

        return sample_ensembles(
            target,
            start,
            max_steps=max_steps,
            reported=target.to_reported,
            watch=watch,
            **settings,
        )


def _result(
    phot: Photometry, target: _Target, chain: Chain, ensembles: int, draws: int
) -> PosteriorResult:
    """Draws spread evenly over the steps and walkers of each ensemble."""
    size, walkers = chain.log_prob.shape
    each = walkers // ensembles
    label = np.sort(np.arange(draws) % ensembles)
    samples, log_prob = np.empty((draws, N_THETA)), np.empty(draws)
    for k in range(ensembles):
        mine = slice(k * each, (k + 1) * each)
        count = np.count_nonzero(label == k)
        pick = ((np.arange(count) + 0.5) * size * each / count).astype(int)
        samples[label == k] = chain.reported[:, mine].reshape(-1, N_THETA)[pick]
        log_prob[label == k] = chain.log_prob[:, mine].reshape(-1)[pick]
    diagnostics = {
        "tau": chain.tau,
        "rhat": chain.rhat,
        "ess_bulk": chain.ess_bulk,
        "ess_tail": chain.ess_tail,
        "acceptance": chain.acceptance,
        "n_steps": chain.steps,
        "n_kept": size * chain.thin,
        "n_evaluations": chain.evaluations,
        "seconds": chain.seconds,
        "draw_chain": label,
        "draw_log_prob": log_prob,
    }
    return PosteriorResult(
        samples=samples[None],
        weights=np.full((1, draws), 1.0 / draws),
        redshift=phot.redshift,
        ids=phot.ids,
        bands=phot.bands,
        method="mcmc",
        badge=np.array([chain.status]),
        ess=np.array([np.nanmin([*chain.ess_bulk, draws])]),
        chi2_min=target.exact.chi2(samples[None]).min(axis=1),
        diagnostics={k: np.asarray(v, dtype=np.float64)[None] for k, v in diagnostics.items()},
    )


def _nothing(phot: Photometry, draws: int, ensembles: int, problem: str) -> PosteriorResult:
    """The row of a galaxy that cannot be used."""
    shapes: dict[str, tuple[int, ...]] = {"tau": (N_FREE,)}
    shapes |= dict.fromkeys(("rhat", "ess_bulk", "ess_tail"), (N_THETA,))
    scalars = ("acceptance", "n_steps", "n_kept", "n_evaluations", "seconds")
    shapes |= dict.fromkeys(scalars, ()) | dict.fromkeys(("draw_chain", "draw_log_prob"), (draws,))
    return PosteriorResult(
        samples=np.full((1, draws, N_THETA), np.nan),
        weights=np.zeros((1, draws)),
        redshift=phot.redshift,
        ids=phot.ids,
        bands=phot.bands,
        method="mcmc",
        badge=np.array(["bad photometry"]),
        diagnostics={name: np.full((1, *shape), np.nan) for name, shape in shapes.items()},
        problems=np.array([problem]),
    )


def _group(phot: Photometry, settings: dict[str, Any]) -> str:
    """Name of the group of a chain: a hash of all that it depends on."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for array in (phot.flux, phot.sigma, phot.redshift):
        digest.update(np.ascontiguousarray(array).tobytes())
    digest.update(",".join(phot.bands.names).encode())
    return f"mcmc-{digest.hexdigest()[:16]}"
