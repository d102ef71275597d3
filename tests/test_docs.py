"""The documentation builds without a warning, and holds what package and notebooks have."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import sedflow_lab
from sedflow_lab import diagnostics, panels, plots
from sedflow_lab._files import locked

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is built once, by whichever of the tests' processes is there first."""
    pytest.importorskip("myst_nb", reason="the extra docs is not installed")
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "site"
    done = folder / "done"
    with locked(folder, patience=250):
        if not done.exists():
            command = [sys.executable, "-m", "sphinx", "-c", "docs", "-q", "-W", "--keep-going"]
            command += ["-d", str(folder / "doctrees"), ".", str(folder / "html")]
            ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
            assert ran.returncode == 0, ran.stderr
            done.touch()
    return folder / "html"


def test_every_notebook_has_a_page(site: Path):
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        assert (site / "notebooks" / f"{path.stem}.html").exists(), path.stem


@pytest.mark.parametrize(
    "face", [sedflow_lab, diagnostics, plots, panels], ids=lambda face: face.__name__
)
def test_every_public_name_is_described(site: Path, face):
    pages = "".join(page.read_text() for page in (site / "docs" / "api").glob("*.html"))
    described = set(re.findall(r'id="([\w.]+)"', pages))
    names = set(face.__all__) - {"__version__"}
    assert {f"{face.__name__}.{name}" for name in names} <= described


def test_the_top_page_leads_on(site: Path):
    assert "docs/index.html" in (site / "index.html").read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_that_exist(page: Path):
    for target in re.findall(r"\]\((?!https?:|#)([^)#\s]+)", page.read_text()):
        assert (page.parent / target).exists(), target
