"""How different are two posteriors: marginal distances, shifts, and what a classifier can tell.

Every figure comes with its noise floor: the same figure for two halves of the reference, the
ensembles of a chain where it has them, one of them cut to the effective size of the other set.
As halves are smaller than the whole, the floor is on the high side. Draws may have weights.

References
----------
Lin 1991, IEEE Trans. Inf. Theory 37, 145 (Jensen-Shannon); Lopez-Paz & Oquab 2017,
arXiv:1610.06545 and Lueckmann et al. 2021, arXiv:2101.04653 (C2ST).
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import rel_entr
from scipy.stats import wasserstein_distance

from ..errors import InputError
from ..parameters import NAMES
from ..posterior.reweight import values_of
from ..posterior.weighting import systematic_resample, weighted_quantile
from ..quantities import DERIVED

if TYPE_CHECKING:
    from astropy.table import Table

    from ..posterior.result import PosteriorResult
    from ..sps import SEDModel

__all__ = ["Draws", "c2st", "compare", "js_distance", "median_shift", "wasserstein", "width_ratio"]

SMALL_SHIFT = 0.1
"""Wasserstein distance [σ] that a reader of the posterior would not notice."""
SMALL_C2ST = 0.55
"""Classifier accuracy that is as good as chance for all practical purposes."""

_MOST_NAMED = 4  # quantities that a sentence bears
_BINS = 24
_FOLDS = 5
_C2ST_LEAST = 50
_C2ST_DRAWS = 2000  # of each set: a classifier learns no more from more, but takes longer


@dataclass(frozen=True)
class Draws:
    """Weighted draws of P quantities.

    Attributes
    ----------
    values : ndarray, shape (D, P)
    weights : ndarray, shape (D,)
        Sum to 1; equal when left out.
    """

    values: np.ndarray
    weights: np.ndarray = None  # type: ignore[assignment]  # filled in __post_init__

    def __post_init__(self) -> None:
        """Normalise the weights, and check what came in."""
        values = np.asarray(self.values, dtype=np.float64)
        given = np.ones(len(values)) if self.weights is None else np.asarray(self.weights)
        if values.ndim != 2 or given.shape != values.shape[:1] or len(values) < 4:
            raise InputError(
                f"Comparing needs draws of shape (D, P), D at least 4, and weights (D,), not "
                f"{values.shape} and {given.shape}."
            )
        if not (np.isfinite(values).all() and (given >= 0).all() and 0 < given.sum() < np.inf):
            raise InputError("Comparing needs finite draws, and weights that are not all zero.")
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "weights", given / given.sum())

    def quantile(self, levels: tuple[float, ...]) -> np.ndarray:
        """Weighted quantiles, shape (len(levels), P)."""
        return weighted_quantile(self.values, self.weights, levels)

    def std(self) -> np.ndarray:
        """Weighted standard deviations, shape (P,), 1 where a quantity never varies."""
        apart = self.values - self.weights @ self.values
        std = np.sqrt(self.weights @ np.square(apart))
        return np.where(std > 0, std, 1.0)

    def part(self, rows: np.ndarray) -> Draws:
        """Some of the draws."""
        return Draws(self.values[rows], self.weights[rows])

    def columns(self, count: int) -> Draws:
        """The first quantities only."""
        return Draws(self.values[:, :count], self.weights)


def js_distance(a: Draws, b: Draws) -> np.ndarray:
    r"""Jensen-Shannon distance of each marginal, from 0 (the same) to 1 (nothing in common).

    .. math:: \sqrt{\tfrac12 \sum p \log_2 \tfrac{2p}{p + q}
              + \tfrac12 \sum q \log_2 \tfrac{2q}{p + q}}

    with p and q the fractions of the draws in 24 bins that hold equal shares of both sets
    together. Binning can only lower the distance; noise raises it by some
    :math:`(3 / \ln 2 \, (1/n_a + 1/n_b))^{1/2}`.

    Returns
    -------
    ndarray, shape (P,)
    """
    pooled = Draws(np.concatenate([a.values, b.values]), np.append(a.weights, b.weights))
    edges = pooled.quantile(tuple(np.arange(1, _BINS) / _BINS)).T
    p, q = (
        [
            np.bincount(np.searchsorted(ends, x), d.weights, minlength=_BINS)
            for ends, x in zip(edges, d.values.T, strict=True)
        ]
        for d in (a, b)
    )
    middle = 0.5 * np.add(p, q)
    bits = (rel_entr(p, middle) + rel_entr(q, middle)).sum(1) / np.log(2)
    return np.sqrt(np.maximum(0.5 * bits, 0.0))


def wasserstein(a: Draws, b: Draws) -> np.ndarray:
    """Wasserstein-1 distance of each marginal in standard deviations of b, shape (P,).

    It is the mean distance by which draws of b must move to become those of a.
    """
    distance = [
        wasserstein_distance(x, y, a.weights, b.weights)
        for x, y in zip(a.values.T, b.values.T, strict=True)
    ]
    return np.array(distance) / b.std()


def median_shift(a: Draws, b: Draws) -> np.ndarray:
    """Median of a minus that of b, in standard deviations of b, shape (P,)."""
    return (a.quantile((0.5,)) - b.quantile((0.5,)))[0] / b.std()


def width_ratio(a: Draws, b: Draws) -> np.ndarray:
    """Width of the 68 % interval of a over that of b, shape (P,)."""
    (low_a, high_a), (low_b, high_b) = (d.quantile((0.16, 0.84)) for d in (a, b))
    width = high_b - low_b
    return np.where(width > 0, (high_a - low_a) / np.where(width > 0, width, 1.0), 1.0)


def c2st(a: Draws, b: Draws, seed: int = 0) -> float:
    """Classifier two-sample test: how often a small network tells the sets apart.

    The accuracy of a multilayer perceptron (two layers of 32) in five-fold cross-validation: 0.5
    where the joint distributions are the same, 1 where they have nothing in common. Sets with
    weights are resampled first, at most 2000 draws of each are used, and inputs are
    standardised. Copies of one draw always share a fold, or the classifier would know them
    by heart.

    Parameters
    ----------
    a, b : Draws
    seed : int
        Seed of resampling, folds and classifier.

    Returns
    -------
    float
        NaN for sets of fewer than 50 draws, or fewer than 10 that differ: nothing can be
        learned from them.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.model_selection import PredefinedSplit, cross_val_score
    from sklearn.neural_network import MLPClassifier

    n = min(len(a.values), len(b.values), _C2ST_DRAWS)
    if n < _C2ST_LEAST:
        return np.nan
    sets = [d.values[systematic_resample(d.weights[None], n, seed)[0]] for d in (a, b)]
    if min(len(np.unique(x, axis=0)) for x in sets) < 2 * _FOLDS:
        return np.nan
    rng = np.random.default_rng(seed)
    folds = PredefinedSplit(np.concatenate([_folds(x, rng) for x in sets]))
    values = np.concatenate(sets)
    labels = np.repeat([0, 1], n)
    spread = values.std(axis=0)
    values = (values - values.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    how = {"early_stopping": True, "max_iter": 200, "random_state": seed}
    classifier = MLPClassifier(hidden_layer_sizes=(32, 32), alpha=1e-3, **how)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        scores = cross_val_score(classifier, values, labels, cv=folds)
    return float(scores.mean())


def _folds(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Fold of each draw (D,), at random, of nearly equal size; copies of a draw share one."""
    _, which, counts = np.unique(values, axis=0, return_inverse=True, return_counts=True)
    fold, room = np.empty(len(counts), dtype=int), np.full(_FOLDS, len(values) / _FOLDS)
    order = rng.permutation(len(counts))
    # Draws with many copies first, each to where there is most room; the rest goes round.
    many = order[counts[order] > 1]
    for k in many[np.argsort(-counts[many], kind="stable")]:
        fold[k] = np.argmax(room)
        room[fold[k]] -= counts[k]
    single = order[counts[order] == 1]
    share = np.cumsum(np.maximum(room, 0.0))
    if len(single):
        place = (np.arange(len(single)) + 0.5) / len(single) * share[-1]
        fold[single] = np.minimum(np.searchsorted(share, place), _FOLDS - 1)
    return fold[which.ravel()]


def compare(
    result: PosteriorResult,
    reference: PosteriorResult,
    model: SEDModel | None = None,
    *,
    classifier: bool = False,
    c2st_floor: float | None = None,
    seed: int = 0,
) -> Table:
    """Compare two posteriors of one galaxy, parameter by parameter and jointly.

    Parameters
    ----------
    result, reference : PosteriorResult
        Of the same one galaxy; the reference is the better known, such as a chain.
    model : SEDModel, optional
        Compare the derived quantities, too.
    classifier : bool
        Compare the joint distributions by `c2st`, which takes some seconds.
    c2st_floor : float, optional
        The noise floor of `c2st`, if it is known already.
    seed : int

    Returns
    -------
    astropy.table.Table
        A row for each quantity: ``js``, ``w1`` [σ], ``shift`` [σ] and ``width``, the ratio of
        the 68 % intervals; and the same with ``_floor`` for two halves of the reference. The
        ``meta`` holds ``verdict``, a sentence, and ``c2st`` and ``c2st_floor``, NaN without
        classifier.

    Raises
    ------
    InputError
        If the results are not of the same one galaxy, or it has no posterior.
    """
    from astropy.table import Table

    for each in (result, reference):
        if len(each) != 1 or not each.usable.all():
            raise InputError(f"Compare one galaxy with a posterior at a time, not {each!r}.")
    if result.ids[0] != reference.ids[0]:
        raise InputError(f"Cannot compare galaxy {result.ids[0]} with galaxy {reference.ids[0]}.")
    names = [*NAMES, *(q.name for q in DERIVED if model is not None)]
    a, b = (
        Draws(values_of(names, each.samples[0], each.draw_redshift[0], model), each.weights[0])
        for each in (result, reference)
    )
    few, half = (b.part(rows) for rows in _halves(reference, int(result.ess[0]), seed))
    table = Table({"parameter": names})
    for name, measure in _MEASURES.items():
        table[name], table[name + "_floor"] = measure(a, b), measure(few, half)
        table[name].format = table[name + "_floor"].format = ".3f"
    told = chance = np.nan
    if classifier:
        # It sees the parameters alone: what derives from them adds nothing to know.
        seen = [x.columns(len(NAMES)) for x in (a, b, few, half)]
        told = c2st(seen[0], seen[1], seed)
        chance = c2st(seen[2], seen[3], seed) if c2st_floor is None else c2st_floor
    table.meta |= {"id": str(reference.ids[0]), "c2st": told, "c2st_floor": chance}
    table.meta["methods"] = f"{result.method} against {reference.method}"
    table.meta["verdict"] = _verdict(table)
    return table


_MEASURES = {"js": js_distance, "w1": wasserstein, "shift": median_shift, "width": width_ratio}


def _halves(result: PosteriorResult, size: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of two halves of the draws, the first cut to `size`.

    The halves are the independent ensembles of a chain; other draws are halved at random.
    """
    rng = np.random.default_rng(seed)
    draws = result.samples.shape[1]
    label = result.diagnostics.get("draw_chain")
    if label is not None and len(np.unique(label[0])) > 1:
        order = np.argsort(label[0], kind="stable")
    else:
        order = rng.permutation(draws)
    first, second = order[: draws // 2], order[draws // 2 :]
    return rng.permutation(first)[: max(size, 4)], second


def _verdict(table: Table) -> str:
    """Say in a sentence what the numbers mean."""
    w1, floor = np.asarray(table["w1"]), np.asarray(table["w1_floor"])
    differ = np.flatnonzero(w1 > np.maximum(SMALL_SHIFT, 2 * floor))
    worst = int(np.argmax(w1))
    told, chance = table.meta["c2st"], table.meta["c2st_floor"]
    joint = told > np.nanmax([SMALL_C2ST, chance + 0.03])
    classifier = ""
    if np.isfinite(told):
        noise = f"noise {100 * chance:.0f} %, " if np.isfinite(chance) else ""
        classifier = (
            f"; a classifier tells them apart {100 * told:.0f} % of the time ({noise}chance 50 %)"
        )
    largest = f"{w1[worst]:.2f} σ, in {table['parameter'][worst]}"
    if len(differ) == 0 and not joint:
        return f"The posteriors agree: the largest difference is {largest}{classifier}."
    if len(differ) == 0:
        return (
            f"The marginals agree (the largest difference is {largest}), but the joint "
            f"distributions do not{classifier}."
        )
    named = ", ".join(str(name) for name in table["parameter"][differ])
    if len(differ) > _MOST_NAMED:
        named = f"{len(differ)} of {len(table)} quantities"
    return f"The posteriors differ in {named} (by up to {largest}){classifier}."
