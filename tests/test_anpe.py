"""The network: features, flow, training, bundle on disk, and the posterior that it gives."""

from __future__ import annotations

import copy
import json
import shutil
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch

import sedflow_lab as sl
from sedflow_lab.anpe import FlowConfig, PosteriorFlow, TrainingConfig, train
from sedflow_lab.anpe.couplings import apply_couplings, invert_couplings
from sedflow_lab.anpe.features import Features, Seen, asinh_magnitude
from sedflow_lab.anpe.simulate import mock_photometry, simulate
from sedflow_lab.diagnostics.comparison import Draws, compare, js_distance
from sedflow_lab.exact.weights import pareto_k
from sedflow_lab.observations.noise import load_noise

SMALL = FlowConfig(couplings=2, hidden=(16,), embedding=(16, 8))


@pytest.fixture(scope="module")
def posterior():
    """The posterior that ships."""
    return sl.load_posterior("nsa-ugriz")


@pytest.fixture(scope="module")
def mocks(posterior):
    return mock_photometry(posterior.model, posterior.prior, posterior.bundle.noise, 60, seed=11)


def test_asinh_magnitudes_are_magnitudes_where_it_matters_and_finite_elsewhere():
    flux = torch.tensor([100.0, 0.0, -5.0, 1e-8])
    magnitude, error = asinh_magnitude(flux, torch.tensor([1.0, 1.0, 1.0, 1e3]))
    assert float(magnitude[0]) == pytest.approx(17.5, abs=1e-3)
    assert float(error[0]) == pytest.approx(1.0857 / 100, rel=1e-2)
    assert torch.isfinite(magnitude).all()
    assert (error <= 0.543).all()


def test_features_ignore_what_stands_in_missing_bands():
    features = Features(5)
    flux = torch.rand(7, 5) + 1
    sigma, redshift, modulus = 0.05 * flux, torch.full((7,), 0.1), torch.full((7,), 38.0)
    mask = torch.ones(7, 5, dtype=torch.bool)
    mask[:, 2] = False
    wild, wild_sigma = flux.clone(), sigma.clone()
    wild[:, 2], wild_sigma[:, 2] = torch.nan, torch.nan
    a, anchor_a = features(Seen(flux, sigma, mask, redshift, modulus))
    b, anchor_b = features(Seen(wild, wild_sigma, mask, redshift, modulus))
    assert torch.equal(a, b)
    assert torch.equal(anchor_a, anchor_b)
    # The anchor is the next band from the middle outwards.
    magnitude, _ = asinh_magnitude(flux[:, 3], sigma[:, 3])
    assert torch.allclose(anchor_a, magnitude - modulus)


def test_flow_is_a_density_and_its_own_inverse():
    torch.manual_seed(0)
    flow = PosteriorFlow(5, SMALL)
    context, offset = torch.randn(50, 8), torch.randn(50)
    latent = torch.randn(50, 11)
    phi, log_q = flow.from_latent(latent, context, offset)
    assert torch.allclose(flow.log_prob(phi, context, offset), log_q, atol=1e-3)


def wild_flow():
    """A flow in double precision, well away from the identity."""
    torch.manual_seed(0)
    flow = PosteriorFlow(5, SMALL).double().flow
    for parameter in flow.parameters():
        parameter.data *= 3
    return flow


def test_couplings_and_their_gradients_are_those_of_zuko():
    flow = wild_flow()
    # Beyond the splines' bounds, on them and inside.
    points = 4 * torch.randn(6, 40, 11, dtype=torch.float64)
    points[0, :3] = torch.tensor([5.0, -5.0, 0.0])[:, None]
    context = torch.randn(6, 1, 8, dtype=torch.float64)
    latent, ladj = flow(context.expand(6, 40, 8)).transform.call_and_ladj(points)
    weights = list(flow.transform.parameters())
    expected = torch.autograd.grad(ladj.sum() + latent.square().sum(), weights)
    for given in (context, context.expand(6, 40, 8)):
        got, got_ladj = apply_couplings(flow.transform.transforms, points, given)
        torch.testing.assert_close(got, latent, atol=1e-9, rtol=1e-9)
        torch.testing.assert_close(got_ladj, ladj, atol=1e-8, rtol=1e-8)
        gradients = torch.autograd.grad(got_ladj.sum() + got.square().sum(), weights)
        torch.testing.assert_close(gradients, expected, atol=1e-6, rtol=1e-6)


