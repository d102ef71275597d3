"""Any bytes: an artefact that was damaged loads as it was, or is refused in one sentence."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

import sedflow_lab as sl
from sedflow_lab._files import read_json
from sedflow_lab.anpe.simulate import SimulationSet, simulate
from sedflow_lab.observations.noise import load_noise

PLACES = 12
"""Damages of a kind that each artefact gets; where is drawn with a fixed seed."""


@pytest.fixture(scope="module")
def artefacts(tmp_path_factory, tiny_bundle, tiny_model):
    """A file of each kind, and what reads it: to something that can be compared."""
    folder = tmp_path_factory.mktemp("artefacts")
    bundle = folder / "bundle"
    shutil.copytree(tiny_bundle, bundle)
    simulate(folder / "sims", 30, tiny_model)
    load_noise().save(folder / "noise.json")
    sl.load_posterior(tiny_bundle).infer(sl.showcase()[:2], 60).save(folder / "result.h5")

    def network():
        found = sl.load_posterior(bundle).bundle
        return found.hash, json.dumps(found.support.to_dict()), json.dumps(found.training)

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
    }


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
            else:  # a hand may write a noise model, so that it has no checksum
                assert again == whole or path.name == "noise.json"
        path.unlink()
        path.mkdir()
        with pytest.raises(sl.InputError, match=path.name):
            load()
        path.rmdir()
        path.write_bytes(content)
        assert load() == whole


WRONG = [None, [], {}, "x", -1, 0, 1e400, float("nan"), 10**400, True, [[1e308]], "1"]


@pytest.mark.parametrize("name", ["bundle.json", "support.json", "simulations.json", "noise.json"])
def test_values_of_wrong_types_are_refused_without_a_checksum_too(artefacts, name):
    """As in files from before there were checksums: every value in turn, and none of it."""
    path = next(p for p in artefacts if p.name == name)
    load, content = artefacts[path], path.read_bytes()
    values = json.loads(content)
    values.pop("sha256", None)
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
    assert refused > 5 * len(values)


def test_an_edited_setting_is_refused(artefacts):
    path = next(p for p in artefacts if p.name == "bundle.json")
    content = path.read_text()
    path.write_text(content.replace('"birth_cloud_age": 0.1', '"birth_cloud_age": 0.2'))
    assert path.read_text() != content
    with pytest.raises(sl.InputError, match="changed after it was written"):
        artefacts[path]()
    path.write_text(content)


def test_a_chunk_of_another_set_is_named_and_made_anew(tmp_path, tiny_model):
    whole = simulate(tmp_path / "a", 30, tiny_model, seed=1)
    simulate(tmp_path / "b", 30, tiny_model, seed=2)
    name = "simulations-00000.safetensors"
    shutil.copy(tmp_path / "b" / name, tmp_path / "a" / name)
    with pytest.raises(sl.InputError, match=f"{name}.*another settings.*makes this file anew"):
        SimulationSet.load(tmp_path / "a")
    with pytest.warns(UserWarning, match=f"{name}.*It is made anew now"):
        again = simulate(tmp_path / "a", 30, tiny_model, seed=1)
    assert again.flux.equal(whole.flux) and again.phi.equal(whole.phi)


def test_deep_and_missing_json(tmp_path):
    path = tmp_path / "deep.json"
    path.write_text("[" * 100_000)
    with pytest.raises(sl.InputError, match=r"Cannot read the thing .*deep\.json .*: do this\."):
        read_json(path, "the thing", "do this")
    with pytest.raises(sl.InputError, match=r"No such file"):
        read_json(tmp_path / "none.json", "the thing", "do this")
