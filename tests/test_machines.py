"""Disks that are full or not ours, inputs as outputs, signals, and other processes."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import emcee
import h5py
import numpy as np
import pytest

import sedflow_lab as sl
from sedflow_lab import _files
from sedflow_lab._files import locked, replacing, write_bytes, write_text
from sedflow_lab.commands.main import main
from sedflow_lab.errors import InputError, WriteError
from sedflow_lab.samplers import backend
from sedflow_lab.samplers.ensemble import sample_ensembles

COMPARE = ("ssp", "compare", "shipped", "shipped", "--bands", "sdss2010-g")

posix = pytest.mark.skipif(os.name != "posix", reason="needs limits and signals of POSIX")

HOLD = """
import sys, time
from sedflow_lab._files import locked, replacing
with locked(sys.argv[1]), replacing(sys.argv[1]) as partial:
    partial.write_text("half")
    print("held", flush=True)
    time.sleep(600)
"""


def run(*argv: object, limit: int | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command in a process of its own, whose files may be no larger than a limit [bytes]."""

    def restrict() -> None:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (limit or 0, limit or 0))

    return subprocess.run(
        [sys.executable, "-m", "sedflow_lab.commands.main", *map(str, argv)],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=restrict if limit is not None else None,
    )


def says_one_sentence(done: subprocess.CompletedProcess[str], code: int) -> str:
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr
    (line,) = [e for e in done.stderr.splitlines() if e.startswith("sedflow-lab: error: ")]
    return line


@pytest.fixture
def catalog(tmp_path: Path) -> Path:
    path = tmp_path / "galaxies.csv"
    sl.showcase()[:3].to_table().write(path)
    return path


@pytest.fixture
def holder(tmp_path: Path):
    """A process that holds a file and has written half of it."""
    path = tmp_path / "held.csv"
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    yield path, process
    process.kill()
    process.wait()
    process.stdout.close()


def log_normal(x: np.ndarray) -> np.ndarray:
    return -0.5 * np.square(x).sum(-1)


def start() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(16, 2))


