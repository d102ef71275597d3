from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from sedflow_lab.diagnostics.comparison import (
    Draws,
    c2st,
    compare,
    js_distance,
    median_shift,
    wasserstein,
    width_ratio,
)
from sedflow_lab.errors import InputError
from sedflow_lab.parameters import NAMES, get_prior
from sedflow_lab.posterior import PosteriorResult


def normal(shift=0.0, scale=1.0, n=20_000, size=2, seed=0):
    return Draws(shift + scale * np.random.default_rng(seed).normal(size=(n, size)))


def reweighted(shift, n=60_000, seed=0):
    """Draws of a wide normal with weights that make them N(shift, 1)."""
    x = 2 * np.random.default_rng(seed).normal(size=(n, 2))
    log_weight = -0.5 * ((x - shift) ** 2).sum(1) + 0.5 * ((x / 2) ** 2).sum(1)
    return Draws(x, np.exp(log_weight))


def analytic_js(shift, scale=1.0):
    def integrand(x):
        p, q = norm.pdf(x), norm.pdf(x, shift, scale)
        m = 0.5 * (p + q)
        return 0.5 * (p * np.log2(p / m) + q * np.log2(q / m))

    return np.sqrt(quad(integrand, -12, 12 + shift, limit=200)[0])


@pytest.mark.parametrize(("shift", "scale"), [(0.3, 1.0), (1.0, 1.0), (3.0, 1.0), (0.0, 2.0)])
def test_js_distance_of_normals(shift, scale):
    found = js_distance(normal(), normal(shift, scale, seed=1))
    np.testing.assert_allclose(found, analytic_js(shift, scale), rtol=0.06, atol=0.03)


def test_js_distance_at_its_ends():
    assert (js_distance(normal(), normal()) == 0).all()
    np.testing.assert_allclose(js_distance(normal(), normal(100.0)), 1.0)
    # By chance alone: sqrt(3 / ln 2 (1/n + 1/n)) as the docstring says.
    expected = np.sqrt(3 / np.log(2) * 2 / 20_000)
    found = js_distance(normal(size=50), normal(size=50, seed=1))
    assert np.sqrt(np.mean(found**2)) == pytest.approx(expected, rel=0.15)


def test_js_distance_takes_weights_and_any_scale():
    found = js_distance(reweighted(1.0), normal(seed=3))
    np.testing.assert_allclose(found, analytic_js(1.0), rtol=0.09)
    a, b = normal(), normal(0.5, seed=1)
    bent = js_distance(Draws(np.exp(3 * a.values)), Draws(np.exp(3 * b.values)))
    np.testing.assert_allclose(bent, js_distance(a, b), atol=1e-3)


def test_js_distance_of_a_constant_is_zero():
    same = Draws(np.full((100, 1), 2.0))
    assert js_distance(same, same)[0] == 0


def test_wasserstein_of_a_shift_is_the_shift_in_units_of_the_reference():
    reference = normal(scale=2.0)
    moved = Draws(reference.values + 0.6)
    np.testing.assert_allclose(wasserstein(moved, reference), 0.6 / reference.std())
    np.testing.assert_allclose(wasserstein(reweighted(0.5), normal(seed=5)), 0.5, atol=0.08)


def test_shift_and_width():
    found = median_shift(normal(1.0, 0.5), normal(0.0, 2.0, seed=1))
    # Standard errors: 0.009, 1 %, and 0.013.
    np.testing.assert_allclose(found, 0.5, atol=0.07)
    np.testing.assert_allclose(width_ratio(normal(1.0, 0.5), normal(seed=1)), 0.5, rtol=0.07)
    np.testing.assert_allclose(median_shift(reweighted(1.0), normal(seed=1)), 1.0, atol=0.09)


def test_c2st_of_the_same_distribution_is_chance():
    assert c2st(normal(n=1500, size=3), normal(n=1500, size=3, seed=1)) == pytest.approx(
        0.5, abs=0.07
    )


@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_c2st_of_shifted_normals_reaches_the_best_classifier(shift):
    # The best classifier of N(0, 1) and N(d, 1) is right with probability Phi(|d| / 2).
    a = normal(n=1000, size=3)
    b = Draws(normal(n=1000, size=3, seed=1).values + np.array([shift, 0, 0]))
    assert c2st(a, b) == pytest.approx(norm.cdf(shift / 2), abs=0.08)


def test_c2st_sees_a_correlation_that_marginals_hide():
    x = np.random.default_rng(0).normal(size=(1000, 2))
    tied = Draws(x @ np.linalg.cholesky([[1, 0.9], [0.9, 1]]).T)
    loose = normal(n=1000, seed=1)
    assert js_distance(tied, loose).max() < 0.2  # by chance 0.09, give or take 0.014
    assert c2st(tied, loose) > 0.6  # 0.74, give or take 0.02


def test_c2st_is_not_fooled_by_copies_that_weights_make():
    # 100 draws carry the weight of one set: copies in training and test would be known by heart.
    few = normal(n=900, size=12)
    weights = np.zeros(900)
    weights[:100] = 1.0
    copies = Draws(few.values, weights)
    assert c2st(copies, normal(n=900, size=12, seed=1)) < 0.68  # 0.5, give or take 0.023


