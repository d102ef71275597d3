"""Rejection ABC: against posteriors that are known, and the price of a small tolerance."""

from __future__ import annotations

import threading
from itertools import pairwise

import numpy as np
import pytest
from scipy.stats import multivariate_normal, ncx2

import sedflow_lab as sl
from sedflow_lab.errors import InputError
from sedflow_lab.samplers.abc import expected_acceptance, rms
from sedflow_lab.samplers.grid import binned, tabulate
from sedflow_lab.samplers.mass_and_dust import HELD, MassAndDust

SIGMA = np.array([0.5, 0.8, 1.1])
SLOPES = np.array([[1.0, 0.3], [0.5, -1.0], [-0.2, 0.7]])
DATA = np.array([0.4, -0.3, 0.6])


def normal(n, rng):
    return rng.normal(size=(n, 2))


def observe(theta, rng):
    return theta @ SLOPES.T + SIGMA * rng.normal(size=(len(theta), 3))


def toy(budget, **options):
    """Two standard normals, seen as three noisy sums: evidence and posterior are normal."""
    return sl.run_abc(normal, observe, DATA, budget, summary=lambda x: x / SIGMA, **options)


def toy_log_evidence():
    return multivariate_normal(cov=SLOPES @ SLOPES.T + np.diag(SIGMA**2)).logpdf(DATA)


def toy_grid():
    def log_posterior(points):
        far = (points @ SLOPES.T - DATA) / SIGMA
        return -0.5 * (np.square(far).sum(1) + np.square(points).sum(1))

    return tabulate(log_posterior, (-6.0, -6.0), (6.0, 6.0), 120)


@pytest.fixture(scope="module")
def galaxy():
    """A galaxy whose noise is not odd: near data that no model fits hardly any simulation comes."""
    model = sl.SEDModel()
    several = (MassAndDust(seed=seed, model=model) for seed in range(1, 100))
    return next(one for one in several if 1 < noise_chi2(one) < 9)


def noise_chi2(galaxy):
    clean = galaxy.flux(np.array([galaxy.truth]))[0]
    return np.square(galaxy.in_sigmas(galaxy.observed - clean)).sum()


@pytest.fixture(scope="module")
def run(galaxy):
    summary = galaxy.in_sigmas
    return sl.run_abc(galaxy.draw, galaxy.simulate, galaxy.observed, 600_000, summary=summary)


def test_acceptance_of_a_small_tolerance_is_the_evidence_times_the_ball():
    run = toy(400_000)
    for tolerance in (0.4, 0.3, 0.2):
        expected = float(expected_acceptance(toy_log_evidence(), SIGMA, tolerance))
        found = run.acceptance(tolerance)
        # Six standard deviations of the count, once in 5e8 runs, and room for a ball that is not
        # small: the density in it falls off by 0.4 of the squared tolerance.
        room = 0.5 * tolerance**2 * expected
        assert abs(found - expected) < 6 * np.sqrt(expected / 400_000) + room
    # Three data: an eighth of the acceptance for half the tolerance. Of 860 draws six standard
    # deviations are 19 %, and the ball is not small by 4 %.
    ratio = run.acceptance(0.2) / run.acceptance(0.4)
    assert ratio == pytest.approx(1 / 8, rel=0.25)


def test_a_small_tolerance_gives_the_posterior_and_a_large_one_the_prior():
    run, exact = toy(400_000), toy_grid()
    covariance = np.linalg.inv(np.eye(2) + SLOPES.T @ np.diag(SIGMA**-2) @ SLOPES)
    assert np.allclose(exact.mean(), covariance @ SLOPES.T @ (DATA / SIGMA**2), atol=1e-3)
    assert np.allclose(exact.std() ** 2, np.diag(covariance), rtol=2e-3)
    near = run.accepted(0.25)
    # 1700 draws: the standard errors are 0.012 and 1.8 %, and the tolerance widens by 1 %.
    assert np.abs(near.mean(0) - exact.mean()).max() < 0.1
    assert np.abs(near.std(0) / exact.std() - 1).max() < 0.13
    everything = run.accepted(np.inf)
    assert len(everything) == 400_000 and np.abs(everything.std(0) - 1).max() < 0.01


def test_the_distance_to_the_exact_grid_falls_with_the_tolerance(galaxy, run):
    exact = galaxy.exact()
    tolerances = (10.0, 5.0, 3.0, 2.0, 1.5)  # with fewer draws the distance is noise
    distances = [exact.distance(run.accepted(tolerance)) for tolerance in tolerances]
    # From galaxy to galaxy the differences are 0.11 or more, give or take 0.01, and the last
    # distance is 0.29 give or take 0.016.
    assert all(after < before - 0.03 for before, after in pairwise(distances))
    assert distances[0] > 0.85 and distances[-1] < 0.45
    widths = np.array([run.accepted(tolerance).std(0) for tolerance in tolerances])
    assert (np.diff(widths, axis=0) < 0).all()
    # The exact posterior's own draws, as many as ABC's.
    few = len(run.accepted(1.5))
    assert exact.distance(exact.sample(few)) < distances[-1]