def test_inverse_in_one_pass_is_that_of_zuko():
    flow = wild_flow()
    # Beyond the splines' bounds, on them and inside.
    latent = 4 * torch.randn(6, 40, 11, dtype=torch.float64)
    latent[0, :3] = torch.tensor([5.0, -5.0, 0.0])[:, None]
    context = torch.randn(6, 1, 8, dtype=torch.float64)
    distribution = flow(context.expand(6, 40, 8))
    psi, ladj = distribution.transform.inv.call_and_ladj(latent)
    couplings = list(flow.transform.transforms)[::-1]
    for given in (context, context.expand(6, 40, 8)):
        got, got_ladj = invert_couplings(couplings, latent, given)
        assert torch.allclose(got, psi, atol=1e-9)
        assert torch.allclose(got_ladj, ladj, atol=1e-8)


def test_training_resumes_exactly_and_refuses_what_is_not_its_own(tmp_path, tiny_model):
    simulations = simulate(tmp_path / "sims", 600, tiny_model)
    config = TrainingConfig(flow=SMALL, batch=64, steps=12, decay_steps=6, warmup_steps=2)
    whole, record = train(simulations, load_noise(), config, tmp_path / "a", evaluate_every=4)
    stop = threading.Event()
    train(
        simulations,
        load_noise(),
        config,
        tmp_path / "b",
        evaluate_every=4,
        stop=stop,
        callback=lambda step, _: stop.set(),
    )
    again, record_again = train(simulations, load_noise(), config, tmp_path / "b", evaluate_every=4)
    for x, y in zip(whole.state_dict().values(), again.state_dict().values(), strict=True):
        assert torch.equal(x, y)
    assert record.validation_loss == record_again.validation_loss
    assert record.training_loss == record_again.training_loss
    assert record.validation_loss[-1] < record.validation_loss[0] + 1
    other = TrainingConfig(flow=SMALL, batch=64, steps=12, decay_steps=6, warmup_steps=2, seed=1)
    with pytest.raises(sl.InputError, match="another training"):
        train(simulations, load_noise(), other, tmp_path / "b")


def test_bundle_refuses_what_it_does_not_belong_to(tmp_path, tiny_bundle):
    folder = tmp_path / "copy"
    for change, words in (
        ({"schema": 99, "sha256": None}, "schema 99"),
        ({"ssp_hash": "0" * 16}, "was changed after it was written"),
        ({"flow": {"couplings": 3}}, "was changed after it was written"),
    ):
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(tiny_bundle, folder)
        values = json.loads((folder / "bundle.json").read_text()) | change
        (folder / "bundle.json").write_text(json.dumps(values))
        with pytest.raises(sl.InputError, match=words):
            sl.load_posterior(folder)
    with pytest.raises(sl.InputError, match="no posterior bundle"):
        sl.load_posterior(tmp_path / "nothing")


def test_saved_bundle_gives_the_same_draws(tmp_path, tiny_bundle):
    first = sl.load_posterior(tiny_bundle)
    first.bundle.save(tmp_path / "again")
    second = sl.load_posterior(tmp_path / "again")
    galaxy = sl.showcase()[:2]
    assert np.array_equal(first.sample(galaxy, 5), second.sample(galaxy, 5))