def test_c2st_gives_the_same_number_for_the_same_seed():
    a, b = normal(n=300), normal(n=200, seed=1)
    assert c2st(a, b, seed=2) == c2st(a, b, seed=2)


def test_c2st_learns_nothing_from_a_handful_of_draws():
    assert np.isnan(c2st(normal(n=40), normal(n=300, seed=1)))
    few = Draws(normal(n=300).values, np.where(np.arange(300) < 6, 1.0, 0.0))
    assert np.isnan(c2st(few, normal(n=300, seed=1)))


def test_draws_are_checked():
    with pytest.raises(InputError, match="shape"):
        Draws(np.zeros(10))
    with pytest.raises(InputError, match="weights"):
        Draws(np.zeros((10, 2)), np.zeros(9))
    with pytest.raises(InputError, match="not all zero"):
        Draws(np.zeros((10, 2)), np.zeros(10))
    with pytest.raises(InputError, match="finite"):
        Draws(np.full((10, 2), np.nan))


# Results ---------------------------------------------------------------------------------------


def result(seed, draws=1200, shift=0.0, chains=None, weights=None, ids=("a",), rank=None):
    phi = np.random.default_rng(seed).normal(size=(draws, 11)) * 0.5
    if rank is not None:
        phi[:, rank[1]] = phi[:, rank[0]]
    phi[:, 0] += 10
    phi[:, 9] += shift * 0.5
    diagnostics = {} if chains is None else {"draw_chain": chains[None]}
    return PosteriorResult(
        samples=get_prior().from_free(phi)[None],
        weights=np.full((1, draws), 1 / draws) if weights is None else weights,
        redshift=[0.05],
        ids=list(ids),
        bands="sdss-ugriz",
        method="mcmc",
        badge=["converged"],
        diagnostics=diagnostics,
    )


MANY = 12_000  # draws, whose means differ by 0.013 σ: none of twelve by 0.08 in a million runs


def test_two_runs_of_one_posterior_agree():
    halves = np.repeat([0.0, 1.0], MANY // 2)
    table = compare(result(0, MANY), result(1, MANY, chains=halves))
    assert list(table["parameter"]) == list(NAMES)
    assert (table["w1"] < 0.08).all() and (table["js"] < 2 * table["js_floor"] + 0.05).all()
    np.testing.assert_allclose(table["width"], 1.0, atol=0.15)
    assert table.meta["verdict"].startswith("The posteriors agree: the largest difference is 0.0")
    assert np.isnan(table.meta["c2st"])


def test_a_parameter_that_differs_is_named_and_its_shift_is_right():
    table = compare(result(0, MANY, shift=1.0), result(1, MANY))
    row = table[NAMES.index("tau_ism")]
    assert row["shift"] == pytest.approx(1.0, abs=0.25) and row["js"] > 3 * row["js_floor"]
    assert table.meta["verdict"].startswith("The posteriors differ in tau_ism (by up to ")


def test_the_classifier_finds_what_the_marginals_hide():
    table = compare(result(0, MANY, rank=(9, 10)), result(1, MANY), classifier=True)
    assert table.meta["c2st"] > 0.7 and table.meta["c2st_floor"] < 0.6
    verdict = table.meta["verdict"]
    assert verdict.startswith("The marginals agree") and "a classifier tells them apart" in verdict


def test_the_floor_knows_the_chains_and_the_effective_size():
    # Two ensembles that disagree: the noise of the chain is their disagreement.
    split = result(1, draws=1200)
    split.diagnostics["draw_chain"] = np.repeat([[0.0, 1.0]], 600, axis=1)
    split.samples[0, 600:, 10] += 1.0
    assert compare(result(0), split)["w1_floor"][10] > 1.0
    # A set of few effective draws has a higher floor than one of many.
    weights = np.full((1, 1200), 1e-9)
    weights[0, :50] = 1 / 50
    poor = compare(result(0, weights=weights / weights.sum()), result(1))
    assert np.mean(poor["js_floor"]) > 1.5 * np.mean(compare(result(0), result(1))["js_floor"])


@pytest.mark.parametrize("count", [1, 6, 30])
def test_weights_that_leave_a_handful_of_draws_still_compare(count):
    weights = np.where(np.arange(1200) < count, 1 / count, 0.0)[None]
    poor = result(0, weights=weights)
    poor.samples[..., 0] += 3.0 * (count == 1)  # six standard deviations
    table = compare(poor, result(1), classifier=True)
    assert np.isnan(table.meta["c2st_floor"]) and np.isfinite(table["js_floor"]).all()
    assert np.isnan(table.meta["c2st"]) == (count < 10)
    # Thirty draws may agree with anything.
    assert table.meta["verdict"].startswith("The posteriors " + ("differ in " * (count == 1)))


def test_results_that_cannot_be_compared_are_refused():
    good = result(0)
    with pytest.raises(InputError, match="galaxy a with galaxy b"):
        compare(good, result(1, ids=("b",)))
    with pytest.raises(InputError, match="one galaxy"):
        compare(PosteriorResult.concatenate([good, good]), good)
    with pytest.raises(InputError, match="with a posterior"):
        compare(result(0, weights=np.zeros((1, 1200))), good)
