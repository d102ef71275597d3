"""Fixtures that several test modules share: a tiny model, and a tiny posterior trained for real."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# Tests work on small arrays, for which a second thread costs more than it brings; on a busy machine
# much more. Set before torch is imported, here and in the processes that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Busy machines are slow, and a run of continuous integration must be one that can be repeated.
settings.register_profile("lab", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("lab")


def pytest_xdist_auto_num_workers() -> int:
    """Workers of `-n auto`: the cores that this process may use, as far as memory will do."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(cores or 1, 8))


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
