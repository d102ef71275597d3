"""The project's own promises: versions, environments, what ships, and what an import costs."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import sedflow_lab

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "sedflow_lab"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
MODULES = sorted(PACKAGE.rglob("*.py"))
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))

CONDA_NAMES = {"torch": "pytorch-cpu", "matplotlib": "matplotlib-base"}
IMPORT_NAMES = {
    "ipython": "IPython",
    "jupyter-bokeh": "jupyter_bokeh",
    "nautilus-sampler": "nautilus",
    "dask-jobqueue": "dask_jobqueue",
    "dust-extinction": "dust_extinction",
}


def requirements(*extras: str) -> dict[str, Requirement]:
    """Run-time requirements, or those of `extras`, by canonical name."""
    lists = [PROJECT["optional-dependencies"][e] for e in extras] or [PROJECT["dependencies"]]
    parsed = [Requirement(line) for lines in lists for line in lines]
    return {canonicalize_name(r.name): r for r in parsed if r.name != PROJECT["name"]}


def shipped_files() -> list[Path]:
    return [
        path
        for path in PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith(".")
    ]


# Versions


def test_citation_and_changelog_name_the_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    releases = re.findall(r"^## \[(\d[^\]]*)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert citation["version"] == sedflow_lab.__version__
    assert releases[0] == sedflow_lab.__version__


# Environments


def test_conda_environment_lists_what_pyproject_requires():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    *lines, by_pip = environment["dependencies"]
    packages = [Requirement(line) for line in lines if line.partition("=")[0] != "python"]
    conda = {r.name: r.specifier for r in packages if r.name != "pip"}
    expected = {
        CONDA_NAMES.get(name, r.name): r.specifier
        for name, r in (requirements() | requirements("lab", "apps")).items()
    }
    assert conda == expected
    assert by_pip["pip"] == PROJECT["optional-dependencies"]["fsps"]


def test_conda_python_is_one_that_pyproject_allows():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    (python,) = [d for d in environment["dependencies"] if str(d).startswith("python")]
    version = re.fullmatch(r"python=(\d+\.\d+)", python)
    assert version, "repo2docker reads the version only in the form python=3.x"
    assert version[1] in Requirement(f"python{PROJECT['requires-python']}").specifier


def test_binder_builds_the_same_environment():
    assert (ROOT / "binder/environment.yml").read_text() == (ROOT / "environment.yml").read_text()
    assert all(os.access(ROOT / "binder" / name, os.X_OK) for name in ("postBuild", "start"))


def test_constraints_lie_within_the_ranges():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    for pin in (Requirement(line) for line in lines if line and not line.startswith("#")):
        (version,) = [s.version for s in pin.specifier if s.operator == "=="]
        assert version in requirements()[canonicalize_name(pin.name)].specifier


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_call_what_there_is(path: Path):
    # YAML 1.1 reads the key "on" as true.
    workflow = yaml.load(path.read_text(), Loader=yaml.BaseLoader)
    assert {"name", "on", "permissions", "jobs"} <= set(workflow)
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for job in workflow["jobs"].values():
        assert int(job["timeout-minutes"]) <= 90 and job["steps"]
        for step in job["steps"]:
            assert ("run" in step) != ("uses" in step)
            assert set(re.findall(r"\bmake ([a-z]+)", step.get("run", ""))) <= targets
            for script in re.findall(r"\b(?:python|bash) ([\w/]+\.\w+)", step.get("run", "")):
                assert (ROOT / script).exists(), script


def test_workflow_tests_the_pythons_that_pyproject_names():
    workflow = yaml.safe_load((ROOT / ".github/workflows/tests.yml").read_text())
    tested = workflow["jobs"]["test"]["strategy"]["matrix"]["python"]
    named = "\n".join(PROJECT["classifiers"])
    assert tested == re.findall(r"Python :: (3\.\d+)$", named, re.MULTILINE)


# Imports


def test_importing_the_package_loads_nothing_heavy():
    code = "import json, sys, sedflow_lab; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded = {name.partition(".")[0] for name in json.loads(done.stdout)}
    heavy = {"arviz", "astropy", "bokeh", "emcee", "ipywidgets", "matplotlib", "sbi", "torch"}
    assert "sedflow_lab" in loaded
    assert not loaded & (heavy | {"IPython", "pandas", "scipy", "speclite", "zuko"})


def test_a_panel_loads_no_more_than_it_shows():
    # ArviZ, which corner brings, and scipy's statistics: 160 MB, and two seconds of one core.
    code = "import json, sys; from sedflow_lab.panels import GalaxyPanel; "
    code += "print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded = set(json.loads(done.stdout))
    assert "torch" in loaded and "bokeh" in loaded
    assert not loaded & {"arviz", "corner", "emcee", "pandas", "sbi", "scipy.stats", "sklearn"}


def imports(path: Path, at_import: bool) -> Iterator[str]:
    """Top-level names of the packages that a module imports, or imports while it loads."""
    pending: list[ast.AST] = [ast.parse(path.read_text())]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.partition(".")[0]
        later = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        typing = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        if not (at_import and (later or typing)):
            pending.extend(ast.iter_child_nodes(node))


def import_names(declared: dict[str, Requirement]) -> set[str]:
    # scikit-learn is imported under another name than it is installed by.
    names = {IMPORT_NAMES.get(name, name) for name in declared}
    return names | ({"sklearn"} if "scikit-learn" in declared else set())


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_modules_import_only_what_pyproject_declares(path: Path):
    own = {"sedflow_lab"} | set(sys.stdlib_module_names)
    extras = requirements("lab", "fsps", "nested", "extinction", "flags", "catalogue", "dask")
    every = import_names(requirements() | extras)
    assert set(imports(path, at_import=False)) <= own | every
    if "panels" not in path.parts:  # without the extras every other module must load
        assert set(imports(path, at_import=True)) <= own | import_names(requirements())


# What ships


def test_shipped_data_are_small():
    assert sum(path.stat().st_size for path in (PACKAGE / "data").rglob("*")) < 60e6


def test_shipped_files_are_of_kinds_that_hold_no_pickles():
    safe = {".csv", ".ecsv", ".fits", ".json", ".md", ".npz", ".py", ".safetensors", ".typed"}
    for path in shipped_files():
        assert path.suffix in safe, path
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                assert all(not array.dtype.hasobject for array in arrays.values()), path


def test_package_reads_and_writes_no_pickles():
    for path in MODULES:
        assert not {"pickle", "dill", "joblib"} & set(imports(path, at_import=False)), path
        calls = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Call)]
        for call in calls:
            assert ast.unparse(call.func) not in {"torch.load", "torch.save"}, path
            allowed = [k.value for k in call.keywords if k.arg == "allow_pickle"]
            assert all(isinstance(v, ast.Constant) and v.value is False for v in allowed), path


def test_wheel_holds_the_package_with_its_data_and_nothing_else(tmp_path: Path):
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.name.startswith(f"sedflow_lab-{sedflow_lab.__version__}-")
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert names == {path.relative_to(ROOT).as_posix() for path in shipped_files()}


# What the pages say

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_page_names_only_what_exists(page: Path):
    text = page.read_text()
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"^make ([a-z]+)", text, re.MULTILINE)) <= targets
    for name in set(re.findall(r"\bsl\.([A-Za-z_]+)", text)):
        assert hasattr(sedflow_lab, name), name
    for script in re.findall(r"\bbenchmarks/\w+\.py", text):
        assert (ROOT / script).exists(), script


def test_readme_lists_every_notebook():
    rows = re.findall(r"^\| `(\d\d_\w+)` \|", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert rows == sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))


def test_addresses_are_those_of_pyproject():
    urls = PROJECT["urls"]
    name = urls["Repository"].removeprefix("https://github.com/")
    text = (ROOT / "README.md").read_text()
    assert set(re.findall(r"https://github\.com/([\w-]+/[\w-]+)", text)) == {name}
    assert set(re.findall(r"https://mybinder\.org/v2/gh/([\w-]+/[\w-]+)/", text)) == {name}
    assert urls["Documentation"] in text
    assert (
        yaml.safe_load((ROOT / "CITATION.cff").read_text())["repository-code"] == urls["Repository"]
    )
