from __future__ import annotations

import threading

import numpy as np
import pytest

import sedflow_lab as sl
from sedflow_lab.diagnostics.comparison import compare
from sedflow_lab.samplers.mcmc import run_mcmc
from sedflow_lab.samplers.walkers import WalkerTarget, resolve_start


@pytest.fixture(scope="module")
def posterior():
    return sl.load_posterior()


@pytest.fixture(scope="module")
def galaxy():
    """A galaxy of the showcase for which half of the network's weighted draws count."""
    galaxies = sl.showcase()
    return galaxies[int(np.flatnonzero(galaxies.ids == "79381")[0])]


@pytest.fixture(scope="module")
def target(galaxy, posterior):
    return WalkerTarget(galaxy, posterior.model, posterior.prior)


def test_walkers_see_prior_times_likelihood_in_coordinates_that_go_back_and_forth(
    target, galaxy, posterior
):
    phi = posterior.prior.to_free(posterior.sample(galaxy, 200, seed=0)[0])
    x = target.from_phi(phi)
    theta = target.to_reported(x)
    np.testing.assert_allclose(posterior.prior.to_free(theta), phi, atol=2e-5)
    exact = sl.LogPosterior(galaxy, posterior.model, posterior.prior)
    apart = exact(phi[None])[0] - target(x)
    # One is in single precision, whose error grows with the chi-squared of a poor draw, and is
    # larger for one draw in some thousands.
    error = 2e-3 + 3e-5 * np.abs(target(x))
    apart = np.abs(apart - np.median(apart))
    assert (apart < error).mean() > 0.95 and (apart < np.maximum(error, 0.5)).all()


def test_a_mass_beyond_the_prior_is_impossible_not_an_error(target):
    x = np.zeros((3, 11))
    x[:, 0] = 5.0, -5.0, 400.0
    assert (target(x) == -np.inf).all()


def test_starts_from_prior_and_network_are_possible_and_no_two_walkers_alike(
    target, galaxy, posterior
):
    for start in ("prior", posterior, (posterior, "prior")):
        begin, _ = resolve_start(start, galaxy)
        x = begin(target, 0, 128, 2, 3)
        assert x.shape == (128, 11) and np.isfinite(target(x)).all()
        assert len(np.unique(x, axis=0)) == 128


def test_ensembles_take_several_starts_in_turn(target, galaxy, posterior):
    parts = [resolve_start(start, galaxy)[0](target, 0, 96, 3, 5) for start in (posterior, "prior")]
    begin, name = resolve_start((posterior, "prior"), galaxy)
    x = begin(target, 0, 96, 3, 5)
    assert name == "amortized posterior and prior"
    for k, part in enumerate((parts[0], parts[1], parts[0])):
        np.testing.assert_array_equal(x[32 * k : 32 * (k + 1)], part[32 * k : 32 * (k + 1)])


def test_starts_that_do_not_suit_are_refused(galaxy, posterior):
    two = posterior.infer(sl.showcase()[:2], 100)
    for start, message in (
        ("nowhere", "start is 'nowhere'"),
        (two, "2 galaxies, but the photometry has 1"),
        ((), "No start"),
        (("prior", "nowhere"), "start is 'nowhere'"),
    ):
        with pytest.raises(sl.InputError, match=message):
            run_mcmc(galaxy, start=start)
    with pytest.warns(DeprecationWarning, match="called photometry"):
        with pytest.raises(sl.InputError, match="start is 'nowhere'"):
            run_mcmc(phot=galaxy, start="nowhere")
    with pytest.raises(sl.InputError, match=r"shape \(n, 12\)"):
        run_mcmc(galaxy, start=np.zeros((5, 3)))
    with pytest.raises(sl.InputError, match="at least two ensembles"):
        run_mcmc(galaxy, ensembles=1)


@pytest.fixture(scope="module")
def chain(galaxy, posterior):
    return run_mcmc(galaxy, posterior.model, start=(posterior, "prior"), seed=1)