def test_an_output_that_is_the_input_is_refused_before_work(
    catalog: Path, tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    before = catalog.read_bytes()
    (tmp_path / "soft.csv").symlink_to(catalog)
    os.link(catalog, tmp_path / "hard.csv")
    roundabout = tmp_path / "there" / ".." / "galaxies.csv"
    (tmp_path / "there").mkdir()
    for out in (catalog, tmp_path / "soft.csv", tmp_path / "hard.csv", roundabout):
        for command in (["infer", catalog, "--posterior", tiny_bundle], ["noise", catalog]):
            assert main([str(a) for a in [*command, "--out", out]]) == 2
            assert "would be overwritten" in capsys.readouterr().err
    one = str(tmp_path / "chain.h5")
    argv = ["mcmc", str(catalog), "--row", "0", "--out", one, "--backend", one]
    assert main(argv) == 2
    train = ["train", tmp_path / "net", "--simulations", tmp_path / "net" / "simulations"]
    assert main([str(a) for a in train]) == 2
    assert "for simulations" in capsys.readouterr().err
    assert catalog.read_bytes() == before and not (tmp_path / "net").exists()


def test_a_folder_that_another_process_writes_is_refused(holder, capsys):
    path, process = holder
    with (
        pytest.raises(WriteError, match=rf"{process.pid} on .* is writing .*held\.csv"),
        locked(path),
    ):
        pass
    process.kill()  # and nothing of it blocks the next
    process.wait()
    with locked(path):
        write_text(path, "whole")
    assert path.read_text() == "whole"
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_what_a_living_process_writes_is_not_removed(holder):
    path, _ = holder
    (partial,) = path.parent.glob("*.partial.csv")
    write_text(path, "whole")
    assert partial.read_text() == "half"


def test_waiting_for_a_lock(holder):
    path, process = holder
    began = time.monotonic()
    with pytest.raises(WriteError), locked(path, patience=0.3):
        pass
    assert time.monotonic() - began >= 0.3
    process.kill()
    with locked(path, patience=60):
        pass


@posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_a_command_in_good_order(number, tiny_bundle, tmp_path, monkeypatch, capsys):
    from sedflow_lab.anpe import AmortizedPosterior

    infer = AmortizedPosterior.infer

    def interrupted(self, *args, **kwargs):
        signal.raise_signal(number)
        return infer(self, *args, **kwargs)

    monkeypatch.setattr(AmortizedPosterior, "infer", interrupted)
    sl.showcase()[:3].to_table().write(tmp_path / "in.csv")
    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    argv = ["infer", tmp_path / "in.csv", "--posterior", tiny_bundle, "--draws", 50]
    assert main([str(a) for a in [*argv, "--out", tmp_path / "out.csv"]]) == 130
    assert "not reached are flagged" in capsys.readouterr().err
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == handlers


@posix
def test_full_disks_are_one_sentence_and_leave_what_was_there(
    catalog: Path, tiny_bundle: Path, tmp_path: Path
):
    """For real, where libraries of others would write: HDF5, safetensors."""
    out = tmp_path / "out"
    out.mkdir()
    infer = ["infer", catalog, "--posterior", tiny_bundle, "--draws", 50, "--out"]
    mcmc = ["mcmc", catalog, "--posterior", tiny_bundle, "--row", 0, "--walkers", 88]
    mcmc += ["--max-steps", 50, "--draws", 100]
    commands = [
        [*infer, out / "a.csv", "--samples", out / "a.h5"],
        [*mcmc, "--out", out / "b.h5", "--backend", out / "chains.h5"],
        ["simulate", out / "set", "-n", 500],
    ]
    for command in commands:
        line = says_one_sentence(run(*command, limit=2000), 1)
        assert "File too large" in line and str(out) in line and "ulimit" in line
        left = [p for p in out.rglob("*") if p.is_file() and p.name != "simulations.json"]
        assert left == [], command


FULL = {
    "infer": "infer in.csv --posterior NET --draws 5 --out out.ecsv --samples out.h5",
    "mcmc": "mcmc in.csv --posterior NET --row 0 --walkers 88 --max-steps 50 --draws 88 "
    "--out out.h5 --backend chains.h5",
    "nested": "nested in.csv --posterior NET --row 0 --draws 20 --out out.h5",
    "compare": "compare --posterior NET --galaxies 1 --chains-only --out out",
    "simulate": "simulate out -n 100",
    "train": "train out --couplings 2 --hidden 16 --steps 2 --batch 8 -n 100",
    "distil": "distil out in.csv -n 1",
    "card": "card CARD --out out --simulations 20 --draws 50 --galaxies 1 --weighted-draws 50 "
    "--exact 0",
    "figures": "figures --posterior NET --out out --only 5 --simulations 20 --draws 50 "
    "--mcmc-simulations 0",
    "demo": "demo --posterior NET --galaxies 1 --max-steps 50 --out out",
    "noise": "noise in.csv --out out.json",
    "ssp compare": "ssp compare shipped shipped --table out.csv --out out.png --bands sdss2010-g",
}
"""Every command that writes, but those which test_nsa.py and test_fsps_grid.py try."""


@pytest.mark.parametrize(
    ("name", "write"), [(name, k) for name in FULL for k in (1, 2) if (name, k) != ("demo", 2)]
)
def test_a_full_disk_ends_every_command_with_one_sentence(
    name: str,
    write: int,
    tiny_bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    """At its first file, and at its second."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sedflow_lab.reports.study.run.MAX_STEPS", 50)
    monkeypatch.setattr("sedflow_lab.samplers.nested.run_nested", quick_nested)
    galaxies = sl.showcase() if name == "noise" else sl.showcase()[:4]  # a fit needs a hundred
    galaxies.to_table().write("in.csv")
    shutil.copytree(tiny_bundle, tmp_path / "net")
    argv = FULL[name].replace("NET", str(tiny_bundle)).replace("CARD", "net").split()
    done: list[Path] = []

    def full(path: Path) -> None:
        done.append(path)
        if len(done) == write:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(_files, "to_disk", full)
    code = main(argv)
    if len(done) < write:  # it writes a single file
        assert code == 0 and name in ("nested", "noise", "mcmc")
        return
    errors = capsys.readouterr().err.splitlines()
    (line,) = [e for e in errors if e.startswith("sedflow-lab: error: ")]
    assert code == 1 and "No space left" in line and "make room" in line
    assert not [p for p in tmp_path.rglob("*") if "partial" in p.name or p.name.endswith(".lock")]


def quick_nested(galaxy, model, prior, *, draws, **settings):
    """What `run_nested` returns, in no time."""
    theta, one = sl.get_prior().sample(draws)[None], np.ones(1)
    made = dict.fromkeys(("log_evidence_error", "n_evaluations", "seconds"), one)
    return sl.PosteriorResult.of(galaxy, theta, "nested", "converged", diagnostics=made)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_output_that_cannot_be_printed_is_one_sentence():
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "sedflow_lab.commands.main", *COMPARE],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert "No space left" in says_one_sentence(done, 1)


@posix
def test_a_pipe_may_take_the_place_of_a_file(tmp_path: Path):
    """As in a process that was started with a file, forked, and was given a pipe."""
    code = (
        "import os, sys; from sedflow_lab.commands.main import main; "
        "os.dup2(os.pipe()[1], 1); sys.exit(main(['networks']))"
    )
    with (tmp_path / "out").open("w") as out:
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, stdout=out, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@posix
@pytest.mark.skipif(os.name == "posix" and os.geteuid() == 0, reason="root may write everywhere")
def test_read_only_folders_are_one_sentence(tmp_path: Path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(WriteError, match="Permission denied"):
            write_bytes(tmp_path / "a", b"a")
    finally:
        tmp_path.chmod(0o700)


def test_what_stood_there_stays_after_an_error(tmp_path: Path):
    write_text(tmp_path / "a", "old")
    for number in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES):
        with pytest.raises(WriteError, match=os.strerror(number)), replacing(tmp_path / "a") as new:
            new.write_text("half")
            raise OSError(number, os.strerror(number))
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_text() == "old"


def test_a_chain_can_be_read_while_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(backend, "_SECONDS", 0.0)
    monkeypatch.setattr(backend, "_SHARE", 0)
    path = tmp_path / "chain.h5"
    lengths, files = [], []

    def watch(step, state, tau):
        files.append(h5py.File(path, "r"))  # held open while the chain goes on
        lengths.append(len(emcee.backends.HDFBackend(path, "a", read_only=True).get_chain()))

    settings = {"max_steps": 200, "seed": 1}
    kept = sample_ensembles(log_normal, start(), backend=(path, "a"), watch=watch, **settings)
    for file in files:
        file.close()
    assert lengths == [10, 20, 30, 40]
    free = sample_ensembles(log_normal, start(), **settings)
    np.testing.assert_array_equal(kept.points, free.points)


def test_an_interrupt_at_any_step_loses_nothing_of_a_chain(tmp_path: Path):
    path, calls = tmp_path / "chain.h5", 0

    def interrupted(x: np.ndarray) -> np.ndarray:
        nonlocal calls
        calls += 1
        if calls % 37 == 0:
            raise KeyboardInterrupt
        return log_normal(x)

    settings = {"max_steps": 300, "seed": 1}
    for _ in range(100):
        try:
            kept = sample_ensembles(interrupted, start(), backend=(path, "a"), **settings)
            break
        except KeyboardInterrupt:
            pass
    free = sample_ensembles(log_normal, start(), **settings)
    np.testing.assert_array_equal(kept.points, free.points)


def test_chains_of_several_galaxies_share_a_file(tmp_path: Path):
    path = tmp_path / "chain.h5"
    for name in ("a", "b"):
        sample_ensembles(log_normal, start(), max_steps=50, backend=(path, name))
    with h5py.File(path) as file:
        assert sorted(file) == ["a", "b"]
        np.testing.assert_array_equal(file["a/chain"][:], file["b/chain"][:])


def test_a_file_of_chains_that_another_has_is_waited_for_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(backend, "_PATIENCE", 0.3)
    path = tmp_path / "chain.h5"
    write = "import h5py, sys; f = h5py.File(sys.argv[1], 'w'); print('open', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", write, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == "open\n"
        with pytest.raises(WriteError, match=r"Another process has .*chain\.h5 open"):
            backend.FileBackend(path, "a")
        process.communicate("\n")
    sample_ensembles(log_normal, start(), max_steps=50, backend=(path, "a"))


def test_a_device_that_is_not_there_is_one_sentence():
    import torch

    if torch.cuda.is_available():
        pytest.skip("needs a machine without an accelerator")
    with pytest.raises(InputError, match="Cannot compute on the device 'cuda'"):
        sl.load_posterior(device="cuda")
