"""Likelihood, importance weights and effective sample size against known answers."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats

import sedflow_lab as sl
from sedflow_lab.exact.weights import (
    effective_sample_size,
    flatten,
    importance_weights,
    thin,
)


@pytest.fixture(scope="module")
def galaxy(tiny_model):
    theta = sl.get_prior().sample(4, seed=2)
    theta[:, 0] = 10.5
    redshift = np.array([0.02, 0.05, 0.1, 0.19])
    flux = tiny_model.photometry(theta, redshift)
    return theta, sl.Photometry(flux, 0.05 * flux, redshift)


def test_log_likelihood_is_that_of_independent_normals(galaxy, tiny_model):
    theta, photometry = galaxy
    other = np.stack([theta, sl.get_prior().sample(4, seed=5)], axis=1)
    target = sl.LogPosterior(photometry, tiny_model)
    model = tiny_model.photometry(other, photometry.redshift[:, None])
    wanted = stats.norm.logpdf(photometry.flux[:, None], model, photometry.sigma[:, None]).sum(-1)
    assert target.log_likelihood(other) == pytest.approx(wanted, rel=2e-4, abs=2e-3)
    assert target.chi2(other)[:, 0] == pytest.approx(np.zeros(4), abs=1e-3)


def test_masked_bands_have_no_weight(galaxy, tiny_model):
    theta, photometry = galaxy
    wrong = photometry.flux.copy()
    wrong[:, 0] *= 10
    mask = np.ones(wrong.shape, dtype=bool)
    mask[:, 0] = False
    masked = sl.Photometry(wrong, photometry.sigma, photometry.redshift, mask=mask)
    chi2 = sl.LogPosterior(masked, tiny_model).chi2(theta[:, None])
    assert chi2 == pytest.approx(np.zeros((4, 1)), abs=1e-3)


def test_outside_the_prior_is_impossible_and_nothing_else(galaxy, tiny_model):
    _, photometry = galaxy
    target = sl.LogPosterior(photometry, tiny_model)
    phi = np.zeros((4, 3, 11))
    phi[:, :, 0] = [6.9, 10.0, 12.6]
    values = target(phi)
    assert np.isneginf(values[:, [0, 2]]).all()
    assert np.isfinite(values[:, 1]).all()


def test_profile_is_the_likelihood_along_the_mass(galaxy, tiny_model):
    theta, photometry = galaxy
    target = sl.LogPosterior(photometry, tiny_model)
    phi = torch.as_tensor(target.prior.to_free(theta), dtype=torch.float32)[:, None]
    elsewhere = phi.clone()
    elsewhere[..., 0] = 8.0  # does not count
    profile = target.profile(elsewhere)
    assert profile.log_mstar.numpy() == pytest.approx(np.full((4, 1), 10.5), abs=1e-3)
    for shift in (0.0, -0.05, 0.3):
        mass = torch.full((4, 1), 10.5 + shift)
        there = theta[:, None].copy()
        there[..., 0] += shift
        got = profile.log_likelihood(mass).numpy()
        assert got == pytest.approx(target.log_likelihood(there), rel=1e-3, abs=2e-3)


def test_profile_of_negative_fluxes_has_a_finite_mass(galaxy, tiny_model):
    theta, photometry = galaxy
    negative = sl.Photometry(-photometry.flux, photometry.sigma, photometry.redshift)
    target = sl.LogPosterior(negative, tiny_model)
    phi = torch.as_tensor(target.prior.to_free(theta), dtype=torch.float32)[:, None]
    profile = target.profile(phi)
    assert torch.isfinite(profile.log_mstar).all()
    assert (profile.best < 0).all()
    mass = profile.log_mstar
    assert profile.log_likelihood(mass)[0] > profile.log_likelihood(mass + 1)[0]


def test_bands_must_agree(galaxy, tiny_model):
    _, photometry = galaxy
    other = sl.SEDModel("sdss2010-g,sdss2010-r")
    with pytest.raises(sl.InputError, match="photometry is in"):
        sl.LogPosterior(photometry, other)


def test_importance_weights_recover_a_known_evidence():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, 200_000, generator=generator) * 1.5
    log_q = -0.5 * (x / 1.5) ** 2 - math.log(1.5 * math.sqrt(2 * math.pi))
    log_p = -0.5 * (x - 0.5) ** 2 - 0.5 * math.log(2 * math.pi) + math.log(4.0)
    weights, log_evidence = importance_weights(log_p - log_q)
    assert weights.sum(1).tolist() == pytest.approx([1, 1, 1], rel=1e-4)
    assert log_evidence.tolist() == pytest.approx([math.log(4)] * 3, abs=0.01)
    assert (weights * x).sum(1).tolist() == pytest.approx([0.5] * 3, abs=0.02)


def test_effective_sample_size_and_hopeless_weights():
    assert effective_sample_size(torch.tensor([[0.25] * 4, [1.0, 0, 0, 0]])).tolist() == [4, 1]
    weights, log_evidence = importance_weights(torch.full((1, 4), -torch.inf))
    assert weights[0].tolist() == [0.25] * 4
    assert torch.isneginf(log_evidence).all()


def test_flattened_weights_leave_the_effective_sample_size_that_was_asked_for():
    log_weights = torch.randn(3, 5000, generator=torch.Generator().manual_seed(0))
    log_weights *= torch.tensor([[0.1], [2.0], [30.0]])
    ess = effective_sample_size(flatten(log_weights, 1000.0))
    assert ess[0] > 4500
    assert ess[1:].tolist() == pytest.approx([1000, 1000], rel=0.02)
    gentle = log_weights[:1]
    assert torch.equal(flatten(gentle, 1000.0), importance_weights(gentle)[0])


def test_thinned_points_keep_large_weights_and_every_mean():
    generator = torch.Generator().manual_seed(0)
    weights = torch.softmax(3 * torch.randn(2000, generator=generator), 0)
    values = torch.randn(2000, generator=generator)
    means = []
    for seed in range(400):
        rows, thinned = thin(weights, 300, torch.Generator().manual_seed(seed))
        assert len(torch.unique(rows)) == 300
        assert float(thinned.sum()) == pytest.approx(1, abs=1e-5)
        threshold = float(thinned.min())
        large = torch.nonzero(weights > 1.001 * threshold)[:, 0]
        assert np.isin(large.numpy(), rows.numpy()).all()
        kept = weights[rows] > 1.001 * threshold
        assert thinned[kept].tolist() == pytest.approx(weights[rows][kept].tolist(), rel=1e-4)
        means.append(float((thinned * values[rows]).sum()))
    known = float((weights * values).sum())
    # Six standard errors of 400 seeds: once in a hundred million runs.
    assert abs(np.mean(means) - known) < 6 * np.std(means) / 20
    rows, thinned = thin(weights, 2000, generator)
    assert torch.equal(torch.sort(rows).values, torch.arange(2000))
    assert thinned.tolist() == pytest.approx(weights[rows].tolist(), rel=1e-4, abs=1e-9)


def test_points_of_no_weight_are_never_among_the_thinned():
    weights = torch.softmax(torch.randn(1000, generator=torch.Generator().manual_seed(0)), 0)
    weights[::4] = 0.0
    weights /= weights.sum()
    for n in (700, 900):  # some are left out, and there are not enough
        rows, thinned = thin(weights, n, torch.Generator().manual_seed(1))
        assert (weights[rows] > 0).all()
        assert float(thinned.sum()) == pytest.approx(1, abs=1e-5)
    assert len(torch.unique(rows)) == 750
    together = torch.zeros(1000).index_add(0, rows, thinned)
    assert together.tolist() == pytest.approx(weights.tolist(), rel=1e-4)