def test_shapes_seeds_and_limits(posterior):
    galaxies = sl.showcase()[4:6]
    for method in ("fast", "weighted", "exact", "auto"):
        result = posterior.infer(galaxies, draws=600, method=method, seed=3)
        assert result.samples.shape == (2, 600, 12)
        assert result.weights.sum(1) == pytest.approx(np.ones(2))
        assert (result.ess > 0).all() and (result.ess <= 600.5).all()
        assert np.isfinite(posterior.prior.log_prob(result.samples)).all()
        assert len(result.summary()) == 2
        again = posterior.infer(galaxies, draws=600, method=method, seed=3)
        assert np.array_equal(result.samples, again.samples)


def test_auto_refines_those_that_ask_for_it_and_leaves_the_others(posterior):
    galaxies = sl.showcase()[[0, 1, 2, 4]]
    fast = posterior.infer(galaxies, draws=500)
    auto = posterior.infer(galaxies, draws=500, method="auto")
    asks = fast.badge == "refine"
    assert 0 < asks.sum() < len(galaxies)
    assert np.array_equal(auto.samples[~asks], fast.samples[~asks])
    assert (auto.badge[~asks] == fast.badge[~asks]).all()
    assert np.isin(auto.badge[asks], ["exact", "model cannot fit"]).all()
    assert (auto.samples[asks] != fast.samples[asks]).any((1, 2)).all()
    assert np.isfinite(auto.diagnostics["evaluations"][asks]).all()
    assert np.isnan(auto.diagnostics["evaluations"][~asks]).all()


def test_log_prob_is_that_of_the_draws(posterior):
    galaxy = sl.showcase()[:20]
    efficiency = posterior.infer(galaxy, 1000, "weighted").diagnostics["efficiency"]
    galaxy = galaxy[np.argsort(-efficiency)[:2]]  # whose evidence is well known
    theta = posterior.sample(galaxy, 4000)
    log_q = posterior.log_prob(galaxy, theta)
    target = sl.LogPosterior(galaxy, posterior.model, posterior.prior)
    log_p = target.log_likelihood(theta) + posterior.prior.log_prob(theta)
    weights = np.exp(log_p - log_q - (log_p - log_q).max(1, keepdims=True))
    ess = np.square(weights.sum(1)) / np.square(weights).sum(1)
    weighted = posterior.infer(galaxy, draws=4000, method="weighted")
    off = np.log(np.exp(log_p - log_q).mean(1)) - weighted.log_evidence
    # Six standard errors: one false alarm in 10^8.
    assert (ess > 400).all() and (np.abs(off) < 6 * np.sqrt(1 / ess + 1 / weighted.ess)).all()


def test_missing_bands_are_inferred_by_the_same_network(posterior):
    galaxies = sl.showcase()[:9]
    result = posterior.infer(galaxies.drop_bands("u", "z"), draws=2000, method="weighted")
    # One point of great weight ruins an efficiency now and then, but hardly five of nine: with 60
    # seeds the median was 0.29 or more.
    assert np.median(result.diagnostics["efficiency"]) > 0.1
    everything = posterior.infer(galaxies, draws=2000)
    width = np.ptp(np.quantile(result.samples[..., 10], [0.16, 0.84], axis=1), axis=0)
    narrow = np.ptp(np.quantile(everything.samples[..., 10], [0.16, 0.84], axis=1), axis=0)
    assert width.mean() > 0.8 * narrow.mean()  # of three galaxies 0.98 ± 0.02


def test_efficiency_of_the_shipped_network(posterior, mocks):
    result = posterior.infer(mocks[0], draws=1000, method="weighted")
    assert np.median(result.diagnostics["efficiency"]) > 0.1


def test_ranks_of_the_truth_are_uniform(posterior, mocks):
    photometry, theta = mocks
    draws = posterior.sample(photometry, 500)
    rank = (draws < theta[:, None]).mean(1)
    # 60 uniform ranks: mean 1/2, and neither heaped nor hollow, within six standard errors.
    assert np.abs(rank.mean(0) - 0.5).max() < 6 * 0.289 / np.sqrt(60)
    assert 0.19 < rank.std(0).min() and rank.std(0).max() < 0.39


