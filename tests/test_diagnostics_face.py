"""The face of the diagnostics shows what its modules hold, and costs nothing to import."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import sedflow_lab
from sedflow_lab import diagnostics, panels, plots


def homes(face):
    """Module of each name that a face shows to type checkers."""
    tree = ast.parse(Path(face.__file__).read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    return {alias.name: f".{node.module}" for node in block.body for alias in node.names}


@pytest.mark.parametrize("name", diagnostics.__all__)
def test_every_name_is_public_in_its_module(name):
    thing = getattr(diagnostics, name)
    home = import_module(homes(diagnostics)[name], diagnostics.__name__)
    assert thing is getattr(home, name) and name in home.__all__


@pytest.mark.parametrize(
    "face", [sedflow_lab, diagnostics, panels, plots], ids=lambda f: f.__name__
)
def test_type_checkers_see_what_there_is_and_nothing_else(face):
    known = homes(face)
    assert set(face.__all__) - {"__version__"} == set(known)
    for name, home in known.items():
        assert getattr(face, name) is getattr(import_module(home, face.__name__), name)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        face.nothing  # noqa: B018  (looking it up is what must fail)


def test_importing_the_face_loads_nothing_heavy():
    code = (
        "import sys, sedflow_lab.diagnostics;"
        "print([m for m in ('arviz', 'scipy', 'sklearn', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
