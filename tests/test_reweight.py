"""Posteriors under flat priors in derived quantities, against known answers."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy import stats

import sedflow_lab as sl
from sedflow_lab.posterior.reweight import implied_prior, log_flat_over

REDSHIFT = 0.06


def test_a_toy_posterior_is_the_exact_one_under_the_flat_prior():
    # θ is uniform in (0, 1), y = θ² has the density 1 / (2 √y), and θ is measured as 0.5 ± 0.15.
    rng = np.random.default_rng(0)
    drawn = rng.uniform(size=2_000_000) ** 2
    theta = rng.normal(0.5, 0.15, 100_000)
    theta = theta[(theta > 0) & (theta < 1)]
    log_ratio = log_flat_over(theta[:, None] ** 2, drawn[:, None])
    # At least 10,000 draws a bin: ten standard errors.
    some = theta > 0.15
    np.testing.assert_allclose(log_ratio[some], np.log(2 * theta[some]), atol=0.1)
    grid = np.linspace(0, 1, 100_001)
    likelihood = stats.norm.pdf(grid, 0.5, 0.15)
    density = likelihood * grid
    weights = np.exp(log_ratio) / np.exp(log_ratio).sum()
    for power in (1, 2):
        wanted = (grid**power * density).sum() / density.sum()
        found = weights @ theta**power
        error = np.sqrt(np.square(weights * (theta**power - found)).sum())
        assert abs(found - wanted) < 6 * error + 5e-4  # once in 5e8 runs, and bins have a width
    evidence = (2 * density).sum() / likelihood.sum()
    # The draws and the bins scatter it by 0.0016.
    assert np.exp(log_ratio).mean() == pytest.approx(evidence, rel=0.01)


def test_two_quantities_at_once_and_what_nobody_knows():
    rng = np.random.default_rng(1)
    drawn = rng.uniform(size=(2_000_000, 2)) ** [2, 1]
    values = np.array([[0.5, 0.5], [0.9, 0.02], [0.25, 0.98], [1.5, 0.5], [-0.1, 0.5]])
    found = log_flat_over(values, drawn)
    # At least 650 draws a bin: seven standard errors.
    np.testing.assert_allclose(found[:3], np.log(2 * np.sqrt(values[:3, 0])), atol=0.3)
    assert np.isneginf(found[3:]).all()


@pytest.fixture(scope="module")
def draws_of_prior():
    """Draws of the prior as if they were a posterior."""
    galaxies = sl.showcase()[:1]
    theta = sl.get_prior().sample(20_000, seed=5)[None]
    return sl.PosteriorResult.of(
        galaxies, theta, "fast", "ok", provenance={"prior": "flat-dirichlet"}
    )


def test_a_weight_of_the_star_formation_history_has_a_known_prior(draws_of_prior, tiny_model):
    result = draws_of_prior
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        flat = result.reweight(["beta1"], tiny_model)
    beta = result.samples[0, :, 1]
    # The density 3 (1 - β)² has 370 draws a bin up to 0.75, and less beyond; what is smaller than
    # all draws that tell it has no weight.
    some = (beta > 0.002) & (beta < 0.75)
    wanted = (1 - beta[some]) ** -2
    ratio = flat.weights[0, some] / wanted
    assert np.abs(ratio / np.median(ratio) - 1).max() < 0.5  # a third too few: six standard errors
    assert flat.provenance["prior"] == "flat-dirichlet, made flat in beta1"
    assert flat.weights.sum() == pytest.approx(1) and flat.ess[0] < result.ess[0]


def test_draws_of_the_prior_become_flat_in_what_is_derived(draws_of_prior, tiny_model):
    result = draws_of_prior
    flat = result.reweight(["age_mw"], tiny_model)
    age = result.derived(tiny_model)["age_mw"][0]
    used = flat.weights[0] > 0
    low, high = age[used].min(), age[used].max()
    for share in (0.1, 0.3, 0.5, 0.7, 0.9):
        below = flat.weights[0, age < low + share * (high - low)].sum()
        # Six standard errors: once in 5e8 runs, and 2 % for the range that is not known.
        assert abs(below - share) < 6 * np.sqrt(share * (1 - share) / flat.ess[0]) + 0.02
    assert flat.diagnostics["flat_outside"][0] < 0.01
    again = result.reweight(["age_mw"], tiny_model)
    np.testing.assert_array_equal(again.weights, flat.weights)


def test_few_effective_draws_are_told(draws_of_prior, tiny_model):
    few = draws_of_prior.resample(150)
    with pytest.warns(UserWarning, match=r"leaves few effective draws of 1 of 1 galaxies"):
        few.reweight(["log_ssfr_1gyr", "log_z_mw"], tiny_model)


def test_galaxies_without_posterior_stay_so_and_mistakes_are_refused(draws_of_prior, tiny_model):
    blank = sl.PosteriorResult.blank(sl.showcase()[:1], 20_000, "fast", np.array(["none"]))
    both = sl.PosteriorResult.concatenate([draws_of_prior, blank])
    flat = both.reweight(["fburst"], tiny_model, "flat-dirichlet")
    assert flat.usable.tolist() == [True, False]
    # The prior on the burst is flat already.
    assert flat.ess[0] > 0.98 * draws_of_prior.ess[0]
    for names, message in (
        ("age_mw", "list of one to 3"),
        ([], "list of one to 3"),
        (["age_mw", "age_mw"], "each of them once"),
        (["age"], "no quantity 'age'"),
        ([["age_mw"]], r"no quantity \['age_mw'\]"),
        (3, "flat in 3: give a list"),
        (None, "flat in None: give a list"),
    ):
        with pytest.raises(sl.InputError, match=message):
            draws_of_prior.reweight(names, tiny_model)
    with pytest.raises(sl.InputError, match="under which prior"):
        blank.reweight(["age_mw"], tiny_model)


def test_the_implied_prior_knows_the_age_of_the_universe(tiny_model):
    young, old = (implied_prior(tiny_model, z, ["age_mw"], draws=5000) for z in (0.19, 0.01))
    assert young.shape == (5000, 1) and young.max() < 11.6 < old.max()
