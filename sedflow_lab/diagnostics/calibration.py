r"""Where does the truth lie among the draws: scores that are uniform if posteriors are right.

Draw the truth from the prior, make data, infer. If posteriors are right, then the truth and the
draws come from one distribution, and the fraction of draws below the truth is uniform between 0
and 1. The same holds for any other way to order the draws: by distance from a reference point
(TARP), by posterior density (HPD regions), by fit to the data. Every function here returns such
scores, or simple moments; `uniformity` says whether scores are uniform.

Scores are randomised within the step of 1/(K + 1) that K effective draws leave, and so are
exactly uniform, not merely on a grid:

.. math:: u = \frac{K F + v}{K + 1}, \qquad F = \sum_i w_i [\theta_i < \theta^*],
          \qquad v \sim U(0, 1).

With equal weights K is the number of draws. With other weights it is the effective number, and
scores are uniform as far as the weights are reliable.

sbi's `run_sbc` and `run_tarp` are tied to its own posteriors, know no weights, and hold all
draws of all simulations at once; the p-value of its `check_tarp` treats the points of the curve's
two axes as samples, so that hardly anything is ever rejected. Hence these functions, which work
on any block of simulations and agree with sbi's where both apply.

References
----------
Talts et al. 2018, arXiv:1804.06788 (SBC); Lemos et al. 2023, arXiv:2302.03026 (TARP);
Deistler et al. 2022, arXiv:2210.04815 and Hermans et al. 2021, arXiv:2110.06581 (coverage of
HPD regions); Schad et al. 2021, Psychol. Methods 26, 103 (z-score and contraction);
Johnson 2007, Bayesian Analysis 2, 719 (pivotal check of the fit).
"""

from __future__ import annotations

import numpy as np
from scipy.stats import chi2 as chi2_distribution

from ..errors import InputError
from ..posterior.weighting import kish_ess

__all__ = [
    "contraction",
    "hpd_levels",
    "predictive_p_values",
    "predictive_scores",
    "rank_scores",
    "tarp_references",
    "tarp_scores",
    "z_scores",
]


def rank_scores(
    samples: np.ndarray,
    truth: np.ndarray,
    weights: np.ndarray | None = None,
    *,
    ess: np.ndarray | None = None,
    seed: int = 0,
) -> np.ndarray:
    """Percentile score of the truth in each marginal: the randomised fraction of draws below it.

    Parameters
    ----------
    samples : ndarray, shape (N, D, P)
        D draws of P parameters for each of N simulations.
    truth : ndarray, shape (N, P)
    weights : ndarray, shape (N, D), optional
        Of any sum; equal when left out.
    ess : ndarray, shape (N,), optional
        Effective number of draws: Kish's by default. Give it for draws of a Markov chain.
    seed : int
        Of the randomisation.

    Returns
    -------
    ndarray, shape (N, P)
        Uniform between 0 and 1 if posteriors are right; NaN where a simulation has no draws.
    """
    samples, weights, ess = _checked(samples, weights, ess)
    truth = _shaped(truth, (len(samples), samples.shape[2]), "truth")
    rng = np.random.default_rng(seed)
    columns = zip(samples.transpose(2, 0, 1), truth.T, strict=True)
    return np.stack([_scores(x, t, weights, ess, rng) for x, t in columns], axis=1)


def tarp_references(n: int, low: np.ndarray, high: np.ndarray, seed: int = 0) -> np.ndarray:
    """Reference points for `tarp_scores`, uniform in a box, shape (n, P)."""
    low, high = np.asarray(low, dtype=np.float64), np.asarray(high, dtype=np.float64)
    return low + (high - low) * np.random.default_rng(seed).random((n, low.size))


