"""Are scores uniform: curves and histograms with their bands, tests, and a verdict in words.

Bands show what right posteriors would scatter at this number of simulations. Each quantity gets
a Kolmogorov-Smirnov test (curves) and a χ² test (histograms); the smaller p-value, doubled, is its
own, and Holm's correction makes the p-values of all quantities hold together.

References
----------
Säilynoja, Bürkner & Vehtari 2022, Stat. Comput. 32, 32 (simultaneous bands of the curve);
Holm 1979, Scand. J. Stat. 6, 65.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy import stats

from ..errors import InputError

if TYPE_CHECKING:
    from astropy.table import Table

__all__ = [
    "ALPHA",
    "Kind",
    "Uniformity",
    "check_uniformity",
    "coverage_band",
    "default_bins",
    "histogram",
    "histogram_band",
    "holm",
    "pp_band",
    "pp_curve",
]

ALPHA = 0.05
"""Probability that right posteriors are called wrong, over all quantities together."""

Kind = Literal["rank", "tarp", "level", "fit"]
"""What a score is, and so what its shape means: see `Uniformity.sentences`."""

_MIN_SCORES = 20


def pp_curve(scores: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """Fraction of scores up to each point of a grid: the p–p curve, or expected coverage.

    Parameters
    ----------
    scores : ndarray, shape (N,) or (N, Q)
        NaNs are left out.
    grid : ndarray, shape (G,)

    Returns
    -------
    ndarray, shape (G,) or (G, Q)
    """
    columns = [
        np.searchsorted(np.sort(column), grid, side="right") / max(len(column), 1)
        for column in _columns(scores)
    ]
    return columns[0] if np.ndim(scores) == 1 else np.stack(columns, axis=1)


def pp_band(
    n: int, grid: np.ndarray, level: float = 0.95, *, simultaneous: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """Band that holds the whole curve of n uniform scores with the probability `level`.

    By ArviZ, whose optimised band keeps its level to the percent, which its simulated one does
    not.

    Parameters
    ----------
    n : int
        Number of scores.
    grid : ndarray, shape (G,)
    level : float
    simultaneous : bool
        Hold the curve everywhere at once; else at each point for itself.

    Returns
    -------
    low, high : ndarray, shape (G,)
    """
    points = np.asarray(grid, dtype=np.float64)
    if n < 1 or points.ndim != 1 or points.min() < 0 or points.max() > 1:
        raise InputError("A band needs one score or more, and a grid between 0 and 1.")
    share = level
    if simultaneous:
        share = _pointwise(n, tuple(np.unique(points[(points > 0) & (points < 1)])), level)
    low, high = stats.binom.interval(share, n, points)
    return low / n, high / n


@lru_cache(maxsize=256)
def _pointwise(n: int, inner: tuple[float, ...], level: float) -> float:
    """Level at each point of the band that holds the whole curve, found from ArviZ's band."""
    # ArviZ takes seconds to import: only what draws a band waits for it.
    from arviz.stats.ecdf_utils import ecdf_confidence_band

    grid = np.array(inner)
    low, high = ecdf_confidence_band(n, grid, grid, level, method="optimized")
    counts = np.rint(n * low), np.rint(n * high)
    # The largest level that gives no wider an interval anywhere: binomial intervals are steps.
    outside_low = stats.binom.cdf(counts[0] - 1, n, grid).max()
    outside_high = stats.binom.sf(counts[1], n, grid).max()
    return 1.0 - 2.0 * float(max(outside_low, outside_high)) - 1e-12


def coverage_band(n: np.ndarray | int, level: float, confidence: float = 0.95) -> np.ndarray:
    """Fractions (2, ...) between which regions of a probability hold n truths, each for itself."""
    counts = np.asarray(n)
    low, high = stats.binom.interval(confidence, counts, level)
    return np.stack([low, high]) / np.maximum(counts, 1)


