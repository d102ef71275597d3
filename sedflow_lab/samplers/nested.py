r"""Nested sampling with nautilus: the evidence, and a second witness that has no chains.

Points live in the unit cube, where the prior is uniform. The first coordinate is the mass, as a
fraction of its range and shifted by that of the best-fitting mass at the other ten, modulo 1,

.. math:: f(\log M_*) = f(\log \hat M(\phi_{1 \ldots 10})) + u_0 - \tfrac12 \pmod 1.

A shift round a circle leaves the uniform prior uniform, and takes away the narrow ridge along which
mass and mass-to-light ratio trade places (see `exact.ridge`). Where the redshift is uncertain, the
level of its prior is the last coordinate (see `exact.redshift`).
"""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
from scipy.special import ndtri

from .._keywords import renamed
from ..errors import InputError, SedflowError
from ..exact.outliers import Outliers
from ..exact.profile import with_mass
from ..observations.photometry import Photometry
from ..parameters import PARAMETERS, Prior, get_prior
from ..posterior.result import PosteriorResult
from ..posterior.weighting import systematic_resample
from ..sps import SEDModel
from .walkers import WalkerTarget, model_for, settings_of

__all__ = ["run_nested"]

_LOOK = 1.0  # seconds between looks at whether to stop
_EDGE = 1e-15  # probits of less would not be finite


@renamed(phot="photometry")
def run_nested(
    photometry: Photometry,
    model: SEDModel | None = None,
    prior: Prior | str = "flat-dirichlet",
    *,
    outliers: Outliers | None = None,
    live: int = 2000,
    effective: int = 10_000,
    draws: int = 4000,
    seed: int = 0,
    progress: bool = False,
    stop: threading.Event | None = None,
) -> PosteriorResult:
    """Sample the exact posterior of one galaxy by nested importance sampling.

    Parameters
    ----------
    photometry : Photometry
        One usable galaxy.
    model, prior, outliers, seed
        As for `run_mcmc`.
    live : int
        Live points; more of them miss fewer modes.
    effective : int
        Effective sample size to reach. The error of the evidence goes with its root.
    draws : int
        Equally weighted draws to return.
    progress : bool
        Show how many evaluations have been made.
    stop : threading.Event, optional
        Set it to end early with what there is, marked ``"unfinished"``.

    Returns
    -------
    PosteriorResult
        With the method ``"nested"`` and the badge ``"converged"``, ``log_evidence``, and the
        diagnostics ``log_evidence_error``, ``n_evaluations`` and ``seconds``.

    Raises
    ------
    InputError
        If there is not one usable galaxy, or settings make no sense.
    SedflowError
        If nautilus is not installed, or was stopped before there was anything to return.

    References
    ----------
    Lange 2023, MNRAS 525, 3181 (nautilus).
    """
    try:
        from nautilus import Sampler
    except ImportError as error:
        raise SedflowError(
            "Nested sampling needs nautilus: install it by pip install 'sedflow-lab[nested]'."
        ) from error
    from tqdm.auto import tqdm

    if len(photometry) != 1 or not photometry.usable.all():
        problem = (
            f": {photometry.problems[0]}" if len(photometry) == 1 else f", not {len(photometry)}"
        )
        raise InputError(f"Nested sampling takes one usable galaxy{problem}.")
    if min(live, effective, draws) < 100:
        raise InputError(
            f"{live} live points, an effective sample size of {effective} and {draws} draws: take "
            "at least 100 of each."
        )
    prior, model = get_prior(prior), model_for(photometry, model)
    target = WalkerTarget(photometry, model, prior, outliers)
    began = time.perf_counter()
    sampler = Sampler(
        lambda cube: _from_cube(cube, target),
        lambda phi: target.exact.log_likelihood(*target.exact.reported(phi[None]))[0],
        n_dim=target.size,
        n_live=live,
        n_networks=0,  # the model is quicker than networks that would spare its evaluations
        periodic=np.array([0]),
        n_batch=500,
        vectorized=True,
        pass_dict=False,
        seed=seed,
    )
    finished = False
    with tqdm(unit=" evaluations", desc="nested", disable=not progress) as bar:
        while not finished and not (stop is not None and stop.is_set()):
            # The points of the exploration are biased by having decided where to explore.
            finished = sampler.run(n_eff=effective, discard_exploration=True, timeout=_LOOK)
            bar.update(sampler.n_like - bar.n)
    if not sampler.explored:
        raise SedflowError(
            f"Nested sampling was stopped after {sampler.n_like:,} evaluations, before it had "
            "found the posterior."
        )
    phi, log_weight, _ = sampler.posterior()
    weights = np.exp(log_weight - log_weight.max())
    phi = phi[systematic_resample(weights[None] / weights.sum(), draws, seed)[0]]
    theta, redshift = target.exact.reported(phi[None])
    order = np.random.default_rng(seed).permutation(draws)
    theta = theta[:, order]
    diagnostics: dict[str, Any] = {
        "log_evidence_error": float(sampler.n_eff) ** -0.5,
        "n_evaluations": float(sampler.n_like),
        "seconds": time.perf_counter() - began,
    }
    if target.exact.redshift_prior.size:
        redshift = redshift[:, order]
        diagnostics["draw_redshift"] = redshift[0]
        diagnostics["redshift_cut"] = float(target.exact.redshift_prior.cut)
    if outliers is not None:
        diagnostics["bad_band"] = target.exact.bad_bands(theta, redshift=redshift)[0]
    return PosteriorResult.of(
        photometry,
        theta,
        "nested",
        "converged" if finished else "unfinished",
        ess=np.array([min(float(sampler.n_eff), draws)]),
        chi2_min=target.exact.best_chi2(theta, redshift),
        log_evidence=np.array([float(sampler.log_z)]),
        diagnostics={name: np.array([value]) for name, value in diagnostics.items()},
        provenance=settings_of(photometry, model, prior, outliers)
        | {"method": "nested", "live": live, "effective": effective, "draws": draws, "seed": seed},
    )


def _from_cube(cube: np.ndarray, target: WalkerTarget) -> np.ndarray:
    """Free coordinates (n, size) of points in the unit cube, whose prior is uniform."""
    mass = PARAMETERS[0]
    phi = ndtri(np.clip(cube, _EDGE, 1 - _EDGE))
    span = mass.high - mass.low
    best = (target.best_log_mass(phi) - mass.low) / span
    return with_mass(phi, mass.low + span * np.mod(best + cube[:, 0] - 0.5, 1.0))