def test_the_grid_has_the_evidence_that_acceptance_tells(galaxy, run):
    exact, (low, high) = galaxy.exact(), (galaxy.low, galaxy.high)

    def share(tolerance):
        """Share that is accepted, from the chance of each point: that of a non-central χ²."""

        def log_density(points):
            chi2 = np.square(galaxy.in_sigmas(galaxy.flux(points) - galaxy.observed)).sum(1)
            with np.errstate(divide="ignore"):
                return np.log(ncx2.cdf(5 * tolerance**2, 5, chi2) / np.prod(np.subtract(high, low)))

        return np.exp(tabulate(log_density, low, high).log_integral)

    # A small ball: by the evidence, within the square of its size.
    small = expected_acceptance(exact.log_integral, galaxy.sigma, 0.05)
    assert share(0.05) == pytest.approx(small, rel=0.02)
    # A ball that draws are found in, a thousand or more: six standard deviations of their number.
    expected = share(1.5)
    error = np.sqrt(expected / run.simulations)
    assert abs(run.acceptance(1.5) - expected) < 6 * error < 0.25 * expected


def test_precise_bands_make_it_hopeless_for_all_twelve_parameters():
    """The exact evidence tells how many simulations a real galaxy would need."""
    galaxy = sl.showcase()[0]
    exact = sl.load_posterior().infer(galaxy, 1000, "exact")
    share = expected_acceptance(exact.log_evidence[0], galaxy.sigma[0], 0.5)
    assert 1000 / share > 1e9


def test_the_exact_grid_is_the_mean_of_the_likelihood_over_the_prior(galaxy):
    from sedflow_lab.exact import LogPosterior

    points = galaxy.draw(200_000, np.random.default_rng(3))
    posterior = LogPosterior(galaxy.photometry(galaxy.observed[None]), galaxy.model)
    likelihood = np.exp(posterior.log_likelihood(galaxy.theta(points)[None])[0])
    exact, error = galaxy.exact(), likelihood.std() / np.sqrt(len(points))
    # A right mean is six standard errors off once in 5e8 runs.
    assert abs(np.exp(exact.log_integral) - likelihood.mean()) < 6 * error
    weights = likelihood / likelihood.sum()
    mean = weights @ points
    errors = np.sqrt(weights**2 @ (points - mean) ** 2)
    assert (errors < 0.12 * exact.std()).all()
    assert (np.abs(mean - exact.mean()) < 6 * errors).all()
    assert exact.probability.sum() == pytest.approx(1)


def test_draws_of_a_grid_are_near_to_it_and_others_are_not(galaxy):
    exact = galaxy.exact()
    draws = exact.sample(10_000)
    assert exact.distance(draws) < 0.04
    # Means have errors of 0.01 standard deviations.
    assert (np.abs(draws.mean(0) - exact.mean()) < 0.06 * exact.std()).all()
    assert 0.1 < exact.distance(draws + 0.5 * exact.std()) < 0.5
    assert exact.distance(draws + 100) == pytest.approx(1.0)
    assert exact.distance(draws[:0]) == 1.0
    assert binned(draws, 30).distance(exact.sample(10_000, seed=1)) < 0.06
    inside = exact.density >= exact.level(0.68)
    assert exact.probability[inside].sum() == pytest.approx(0.68, abs=0.01)


def test_the_same_seed_gives_the_same_run_and_memory_is_bounded(galaxy):
    args = galaxy.draw, galaxy.simulate, galaxy.observed, 50_000
    one = sl.run_abc(*args, summary=galaxy.in_sigmas, seed=5)
    two = sl.run_abc(*args, summary=galaxy.in_sigmas, seed=5, tolerance=3.0)
    assert np.array_equal(one.accepted(3.0), two.theta)
    assert one.acceptance(2.0) == two.acceptance(2.0)
    assert len(two.accepted(two.nearest(100))) == 100
    with pytest.raises(InputError, match="at most 3, beyond which nothing was kept"):
        two.accepted(4.0)


def test_twelve_parameters_are_drawn_from_the_prior_and_simulated(galaxy):
    theta = galaxy.draw_all(500, np.random.default_rng(0))
    assert theta.shape == (500, 12)
    assert 9 <= theta[:, 0].min() and theta[:, 0].max() <= 11.5
    assert galaxy.simulate(theta, np.random.default_rng(0)).shape == (500, 5)
    held = galaxy.theta(np.array([[10.0, 1.0]]))[0]
    assert held[[0, 10]].tolist() == [10.0, 1.0]
    assert held[[5, 6, 11]].tolist() == [HELD["fburst"], HELD["tburst"], HELD["n_dust"]]


def test_a_run_can_be_stopped_and_says_how_far_it_came(galaxy):
    stop, sizes = threading.Event(), []

    def look(run):
        sizes.append(run.simulations)
        stop.set()

    args = galaxy.draw, galaxy.simulate, galaxy.observed, 10**9
    run = sl.run_abc(*args, summary=galaxy.in_sigmas, stop=stop, callback=look)
    assert sizes == [run.simulations] and run.simulations < 10**9


def test_what_makes_no_sense_is_refused(galaxy):
    args = galaxy.draw, galaxy.simulate, galaxy.observed
    with pytest.raises(InputError, match="A budget of 0 simulations"):
        sl.run_abc(*args, 0)
    with pytest.raises(InputError, match="distance of simulation 0 is not a number"):
        sl.run_abc(*args, 10, summary=lambda flux: np.log(flux - 1e9 + 0j).real * np.nan)
    run = sl.run_abc(*args, 100)
    with pytest.raises(InputError, match="the nearest 101 are not known"):
        run.nearest(101)
    with pytest.raises(InputError, match="the truth must lie between"):
        MassAndDust(truth=(8.0, 1.0))
    with pytest.raises(InputError, match="zero or not finite"):
        tabulate(lambda points: np.full(len(points), -np.inf), (0.0, 0.0), (1.0, 1.0))
    assert rms(np.array([[1.0, 3.0]]), np.array([0.0, 0.0]))[0] == pytest.approx(np.sqrt(5))