def default_bins(n: int) -> int:
    """Bins for n scores: 20 scores or more in each, but not more than 20 bins."""
    return int(np.clip(n // 20, 4, 20))


def histogram(scores: np.ndarray, bins: int | None = None) -> np.ndarray:
    """Counts of scores in equal bins from 0 to 1: the rank histogram.

    Parameters
    ----------
    scores : ndarray, shape (N,) or (N, Q)
        NaNs are left out.
    bins : int, optional
        Default: `default_bins`.

    Returns
    -------
    ndarray of int, shape (bins,) or (bins, Q)
    """
    bins = default_bins(len(scores)) if bins is None else bins
    columns = [np.histogram(column, bins, (0.0, 1.0))[0] for column in _columns(scores)]
    return columns[0] if np.ndim(scores) == 1 else np.stack(columns, axis=1)


def histogram_band(
    n: int, bins: int, level: float = 0.95, *, simultaneous: bool = True
) -> tuple[float, float]:
    """Counts between which all bins of n uniform scores lie with at least the probability `level`.

    Parameters
    ----------
    n, bins : int
    level : float
    simultaneous : bool
        All bins at once (Bonferroni); else each for itself.

    Returns
    -------
    low, high : float
    """
    share = 1.0 - (1.0 - level) / bins if simultaneous else level
    low, high = stats.binom.interval(share, n, 1.0 / bins)
    return float(low), float(high)


def holm(p: np.ndarray) -> np.ndarray:
    """Correct p-values for their number: any below α is wrong with the probability α at most."""
    p = np.asarray(p, dtype=np.float64)
    order = np.argsort(p)
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(stepped, 1.0)
    return corrected


@dataclass(frozen=True)
class Uniformity:
    """Tests of Q sets of scores.

    Attributes
    ----------
    names : tuple of str
    kinds : tuple of str
        What the scores are: see `Kind`.
    n : ndarray of int, shape (Q,)
        Scores that are not NaN.
    ks, ks_p : ndarray, shape (Q,)
        Largest distance of the p–p curve from the diagonal, and its p-value.
    chi2, chi2_p : ndarray, shape (Q,)
        χ² of the histogram, and its p-value.
    p, p_holm : ndarray, shape (Q,)
        Twice the smaller p-value, and the same after Holm's correction for Q sets.
    slope, curvature : ndarray, shape (Q,)
        Mean score less 1/2, and mean square of the score less 1/2, less 1/12, both in standard
        errors: which way scores lean, and whether they keep to the ends (above 0) or to the
        middle.
    """

    names: tuple[str, ...]
    kinds: tuple[Kind, ...]
    n: np.ndarray
    ks: np.ndarray
    ks_p: np.ndarray
    chi2: np.ndarray
    chi2_p: np.ndarray
    p: np.ndarray
    p_holm: np.ndarray
    slope: np.ndarray
    curvature: np.ndarray

    @property
    def uniform(self) -> np.ndarray:
        """Whether nothing speaks against uniform scores, bool (Q,)."""
        return self.p_holm >= ALPHA

    def sentences(self) -> list[str]:
        """One sentence for each set, in plain words."""
        return [
            f"{name}: {self._reading(k)} (curve off by up to {100 * self.ks[k]:.1f} points, "
            f"{_p_text(self.p_holm[k])})."
            for k, name in enumerate(self.names)
        ]

    def verdict(self) -> str:
        """All sets in a few sentences: right, or what is wrong with which."""
        n = int(self.n.min())
        if self.uniform.all():
            return (
                f"Calibrated, as far as {n} simulations can tell: nothing departs from what right "
                f"posteriors would show (smallest corrected p-value {self.p_holm.min():.2g})."
            )
        bad = np.flatnonzero(~self.uniform)
        found: dict[str, list[int]] = {}
        for k in bad:
            found.setdefault(self._reading(int(k)), []).append(int(k))
        parts = []
        for reading, rows in found.items():
            names = ", ".join(self.names[k] for k in rows)
            worst = 100 * self.ks[rows].max()
            parts.append(f"{names}: {reading}, by up to {worst:.1f} points")
        good = len(self.names) - len(bad)
        return (
            f"Not calibrated at {n} simulations. {'; '.join(parts)}. "
            f"{good} of {len(self.names)} quantities show no departure."
        )

    def table(self) -> Table:
        """The numbers and sentences, a row for each set."""
        from astropy.table import Table

        table = Table({"quantity": list(self.names), "kind": list(self.kinds)})
        for name in ("n", "ks", "ks_p", "chi2", "chi2_p", "p", "p_holm", "slope", "curvature"):
            table[name] = getattr(self, name)
            if table[name].dtype.kind == "f":
                table[name].format = ".3g"
        table["verdict"] = [self._reading(k) for k in range(len(self.names))]
        return table

    def _reading(self, k: int) -> str:
        if self.uniform[k]:
            return "as it should be"
        slope, curvature = float(self.slope[k]), float(self.curvature[k])
        lean, bend = _WORDS[self.kinds[k]]
        words = []
        # The stronger sign first; the weaker one if it is no by-product of it.
        for size, pair in sorted(((slope, lean), (curvature, bend)), key=lambda s: -abs(s[0])):
            if abs(size) > max(2.5, 0.5 * max(abs(slope), abs(curvature))) and pair[0]:
                words.append(pair[int(size > 0)])
        return " and ".join(words) if words else "uneven"


# What a negative and a positive slope mean, then a negative and a positive curvature.
_WORDS: dict[str, tuple[tuple[str, str], tuple[str, str]]] = {
    "rank": (
        ("biased high (ranks slope down)", "biased low (ranks slope up)"),
        ("too wide (∩-shaped ranks)", "too narrow (U-shaped ranks)"),
    ),
    "tarp": (
        ("biased", "biased"),
        ("too wide (∩)", "too narrow or biased (U)"),
    ),
    "level": (
        ("too cautious (regions hold the truth too often)",
         "too narrow or biased (regions miss the truth too often)"),
        ("", ""),
    ),
    "fit": (
        ("draws fit the data worse than the truth does",
         "draws fit the data better than the noise allows"),
        ("", ""),
    ),
}  # fmt: skip


def check_uniformity(
    scores: np.ndarray,
    names: Sequence[str],
    kinds: Sequence[Kind] | None = None,
    bins: int | None = None,
) -> Uniformity:
    """Test sets of scores.

    Parameters
    ----------
    scores : ndarray, shape (N, Q)
        NaNs are left out.
    names : sequence of str, length Q
    kinds : sequence of str, length Q, optional
        ``"rank"`` of a marginal (default), ``"tarp"``, ``"level"`` of a region, or ``"fit"``.
    bins : int, optional
        Of the χ² test; default: `default_bins`.

    Returns
    -------
    Uniformity

    Raises
    ------
    InputError
        If there are fewer than 20 scores, or some beyond 0 and 1.
    """
    columns = _columns(np.asarray(scores, dtype=np.float64))
    if np.ndim(scores) != 2 or len(columns) != len(names):
        raise InputError(f"{len(names)} names do not fit scores of shape {np.shape(scores)}.")
    fewest = min(len(column) for column in columns)
    if fewest < _MIN_SCORES:
        raise InputError(
            f"There are {fewest} scores: testing needs {_MIN_SCORES} or more, better 1000."
        )
    if any(column.min() < 0 or column.max() > 1 for column in columns):
        raise InputError("Scores lie between 0 and 1.")
    n = np.array([len(column) for column in columns])
    ks = [stats.kstest(column, "uniform") for column in columns]
    chi2 = [stats.chisquare(histogram(c, bins or default_bins(len(c)))) for c in columns]
    p = np.minimum(2 * np.minimum([t.pvalue for t in ks], [t.pvalue for t in chi2]), 1.0)
    marginal: Kind = "rank"
    apart = [column - 0.5 for column in columns]
    return Uniformity(
        names=tuple(names),
        kinds=(marginal,) * len(names) if kinds is None else tuple(kinds),
        n=n,
        ks=np.array([t.statistic for t in ks]),
        ks_p=np.array([t.pvalue for t in ks]),
        chi2=np.array([t.statistic for t in chi2]),
        chi2_p=np.array([t.pvalue for t in chi2]),
        p=p,
        p_holm=holm(p),
        slope=np.array([a.mean() for a in apart]) * np.sqrt(12 * n),
        curvature=(np.array([np.square(a).mean() for a in apart]) - 1 / 12) * np.sqrt(180 * n),
    )


def _columns(scores: np.ndarray) -> list[np.ndarray]:
    two = np.asarray(scores, dtype=np.float64)
    two = two[:, None] if two.ndim == 1 else two
    return [column[np.isfinite(column)] for column in two.T]


def _p_text(p: float) -> str:
    return f"p = {p:.2g}" if p >= 1e-10 else "p < 1e-10"
