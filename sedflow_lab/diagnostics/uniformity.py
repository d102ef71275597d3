"""Are scores uniform: tests, and a verdict in words.

Each quantity gets a Kolmogorov-Smirnov test (of its curve) and a χ² test (of its histogram); the
smaller p-value, doubled, is its own, and Holm's correction makes the p-values of all quantities
hold together.

References
----------
Holm 1979, Scand. J. Stat. 6, 65.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy import stats

from ..errors import InputError
from .bands import default_bins, finite_columns, histogram

if TYPE_CHECKING:
    from astropy.table import Table

__all__ = ["ALPHA", "Kind", "Uniformity", "check_uniformity", "holm"]

ALPHA = 0.05
"""Probability that right posteriors are called wrong, over all quantities together."""

Kind = Literal["rank", "tarp", "level", "fit"]
"""What a score is, and so what its shape means: see `Uniformity.sentences`."""

_MIN_SCORES = 20


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
            f"{f'p = {self.p_holm[k]:.2g}' if self.p_holm[k] >= 1e-10 else 'p < 1e-10'})."
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
        if {self.kinds[k] for k in bad} == {"fit"}:
            head = (
                f"Ranks and regions are right, as far as {n} simulations can tell; the fit of "
                "single draws is off."
            )
        else:
            head = f"Not calibrated at {n} simulations."
        return (
            f"{head} {'; '.join(parts)}. {good} of {len(self.names)} quantities show no departure."
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
    "tarp": (("biased", "biased"), ("too wide (∩)", "too narrow or biased (U)")),
    "level": (
        (
            "too cautious (regions hold the truth too often)",
            "too narrow or biased (regions miss the truth too often)",
        ),
        ("", ""),
    ),
    "fit": (
        (
            "draws fit the data worse than the truth does",
            "draws fit the data better than the noise allows",
        ),
        ("", ""),
    ),
}


def check_uniformity(
    scores: np.ndarray, names: Sequence[str], kinds: Sequence[Kind] | None = None
) -> Uniformity:
    """Test sets of scores.

    Parameters
    ----------
    scores : ndarray, shape (N, Q)
        NaNs are left out.
    names : sequence of str, length Q
    kinds : sequence of str, length Q, optional
        ``"rank"`` of a marginal (default), ``"tarp"``, ``"level"`` of a region, or ``"fit"``.

    Raises
    ------
    InputError
        If there are fewer than 20 scores, or some beyond 0 and 1.
    """
    columns = finite_columns(np.asarray(scores, dtype=np.float64))
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
    chi2 = [stats.chisquare(histogram(c, default_bins(len(c)))) for c in columns]
    p = np.minimum(2 * np.minimum([t.pvalue for t in ks], [t.pvalue for t in chi2]), 1.0)
    apart = [column - 0.5 for column in columns]
    return Uniformity(
        names=tuple(names),
        kinds=tuple(kinds or ["rank"] * len(names)),
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
