"""Threads: what may be used, and that forked children do not wait for threads they lack."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch

from sedflow_lab import _threads
from sedflow_lab.commands import main
from sedflow_lab.errors import InputError


def test_one_thread_is_put_back():
    before = torch.get_num_threads()
    with pytest.raises(ZeroDivisionError), _threads.one_thread():
        assert torch.get_num_threads() == 1
        raise ZeroDivisionError
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("n", [1, 3])
def test_shared_work_keeps_its_order_and_runs_on_one_thread_each(n):
    found = list(_threads.share_out(lambda k: (k, torch.get_num_threads()), range(7), n))
    assert found == [(k, 1) for k in range(7)]


def test_an_error_of_a_worker_is_raised():
    with pytest.raises(ZeroDivisionError):
        list(_threads.share_out(lambda k: 1 / k, [1, 0, 2], 2))


@pytest.mark.parametrize(
    ("text", "cores"), [("100000 100000", 1), ("150000 100000", 2), ("max 100000", None)]
)
def test_a_container_limits_the_cores(tmp_path: Path, monkeypatch, text, cores):
    (tmp_path / "cpu.max").write_text(text)
    monkeypatch.setattr(_threads, "Path", lambda _: tmp_path)
    assert _threads._quota() == (os.cpu_count() if cores is None else cores)
    assert 1 <= _threads.available() <= _threads._quota()


def test_the_number_of_workers_is_checked():
    assert _threads.workers(3) == 3 and _threads.workers() == _threads.available()
    with pytest.raises(InputError, match="threads is 0"):
        _threads.workers(0)


def test_limits_hold_within_and_are_put_back():
    before = torch.get_num_threads(), _threads.available()
    with pytest.raises(ZeroDivisionError), _threads.limited(1):
        assert (torch.get_num_threads(), _threads.workers()) == (1, 1)
        raise ZeroDivisionError
    with _threads.limited(1000):
        assert (torch.get_num_threads(), _threads.available()) == before
    assert (torch.get_num_threads(), _threads.available()) == before


@pytest.mark.parametrize(
    "command",
    ["infer", "mcmc", "nested", "simulate", "train", "distil", "card", "figures", "demo"],
)
def test_commands_that_compute_use_as_many_cores_as_they_may(monkeypatch, capsys, command):
    seen = []
    needed = {
        "simulate": ["x"], "train": ["x"], "card": ["x", "--out", "y"], "figures": [], "demo": [],
        "distil": ["x", "in.csv"],
    }.get(command, ["in.csv", "--out", "x.h5"])  # fmt: skip
    parser = main.build_parser()
    args = parser.parse_args([command, *needed, "--threads", "1"])
    args.run = lambda args: seen.append((torch.get_num_threads(), _threads.available()))
    monkeypatch.setattr(main.Parser, "parse_args", lambda self, argv: args)
    monkeypatch.setattr(_threads, "_quota", lambda: 8)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: range(8), raising=False)
    assert main.main([]) == 0
    assert seen == [(1, 1)] and _threads.available() == 8
    monkeypatch.undo()
    assert main.main([command, *needed, "--threads", "0"]) == 2
    assert "0 is too few" in capsys.readouterr().err


PROGRAM = """
    import multiprocessing, sys, torch
    import sedflow_lab as sl

    torch.set_num_threads(2)
    galaxies = sl.showcase()[:2]
    posterior = sl.load_posterior()

    def infer(k):
        return float(posterior.infer(galaxies[k], 200).samples.mean())

    if __name__ == "__main__":
        mine = [infer(k) for k in range(2)]
        torch.ones(400, 400) @ torch.ones(400, 400)  # the parent has threads now
        with multiprocessing.get_context(sys.argv[1]).Pool(2) as pool:
            theirs = pool.map_async(infer, range(2)).get(timeout=120)
        assert mine == theirs, (mine, theirs)
"""


@pytest.mark.parametrize(
    "method",
    [m for m in ("fork", "spawn") if m in multiprocessing.get_all_start_methods()],
)
def test_pools_of_processes_infer_the_same_after_loading_a_posterior(tmp_path: Path, method):
    program = tmp_path / "pool.py"
    program.write_text(textwrap.dedent(PROGRAM))
    root = Path(__file__).resolve().parents[1]
    path = os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, str(program), method],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr


def test_tables_of_the_model_do_not_tell_how_many_threads_made_them():
    """Else the last digits of every posterior would, in workers that have one thread each."""
    code = (
        "import hashlib, sedflow_lab as sl\n"
        "rows = sl.SEDModel().photometer.rows\n"
        "print(hashlib.sha256(rows.numpy().tobytes()).hexdigest())"
    )
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    found = [
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | dict.fromkeys(names, threads),
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for threads in ("1", "2")
    ]
    assert found[0] and found[0] == found[1]
