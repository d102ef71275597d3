"""Training: what a step sees, the schedule, and resumption after a kill at any point."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace

import pytest
import torch

import sedflow_lab as sl
from sedflow_lab import _files
from sedflow_lab.anpe import FlowConfig, TrainingConfig, recipe, tensors, train, training
from sedflow_lab.anpe.batches import Batch, observe_batch
from sedflow_lab.anpe.bundle import load_bundle
from sedflow_lab.anpe.presets import PRESETS, make_config
from sedflow_lab.anpe.simulate import SimulationSet, simulate
from sedflow_lab.observations.noise import load_noise
from sedflow_lab.sps.bands import get_bands

SMALL = FlowConfig(couplings=2, hidden=(8,), embedding=(16, 8))
CONFIG = TrainingConfig(
    flow=SMALL, simulations=600, batch=32, steps=12, decay_steps=8, warmup_steps=2
)


class Killed(BaseException):
    """What no code of ours catches, as no code survives SIGKILL."""


@pytest.fixture(scope="module")
def simulations(tiny_model, tmp_path_factory) -> SimulationSet:
    return simulate(tmp_path_factory.mktemp("sims"), 600, tiny_model, seed=2)


@pytest.fixture(scope="module")
def whole(simulations, tmp_path_factory):
    """Flow and record of a training that nothing interrupted."""
    return run(simulations, tmp_path_factory.mktemp("whole"))


def run(simulations, folder, config=CONFIG, **options):
    return train(
        simulations,
        load_noise(),
        config,
        folder,
        **{"checkpoint_seconds": 0.0, "evaluate_every": 4} | options,
    )


def assert_same(first, second):
    (flow, record), (other, other_record) = first, second
    for (name, x), y in zip(flow.state_dict().items(), other.state_dict().values(), strict=True):
        assert torch.equal(x, y), name
    for name in ("step", "training_loss", "validation_loss", "running_loss"):
        assert getattr(record, name) == getattr(other_record, name), name


def steps_done(folder) -> int:
    """Steps in the checkpoint of a folder, 0 if there is none."""
    path = folder / "checkpoint.safetensors"
    return tensors.load_tensors(path, "it", "look")[1]["step"] if path.exists() else 0


def kill_at(monkeypatch, module, name, call, before=True):
    """Let a function of a module be the last thing that happens, at one of its calls."""
    calls = []
    original = getattr(module, name)

    def lethal(*args, **kwargs):
        calls.append(1)
        if len(calls) == call and before:
            raise Killed
        result = original(*args, **kwargs)
        if len(calls) == call:
            raise Killed
        return result

    monkeypatch.setattr(module, name, lethal)


@pytest.mark.parametrize("step", [1, 2, 5, 11, 12])
@pytest.mark.parametrize("where", ["in a step", "while writing", "before renaming", "after"])
def test_killed_at_any_point_resumes_to_the_same_result(
    simulations, whole, tmp_path, monkeypatch, step, where
):
    module, name, before = {
        "in a step": (training, "_schedule", True),
        "while writing": (tensors, "to_bytes", False),
        "before renaming": (_files.os, "replace", True),
        "after": (training, "_save", False),
    }[where]
    with monkeypatch.context() as patch:
        kill_at(patch, module, name, step, before)
        with pytest.raises(Killed):
            run(simulations, tmp_path)
    assert steps_done(tmp_path) == (step if where == "after" else step - 1)
    if where == "while writing":  # what a kill leaves of a file may be its first half
        partial = tmp_path / f".checkpoint.{_files._host()}-{os.getpid()}.partial.safetensors"
        partial.write_bytes(bytes(100))
    assert_same(run(simulations, tmp_path), whole)


def test_killed_again_and_again(simulations, whole, tmp_path, monkeypatch):
    for _ in range(3):
        with monkeypatch.context() as patch:
            kill_at(patch, training, "_schedule", 4)
            with pytest.raises(Killed):
                run(simulations, tmp_path)
    assert steps_done(tmp_path) == 9
    assert_same(run(simulations, tmp_path), whole)


SCRIPT = """
import tests.conftest  # which shifts seeds, where that is asked for
import sys, torch
from sedflow_lab import SEDModel
from sedflow_lab.anpe import recipe
from sedflow_lab.observations.noise import load_noise
from sedflow_lab.sps.bands import get_bands
from sedflow_lab.anpe.simulate import SimulationSet
from tests.test_training import CONFIG
from dataclasses import replace
torch.set_num_threads(1)
simulations, out = SimulationSet.load(sys.argv[1]), sys.argv[2]
recipe.train_bundle(out, simulations, SEDModel().bands, load_noise(),
                    replace(CONFIG, steps=int(sys.argv[3])), checkpoint_seconds=0.0)
