"""Bad bands in the likelihood: normalised, exact at every mass, and found out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

import sedflow_lab as sl
from sedflow_lab.diagnostics.comparison import compare
from sedflow_lab.exact import Outliers
from sedflow_lab.exact.ridge import StraightRidge
from sedflow_lab.observations.checks import MAX_SNR
from sedflow_lab.samplers.mcmc import run_mcmc
from sedflow_lab.samplers.walkers import WalkerTarget

PRIOR = sl.get_prior()


@pytest.fixture(scope="module")
def galaxies(tiny_model):
    """Six galaxies, exactly as the model makes them, and the same with one wrong band each."""
    theta = PRIOR.sample(6, seed=2)
    theta[:, 0] = 10.5
    redshift = np.linspace(0.02, 0.15, 6)
    flux = tiny_model.photometry(theta, redshift)
    wrong = flux.copy()
    for row, factor in enumerate((5.0, 0.0, 100.0, -1.0, 2.0, 0.3)):
        wrong[row, row % 5] *= factor
    good, bad = (sl.Photometry(f, 0.03 * flux, redshift) for f in (flux, wrong))
    return theta, good, bad


@pytest.mark.parametrize("probability", [0.01, 0.4])
@pytest.mark.parametrize("flux", [2.0, 0.05, 300.0])
def test_the_likelihood_of_a_band_is_normalised(flux, probability):
    sigma = 0.1
    limit = np.arcsinh(MAX_SNR / 2)
    # The steps are fine enough for the good peak, which is narrow in asinh magnitudes.
    near = np.arcsinh((flux / sigma + np.linspace(-12, 12, 20_001)) / 2)
    t = np.unique(np.concatenate([np.linspace(-limit, limit, 100_001), near]))
    measured = 2 * np.sinh(t)  # in σ
    terms = Outliers(probability).terms(measured[:, None], np.ones((len(t), 1), dtype=bool))
    log_density = terms.log_likelihood(measured[:, None] - flux / sigma)
    density = np.exp(log_density) / np.sqrt(2 * np.pi)
    assert np.trapezoid(density * 2 * np.cosh(t), t) == pytest.approx(1, abs=2e-4)


def test_a_vanishing_probability_leaves_the_plain_likelihood(galaxies, tiny_model):
    theta, good, _ = galaxies
    points = np.stack([theta, PRIOR.sample(6, seed=4)], 1)
    points[:, 1] = theta * (1 + 1e-3 * np.arange(6)[:, None] * (np.arange(12) == 0))
    plain = sl.LogPosterior(good, tiny_model)
    never = sl.LogPosterior(good, tiny_model, outliers=Outliers(1e-12))
    found = never.log_likelihood(points)
    np.testing.assert_allclose(found, plain.log_likelihood(points), rtol=1e-6, atol=1e-4)
    assert not np.allclose(
        sl.LogPosterior(good, tiny_model, outliers=Outliers(0.3)).log_likelihood(points), found
    )


def test_it_is_the_sum_over_good_and_bad(galaxies, tiny_model):
    _, _, wrong = galaxies
    points = PRIOR.sample(6, seed=4)[:, None]
    points[..., 0] = 10.4
    p = 0.05
    model = tiny_model.photometry(points, wrong.redshift[:, None])[:, 0]
    reach = 2 * np.arcsinh(MAX_SNR / 2)
    bad = p / reach / np.sqrt(wrong.flux**2 + 4 * wrong.sigma**2)
    good = (1 - p) * stats.norm.pdf(wrong.flux, model, wrong.sigma)
    target = sl.LogPosterior(wrong, tiny_model, outliers=Outliers(p))
    wanted = np.log(good + bad).sum(1)
    np.testing.assert_allclose(target.log_likelihood(points)[:, 0], wanted, rtol=1e-4, atol=1e-2)
    np.testing.assert_allclose(target.bad_bands(points), bad / (good + bad), atol=2e-3)


def test_the_ridge_is_exact_at_every_mass_and_its_mass_trusts_the_good_bands(galaxies, tiny_model):
    theta, _, wrong = galaxies
    target = sl.LogPosterior(wrong, tiny_model, outliers=Outliers())
    phi = torch.as_tensor(PRIOR.to_free(theta), dtype=torch.float32)[:, None]
    np.testing.assert_allclose(target.profile(phi).log_mstar, 10.5, atol=0.01)
    plain = sl.LogPosterior(wrong, tiny_model).profile(phi).log_mstar.numpy()
    assert np.abs(plain - 10.5).max() > 0.3
    ridge = StraightRidge(target)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(6, 50, 11, generator=generator)
    phi, log_prob, log_volume = ridge.place(x)
    wanted = target(phi) + log_volume
    possible = torch.isfinite(wanted)  # the others have masses beyond the prior's
    assert possible.double().mean() > 0.5 and (log_prob[~possible] < -1e20).all()
    np.testing.assert_allclose(log_prob[possible], wanted[possible], atol=0.02)
    back, again, _ = ridge.find(phi)
    np.testing.assert_allclose(back[possible], x[possible], atol=0.02)
    np.testing.assert_allclose(again[possible], wanted[possible], atol=0.02)
    rows = torch.tensor([4, 1])
    np.testing.assert_allclose(ridge.of(x[rows], rows), ridge(x)[rows], rtol=1e-4)


def test_missing_bands_do_not_count(galaxies, tiny_model):
    theta, good, wrong = galaxies
    masked = [photometry[:1].drop_bands("u") for photometry in (good, wrong)]
    points = np.stack([theta[0], PRIOR.sample(1, seed=4)[0]])[None]
    targets = [sl.LogPosterior(each, tiny_model, outliers=Outliers()) for each in masked]
    np.testing.assert_array_equal(*(target.log_likelihood(points) for target in targets))
    found = targets[0].bad_bands(points)
    assert np.isnan(found[0, 0]) and np.isfinite(found[0, 1:]).all()


def test_walkers_see_the_same_density(galaxies, tiny_model):
    theta, _, wrong = galaxies
    for row in range(6):
        target = WalkerTarget(wrong[row], tiny_model, PRIOR, Outliers())
        rng = np.random.default_rng(row)
        phi = PRIOR.to_free(theta[row]) + 0.3 * rng.normal(size=(40, 11))
        x = target.from_phi(phi)
        np.testing.assert_allclose(target.to_phi(x), phi, atol=1e-9)
        exact = sl.LogPosterior(wrong[row], tiny_model, PRIOR, Outliers())
        apart = exact(phi[None])[0] - target(x)
        np.testing.assert_allclose(apart, apart[0], atol=0.01)


def test_probabilities_that_make_no_sense_are_refused():
    for probability in (0, 1, -0.1, np.nan):
        with pytest.raises(sl.InputError, match="above 0 and below 1"):
            Outliers(probability)


def test_emcee_and_the_exact_posterior_agree_on_the_wrong_band(galaxies, tiny_model, tiny_bundle):
    _, good, _ = galaxies
    flux = good.flux[:1].copy()
    flux[0, 2] *= 4
    wrong = sl.Photometry(flux, good.sigma[:1], good.redshift[:1])
    options = {"start": "prior", "walkers": 96, "max_steps": 5000, "draws": 3000, "seed": 1}
    chain = run_mcmc(wrong, tiny_model, outliers=Outliers(), **options)
    assert chain.provenance["outliers"] == {"probability": 0.01}
    exact = sl.load_posterior(tiny_bundle).infer(wrong, 3000, "exact", outliers=Outliers())
    for result in (chain, exact):
        bad = result.diagnostics["bad_band"][0]
        assert bad[2] > 0.99 and np.delete(bad, 2).max() < 0.1
        # That of the good bands, which have no noise, in the nearest of 3,000 draws.
        assert result.chi2_min[0] < 15
    # 2,500 effective draws of each: medians differ by 0.035 σ, and half as much again where a
    # posterior is flat, so that one of twelve is beyond 0.3 in less than one of a million seeds.
    table = compare(exact, chain)
    assert np.abs(table["shift"]).max() < 0.3 and table["w1"].max() < 0.3


def test_the_networks_methods_take_outliers_and_record_them(galaxies, tiny_bundle):
    _, _, wrong = galaxies
    posterior = sl.load_posterior(tiny_bundle)
    one = wrong[2:3].with_error_floor({"u": 0.05})  # whose r is a hundred times too bright
    with pytest.raises(sl.InputError, match="weighted, exact or auto"):
        posterior.infer(one, 200, "fast", outliers=sl.Outliers())
    for method in ("weighted", "auto"):
        result = posterior.infer(one, 200, method, outliers=sl.Outliers(0.02))
        assert result.diagnostics["bad_band"].shape == (1, 5)
        assert result.provenance["outliers"] == {"probability": 0.02}
        assert result.provenance["error_floor"] == {"u": 0.05}
    # The network was hardly trained, so that auto has made it exact: the wrong band is found.
    assert result.badge.tolist() == ["exact"] and result.chi2_min[0] < 15
    assert result.diagnostics["bad_band"][0, 2] > 0.99
    table = result.summary()
    assert table["bad_band"].tolist() == ["r"] and table["bad_band_probability"][0] > 0.5
    plain = posterior.infer(one, 200, "weighted")
    assert plain.badge.tolist() == ["refine"] and "bad_band" not in plain.diagnostics
    assert "outliers" not in plain.provenance and "bad_band" not in plain.summary().colnames


def test_one_good_band_does_not_make_a_fit(galaxies, tiny_bundle):
    _, good, _ = galaxies
    flux = good.flux[:1] * [[1, -1000, 1, 1, 1]]
    one = sl.Photometry(flux, good.sigma[:1], good.redshift[:1]).select_bands("g", "r")
    result = sl.load_posterior(tiny_bundle).infer(one, 200, "exact", outliers=sl.Outliers())
    bad = result.diagnostics["bad_band"][0]
    assert 0.99 < bad[1] <= 1 and bad[2] < 0.5 and np.isnan(bad[[0, 3, 4]]).all()
    assert result.badge.tolist() == ["model cannot fit"]
