"""Fixtures that several test modules share: a tiny model, and a tiny posterior trained for real."""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from test_browser import Lab, Opener

# Tests work on small arrays, for which a second thread costs more than it brings; on a busy machine
# much more. Set before torch is imported, here and in the processes that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Tests that draw random numbers do so with fixed seeds; this shifts all of them, but not those of
# most other processes, to see whether a test passes by luck (benchmarks/repeat_tests.py).
_SEED = "SEDFLOW_TEST_SEED"
_SETTINGS = "sedflow_lab.anpe.flow", "sedflow_lab.samplers.mass_and_dust"
"""Modules whose seeds are settings, not chance: how a flow is built, and a galaxy of lessons."""


def _shift() -> int:
    return int(os.environ.get(_SEED, "0"))


if _shift():
    import numpy as np
    import torch

    class _Shifted(torch.Generator):
        def manual_seed(self, seed: int) -> torch.Generator:
            if sys._getframe(1).f_globals["__name__"] in _SETTINGS:
                return super().manual_seed(seed)
            return super().manual_seed((seed + 7_919 * _shift()) % 2**63)

    def _rng(seed: object = None) -> np.random.Generator:
        settled = not _shift() or sys._getframe(1).f_globals["__name__"] in _SETTINGS
        return _default_rng([seed, _shift()] if isinstance(seed, int) and not settled else seed)

    _default_rng, _manual_seed = np.random.default_rng, torch.manual_seed
    if torch.Generator.__name__ != _Shifted.__name__:  # this file may be read twice
        torch.Generator = _Shifted
        torch.manual_seed = lambda seed: _manual_seed((seed + 7_919 * _shift()) % 2**63)
        np.random.default_rng = _rng


@pytest.fixture(autouse=True)
def _seeds_of_other_processes(request: pytest.FixtureRequest) -> None:
    """They draw with seeds as they are, and so must what they are held to."""
    if any(request.node.get_closest_marker(name) for name in ("browser", "processes")):
        request.getfixturevalue("monkeypatch").delenv(_SEED, raising=False)


# Busy machines are slow, and a run of continuous integration must be one that can be repeated.
settings.register_profile("lab", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("lab")

CERTAIN = frozenset(
    "blocks diagnostics_face docs extinction files glossary house keywords notebooks panel_memory "
    "project reference ssp threads voila".split()
)
"""Modules, test_ left out, that draw no random numbers, or only in processes of their own."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what chance may have a hand in: what draws random numbers, and the browser's timing."""
    for item in items:
        hypothesis = getattr(getattr(item, "obj", None), "is_hypothesis_test", False)
        if item.path.stem.removeprefix("test_") not in CERTAIN or hypothesis:
            item.add_marker("chance")


def pytest_xdist_auto_num_workers() -> int:
    """Workers of `-n auto`: one more than the cores that this process may use, up to what memory
    will do, for a test that waits for a browser or another process leaves a core to another."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min((cores or 1) + 1, 8)


TINY = ("--couplings", "2", "--hidden", "16", "--steps", "80", "--batch", "64", "-n", "1000")
"""Options of `sedflow-lab train` for a network that is trained in seconds, and is no good."""


@pytest.fixture(scope="session")
def tiny_model():
    """The SED model in SDSS u g r i z."""
    from sedflow_lab import SEDModel

    return SEDModel()


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a posterior for sdss-ugriz; its training is beside it, in tiny.training."""
    from sedflow_lab.commands.main import main

    folder = tmp_path_factory.mktemp("bundle") / "tiny"
    assert main(["train", str(folder), *TINY]) == 0
    return folder


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A JupyterLab above the folders of all tests of this process."""
    from test_browser import jupyterlab

    with jupyterlab(tmp_path_factory.getbasetemp()) as running:
        yield running


@pytest.fixture
def open_notebook(tmp_path: Path, lab: Lab) -> Opener:
    """What opens a notebook in JupyterLab, from the test's folder, and gives the page."""
    from test_browser import opened

    return partial(opened, folder=tmp_path, lab=lab)
