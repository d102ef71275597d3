"""Catalogues: a run that was killed goes on, to the same table and draws."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table

import sedflow_lab as sl
from sedflow_lab.anpe import AmortizedPosterior
from sedflow_lab.catalogue import run
from sedflow_lab.catalogue.run import infer_catalogue

N, DRAWS = 11, 60


class Killed(BaseException):
    """What no code of ours catches, as no code survives SIGKILL."""


@pytest.fixture(scope="module")
def posterior(tiny_bundle: Path):
    return sl.load_posterior(tiny_bundle)


@pytest.fixture(scope="module")
def galaxies():
    """One of them without a posterior."""
    found = sl.showcase()[:N]
    redshift = found.redshift.copy()
    redshift[4] = 3.0
    return sl.Photometry(found.flux, found.sigma, redshift, found.bands, ids=found.ids)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch):
    """Parts of two galaxies, each kept at once."""
    monkeypatch.setattr(run, "_AT_ONCE", 2)
    monkeypatch.setattr(run, "_SECONDS", 0.0)


def kill_at(monkeypatch: pytest.MonkeyPatch, call: int, stop: threading.Event | None = None):
    """Let a call of `infer` be the last, or set the event within it."""
    infer, calls = AmortizedPosterior.infer, []

    def lethal(self, *args, **kwargs):
        calls.append(1)
        if len(calls) == call:
            if stop is None:
                raise Killed
            stop.set()
        return infer(self, *args, **kwargs)

    monkeypatch.setattr(AmortizedPosterior, "infer", lethal)
    return calls


def same(path: Path, other: Path, draws: bool = False) -> None:
    first, second = Table.read(path), Table.read(other)
    assert first.colnames == second.colnames and first.meta == second.meta
    for name in first.colnames:
        assert str(first[name].unit) == str(second[name].unit)
        np.testing.assert_array_equal(first[name], second[name], name)
    if draws:
        a, b = (sl.PosteriorResult.load(p.with_suffix(".h5")) for p in (path, other))
        np.testing.assert_array_equal(a.samples, b.samples)
        np.testing.assert_array_equal(a.weights, b.weights)
        assert sorted(a.diagnostics) == sorted(b.diagnostics)
        assert {**a.provenance, "seconds": 0} == {**b.provenance, "seconds": 0}


@pytest.mark.parametrize("draws", [False, True])
def test_killed_again_and_again_gives_the_same_table(
    posterior, galaxies, tmp_path: Path, monkeypatch, small, draws: bool
):
    whole, out = tmp_path / "whole.ecsv", tmp_path / "out.ecsv"

    def infer(path: Path):
        samples = path.with_suffix(".h5") if draws else None
        return infer_catalogue(posterior, galaxies, path, DRAWS, "weighted", samples=samples)

    with monkeypatch.context() as patch:
        patch.setattr(run, "_SECONDS", 1e9)
        infer(whole)
    kept = tmp_path / "out.ecsv.partial"
    for call in (1, 3, 2):  # before anything is kept, and with some of it kept
        with monkeypatch.context() as patch, pytest.raises(Killed):
            kill_at(patch, call)
            infer(out)
        assert not out.exists() and kept.exists() == (call > 1)
    with monkeypatch.context() as patch:
        calls = kill_at(patch, 99)
        infer(out)
        assert len(calls) == 5  # of six parts the first had been kept: another was not yet
    same(out, whole, draws)
    ours = {"whole.ecsv", "out.ecsv"} | ({"whole.h5", "out.h5"} if draws else set())
    assert {p.name for p in tmp_path.iterdir()} == ours


def test_stopped_writes_what_there_is_and_goes_on(
    posterior, galaxies, tmp_path: Path, monkeypatch, small
):
    out, stop = tmp_path / "out.ecsv", threading.Event()
    with monkeypatch.context() as patch:
        kill_at(patch, 3, stop)
        table = infer_catalogue(posterior, galaxies, out, DRAWS, stop=stop)
    assert [k for k, badge in enumerate(table["badge"]) if badge != "unfinished"] == [0, 1, 2, 3, 4]
    assert table["badge"][4] == "bad photometry"  # which is known without work
    assert (tmp_path / "out.ecsv.partial").exists()
    infer_catalogue(posterior, galaxies, out, DRAWS)
    infer_catalogue(posterior, galaxies, tmp_path / "whole.ecsv", DRAWS)
    same(out, tmp_path / "whole.ecsv")
    assert not (tmp_path / "out.ecsv.partial").exists()


@pytest.fixture
def interrupted(posterior, galaxies, tmp_path: Path, monkeypatch, small):
    """What a killed run has left: four galaxies in two parts."""
    out = tmp_path / "out.ecsv"
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_at(patch, 4)
        infer_catalogue(posterior, galaxies, out, DRAWS)
    assert len(list((tmp_path / "out.ecsv.partial").glob("galaxies-*"))) == 2
    return out


def test_parts_of_another_run_are_refused(interrupted, posterior, galaxies):
    shipped = sl.load_posterior()
    for what, arguments in (
        ("network", (shipped, galaxies, interrupted, DRAWS)),
        ("galaxies", (posterior, galaxies[::-1], interrupted, DRAWS)),
        ("draws .60 there, 61 here", (posterior, galaxies, interrupted, 61)),
        ("method", (posterior, galaxies, interrupted, DRAWS, "weighted")),
        ("seed", (posterior, galaxies, interrupted, DRAWS, "fast", 1)),
    ):
        with pytest.raises(
            sl.InputError, match=rf"partial keeps a run that differs in {what}.*delete"
        ):
            infer_catalogue(*arguments)


@pytest.mark.parametrize("damage", [b"", b"# %ECSV 1.0\n", None])
def test_damaged_parts_are_named_and_made_anew(
    interrupted, posterior, galaxies, tmp_path: Path, damage
):
    folder, said = tmp_path / "out.ecsv.partial", []
    (folder / "notes.txt").write_text("mine")
    part = folder / "galaxies-000000002.ecsv"
    text = part.read_bytes()
    part.write_bytes(text[:-30] if damage is None else damage)
    infer_catalogue(posterior, galaxies, interrupted, DRAWS, tell=said.append)
    assert "galaxies-000000002.ecsv" in said[0] and "made anew" in said[0]
    assert said[1].startswith("2 galaxies were inferred before")
    infer_catalogue(posterior, galaxies, tmp_path / "whole.ecsv", DRAWS)
    same(interrupted, tmp_path / "whole.ecsv")
    assert [p.name for p in folder.iterdir()] == ["notes.txt"]
