"""The face of the diagnostics shows what its modules hold, and costs nothing to import."""

from __future__ import annotations

import subprocess
import sys

import pytest

from sedflow_lab import diagnostics


@pytest.mark.parametrize("name", diagnostics.__all__)
def test_every_name_is_public_in_its_module(name):
    thing = getattr(diagnostics, name)
    home = sys.modules["sedflow_lab.diagnostics" + diagnostics._HOME[name]]
    assert thing is getattr(home, name) and name in home.__all__


def test_names_are_those_that_have_a_home_and_no_others():
    assert set(diagnostics.__all__) == set(diagnostics._HOME)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        diagnostics.nothing  # noqa: B018


def test_importing_the_face_loads_nothing_heavy():
    code = (
        "import sys, sedflow_lab.diagnostics;"
        "print([m for m in ('arviz', 'scipy', 'sklearn', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