def tarp_scores(
    samples: np.ndarray,
    truth: np.ndarray,
    references: np.ndarray,
    scale: np.ndarray | float = 1.0,
    weights: np.ndarray | None = None,
    *,
    ess: np.ndarray | None = None,
    seed: int = 0,
) -> np.ndarray:
    """Fraction of draws that are nearer to a reference point than the truth is.

    Parameters
    ----------
    samples : ndarray, shape (N, D, P)
    truth : ndarray, shape (N, P)
    references : ndarray, shape (N, P)
        A point for each simulation, chosen without looking at its truth.
    scale : ndarray, shape (P,), or float
        Units in which distances are measured, such as the widths of the prior.
    weights, ess, seed
        As in `rank_scores`.

    Returns
    -------
    ndarray, shape (N,)
        Uniform if posteriors are right, jointly in all parameters.
    """
    samples, weights, ess = _checked(samples, weights, ess)
    shape = (len(samples), samples.shape[2])
    truth, references = (
        _shaped(a, shape, name) for a, name in ((truth, "truth"), (references, "references"))
    )
    near = np.square((truth - references) / scale).sum(1)
    distance = np.zeros(samples.shape[:2])
    inverse = np.broadcast_to(1.0 / np.asarray(scale, dtype=np.float64), shape[1:])
    for k in range(shape[1]):  # one parameter at a time: no second copy of all the draws
        distance += np.square((samples[:, :, k] - references[:, k, None]) * inverse[k])
    return _scores(distance, near, weights, ess, np.random.default_rng(seed))


def hpd_levels(
    log_density: np.ndarray,
    log_density_truth: np.ndarray,
    weights: np.ndarray | None = None,
    *,
    ess: np.ndarray | None = None,
    seed: int = 0,
) -> np.ndarray:
    """Probability inside the smallest region of highest density that holds the truth.

    Parameters
    ----------
    log_density : ndarray, shape (N, D)
        Log of the posterior density at the draws; for each simulation up to a constant.
    log_density_truth : ndarray, shape (N,)
        The same at the truth.
    weights, ess, seed
        As in `rank_scores`.

    Returns
    -------
    ndarray, shape (N,)
        Uniform if posteriors are right; mostly large if they are too narrow or biased. The
        fraction of levels below α is the expected coverage of regions of probability α.
    """
    log_density = np.asarray(log_density, dtype=np.float64)
    if log_density.ndim != 2:
        raise InputError(f"Densities need the shape (N, draws), not {log_density.shape}.")
    draws, weights, ess = _checked(log_density[..., None], weights, ess)
    truth = _shaped(log_density_truth, (len(draws),), "log_density_truth")
    return _scores(-draws[..., 0], -truth, weights, ess, np.random.default_rng(seed))


def z_scores(
    samples: np.ndarray, truth: np.ndarray, weights: np.ndarray | None = None
) -> np.ndarray:
    """Posterior mean minus truth in posterior standard deviations, shape (N, P).

    Right posteriors have, over all simulations, means of 0 and squares of mean 1.
    """
    samples, weights, _ = _checked(samples, weights, None)
    mean, std = _moments(samples, weights)
    return (mean - _shaped(truth, mean.shape, "truth")) / np.where(std > 0, std, np.nan)


def contraction(
    samples: np.ndarray, prior_std: np.ndarray, weights: np.ndarray | None = None
) -> np.ndarray:
    """How much the data taught: 1 minus the ratio of posterior to prior variance, shape (N, P).

    Near 1 where the data say all, near 0 where they say nothing.
    """
    samples, weights, _ = _checked(samples, weights, None)
    _, std = _moments(samples, weights)
    return 1.0 - np.square(std / np.asarray(prior_std, dtype=np.float64))


