from __future__ import annotations

import emcee
import numpy as np
import pytest
from scipy.stats import kstest, multivariate_t, norm

from sedflow_lab.samplers.moves import CrankNicolsonMove, DEMove, FittedProposal, IndependentMove

SIZE = 3
ROOT = np.array([[1.0, 0, 0], [0.9, 0.5, 0], [-2, 1.0, 0.3]])


def log_normal(x):
    """A correlated normal, centred at 1."""
    return -0.5 * np.square(np.linalg.solve(ROOT, (x - 1).T)).sum(0)


def log_modes(x):
    """Two unit normals at -4 and 4 that hold 1/4 and 3/4."""
    a, b = (-0.5 * np.square(x - c).sum(1) for c in (-4, 4))
    return np.logaddexp(a + np.log(0.25), b + np.log(0.75))


def run(move, log_prob, start, steps, seed=0):
    random = np.random.RandomState(seed)
    sampler = emcee.EnsembleSampler(*start.shape, log_prob, moves=move, vectorize=True)
    sampler.run_mcmc(emcee.State(start, random_state=random.get_state()), steps)
    return sampler


def wide_mixture(seed=0):
    """A proposal twice as wide as the normal, and off its centre."""
    return FittedProposal(1.3 + 2 * np.random.default_rng(seed).normal(size=(500, SIZE)) @ ROOT.T)


@pytest.mark.parametrize("name", ["de", "crank-nicolson", "independent"])
def test_moves_leave_the_target_as_it_is(name):
    moves = {
        "de": DEMove(2),
        "crank-nicolson": CrankNicolsonMove(2),
        "independent": IndependentMove(wide_mixture(), tries=3),
    }
    start = 1 + np.random.default_rng(1).normal(size=(200, SIZE)) @ ROOT.T
    sampler = run(moves[name], log_normal, start, 600)
    white = np.linalg.solve(ROOT, sampler.get_chain(flat=True).T - 1)
    # Over seeds they scatter by 0.02 and 0.013 at most, for draws are correlated: six times that.
    np.testing.assert_allclose(white.mean(1), 0, atol=0.12)
    np.testing.assert_allclose(np.cov(white), np.eye(SIZE), atol=0.08)
    # Tails and shape, from steps that are far enough apart to be nearly independent: once in 1e8
    # runs where they are not quite.
    last = sampler.get_chain(thin=60)[:, :, 0].ravel() - 1
    assert kstest(last, norm.cdf).pvalue > 1e-9
    assert 0.05 < sampler.acceptance_fraction.mean() < 0.95


def test_emcees_own_snooker_move_would_not_do():
    # Why the moves here do without it. Should this fail, emcee has mended it.
    start = np.random.default_rng(0).normal(size=(64, 5))
    sampler = run(emcee.moves.DESnookerMove(), lambda x: -0.5 * (x**2).sum(1), start, 600)
    assert sampler.get_chain(discard=100, flat=True).var() < 0.85


def test_ensembles_exchange_nothing():
    # Each ensemble starts in a mode of its own, too far from the other for any local step.
    start = np.random.default_rng(0).normal(size=(80, SIZE))
    start[:40] -= 40
    start[40:] += 40

    def log_prob(x):
        return np.logaddexp(-0.5 * ((x + 40) ** 2).sum(1), -0.5 * ((x - 40) ** 2).sum(1))

    for move in (DEMove(2), CrankNicolsonMove(2)):
        chain = run(move, log_prob, start, 200).get_chain()
        assert (chain[:, :40] < 0).all() and (chain[:, 40:] > 0).all()


def test_independent_moves_cross_between_modes():
    rng = np.random.default_rng(0)
    seen = np.where(rng.random((2000, 1)) < 0.5, -4, 4) + rng.normal(size=(2000, SIZE))
    start = 4 + rng.normal(size=(100, SIZE))
    chain = run(IndependentMove(FittedProposal(seen, 2)), log_modes, start, 400).get_chain()
    # It scatters by 0.0024.
    assert (chain[200:, :, 0] > 0).mean() == pytest.approx(0.75, abs=0.02)


def test_mixture_density_is_that_of_its_components_and_of_its_draws():
    rng = np.random.default_rng(2)
    mixture = FittedProposal(rng.normal(size=(400, SIZE)) @ ROOT.T, 3)
    x = mixture.sample(6, np.random.RandomState(0))
    parts = [
        weight * multivariate_t(mean, root @ root.T, df=6).pdf(x)
        for weight, mean, root in zip(mixture.weights, mixture.means, mixture.roots, strict=True)
    ]
    np.testing.assert_allclose(mixture.log_prob(x), np.log(np.sum(parts, axis=0)))
    assert mixture.weights.sum() == pytest.approx(1.0)
    # Draws follow the density: importance weights to a narrower normal have a mean of 1,
    # with an error of 0.002.
    draws = mixture.sample(50_000, np.random.RandomState(1))
    white = np.linalg.solve(ROOT, draws.T).T
    log_target = -0.5 * (white**2).sum(1) - SIZE / 2 * np.log(2 * np.pi)
    log_target -= np.log(np.abs(np.linalg.det(ROOT)))
    assert np.exp(log_target - mixture.log_prob(draws)).mean() == pytest.approx(1.0, abs=0.03)


def test_mixture_of_few_points_has_few_components():
    points = np.random.default_rng(0).normal(size=(90, SIZE))
    assert len(FittedProposal(points, 8).weights) == 2  # one fitted, one broad


def test_a_target_that_is_nan_is_reported():
    start = np.random.default_rng(0).normal(size=(40, SIZE))

    def log_prob(x):
        return np.where(np.abs(x[:, 0]) > 4, np.nan, 0.0)

    with pytest.raises(ValueError, match="minus infinity outside its support"):
        run(DEMove(), log_prob, start, 2000)