def test_bad_rows_are_named_or_flagged(posterior):
    galaxies = sl.showcase()[:3]
    far = sl.Photometry(galaxies.flux, galaxies.sigma, [0.05, 0.9, 0.05], ids=list(galaxies.ids))
    with pytest.raises(sl.InputError, match=r"redshift 0.9 is above the trained range"):
        posterior.infer(far)
    result = posterior.infer(far, draws=50, on_bad="flag")
    assert result.badge[1] == "bad photometry"
    assert np.isnan(result.samples[1]).all() and np.isfinite(result.samples[[0, 2]]).all()
    with pytest.raises(sl.InputError, match="no method"):
        posterior.infer(galaxies, method="magic")


def test_sbi_posterior_draws_what_ours_draws(posterior):
    galaxy = sl.showcase()[4]
    direct = posterior.to_sbi(galaxy)
    torch.manual_seed(0)
    phi = direct.sample((3000,), show_progress_bars=False).numpy()
    theta = posterior.prior.from_free(phi.astype(np.float64))
    ours = posterior.sample(galaxy, 3000)[0]
    assert js_distance(Draws(theta), Draws(ours)).max() < 0.16


def test_comparison_of_known_distributions(posterior):
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 50_000, 2))
    b[:, 1] += 1.0
    js = js_distance(Draws(a), Draws(b))
    assert js[0] < 0.03
    # Root of the base-2 divergence of unit normals one apart, by numerical integration.
    x = np.linspace(-9, 10, 20_001)
    p, q = np.exp(-0.5 * x**2), np.exp(-0.5 * (x - 1) ** 2)
    p, q = p / p.sum(), q / q.sum()
    m = 0.5 * (p + q)
    exact = np.sqrt(0.5 * np.sum(p * np.log2(p / m)) + 0.5 * np.sum(q * np.log2(q / m)))
    assert js[1] == pytest.approx(exact, abs=0.02)
    result = posterior.infer(sl.showcase()[:1], draws=2000)
    table = compare(result, result)
    assert np.abs(table["shift"]).max() == 0
    assert table["w1"].max() == pytest.approx(0, abs=1e-12)


def test_pareto_k_knows_light_tails_from_heavy_ones():
    rng = np.random.default_rng(0)
    light = torch.as_tensor(0.1 * rng.standard_normal((5, 2000)))
    heavy = torch.as_tensor(-np.log(rng.uniform(size=(5, 40_000))) * 1.2)
    # The largest of five is 0.04 ± 0.05.
    assert (pareto_k(light) < 0.5).all()
    # It is 1.2; the least of five is 1.08 ± 0.05, and of 2,000 draws it would be 0.94 ± 0.11.
    assert (pareto_k(heavy) > 0.75).all()


def test_results_name_the_network_that_made_them(posterior):
    bundle = posterior.bundle
    provenance = posterior.infer(sl.showcase()[:1], 10).provenance
    assert (provenance["bundle"], provenance["bundle_hash"]) == ("nsa-ugriz", bundle.hash)
    assert provenance["ssp_hash"] == posterior.model.ssp.hash
    assert sl.load_posterior("nsa-ugriz").bundle.hash == bundle.hash


def test_hash_of_a_bundle_is_that_of_its_weights_and_settings(posterior):
    bundle = posterior.bundle
    assert replace(bundle, name="another", training={}, support=None).hash == bundle.hash
    other = copy.deepcopy(bundle.flow)
    next(iter(other.parameters())).data.view(-1)[0] += 1e-3
    changed = {"prior": "stick-breaking", "redshift_max": 0.3, "flow": other}
    hashes = {replace(bundle, **{name: value}).hash for name, value in changed.items()}
    assert len(hashes | {bundle.hash}) == 4


def test_draws_are_accepted_under_their_old_name(posterior):
    galaxy = sl.showcase()[:1]
    with pytest.warns(DeprecationWarning, match="called draws now"):
        old = posterior.sample(galaxy, n=4)
    assert np.array_equal(old, posterior.sample(galaxy, draws=4))
