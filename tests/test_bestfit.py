from __future__ import annotations

import threading

import numpy as np
import pytest
import torch

from sedflow_lab import Photometry, SEDModel, best_fit, get_prior, showcase
from sedflow_lab.errors import InputError
from sedflow_lab.exact import bestfit
from sedflow_lab.exact.likelihood import LogPosterior


@pytest.fixture(scope="module")
def model():
    return SEDModel()


def mocks(model, n, error=0.02, seed=3):
    theta = get_prior().sample(n, seed=seed)
    redshift = np.random.default_rng(seed).uniform(0.01, 0.19, n)
    flux = model.photometry(theta, redshift)
    return theta, Photometry(flux, error * flux, redshift)


def test_noiseless_galaxies_are_met(model):
    _, galaxies = mocks(model, 40)
    fit = best_fit(galaxies, model)
    # Some minima are local, those of 1 of 300: of 40 more than 4 in less than one of a million.
    assert np.mean(fit.chi2 < 0.01) >= 0.9
    flux = model.photometry(fit.theta, galaxies.redshift)
    chi2 = (((flux - galaxies.flux) / galaxies.sigma) ** 2).sum(1)
    np.testing.assert_allclose(chi2, fit.chi2, rtol=1e-2, atol=1e-3)


def test_young_and_faint_bursts_are_found(model):
    theta = get_prior().sample(40, seed=5)
    pick = np.random.default_rng(5)
    theta[:, 5] = 10 ** pick.uniform(-2, -0.3, 40)
    theta[:, 6] = 10 ** pick.uniform(-1.9, -0.8, 40)
    theta[:, 9] = pick.uniform(1, 3, 40)
    redshift = pick.uniform(0.01, 0.19, 40)
    flux = model.photometry(theta, redshift)
    fit = best_fit(Photometry(flux, 0.005 * flux, redshift), model)
    # 6 of 100 minima are local: of 40 more than 14 in less than one of ten million.
    assert np.mean(fit.chi2 < 0.1) >= 0.65


def test_real_galaxies_are_met_better_than_by_any_of_many_draws(model):
    galaxies = showcase()[::6]
    fit = best_fit(galaxies, model)
    target = LogPosterior(galaxies, model)
    theta = get_prior().sample(3000, seed=9)[None].repeat(len(galaxies), axis=0)
    phi = torch.as_tensor(target.prior.to_free(theta), dtype=torch.float32)
    theta[..., 0] = target.profile(phi).log_mstar
    inside = np.abs(theta[..., 0] - 9.75) < 2.75
    drawn = np.where(inside, target.chi2(theta), np.inf).min(axis=1)
    assert (fit.chi2 > drawn + 1e-3).sum() <= 3  # a minimum may be local
    assert np.median(fit.chi2) < 3


def test_mode_has_the_higher_posterior_and_best_fit_the_lower_chi_squared(model):
    _, galaxies = mocks(model, 12, error=0.05)
    fit, mode = best_fit(galaxies, model), best_fit(galaxies, model, objective="posterior")
    target = LogPosterior(galaxies, model)

    def log_posterior(theta):
        return target(target.prior.to_free(theta[:, None]))[:, 0]

    # An end may be local, one of a hundred: of 12 more than 4 in less than one of ten million.
    assert (log_posterior(mode.theta) < log_posterior(fit.theta) - 1e-3).sum() <= 4
    assert (fit.chi2 > mode.chi2 + 0.05).sum() <= 4
    # Nothing near the mode is higher, but for the kinks of interpolation between populations.
    phi = target.prior.to_free(mode.theta)[:, None]
    nearby = phi + 0.03 * np.random.default_rng(0).standard_normal((12, 200, 11))
    gain = target(nearby) - target(phi)
    assert (np.nanmax(gain, axis=1) > 0.2).sum() <= 4


def test_ends_are_sorted_inside_the_prior_and_belong_to_their_chi_squared(model):
    _, galaxies = mocks(model, 5)
    fit = best_fit(galaxies, model, starts=6, steps=15)
    assert fit.starts.shape == fit.ends.shape == (5, 6, 12)
    assert (np.diff(fit.ends_chi2, axis=1) >= 0).all()
    np.testing.assert_array_equal(fit.ends[:, 0], fit.theta)
    np.testing.assert_array_equal(fit.ends_chi2[:, 0], fit.chi2)
    assert np.isfinite(get_prior().log_prob(fit.ends)).all()
    target = LogPosterior(galaxies, model)
    np.testing.assert_allclose(target.chi2(fit.ends), fit.ends_chi2, rtol=1e-2, atol=1e-2)
    assert (fit.ends_chi2[:, 0] <= target.chi2(fit.starts).min(axis=1)).all()


def test_same_seed_same_fit_and_galaxies_do_not_mix(model):
    _, galaxies = mocks(model, 4)
    fit = best_fit(galaxies, model, steps=5)
    np.testing.assert_array_equal(best_fit(galaxies, model, steps=5).theta, fit.theta)
    alone = best_fit(galaxies[2:3], model, steps=5)
    np.testing.assert_allclose(alone.starts[0], fit.starts[2], rtol=1e-4, atol=1e-4)


def test_groups_do_not_matter_and_a_stop_leaves_what_is_done(model, monkeypatch):
    _, galaxies = mocks(model, 5)
    whole = best_fit(galaxies, model, steps=4)
    monkeypatch.setattr(bestfit, "_GROUP", 2)
    parts = best_fit(galaxies, model, steps=4)
    np.testing.assert_allclose(parts.starts, whole.starts, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(parts.chi2, whole.chi2, rtol=0.05, atol=0.01)

    class StopAtTheSecondGroup(threading.Event):
        asked = 0

        def is_set(self):
            self.asked += 1
            return self.asked > 1

    some = best_fit(galaxies, model, steps=4, starts=3, stop=StopAtTheSecondGroup())
    assert some.ends.shape == (5, 3, 12)
    assert np.isfinite(some.theta[:2]).all() and np.isnan(some.theta[2:]).all()
    assert np.isnan(some.chi2[2:]).all() and np.isnan(some.ends_chi2[2:]).all()


def test_no_galaxies_have_no_fits(model):
    fit = best_fit(mocks(model, 1)[1][:0], model)
    assert fit.theta.shape == (0, 12) and fit.ends.shape == (0, 16, 12)


def test_missing_bands_do_not_count(model):
    _, galaxies = mocks(model, 6)
    mask = np.ones_like(galaxies.flux, dtype=bool)
    mask[:, 2] = False
    flux = galaxies.flux.copy()
    flux[:, 2] *= 50
    partial = Photometry(flux, galaxies.sigma, galaxies.redshift, mask=mask)
    # One minimum of 300 is local: not four of six.
    assert (best_fit(partial, model).chi2 < 0.1).sum() >= 3


def test_double_precision_model_works_too():
    model = SEDModel(dtype=torch.float64)
    _, galaxies = mocks(model, 4)
    # One minimum of 300 is local: not three of four.
    assert (best_fit(galaxies, model).chi2 < 0.1).sum() >= 2


def test_options_that_make_no_sense_are_refused(model):
    _, galaxies = mocks(model, 1)
    with pytest.raises(InputError, match="'likelihood' or 'posterior'"):
        best_fit(galaxies, model, objective="evidence")
    with pytest.raises(InputError, match="1 to 2048 starts"):
        best_fit(galaxies, model, starts=0)