"""


def test_killed_process_resumes_to_the_same_bundle(tiny_model, tmp_path):
    """SIGKILL, for real: whatever the process was doing, the bundle comes out the same."""
    folder, steps = tmp_path / "sims", 400
    made = simulate(folder, 600, tiny_model, seed=2)
    out = tmp_path / "bundle"
    command = [sys.executable, "-c", SCRIPT, str(folder), str(out), str(steps)]
    reached = 0
    for _ in range(2):
        process = subprocess.Popen(command, cwd=os.path.dirname(os.path.dirname(__file__)))
        try:
            deadline = time.monotonic() + 120
            while steps_done(recipe.working_folder(out)) < reached + 20:
                assert process.poll() is None, "training ended by itself"
                assert time.monotonic() < deadline, "training does not get on"
                time.sleep(0.01)
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        reached = steps_done(recipe.working_folder(out))
        assert not out.exists()
    assert 40 <= reached < steps
    config = replace(CONFIG, steps=steps)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        bundle = recipe.train_bundle(out, made, tiny_model.bands, load_noise(), config)
        straight = recipe.train_bundle(
            tmp_path / "straight", made, tiny_model.bands, load_noise(), config
        )
    finally:
        torch.set_num_threads(threads)
    pairs = zip(bundle.flow.state_dict().values(), straight.flow.state_dict().values(), strict=True)
    assert all(torch.equal(x, y) for x, y in pairs)
    assert sl.load_posterior(out).bundle.training["record"]["step"][-1] == steps


def test_bundle_appears_whole_or_not_at_all(simulations, tiny_model, tmp_path, monkeypatch):
    out = tmp_path / "bundle"
    arguments = (out, simulations, tiny_model.bands, load_noise(), CONFIG)
    with monkeypatch.context() as patch:
        kill_at(patch, recipe.Bundle, "save", 1)
        with pytest.raises(Killed):
            recipe.train_bundle(*arguments)
    assert not out.exists()
    from sedflow_lab.anpe import bundle as module

    with monkeypatch.context() as patch:
        kill_at(patch, module, "save_tensors", 1, before=False)
        with pytest.raises(Killed):
            recipe.train_bundle(*arguments)
    assert not out.exists()
    assert recipe.train_bundle(*arguments) is not None
    assert sorted(p.name for p in out.iterdir()) == [
        "bundle.json",
        "support.json",
        "weights.safetensors",
    ]


def test_longer_training_goes_on_from_a_shorter_one(simulations, tmp_path):
    run(simulations, tmp_path)
    flow, record = run(simulations, tmp_path, replace(CONFIG, steps=20))
    assert record.step == [4, 8, 12, 16, 20]
    assert all(torch.isfinite(p).all() for p in flow.parameters())


def test_seeds_matter_and_nothing_else_does(simulations, whole, tmp_path):
    torch.manual_seed(12345)
    assert_same(run(simulations, tmp_path / "again", evaluate_every=4), whole)
    other, _ = run(simulations, tmp_path / "other", replace(CONFIG, seed=1))
    first = next(iter(whole[0].parameters()))
    assert not torch.equal(first, next(iter(other.parameters())))


def test_step_with_a_gradient_that_is_not_finite_is_left_out(simulations, tmp_path, monkeypatch):
    calls = []
    original = Batch.loss

    def poisoned(self, flow):
        calls.append(1)
        return original(self, flow) * (float("nan") if len(calls) == 3 else 1.0)

    monkeypatch.setattr(Batch, "loss", poisoned)
    flow, record = run(simulations, tmp_path)
    assert all(torch.isfinite(p).all() for p in flow.parameters())
    assert record.running_loss == record.running_loss


def test_training_stops_where_the_loss_is_no_number_any_more(simulations, tmp_path, monkeypatch):
    """It ends with a sentence, soon, and with the checkpoint of the last step that was good."""
    calls = []
    original = Batch.loss

    def poisoned(self, flow):
        calls.append(1)
        return original(self, flow) * (float("nan") if len(calls) > 6 else 1.0)

    monkeypatch.setattr(Batch, "loss", poisoned)
    with pytest.raises(sl.errors.SedflowError, match="loss is not finite any more: delete"):
        run(simulations, tmp_path, replace(CONFIG, steps=500), evaluate_every=500)
    assert len(calls) == 6 + training._MOST_LOST + 1
    assert steps_done(tmp_path) == 6


def test_the_same_tensors_are_the_same_bytes(tmp_path):
    """20 times, for the sake of two names of which either may come first."""
    paths = [tmp_path / f"{k}.safetensors" for k in range(20)]
    for path in paths:
        tensors.save_tensors(path, {"b": torch.ones(3), "a": torch.zeros(2, 5)}, {"step": "1é"})
    assert len({path.read_bytes() for path in paths}) == 1
    found, about = tensors.load_tensors(paths[0], "the file", "look")
    assert torch.equal(found["b"], torch.ones(3)) and found["a"].shape == (2, 5)
    assert about == {"step": "1é"}


def test_a_file_that_is_replaced_while_it_is_read_is_read_whole(tmp_path, monkeypatch):
    """With another length, as a checkpoint has whose record has grown."""
    path, read = tmp_path / "a.safetensors", tensors.from_bytes

    def replace_meanwhile(data):
        tensors.save_tensors(path, {"a": torch.ones(2)}, {"step": 2})
        return read(data)

    tensors.save_tensors(path, {"a": torch.zeros(100)}, {"step": 1})
    monkeypatch.setattr(tensors, "from_bytes", replace_meanwhile)
    found, about = tensors.load_tensors(path, "the file", "look")
    assert about == {"step": 1} and torch.equal(found["a"], torch.zeros(100))


def test_damaged_checkpoint_says_what_to_do(simulations, tmp_path):
    run(simulations, tmp_path)
    (tmp_path / "checkpoint.safetensors").write_bytes(b"nonsense")
    with pytest.raises(sl.InputError, match="delete it to start anew"):
        run(simulations, tmp_path)


def test_bands_are_hidden_as_the_configuration_says(simulations, tiny_model):
    generator = torch.Generator().manual_seed(0)
    rows = torch.randint(600, (20_000,), generator=generator)
    batch = observe_batch(simulations, rows, load_noise(), tiny_model.cosmology, 0.75, generator)
    count = batch.seen.mask.sum(1)
    assert count.min() == 2
    # A quarter keeps 2, 3, 4 or 5 bands, each number as often.
    for bands, share in ((2, 0.0625), (3, 0.0625), (4, 0.0625), (5, 0.8125)):
        # Six standard errors: once in 5e8 runs.
        room = 6 * (share * (1 - share) / 20_000) ** 0.5
        assert float((count == bands).float().mean()) == pytest.approx(share, abs=room)
    hidden = (~batch.seen.mask).float().mean(0)  # 1.5 of 5, in a quarter
    assert hidden.tolist() == pytest.approx([0.075] * 5, abs=6 * (0.075 * 0.925 / 20_000) ** 0.5)
    assert torch.equal(batch.phi, simulations.phi[rows])


def test_noise_is_fresh_at_every_step(simulations, tiny_model):
    rows = torch.zeros(2, dtype=torch.long)
    noise, cosmology = load_noise(), tiny_model.cosmology
    generators = [torch.Generator().manual_seed(seed) for seed in (0, 0, 1)]
    flux = [
        observe_batch(simulations, rows, noise, cosmology, 1.0, generator).seen.flux
        for generator in generators
    ]
    assert torch.equal(flux[0], flux[1])
    assert not torch.equal(flux[0], flux[2])
    assert not torch.equal(flux[0][0], flux[0][1])


def test_learning_rate_warms_up_stays_and_falls_to_zero():
    config = TrainingConfig(steps=100, warmup_steps=10, decay_steps=40)
    rates = [training._schedule(step, config) for step in range(101)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9:61] == pytest.approx([1.0] * 52)
    assert all(a >= b for a, b in itertools.pairwise(rates[60:]))
    assert rates[80] == pytest.approx(0.5)
    assert rates[100] == pytest.approx(0.0, abs=1e-12)


def test_training_learns(tiny_model, tmp_path):
    """From worse than a normal of the right width to clearly better, in seconds."""
    many = simulate(tmp_path / "many", 4000, tiny_model, seed=2)
    config = replace(
        CONFIG, simulations=4000, steps=150, decay_steps=100, batch=128, learning_rate=5e-3
    )
    _, record = run(many, tmp_path / "run", config, checkpoint_seconds=60.0, evaluate_every=50)
    # Eleven standard normals have 15.6; ten of the coordinates are standard normal under the
    # prior, and the mass offset is known to a third of a dex.
    # Of 400 validations it is 12.3 ± 0.14, as seeds have it, after 13.2.
    assert record.validation_loss[-1] < 13.5
    assert record.validation_loss[-1] < record.validation_loss[0]


def test_presets_are_consistent():
    for name, config in PRESETS.items():
        assert config.warmup_steps + config.decay_steps <= config.steps, name
        assert make_config(name) == config
    shorter = make_config("nsa-ugriz", steps=310)
    assert shorter.decay_steps == 215
    assert shorter.warmup_steps == 31


def test_a_flow_without_embedding_or_mass_offset_is_trained_and_kept(
    simulations, tiny_model, tmp_path
):
    bare = replace(CONFIG, flow=replace(SMALL, embedding=(), mass_offset=False))
    what = simulations, get_bands("sdss-ugriz"), load_noise(), bare
    bundle = recipe.train_bundle(tmp_path / "bare", *what)
    again, _ = load_bundle(tmp_path / "bare")
    assert again.hash == bundle.hash and again.flow.config == bare.flow
    batch = observe_batch(
        simulations,
        torch.arange(20),
        load_noise(),
        tiny_model.cosmology,
        1.0,
        torch.Generator().manual_seed(0),
    )
    context, offset = again.flow.context(batch.seen)
    assert context.shape == (20, again.flow.features.size) and not offset.any()


def test_noise_that_is_not_fresh_is_drawn_once(simulations, tmp_path, monkeypatch):
    drawn = []

    def count(*args):
        drawn.append(len(args[1]))
        return observe_batch(*args)

    monkeypatch.setattr(training, "observe_batch", count)
    stale = replace(CONFIG, fresh_noise=False)
    once = run(simulations, tmp_path / "once", stale)
    assert drawn == [60, 540, 540]  # validation, all of them, and the scaling
    stop = threading.Event()
    run(simulations, tmp_path / "again", stale, stop=stop, callback=lambda *_: stop.set())
    assert steps_done(tmp_path / "again") == 4
    assert_same(run(simulations, tmp_path / "again", stale), once)


def test_too_few_simulations_are_refused_before_anything_is_written(tiny_model, tmp_path):
    few = simulate(tmp_path / "simulations", 19, tiny_model)
    with pytest.raises(sl.InputError, match="19 simulations are too few to train with: give 20"):
        train(few, load_noise(), CONFIG, tmp_path / "few")
    assert not (tmp_path / "few").exists()
