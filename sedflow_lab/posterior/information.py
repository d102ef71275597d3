r"""How much a posterior says that the prior did not, in bits.

For one quantity y it is the relative entropy of its posterior to its prior,

.. math:: D = \int p(y \mid x) \log_2 \frac{p(y \mid x)}{p(y)} \, dy :

a posterior half as wide as a flat prior has learnt one bit, one of a quarter two. It is found in
bins that hold equally many draws of the prior, less the bias of as many bins as are occupied.

References
----------
Kullback & Leibler 1951, Ann. Math. Stat. 22, 79; Miller 1955, in Information Theory in Psychology,
95 (the bias).
"""

from __future__ import annotations

import numpy as np

__all__ = ["information_gain"]

_BINS = 200


def information_gain(values: np.ndarray, weights: np.ndarray, prior: np.ndarray) -> float:
    """Relative entropy [bits] of the posterior of one quantity to its prior.

    Parameters
    ----------
    values, weights : ndarray, shape (D,)
        Draws of the posterior, and their weights, which sum to one.
    prior : ndarray, shape (M,)
        Draws of the prior; several thousand tell up to some seven bits.
    """
    edges = np.quantile(prior, np.linspace(0, 1, _BINS + 1)[1:-1])
    bins = np.searchsorted(edges, values)
    share = np.bincount(bins, weights, minlength=_BINS)
    # Values that many draws of the prior share, as at its edges, leave bins without any of them.
    of_prior = np.bincount(np.searchsorted(edges, prior), minlength=_BINS) / len(prior)
    known = (share > 0) & (of_prior > 0)
    gain = float((share[known] * np.log2(share[known] / of_prior[known])).sum())
    ess = 1 / np.square(weights).sum()
    return max(gain - (int(known.sum()) - 1) / (2 * ess * np.log(2)), 0.0)
