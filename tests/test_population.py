"""From posteriors to a population: known answers, which stacking misses."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import sedflow_lab as sl
from sedflow_lab.errors import InputError
from sedflow_lab.posterior.population import (
    POPULATION,
    Evidence,
    Population,
    bootstrap_population,
    divide_prior_out,
    draw_population,
    fit_population,
)
from sedflow_lab.posterior.reweight import values_of

REDSHIFT = 0.075


def normal(mean, std):
    return Population(np.ones(1), np.array([mean]), np.array([np.diag(np.square(std))]))


def toy(truth, galaxies, draws=200, noise=0.7, seed=0):
    """Posteriors under a prior N(0, 1.5²) of two quantities that are measured with noise."""
    rng = np.random.default_rng(seed + 1)  # not the numbers that the truth is drawn with
    y = truth.sample(galaxies, seed)
    data = y + noise * rng.normal(size=y.shape)
    shrink = 1.5**2 / (1.5**2 + noise**2)
    unit = rng.normal(size=(galaxies, draws, 2))
    values = (shrink * data)[:, None] + np.sqrt(shrink) * noise * unit
    prior = -0.5 * np.square(values / 1.5).sum(-1)
    return Evidence(values, np.full((galaxies, draws), 1 / draws), -prior)


def test_a_known_population_is_found_within_its_error_where_the_stack_is_not():
    truth = normal((0.8, -1.0), (0.5, 0.3))
    evidence = toy(truth, 400)
    fitted = fit_population(evidence)
    spread = np.std([np.ravel(f.moments()) for f in bootstrap_population(evidence, fitted)], 0)
    off = np.abs(np.ravel(fitted.moments()) - np.ravel(truth.moments()))
    assert spread.max() < 0.1
    # Errors from 50 numbers have the tails of Student's t: seven of them, once in 1e7 runs.
    assert (off < 7 * spread).all()
    values, weights = evidence.stacked()
    mean = weights @ values
    std = np.sqrt(weights @ np.square(values - mean))
    # Pulled to the prior's middle, to 0.82 of where these galaxies are, and as wide as noise
    # makes it.
    assert (np.abs(mean) < 0.9 * np.abs(fitted.moments()[0])).all()
    assert (std > 1.3 * truth.moments()[1]).all()


def test_two_kinds_of_galaxies_are_told_apart():
    truth = Population(
        np.array([0.6, 0.4]),
        np.array([[-1.5, 0.5], [1.5, -0.5]]),
        np.array([np.diag([0.3, 0.4]), np.diag([0.4, 0.3])]) ** 2,
    )
    fitted = fit_population(toy(truth, 500, 150, 0.4), 2)
    # Seven standard errors: of 500 galaxies shares scatter by 0.022, means of 200 by 0.04.
    assert np.abs(fitted.share - truth.share).max() < 0.16
    assert np.abs(fitted.mean - truth.mean).max() < 0.3


def test_a_mixture_has_the_density_and_moments_of_its_draws():
    mixture = Population(
        np.array([0.7, 0.3]),
        np.array([[0.0, 1.0], [3.0, -1.0]]),
        np.array([[[1.0, 0.5], [0.5, 1.0]], [[0.2, 0.0], [0.0, 0.4]]]),
    )
    draws = mixture.sample(100_000)
    mean, std = mixture.moments()
    # Six standard errors and more: means scatter by 0.005, and so do widths at most.
    assert np.allclose(draws.mean(0), mean, atol=0.035)
    assert np.allclose(draws.std(0), std, atol=0.035)
    axes = np.linspace(-6, 8, 281), np.linspace(-6, 8, 281)
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1)
    density = np.exp(mixture.log_density(grid))
    assert density.sum() * 0.05**2 == pytest.approx(1, abs=1e-3)
    assert np.allclose(density.sum(1) * 0.05, mixture.marginal(0, axes[0]), atol=1e-3)


@pytest.fixture(scope="module")
def simulated():
    """Star-forming galaxies of a narrow sequence, and the network's posteriors of them."""
    posterior = sl.load_posterior()
    truth = normal((10.3, -10.0), (0.3, 0.3))
    theta = draw_population(truth, 80, REDSHIFT, posterior.model, seed=1)
    flux = posterior.model.photometry(torch.as_tensor(theta), torch.full((80,), REDSHIFT)).float()
    observed, sigma = posterior.bundle.noise.observe(flux, torch.Generator().manual_seed(6))
    photometry = sl.Photometry(
        observed.double().numpy(), sigma.double().numpy(), np.full(80, REDSHIFT)
    )
    result = posterior.infer(photometry, 800, "fast", seed=0)
    return theta, divide_prior_out(result, posterior.model), posterior.model


def test_simulated_galaxies_give_back_their_population_and_the_stack_does_not(simulated):
    theta, evidence, model = simulated
    values = values_of(POPULATION, theta, np.full(len(theta), REDSHIFT), model)
    fitted = fit_population(evidence)
    errors = np.std([f.moments()[0] for f in bootstrap_population(evidence, fitted, 20)], 0)
    mean, std = fitted.moments()
    # From seed to seed they are 0.04 and 0.06 to 0.15: a fit that knows nothing has 1.
    assert errors[0] < 0.15 and errors[1] < 0.5
    # An error from 20 numbers has the tails of Student's t: eight of them, once in 5e6 runs.
    assert (np.abs(mean - values.mean(0)) < 8 * errors).all()
    # These scatter by 0.02 and 0.1.
    assert (np.abs(std - values.std(0)) < (0.15, 0.6)).all()
    stacked, weights = evidence.stacked()
    middle = weights @ stacked
    wide = np.sqrt(weights @ np.square(stacked - middle))
    # The stack has forgotten the sequence: it is where the prior is, and twice as wide. From seed
    # to seed the middle is 0.39 +- 0.03 away, and the width 2.3 +- 0.2 times as large, for the
    # width of 80 galaxies is known to 8 %.
    assert abs(middle[1] - values[:, 1].mean()) > 0.18
    assert wide[1] > 1.4 * values[:, 1].std()


def test_drawn_galaxies_have_the_masses_and_rates_that_were_wanted(simulated):
    *_, model = simulated
    truth = normal((10.5, -11.0), (0.2, 0.2))
    theta = draw_population(truth, 400, REDSHIFT, model, seed=3)
    values = values_of(POPULATION, theta, np.full(400, REDSHIFT), model)
    wanted = truth.sample(400, 3)
    assert np.array_equal(values[:, 0], wanted[:, 0])
    assert np.abs(values[:, 1] - wanted[:, 1]).max() < 0.1
    # What else there is has its prior's spread.
    assert 0.7 < theta[:, 10].std() < 1.0


def test_what_cannot_be_inferred_is_refused(simulated):
    _, evidence, model = simulated
    with pytest.raises(InputError, match="17 components of a population of 80 galaxies"):
        fit_population(evidence, 17)
    bad = sl.Photometry(np.full((1, 5), np.nan), np.ones((1, 5)), [0.05], on_bad="flag")
    result = sl.load_posterior().infer(bad, 100, on_bad="flag")
    with pytest.raises(InputError, match="No galaxy has a posterior"):
        divide_prior_out(result, model)
