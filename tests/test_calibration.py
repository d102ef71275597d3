"""Calibration diagnostics where the posterior is known: stated error rates, right words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from scipy import stats

from sedflow_lab.diagnostics import calibration as cal
from sedflow_lab.diagnostics.bands import (
    _chance,
    default_bins,
    histogram,
    histogram_band,
    pp_band,
    pp_curve,
)
from sedflow_lab.diagnostics.uniformity import check_uniformity, holm
from sedflow_lab.errors import InputError

NAMES = ("a", "b", "TARP", "HPD", "fit")
KINDS = ("rank", "rank", "tarp", "level", "fit")
NOISE = 0.5


@dataclass
class Toy:
    """Two standard normal parameters, each measured once with noise; draws from a posterior that
    is `width` times as wide as the right one and `shift` of its widths beside it."""

    seed: int
    width: float = 1.0
    shift: float = 0.0
    n: int = 200
    draws: int = 60

    def __post_init__(self):
        rng = np.random.default_rng(self.seed)
        self.truth = rng.normal(size=(self.n, 2))
        data = self.truth + NOISE * rng.normal(size=(self.n, 2))
        variance = 1 / (1 + NOISE**-2)
        self.right_mean, self.right_std = data * variance / NOISE**2, variance**0.5
        self.mean, self.std = (
            self.right_mean + self.shift * self.right_std,
            self.width * variance**0.5,
        )
        self.samples = self.mean[:, None] + self.std * rng.normal(size=(self.n, self.draws, 2))
        self.chi2 = np.square((self.samples - data[:, None]) / NOISE).sum(-1)

    def log_density(self, points, mean, std):
        return -0.5 * np.square((points - mean) / std).sum(-1)

    def scores(self, weights=None):
        """Scores of the five quantities, shape (n, 5)."""
        seed = self.seed + 10**6
        if weights is None:
            mean, std = self.mean, self.std
        else:  # weighted draws stand for the right posterior
            mean, std = self.right_mean, self.right_std
        box = [-3.0, -3.0], [3.0, 3.0]
        return np.column_stack(
            [
                cal.rank_scores(self.samples, self.truth, weights, seed=seed),
                cal.tarp_scores(
                    self.samples,
                    self.truth,
                    cal.tarp_references(self.n, *box, seed),
                    weights=weights,
                    seed=seed,
                ),
                cal.hpd_levels(
                    self.log_density(self.samples, mean[:, None], std),
                    self.log_density(self.truth, mean, std),
                    weights,
                    seed=seed,
                ),
                cal.predictive_scores(self.chi2, np.full(self.n, 2), weights, seed=seed),
            ]
        )

    def right_weights(self):
        """Importance weights from the wrong posterior to the right one."""
        log_w = self.log_density(
            self.samples, self.right_mean[:, None], self.right_std
        ) - self.log_density(self.samples, self.mean[:, None], self.std)
        weights = np.exp(log_w - log_w.max(1, keepdims=True))
        return weights / weights.sum(1, keepdims=True)


@pytest.fixture(scope="module")
def right():
    """Tests of right posteriors, one a seed."""
    return [check_uniformity(Toy(seed).scores(), NAMES, KINDS) for seed in range(400)]


def within(count: int, trials: int, rate: float) -> bool:
    """Whether a count agrees with a rate: wrong once in ten million."""
    return stats.binomtest(int(count), trials, rate).pvalue > 1e-7


@pytest.mark.parametrize("k", range(len(NAMES)), ids=NAMES)
def test_right_posteriors_are_rejected_at_the_stated_rate(right, k):
    for level in (0.05, 0.2, 0.5):
        assert within(sum(u.ks_p[k] < level for u in right), len(right), level)
        assert within(sum(u.chi2_p[k] < level for u in right), len(right), level)
    assert stats.kstest([u.ks_p[k] for u in right], "uniform").pvalue > 1e-7


def test_verdict_on_all_quantities_together_is_wrong_no_oftener_than_stated(right):
    wrong = sum(not u.uniform.all() for u in right)
    # Holm's correction guards against the worst case; here it may reject less, never more.
    assert stats.binomtest(wrong, len(right), 0.05, "greater").pvalue > 1e-7
    # At a level of 0.2 it rejects some 60 of 400.
    assert any(u.p_holm.min() < 0.2 for u in right)
    good = next(u for u in right if u.uniform.all())
    assert good.verdict().startswith("Calibrated, as far as 200 simulations can tell")
    assert all("as it should be" in sentence for sentence in good.sentences())


WRONG = {
    "narrow": (dict(width=0.6), ("too narrow (U", "too narrow (U", "U", "miss", "better")),
    "wide": (dict(width=1.7), ("too wide (∩", "too wide (∩", "∩", "cautious", "worse")),
    "high": (dict(shift=0.8), ("biased high", "biased high", "bias", "miss", "worse")),
    "low": (dict(shift=-0.8), ("biased low", "biased low", "bias", "miss", "worse")),
}


@pytest.mark.parametrize("name", WRONG)
def test_every_diagnostic_finds_wrong_posteriors_and_says_what_is_wrong(name):
    how, words = WRONG[name]
    seeds = 40
    found = [check_uniformity(Toy(s, n=500, **how).scores(), NAMES, KINDS) for s in range(seeds)]
    for k, word in enumerate(words):
        right_word = sum(word in u.sentences()[k] for u in found)
        assert right_word >= 0.95 * seeds, (NAMES[k], word, found[0].sentences()[k])
    assert all(u.verdict().startswith("Not calibrated at 500 simulations.") for u in found)


def test_where_the_fit_alone_is_off_ranks_are_not_called_wrong():
    even = (np.arange(500) + 0.5) / 500
    scores = np.stack([even, even[::-1], even**2], axis=1)
    names, kinds = ("mass", "dust", "fit to the data"), ("rank", "rank", "fit")
    verdict = check_uniformity(scores, names, kinds).verdict()
    assert verdict.startswith("Ranks and regions are right, as far as 500 simulations can tell")
    assert "2 of 3 quantities show no departure" in verdict
    swapped = check_uniformity(scores, names, ("rank", "rank", "rank")).verdict()
    assert swapped.startswith("Not calibrated at 500 simulations.")


def test_right_weights_make_a_wrong_posterior_right():
    seeds = 150
    wrong = dict(width=1.5, shift=0.4, draws=400)
    toys = [Toy(s, **wrong) for s in range(seeds)]
    weighted = [check_uniformity(t.scores(t.right_weights()), NAMES, KINDS) for t in toys]
    for k in range(len(NAMES)):
        assert within(sum(u.ks_p[k] < 0.05 for u in weighted), seeds, 0.05), NAMES[k]
    # A single wrong toy may look right, but not every second one.
    plain = np.array([check_uniformity(t.scores(), NAMES, KINDS).uniform for t in toys[:40]])
    assert (plain.sum(0) < 20).all()


def test_scores_are_the_ranks_and_coverages_of_sbi():
    import torch
    from sbi.diagnostics.sbc import _run_sbc
    from sbi.diagnostics.tarp import _run_tarp

    # Between the ranks 0 and 61, which are among so many but for once in 1e20 runs, no rank is on
    # the edge of a bin.
    toy = Toy(3, n=3000, draws=61)
    samples = torch.as_tensor(toy.samples).permute(1, 0, 2)
    truth = torch.as_tensor(toy.truth)

    def ranks(scores):
        """Of the truth among the draws, which scores are within the steps of."""
        return np.minimum(np.floor(scores * (toy.draws + 1)), toy.draws)

    theirs = _run_sbc(truth, truth, samples, show_progress_bar=False).numpy()
    scores = cal.rank_scores(toy.samples, toy.truth)
    assert np.array_equal(ranks(scores), theirs)

    references = cal.tarp_references(toy.n, [-3, -3], [3, 3])
    mine = ranks(cal.tarp_scores(toy.samples, toy.truth, references))
    ecp, _ = _run_tarp(samples, truth, torch.as_tensor(references), num_bins=10)
    counts, _ = np.histogram(mine, bins=10)  # between the smallest and the largest, like sbi's
    assert ecp.numpy()[1:] == pytest.approx(np.cumsum(counts) / toy.n, abs=1e-6)


def test_ties_and_equal_draws_keep_scores_uniform():
    rng = np.random.default_rng(0)
    # A posterior on three values that is right: truth and draws are alike.
    samples, truth = rng.integers(0, 3, (3000, 40, 1)) * 1.0, rng.integers(0, 3, (3000, 1)) * 1.0
    assert stats.kstest(cal.rank_scores(samples, truth)[:, 0], "uniform").pvalue > 1e-7


def test_one_effective_draw_is_no_evidence_of_a_narrow_posterior():
    toy = Toy(0, n=3000)
    weights = np.zeros((toy.n, toy.draws))
    weights[:, 0] = 1.0  # one draw from the right posterior has all the weight
    scores = cal.rank_scores(toy.samples, toy.truth, weights)
    assert stats.kstest(scores[:, 0], "uniform").pvalue > 1e-7


def test_galaxies_without_a_posterior_have_no_scores():
    toy = Toy(1, n=30)
    weights = np.full((toy.n, toy.draws), 1 / toy.draws)
    toy.samples[4], toy.chi2[4], weights[4] = np.nan, np.nan, 0.0
    scores = toy.scores(weights)
    assert np.isnan(scores[4]).all()
    assert np.isfinite(np.delete(scores, 4, axis=0)).all()
    assert check_uniformity(scores, NAMES, KINDS).n.tolist() == [29] * 5
    assert np.isnan(cal.z_scores(toy.samples, toy.truth, weights)[4]).all()
    assert np.isnan(cal.predictive_p_values(toy.chi2, np.full(30, 2), weights)[4])


def test_a_truth_without_density_is_outside_of_every_region():
    density = np.random.default_rng(0).normal(size=(3, 50))
    levels = cal.hpd_levels(density, np.array([-np.inf, np.nan, 99.0]))
    assert levels[0] > 0.98
    assert np.isnan(levels[1])
    assert levels[2] < 0.02


def test_z_scores_and_contraction_of_a_known_posterior():
    toy = Toy(5, n=4000, draws=500)
    z = cal.z_scores(toy.samples, toy.truth)
    # Standard errors of 0.016 and 0.022; below 0.008.
    assert np.abs(z.mean(0)).max() < 0.1
    assert np.square(z).mean(0) == pytest.approx([1.0, 1.0], abs=0.14)
    shrunk = cal.contraction(toy.samples, np.ones(2))
    assert shrunk.mean(0) == pytest.approx([0.8, 0.8], abs=0.01)
    wide = Toy(5, width=2.0, n=1000, draws=500)
    assert np.square(cal.z_scores(wide.samples, wide.truth)).mean() == pytest.approx(0.25, abs=0.05)


def test_predictive_p_values_crowd_at_one_half_and_fall_where_the_model_fails():
    toy = Toy(6)
    p = cal.predictive_p_values(toy.chi2, np.full(toy.n, 2))
    assert 0.3 < p.mean() < 0.7
    assert stats.kstest(p, "uniform").pvalue < 1e-6
    assert cal.predictive_p_values(toy.chi2 + 40, np.full(toy.n, 2)).max() < 1e-6


@pytest.mark.parametrize("n", [20, 100, 1000])
def test_bands_hold_as_many_curves_and_histograms_as_they_say(n):
    rng = np.random.default_rng(n)
    trials = 2000
    scores = rng.random((n, trials))
    grid = np.linspace(0, 1, 51)
    curves = pp_curve(scores, grid)
    low, high = pp_band(n, grid, 0.9)
    inside = ((curves >= low[:, None] - 1e-9) & (curves <= high[:, None] + 1e-9)).all(0)
    # Counts are whole numbers: the band cannot keep its level exactly, but is never wide of it.
    # So many trials scatter by 0.007.
    assert 0.86 < inside.mean() < 0.95
    counts = (np.rint(n * edge[1:-1]) for edge in (low, high))
    assert 0.9 <= _chance(n, grid[1:-1], *counts) < 0.91
    bins = default_bins(n)
    counts = histogram(scores, bins)
    low, high = histogram_band(n, bins, 0.9)
    assert 0.86 < ((counts >= low) & (counts <= high)).all(0).mean() < 0.99


def test_chance_that_a_curve_keeps_to_a_band_is_that_of_counting():
    # Two scores: at 1/4 and 3/4 there are 0 to 1 and 1 to 2 below, but not the pair (0, 0).
    grid = np.array([0.25, 0.75])
    one_by_a_quarter, none_by_a_quarter = 2 * 0.25 * 0.75, 0.75**2
    some_later = 1 - (0.25 / 0.75) ** 2
    chance = _chance(2, grid, np.array([0.0, 1.0]), np.array([1.0, 2.0]))
    assert chance == pytest.approx(one_by_a_quarter + none_by_a_quarter * some_later, rel=1e-12)
    assert _chance(2, grid, np.zeros(2), np.full(2, 2.0)) == pytest.approx(1.0, rel=1e-12)


def test_holm_multiplies_by_what_is_left():
    p = [0.01, 0.04, 0.03, 0.005]
    assert holm(np.array(p)) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm(np.array([0.9, 0.8])).tolist() == [1.0, 1.0]


def test_bad_input_is_named():
    toy = Toy(0, n=30)
    with pytest.raises(InputError, match=r"truth needs the shape \(30, 2\)"):
        cal.rank_scores(toy.samples, toy.truth[:5])
    with pytest.raises(InputError, match="Weights must be finite and not negative"):
        cal.rank_scores(toy.samples, toy.truth, np.full((30, 60), -1.0))
    with pytest.raises(InputError, match="Draws need the shape"):
        cal.rank_scores(toy.samples[0], toy.truth)
    with pytest.raises(InputError, match="There are 5 scores"):
        check_uniformity(np.full((5, 1), 0.5), ["a"])
    with pytest.raises(InputError, match="between 0 and 1"):
        check_uniformity(np.full((50, 1), 1.5), ["a"])
    with pytest.raises(InputError, match="2 names do not fit"):
        check_uniformity(np.full((50, 1), 0.5), ["a", "b"])