def test_a_real_galaxy_converges_by_all_criteria(chain):
    found = {name: values[0] for name, values in chain.diagnostics.items()}
    assert chain.badge[0] == "converged" and chain.method == "mcmc"
    assert found["n_kept"] > 50 * found["tau"].max()
    assert found["rhat"].max() < 1.01
    assert found["ess_bulk"].min() > 1000 and found["ess_tail"].min() > 400
    assert found["n_evaluations"] > found["n_steps"] * 128
    assert chain.samples.shape == (1, 4000, 12) and set(found["draw_chain"]) == {0, 1}
    assert chain.provenance["start"] == "amortized posterior and prior"


def test_ensembles_from_prior_and_network_end_in_the_same_place(chain):
    first, second = (chain.samples[0, chain.diagnostics["draw_chain"][0] == k] for k in (0, 1))
    middle = np.median(chain.samples[0], axis=0)
    apart = (first < middle).mean(axis=0) - (second < middle).mean(axis=0)
    # Shares of n independent draws that lie below a value scatter by 0.5 / sqrt(n) at most,
    # whatever the shape of the posterior. Each ensemble is worth half of the chain, of which 2,000
    # draws were taken. A right sampler exceeds six such errors in any of the twelve parameters
    # once in 4e7 runs.
    error = 0.5 * np.sqrt(2 * (2 / chain.diagnostics["ess_bulk"][0] + 1 / len(first)))
    assert (np.abs(apart) < 6 * error).all() and error.max() < 0.04


def test_the_chain_agrees_with_importance_weights_that_know_nothing_of_it(chain, galaxy, posterior):
    weighted = posterior.infer(galaxy, 20_000, "weighted", seed=2)
    assert weighted.ess[0] > 4000  # enough to be a second truth
    below = (weighted.samples[0] < np.median(chain.samples[0], axis=0)).T @ weighted.weights[0]
    # Six standard errors of shares of so many draws: once in 4e7 runs.
    size = chain.diagnostics["ess_bulk"][0]
    error = 0.5 * np.sqrt(1 / weighted.ess[0] + 1 / size + 1 / chain.samples.shape[1])
    assert (np.abs(below - 0.5) < 6 * error).all()
    # Derived quantities and the whole of the marginals, of which 1,000 draws scatter by 0.03.
    assert compare(weighted, chain, posterior.model)["w1"].max() < 0.2


def test_the_same_seed_gives_the_same_draws(galaxy, posterior):
    a, b, c = (
        run_mcmc(galaxy, posterior.model, start="prior", max_steps=50, draws=200, seed=s)
        for s in (1, 1, 2)
    )
    np.testing.assert_array_equal(a.samples, b.samples)
    assert not np.array_equal(a.samples, c.samples)
    assert a.badge[0] == "not converged"


def test_a_bad_galaxy_is_flagged_and_the_next_one_done(galaxy, posterior):
    flux = np.vstack([galaxy.flux, galaxy.flux])
    sigma = np.vstack([galaxy.sigma, galaxy.sigma])
    flux[0, 1] = np.nan
    both = sl.Photometry(
        flux, sigma, np.repeat(galaxy.redshift, 2), galaxy.bands, ids=["a", "b"], on_bad="flag"
    )
    result = run_mcmc(both, posterior.model, max_steps=50, draws=100)
    assert result.usable.tolist() == [False, True] and "'a'" in result.problems[0]
    assert result.badge.tolist() == ["bad photometry", "not converged"]
    assert result.diagnostics["tau"].shape == (2, 11)
    for name, values in result.diagnostics.items():
        assert np.isnan(values[0]).all() and not np.isnan(values[1]).any(), name
        # What fifty steps are too few for has no end.
        assert name in ("rhat", "tau") or np.isfinite(values[1]).all(), name


def test_progress_is_told_and_stopping_works_between_steps(galaxy, posterior):
    stop, seen = threading.Event(), []

    def watch(progress):
        seen.append(progress)
        if progress.step >= 100:
            stop.set()

    result = run_mcmc(galaxy, posterior.model, draws=100, stop=stop, callback=watch)
    assert result.badge[0] == "unfinished" and result.diagnostics["n_steps"][0] < 120
    assert [p.step for p in seen[:2]] == [50, 100]
    assert seen[0].samples.shape == (128, 12) and seen[0].log_prob.shape == (128,)
