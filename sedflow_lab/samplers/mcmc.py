"""MCMC with emcee: the independent witness for what the network says."""

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

from .._keywords import renamed
from ..errors import InputError
from ..exact.outliers import Outliers
from ..observations.photometry import Photometry
from ..parameters import N_THETA, Prior, get_prior
from ..posterior.result import PosteriorResult
from ..sps import SEDModel
from .ensemble import RECIPE, Chain, sample_ensembles
from .walkers import WalkerTarget, model_for, resolve_start, settings_of

if TYPE_CHECKING:
    from emcee import State

    from ..anpe import AmortizedPosterior

    Start = str | AmortizedPosterior | PosteriorResult | np.ndarray | tuple[Any, ...] | None

__all__ = ["Progress", "run_mcmc"]

_EACH = ("tau", "rhat", "ess_bulk", "ess_tail")  # a number for each coordinate or parameter
_SHOWN = (*_EACH, "acceptance", "seconds")


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


@renamed(phot="photometry")
def run_mcmc(
    photometry: Photometry,
    model: SEDModel | None = None,
    prior: Prior | str = "flat-dirichlet",
    *,
    outliers: Outliers | None = None,
    start: Start = None,
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

    Where a redshift is uncertain it is one of the parameters.

    Parameters
    ----------
    photometry : Photometry
        One galaxy; several are done one after the other.
    model : SEDModel, optional
        By default one for the photometry's bands.
    prior : Prior or str
    outliers : Outliers, optional
        Let each band be bad with a small probability; then ``bad_band`` (B) is among the
        diagnostics, the probability that each of them is.
    start : str, AmortizedPosterior, PosteriorResult, array, or tuple of these, optional
        Where the walkers start: ``"prior"``; ``"posterior"``, that of the network that ships for
        these bands; an amortized posterior; a result with a row for each galaxy; or parameters of
        shape (n, 12). By default the posterior of a network that ships, if one has these bands,
        else the prior. From the prior, each ensemble starts at the best of many draws, flattened
        by a temperature that leaves them diverse. With a tuple, ensembles take its starts in
        turn: after ``("posterior", "prior")`` convergence says that both lead to one place.
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
        `ensemble.sample_ensembles` are met, else ``"not converged"`` or ``"unfinished"``.
        Diagnostics: ``tau`` (11), of the coordinates that are sampled, in steps; ``rhat``,
        ``ess_bulk`` and ``ess_tail`` (12), of the reported parameters; ``acceptance``,
        ``n_steps``, ``n_kept`` (steps), ``n_evaluations``, ``seconds``; ``draw_chain``, the
        ensemble of each draw, and ``draw_log_prob``. Where a redshift is uncertain there are
        ``draw_redshift`` and ``redshift_cut``, as `AmortizedPosterior.infer` has them, and what
        has a number for each parameter has one more, NaN for galaxies whose redshift is known.

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
    model = model_for(photometry, model)
    begin, start_name = resolve_start(start, photometry)
    settings = settings_of(photometry, model, prior, outliers) | {
        "method": "mcmc",
        "start": start_name,
        "walkers": walkers,
        "ensembles": ensembles,
        "seed": seed,
        "chain_recipe": RECIPE,
    }
    uncertain = bool(photometry.redshift_sigma[photometry.usable].any())
    result = PosteriorResult.blank(photometry, draws, "mcmc")
    result.provenance = settings | {"draws": draws, "max_steps": max_steps}
    for row in np.flatnonzero(photometry.usable).tolist():
        one = photometry[row]
        target = WalkerTarget(one, model, prior, outliers)
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
        part = _result(one, target, chain, ensembles, draws, uncertain)
        if outliers is not None:
            found = target.exact.bad_bands(part.samples, redshift=part.draw_redshift)
            part.diagnostics["bad_band"] = found
        result.put([row], part)
    return result


def _run_one(
    target: WalkerTarget,
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
                samples = target.to_reported(state.coords)[:, :N_THETA]
                callback(Progress(step, max_steps, samples, state.log_prob.copy(), tau))

        return sample_ensembles(
            target, start, max_steps=max_steps, reported=target.to_reported, watch=watch, **settings
        )


def _result(
    photometry: Photometry,
    target: WalkerTarget,
    chain: Chain,
    ensembles: int,
    draws: int,
    uncertain: bool,
) -> PosteriorResult:
    """Draws spread evenly over the steps and walkers of each ensemble.

    Some galaxy of the run may have an uncertain redshift.
    """
    size, walkers = chain.log_prob.shape
    each = walkers // ensembles
    label = np.sort(np.arange(draws) % ensembles)
    parameters = chain.reported.shape[-1]
    samples, log_prob = np.empty((draws, parameters)), np.empty(draws)
    for k in range(ensembles):
        mine = slice(k * each, (k + 1) * each)
        count = np.count_nonzero(label == k)
        pick = ((np.arange(count) + 0.5) * size * each / count).astype(int)
        samples[label == k] = chain.reported[:, mine].reshape(-1, parameters)[pick]
        log_prob[label == k] = chain.log_prob[:, mine].reshape(-1)[pick]
    redshift = None if parameters == N_THETA else samples[None, :, N_THETA]
    samples = samples[:, :N_THETA]
    diagnostics = {
        **{name: getattr(chain, name) for name in _SHOWN},
        "n_steps": chain.steps,
        "n_kept": size * chain.thin,
        "n_evaluations": chain.evaluations,
        "draw_chain": label,
        "draw_log_prob": log_prob,
    }
    if redshift is not None:
        diagnostics["draw_redshift"] = redshift[0]
        diagnostics["redshift_cut"] = float(target.exact.redshift_prior.cut)
    elif uncertain:
        diagnostics |= {name: np.append(diagnostics[name], np.nan) for name in _EACH}
    return PosteriorResult.of(
        photometry,
        samples[None],
        "mcmc",
        chain.status,
        ess=np.array([np.nanmin([*chain.ess_bulk, draws])]),
        chi2_min=target.exact.best_chi2(samples[None], redshift),
        diagnostics={k: np.asarray(v, dtype=np.float64)[None] for k, v in diagnostics.items()},
    )


def _group(photometry: Photometry, settings: dict[str, Any]) -> str:
    """Name of the group of a chain: a hash of all that it depends on."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for array in (photometry.flux, photometry.sigma, photometry.redshift):
        digest.update(np.ascontiguousarray(array).tobytes())
    if photometry.redshift_sigma.any():
        digest.update(photometry.redshift_sigma.tobytes())
    return f"mcmc-{digest.hexdigest()[:16]}"
