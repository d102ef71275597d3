"""Scores of simulated galaxies: of each parameter, of all jointly, and of the fit to the data."""

from __future__ import annotations

import numpy as np
import torch

from ..anpe import AmortizedPosterior
from ..exact.likelihood import LogPosterior
from ..observations.photometry import Photometry
from ..parameters import N_THETA, NAMES, PARAMETERS
from ..posterior.result import PosteriorResult
from . import calibration
from .mocks import Origin
from .uniformity import Kind

__all__ = ["KINDS", "SCORED", "score_result"]

SCORED: tuple[str, ...] = (*NAMES, "TARP", "HPD regions", "fit to the data")
"""What is scored: the marginals; all parameters jointly, in two ways; and how draws fit."""

_MARGINAL: Kind = "rank"
KINDS: tuple[Kind, ...] = (*(_MARGINAL for _ in NAMES), "tarp", "level", "fit")
"""What kind of score each quantity has."""

_OF_THE_NETWORK = ("efficiency", "pareto_k", "distance", "support")
_DRAWS_AT_ONCE = 32_768
_LOW = np.array([p.low for p in PARAMETERS])
_HIGH = np.array([p.high for p in PARAMETERS])
_PRIOR_DRAWS = 100_000


def score_result(
    result: PosteriorResult,
    photometry: Photometry,
    truth: np.ndarray,
    posterior: AmortizedPosterior,
    seed: int = 0,
    origin: Origin | None = None,
) -> dict[str, np.ndarray]:
    """Score the truths of simulated galaxies among the draws of any method.

    Regions of highest density are those of the network's density where the method is ``"fast"``,
    and else those of prior times likelihood.

    Parameters
    ----------
    result, photometry
        Of N galaxies, as the posterior was told.
    truth : ndarray, shape (N, 12)
    posterior : AmortizedPosterior
        Knows model and prior, and the density of fast draws.
    seed : int
        Of randomisation and of TARP's reference points.
    origin : Origin, optional
        What `narrow_result` returned with the result.

    Returns
    -------
    dict of ndarray
        The fields of `CalibrationRun` that have a row for each galaxy.
    """
    n = len(result)
    good = result.usable
    samples, weights, ess = result.samples[good], result.weights[good], result.ess[good]
    told, theta = photometry[good], truth[good]
    rngs = np.random.SeedSequence([seed, n]).generate_state(5).tolist()
    scores = np.full((n, len(SCORED)), np.nan)
    z, shrunk = np.full((n, N_THETA), np.nan), np.full((n, N_THETA), np.nan)
    predictive = np.full(n, np.nan)
    if good.any():
        chi2, density, at_truth = _densities(
            result.method,
            told,
            samples,
            theta,
            posterior,
            origin and Origin(*(a[good] for a in origin)),
        )
        bands = told.mask.sum(1)
        references = calibration.tarp_references(len(theta), _LOW, _HIGH, rngs[0])
        scores[good] = np.column_stack(
            [
                calibration.rank_scores(samples, theta, weights, ess=ess, seed=rngs[1]),
                calibration.tarp_scores(
                    samples, theta, references, _HIGH - _LOW, weights, ess=ess, seed=rngs[2]
                ),
                calibration.hpd_levels(density, at_truth, weights, ess=ess, seed=rngs[3]),
                calibration.predictive_scores(chi2, bands, weights, seed=rngs[4]),
            ]
        )
        prior_std = posterior.prior.sample(_PRIOR_DRAWS).std(axis=0)
        z[good] = calibration.z_scores(samples, theta, weights)
        shrunk[good] = calibration.contraction(samples, prior_std, weights)
        predictive[good] = calibration.predictive_p_values(chi2, bands, weights)
    return {
        "truth": truth,
        "redshift": photometry.redshift.copy(),
        "flux": photometry.flux.copy(),
        "sigma": photometry.sigma.copy(),
        "scores": scores,
        "z_scores": z,
        "contraction": shrunk,
        "predictive_p": predictive,
        **{name: result.diagnostics.get(name, np.full(n, np.nan)) for name in _OF_THE_NETWORK},
        "ess": result.ess,
        "chi2_min": result.chi2_min,
        "badge": result.badge.astype("<U16"),
    }


def _densities(
    method: str,
    photometry: Photometry,
    samples: np.ndarray,
    truth: np.ndarray,
    posterior: AmortizedPosterior,
    origin: Origin | None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """χ² (N, D) of draws, and log densities of draws (N, D) and truths (N,) in the free space."""
    n, draws = samples.shape[:2]
    prior = posterior.prior
    phi = prior.to_free(samples if origin is None else origin.samples)
    phi_truth = prior.to_free(truth) if origin is None else origin.truth
    mass = PARAMETERS[0]
    inside = (phi_truth[:, 0] >= mass.low) & (phi_truth[:, 0] <= mass.high)
    phi_truth = np.where(inside[:, None], phi_truth, phi[:, 0])
    both = np.concatenate([phi, phi_truth[:, None]], axis=1)
    chi2, density = np.empty((n, draws)), np.empty((n, draws + 1))
    step = max(1, _DRAWS_AT_ONCE // draws)
    with torch.no_grad():
        for first in range(0, n, step):
            rows = slice(first, first + step)
            target = LogPosterior(photometry[rows], posterior.model, prior)
            theta = prior.from_free(both[rows])
            if method == "fast":
                log_q = posterior.log_prob(photometry[rows], theta)
                density[rows] = log_q + prior.log_abs_det_jacobian(both[rows])
            else:
                density[rows] = target(both[rows])
            chi2[rows] = target.chi2(samples[rows])
    return chi2, density[:, :-1], np.where(inside, density[:, -1], -np.inf)
