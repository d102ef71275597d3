"""How far to trust a posterior: the numbers behind the badge, and the badge."""

from __future__ import annotations

import numpy as np
from scipy.special import gammainccinv

from .support import FALSE_ALARM_RATE

__all__ = ["badge", "chi2_limit"]

MAX_DISTANCE = 0.40
"""Total variation between network and posterior up to which the network's draws are called `ok`.

Of 700 real galaxies with an even NSAID 82 % are then ok, 1.1 % of these off by more than 0.3 σ and
0.2 % by more than 0.5 σ; up to 0.55 these would be 3.2 and 1.0 % (`benchmarks/badge.py`, with
--number 700 --draws 2000 --tuning-only). The card has other galaxies'."""

_CHI2_PROBABILITY = 1e-4


def chi2_limit(n_bands: np.ndarray) -> np.ndarray:
    """Best χ² that a galaxy of the model exceeds with a probability below 1e-4.

    The model has more parameters than bands, so its best χ² is nearer zero than a χ²
    distribution with one degree of freedom per band: the limit is on the safe side.
    """
    return 2 * gammainccinv(n_bands / 2, _CHI2_PROBABILITY)


def badge(
    method: str,
    distance: np.ndarray,
    chi2_min: np.ndarray,
    n_bands: np.ndarray,
    finished: np.ndarray | None = None,
    support: np.ndarray | None = None,
) -> np.ndarray:
    """One word for each galaxy.

    Parameters
    ----------
    method : str
        ``"fast"``, ``"weighted"`` or ``"exact"``.
    distance : ndarray, shape (N,)
        Total variation between network and posterior, from 0 to 1 (see `exact.defensive`).
    chi2_min : ndarray, shape (N,)
        Best χ² among the draws.
    n_bands : ndarray of int, shape (N,)
        Observed bands.
    finished : ndarray of bool, shape (N,), optional
        Whether the exact draws came to their end.
    support : ndarray, shape (N,), optional
        p-value of the photometry against the training set (`support.SupportScore`); the network
        by itself is not trusted beyond that.

    Returns
    -------
    ndarray of str, shape (N,)
    """
    good = (distance <= MAX_DISTANCE) & (chi2_min <= chi2_limit(n_bands))
    if support is not None:
        good &= ~(support < FALSE_ALARM_RATE)
    words = np.where(good, "ok", "refine").astype("<U16")
    if method == "exact":
        words = np.full(len(good), "exact", dtype="<U16")
        # Only the exact posterior has looked everywhere the model can go.
        words[chi2_min > chi2_limit(n_bands)] = "model cannot fit"
        if finished is not None:
            words[~finished] = "unfinished"
    return words
