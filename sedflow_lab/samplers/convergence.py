"""Has a Markov chain converged: rank-normalised R-hat, effective sample sizes, correlation time.

R-hat and the effective sample sizes follow Vehtari et al. 2021. They are written out here, and
tested against ArviZ, because importing ArviZ takes seconds and a hundred megabytes, which a live
panel cannot wait for.

References
----------
Vehtari, Gelman, Simpson, Carpenter & Bürkner 2021, Bayesian Analysis 16, 667.
Geyer 1992, Stat. Sci. 7, 473 (initial monotone sequence).
Goodman & Weare 2010, CAMCoS 5, 65; Foreman-Mackey et al. 2013, PASP 125, 306 (ensembles).
"""

from __future__ import annotations

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft
from scipy.special import ndtri
from scipy.stats import rankdata

from ..errors import InputError

__all__ = ["autocorrelation_time", "ess_bulk", "ess_tail", "rank_normalize", "split_rhat"]

_WINDOW = 5  # autocorrelation times, emcee's choice


def split_rhat(chains: np.ndarray) -> np.ndarray:
    """Rank-normalised split R-hat (P,) of C independent chains (C, S, P) of S draws.

    The larger of R-hat of the draws (location) and of their distances from the median (scale): 1
    where chains agree, below 1.01 by convention, NaN for a parameter that never varies.
    """
    halves = _split(chains)
    folded = np.abs(halves - np.median(halves, axis=(0, 1)))
    return np.maximum(_rhat(rank_normalize(halves)), _rhat(rank_normalize(folded)))


def ess_bulk(chains: np.ndarray) -> np.ndarray:
    """Effective number (P,) of independent draws, for the bulk of the posterior (C, S, P)."""
    return _ess(rank_normalize(_split(chains)))


def ess_tail(chains: np.ndarray) -> np.ndarray:
    """The same for its 5 % and 95 % quantiles, the smaller of the two."""
    halves = _split(chains)
    low, high = np.quantile(_checked(chains), [0.05, 0.95], axis=(0, 1))
    return np.minimum(_ess((halves <= low) * 1.0), _ess((halves <= high) * 1.0))


def autocorrelation_time(chain: np.ndarray) -> np.ndarray:
    """Integrated autocorrelation time (P,), as emcee has it, of S steps of W walkers (S, W, P).

    It is in steps, and infinite if a walker never moved, for then nothing is known. The estimate
    subtracts each walker's own mean, so it is too low where walkers stay in one mode each. R-hat
    and the effective sample sizes notice that. emcee's own function gives the same numbers, but
    takes the walkers one by one.
    """
    chain = _checked(chain)
    size = len(chain)
    padded = next_fast_len(2 * size, real=True)
    tau = np.empty(chain.shape[-1])
    for k in range(len(tau)):
        x = chain[..., k] - chain[..., k].mean(axis=0)
        power = np.square(np.abs(rfft(x, padded, axis=0)))
        correlation = irfft(power, padded, axis=0)[:size]
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = (correlation / correlation[0]).mean(axis=1)
        sums = 2.0 * np.cumsum(mean) - 1.0
        # The shortest window that holds so many of the times that it gives (Sokal 1997).
        enough = np.arange(size) >= _WINDOW * sums
        tau[k] = sums[np.argmax(enough) if enough.any() else -1]
    return np.where(np.isfinite(tau), tau, np.inf)


def rank_normalize(chains: np.ndarray) -> np.ndarray:
    """Replace draws (C, S, P) by normal scores of their ranks among all draws of a parameter."""
    flat = chains.reshape(-1, chains.shape[-1])
    rank = rankdata(flat, axis=0)
    # Blom's offsets, as in Vehtari et al. 2021, equation 14.
    return ndtri((rank - 0.375) / (len(flat) + 0.25)).reshape(chains.shape)


def _checked(chains: np.ndarray) -> np.ndarray:
    chains = np.asarray(chains, dtype=np.float64)
    if chains.ndim != 3 or not np.isfinite(chains).all():
        raise InputError(
            f"Chains need three axes and finite values, not the shape {chains.shape} "
            f"with {np.count_nonzero(~np.isfinite(chains))} values that are not finite."
        )
    return chains


def _split(chains: np.ndarray) -> np.ndarray:
    chains = _checked(chains)
    half = chains.shape[1] // 2
    if half < 2:
        raise InputError(f"Convergence needs chains of at least 4 draws, not {chains.shape[1]}.")
    return np.concatenate([chains[:, :half], chains[:, -half:]])


def _rhat(chains: np.ndarray) -> np.ndarray:
    draws = chains.shape[1]
    within = chains.var(axis=1, ddof=1).mean(axis=0)
    between = chains.mean(axis=1).var(axis=0, ddof=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.sqrt(between / within + (draws - 1) / draws)


def _ess(chains: np.ndarray) -> np.ndarray:
    """Effective sample size of split chains (C, S, P), from their mean autocorrelation."""
    count, draws, _ = chains.shape
    centred = chains - chains.mean(axis=1, keepdims=True)
    transform = np.fft.rfft(centred, n=2 * draws, axis=1)
    power = np.square(np.abs(transform)).mean(axis=0)
    covariance = np.fft.irfft(power, n=2 * draws, axis=0)[:draws] / draws
    within = covariance[0] * draws / (draws - 1)
    total = covariance[0] + (chains.mean(axis=1).var(axis=0, ddof=1) if count > 1 else 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        rho = 1.0 - (within - covariance) / total
    rho[0] = 1.0
    tau = np.array([_geyer(r) for r in rho.T])
    size = count * draws
    ess = size / np.maximum(tau, 1.0 / np.log10(size))
    # A parameter that never varies is known with every draw (as ArviZ has it).
    return np.where(np.ptp(chains, axis=(0, 1)) == 0, float(size), ess)


def _geyer(rho: np.ndarray) -> float:
    """Autocorrelation time from correlations (S,): sums of pairs, positive and never rising."""
    if not np.isfinite(rho).all():
        return np.nan
    pairs = rho[: len(rho) // 2 * 2].reshape(-1, 2).sum(axis=1)
    # The last lags are left out: their correlations rest on too few terms.
    last = (len(rho) - 1) // 2 - 1
    negative = np.flatnonzero(pairs[:last] < 0)
    stop = negative[0] if len(negative) else last
    kept = np.minimum.accumulate(pairs[:stop])
    # One more term than the sum of pairs lowers the variance for antithetic chains.
    extra = max(float(rho[2 * stop]), 0.0)
    return float(2.0 * kept.sum() - 1.0 + extra)
