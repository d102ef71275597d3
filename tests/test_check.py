"""The check of an installation: what is here, and what is said where something is not."""

from __future__ import annotations

import importlib.metadata as metadata
import subprocess
import sys

import pytest

from sedflow_lab.commands.main import main
from sedflow_lab.errors import InputError
from sedflow_lab.lessons import check


def versions(monkeypatch, **changed):
    """Pretend that some packages have another version, or with None that they are missing."""
    true = metadata.version

    def version(name):
        found = changed.get(name.replace("-", "_"), "as it is")
        if found is None:
            raise metadata.PackageNotFoundError(name)
        return true(name) if found == "as it is" else found

    monkeypatch.setattr(check.metadata, "version", version)


def test_a_whole_installation_is_found_whole(capsys):
    assert main(["check"]) == 0
    out = capsys.readouterr().out
    assert "WRONG" not in out and out.endswith("Everything is here.\n")
    for what in (
        "Python",
        "Memory",
        "Packages",
        "Posterior",
        "Packages of the laboratory",
        "Panel",
    ):
        assert f"ok    {what}: " in out


def test_a_missing_package_is_told_with_its_remedy_and_what_needs_it_is_not_tried(
    monkeypatch, capsys
):
    versions(monkeypatch, zuko=None, torch="1.9.0+cpu")
    assert main(["check"]) == 1
    out = capsys.readouterr().out
    assert "WRONG zuko: missing\n      Remedy: pip install --upgrade 'zuko>=" in out
    assert "WRONG torch: 1.9.0+cpu, but 2.4 or newer is needed" in out
    assert "Posterior" not in out and "Panel" not in out
    assert out.endswith("2 things are wrong: see above.\n")


def test_a_broken_laboratory_is_wrong_but_none_at_all_is_not(monkeypatch, capsys):
    versions(monkeypatch, jupyter_bokeh=None)
    assert main(["check"]) == 1
    out = capsys.readouterr().out
    assert "ok    Posterior" in out and "WRONG jupyter" in out and "Panel" not in out
    assert out.endswith("1 thing is wrong: see above.\n")
    versions(monkeypatch, jupyterlab=None)
    assert main(["check"]) == 0
    assert "Laboratory: not installed; notebooks need pip install" in capsys.readouterr().out


def test_what_fails_is_told_in_one_line(monkeypatch):
    def fail(*_):
        raise InputError("The bundle is damaged:\n delete it.")

    monkeypatch.setattr("sedflow_lab.anpe.load_posterior", fail)
    found = check._try("Posterior", check._posterior)
    assert found.wrong
    assert str(found).startswith(
        "WRONG Posterior: failed (InputError: The bundle is damaged: delete it)\n      Remedy: "
    )


@pytest.mark.parametrize(("free", "wrong"), [(0.3, True), (4.0, False), (None, False)])
def test_too_little_memory_is_told(monkeypatch, free, wrong):
    monkeypatch.setattr(check, "_free_memory", lambda: free)
    assert check._memory().wrong is wrong


def test_an_old_python_is_told(monkeypatch):
    assert not check._python().wrong
    monkeypatch.setattr(check, "_OLDEST", (9, 9))
    assert "install Python 9.9 or newer" in str(check._python())


def test_the_laboratory_is_not_imported_where_it_is_not_installed():
    code = (
        "import importlib.metadata as m, sys\n"
        "true = m.version\n"
        "def version(name):\n"
        "    if name == 'jupyterlab':\n"
        "        raise m.PackageNotFoundError(name)\n"
        "    return true(name)\n"
        "m.version = version\n"
        "from sedflow_lab.commands.main import main\n"
        "assert main(['check']) == 0\n"
        "print(sorted({'bokeh', 'ipywidgets', 'jupyter_bokeh'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
