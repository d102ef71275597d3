"""Lessons: galaxies like a catalogue's, their exact posteriors, and what a network learns."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch

import sedflow_lab as sl
from sedflow_lab.anpe import TrainingConfig, distil, recipe, train
from sedflow_lab.anpe.batches import observe_batch
from sedflow_lab.anpe.bundle import load_bundle
from sedflow_lab.anpe.features import Seen
from sedflow_lab.anpe.simulate import simulate
from sedflow_lab.observations.noise import load_noise
from sedflow_lab.parameters import FREE_NAMES
from sedflow_lab.quantities import QUANTITIES
from sedflow_lab.sps.histories import Cosmology


@pytest.fixture(scope="module")
def posterior():
    return sl.load_posterior()


@pytest.fixture(scope="module")
def simulations(tiny_model, tmp_path_factory):
    return simulate(tmp_path_factory.mktemp("sims"), 600, tiny_model, young_bursts=0.25)


@pytest.fixture(scope="module")
def lessons(posterior, tmp_path_factory):
    return distil.distil(tmp_path_factory.mktemp("lessons"), posterior, sl.showcase(), 24, seed=3)


@pytest.fixture(scope="module")
def tiny(tiny_bundle):
    return load_bundle(tiny_bundle)[0]


def config_of(bundle, **changes) -> TrainingConfig:
    given = {"batch": 64, "steps": 12, "decay_steps": 12, "warmup_steps": 2, "learning_rate": 1e-3}
    return TrainingConfig(flow=bundle.flow.config, **given | changes)


def test_varied_galaxies_are_like_those_of_the_catalogue():
    catalogue = sl.showcase()
    # Ten times 192 galaxies, for which standard errors are a tenth of what is allowed.
    catalogue = sl.Photometry.concatenate([catalogue] * 10)
    varied = distil.vary(catalogue, np.random.default_rng(0), 0.2)
    pull = ((varied.flux - catalogue.flux) / catalogue.sigma)[varied.mask]
    assert pull.std() == pytest.approx(0.7, abs=0.05)
    assert np.log(varied.redshift / catalogue.redshift).std() == pytest.approx(0.07, abs=0.01)
    assert 0.05 < (varied.mask.sum(1) == 4).mean() < 0.15
    assert (varied.mask.sum(1) >= 4).all()
    assert varied.usable.all()


def test_lessons_are_draws_of_the_exact_posterior(posterior, tmp_path):
    galaxy = sl.showcase()[4:5]
    # The same galaxy by both methods, varied the same way: the same posterior.
    theta = []
    for method, draws in (("weighted", 20_000), ("exact", 500)):
        made = distil.distil(
            tmp_path / method, posterior, galaxy, 1, method=method, draws=draws, seed=8
        )
        theta.append(posterior.prior.from_free(made.phi[0].double().numpy()))
    weighted, exact = theta
    error = np.hypot(weighted.std(0), exact.std(0)) / np.sqrt(distil.DRAWS)
    assert (np.abs(weighted.mean(0) - exact.mean(0)) < 6 * error).all()


def test_lessons_go_on_where_they_stopped_and_refuse_others(posterior, tmp_path, monkeypatch):
    monkeypatch.setitem(distil._CHUNK, "weighted", 3)
    whole = distil.distil(tmp_path / "a", posterior, sl.showcase()[:4], 6)
    stop = threading.Event()
    learn = distil._learn

    def once(*arguments):
        stop.set()
        return learn(*arguments)

    monkeypatch.setattr(distil, "_learn", once)
    assert distil.distil(tmp_path / "b", posterior, sl.showcase()[:4], 6, stop=stop) is None
    with pytest.raises(sl.InputError, match=r"lessons-00001.*no such file.*distil again"):
        distil.Lessons.load(tmp_path / "b")
    again = distil.distil(tmp_path / "b", posterior, sl.showcase()[:4], 6)
    assert torch.equal(whole.phi, again.phi) and torch.equal(whole.flux, again.flux)
    part = tmp_path / "b" / "lessons-00001.safetensors"
    other = part.with_name("lessons-00000.safetensors").read_bytes()
    for damaged in (b"", part.read_bytes()[:-9], other):
        part.write_bytes(damaged)
        with pytest.raises(sl.InputError, match=r"lessons-00001.*distil again, which makes this"):
            distil.Lessons.load(tmp_path / "b")
        with pytest.warns(UserWarning, match=r"lessons-00001.*It is made anew now"):
            again = distil.distil(tmp_path / "b", posterior, sl.showcase()[:4], 6)
        assert torch.equal(whole.phi, again.phi)
    with pytest.raises(sl.InputError, match="lessons that differ in seed"):
        distil.distil(tmp_path / "b", posterior, sl.showcase()[:4], 6, seed=1)
    with pytest.raises(sl.InputError, match="holds no lessons"):
        distil.Lessons.load(tmp_path)


def test_a_network_gets_better_where_its_lessons_are(tiny, simulations, lessons, tmp_path):
    def loss(flow):
        measured = (lessons.redshift, lessons.flux, lessons.sigma, lessons.mask)
        context, offset = flow.context(Seen.at(*measured, Cosmology(0.2, torch.float32)))
        with torch.no_grad():
            return -float(flow.log_prob(lessons.phi, context[:, None], offset[:, None]).mean())

    before = loss(tiny.flow)
    config = config_of(tiny, steps=60, decay_steps=60)
    flow, _ = train(simulations, load_noise(), config, tmp_path / "t", start=tiny, lessons=lessons)
    assert loss(flow) < before - 0.1  # by 1.2, give or take 0.2
    # The start itself is left as it was.
    assert loss(tiny.flow) == before


def test_training_with_start_and_lessons_resumes_exactly(tiny, simulations, lessons, tmp_path):
    config, noise = config_of(tiny), load_noise()
    options = {"start": tiny, "lessons": lessons, "evaluate_every": 4}
    whole, record = train(simulations, noise, config, tmp_path / "a", **options)
    stop = threading.Event()
    train(
        simulations,
        noise,
        config,
        tmp_path / "b",
        stop=stop,
        callback=lambda step, _: stop.set(),
        **options,
    )
    again, record_again = train(simulations, noise, config, tmp_path / "b", **options)
    for x, y in zip(whole.state_dict().values(), again.state_dict().values(), strict=True):
        assert torch.equal(x, y)
    assert record.training_loss == record_again.training_loss
    with pytest.raises(sl.InputError, match="another training"):
        train(simulations, noise, config, tmp_path / "b", **options | {"lessons": None})


def test_a_step_of_size_zero_starts_where_the_start_is(tiny, simulations, tmp_path):
    config = config_of(tiny, steps=1, learning_rate=0.0)
    flow, _ = train(simulations, load_noise(), config, tmp_path, start=tiny)
    for x, y in zip(flow.state_dict().values(), tiny.flow.state_dict().values(), strict=True):
        assert torch.equal(x, y)


def test_start_and_lessons_of_another_model_are_refused(tiny, simulations, lessons, tmp_path):
    config, noise = config_of(tiny), load_noise()
    other = replace(tiny, birth_cloud_age=0.01)
    with pytest.raises(
        sl.InputError, match=r"start .* differ in birth_cloud_age \(0.01 there, 0.1 here\):"
    ):
        train(simulations, noise, config, tmp_path, start=other)
    bands = sl.get_bands("decam-grz")
    with pytest.raises(
        sl.InputError, match=r"start .* name \(decam-grz there, sdss-ugriz here\) of bands:"
    ):
        train(simulations, noise, config, tmp_path, start=replace(tiny, bands=bands))
    physics = lessons.settings["physics"] | {"prior": "stick-breaking"}
    strange = replace(lessons, settings=lessons.settings | {"physics": physics})
    with pytest.raises(sl.InputError, match=r"lessons .* prior \(stick-breaking there, .* here\):"):
        train(simulations, noise, config, tmp_path, lessons=strange)


def test_a_bundle_tells_where_it_started_and_what_it_learnt(tiny, simulations, lessons, tmp_path):
    bundle = recipe.train_bundle(
        tmp_path / "made",
        simulations,
        tiny.bands,
        load_noise(),
        config_of(tiny),
        start=tiny,
        lessons=lessons,
    )
    training = load_bundle(tmp_path / "made")[0].training
    assert training["start"] == tiny.hash != bundle.hash
    assert training["before"] == tiny.training
    assert training["lessons"]["n"] == 24
    assert training["simulations"]["young_bursts"] == 0.25


def test_simulations_with_young_bursts_are_weighed(simulations, tiny_model, tmp_path):
    rows = torch.arange(600)
    batch = observe_batch(
        simulations, rows, load_noise(), tiny_model.cosmology, 1.0, torch.Generator()
    )
    assert torch.equal(batch.weights, simulations.weights(rows))
    assert batch.weights.max() <= 1 / 0.75 and batch.weights.min() < 0.2
    simulate(tmp_path / "a", 600, tiny_model, young_bursts=0.5)
    with pytest.raises(sl.InputError, match="that differ in young_bursts"):
        simulate(tmp_path / "a", 600, tiny_model)
    with pytest.raises(sl.InputError, match="share of young bursts is 1:"):
        simulate(tmp_path / "b", 600, tiny_model, young_bursts=1.0)


def test_weighted_simulations_are_described_as_those_of_the_prior(simulations):
    alike = simulations.of_prior(0)
    assert len(alike) < len(simulations)
    # Of times uniform in the logarithm a third is below 0.1 Gyr; in the prior 0.7 %.
    age = QUANTITIES["tburst"].low + 13.26 * torch.special.ndtr(
        simulations.phi[:, FREE_NAMES.index("tburst")]
    )
    kept = torch.isin(simulations.redshift, alike.redshift)
    # 53 of 600 are expected, and not 18; 3 of 450, and not 18: either once in a hundred million.
    assert (age < 0.1).float().mean() > 0.03 and (age[kept] < 0.1).float().mean() < 0.04
    plain = replace(simulations, settings={**simulations.settings, "young_bursts": 0.0})
    assert len(plain.of_prior(0)) == len(plain)