def predictive_scores(
    chi2: np.ndarray, n_bands: np.ndarray, weights: np.ndarray | None = None, *, seed: int = 0
) -> np.ndarray:
    """Probability of a worse fit than that of one random draw from each posterior, shape (N,).

    If posteriors are right, then a draw and the data are a pair just like the truth and the
    data, and its χ² follows the χ² distribution with one degree of freedom a band: the scores
    are uniform. Mostly small scores mean draws that the data contradict.

    Parameters
    ----------
    chi2 : ndarray, shape (N, D)
        χ² of the data at each draw.
    n_bands : ndarray of int, shape (N,)
        Observed bands.
    weights : ndarray, shape (N, D), optional
    seed : int
        Chooses the draws.
    """
    draws, weights, _ = _checked(np.expand_dims(chi2, -1), weights, None)
    ticks = np.random.default_rng(seed).random(len(draws))
    chosen = (np.cumsum(weights, axis=1) < ticks[:, None]).sum(1).clip(0, draws.shape[1] - 1)
    value = np.take_along_axis(draws[..., 0], chosen[:, None], 1)[:, 0]
    return np.where(weights.sum(1) > 0, chi2_distribution.sf(value, n_bands), np.nan)


def predictive_p_values(
    chi2: np.ndarray, n_bands: np.ndarray, weights: np.ndarray | None = None
) -> np.ndarray:
    """Posterior predictive p-values: how often replicated data fit a draw worse than the data do.

    Parameters
    ----------
    chi2, n_bands, weights
        As for `predictive_scores`.

    Returns
    -------
    ndarray, shape (N,)
        Near 0 where the model cannot make the data. They crowd around one half even if all is
        right, for the data have been used twice: test `predictive_scores`, not these.
    """
    draws, weights, _ = _checked(np.expand_dims(chi2, -1), weights, None)
    worse = chi2_distribution.sf(draws[..., 0], np.asarray(n_bands)[:, None])
    return np.where(weights.sum(1) > 0, (weights * np.nan_to_num(worse)).sum(1), np.nan)


def _scores(
    draws: np.ndarray,
    truth: np.ndarray,
    weights: np.ndarray,
    ess: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Randomised fraction of draws (N, D) below the truth (N,); equal ones count as a step."""
    below = (weights * (draws < truth[:, None])).sum(1)
    equal = (weights * (draws == truth[:, None])).sum(1)
    scores = (ess * below + rng.random(len(truth)) * (ess * equal + 1.0)) / (ess + 1.0)
    known = (weights.sum(1) > 0) & ~np.isnan(truth)  # a density of zero is no lack of one
    return np.where(known, np.clip(scores, 0.0, 1.0), np.nan)


def _moments(samples: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weighted means and standard deviations (N, P); NaN where there are no weights."""
    weights = np.where(weights.sum(1, keepdims=True) > 0, weights, np.nan)
    moments = []
    for values in samples.transpose(2, 0, 1):  # one parameter at a time: no copy of all the draws
        mean = (weights * values).sum(1)
        moments.append((mean, np.sqrt((weights * np.square(values - mean[:, None])).sum(1))))
    mean, std = np.transpose(moments, (1, 2, 0))
    return mean, std


def _checked(
    samples: np.ndarray, weights: np.ndarray | None, ess: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draws (N, D, P), weights (N, D) that sum to one or are all zero, and effective numbers."""
    samples = np.asarray(samples, dtype=np.float64)
    if samples.ndim != 3 or 0 in samples.shape:
        raise InputError(f"Draws need the shape (N, draws, P), not {samples.shape}.")
    n, draws, _ = samples.shape
    if weights is None:
        weights = np.isfinite(samples).all((1, 2))[:, None] * np.full((n, draws), 1.0 / draws)
    else:
        weights = _shaped(weights, (n, draws), "weights")
        if not (np.isfinite(weights).all() and (weights >= 0).all()):
            raise InputError("Weights must be finite and not negative.")
        total = weights.sum(1, keepdims=True)
        weights = weights / np.where(total > 0, total, 1.0)
    ess = kish_ess(weights) if ess is None else _shaped(ess, (n,), "ess")
    return samples, weights, ess


def _shaped(array: np.ndarray, shape: tuple[int, ...], name: str) -> np.ndarray:
    array = np.asarray(array, dtype=np.float64)
    if array.shape != shape:
        raise InputError(f"{name} needs the shape {shape}, not {array.shape}.")
    return array
