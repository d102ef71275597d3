"""The notebooks run from top to bottom, and are committed without outputs."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

import sedflow_lab
from sedflow_lab.panels.kit.choice import DEFAULT_BUNDLE

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
BUNDLE = Path(sedflow_lab.__file__).parent / "data" / "bundles" / DEFAULT_BUNDLE

SHORTER = {
    "00_index": {"sl.showcase()[3]": "sl.showcase()[24]"},  # whose exact posterior is quick
    "01_quickstart": {
        "panel.state.run_emcee()": "panel.state.run_emcee(), panel.state.cancel()",
        "draws=2000": "draws=500",
        "galaxies[:30]": "galaxies[:10]",
    },
    "03_pick_and_infer": {'method="auto"': 'method="fast"'},
    "05_coverage": {
        "simulations=200, draws=200": "simulations=24, draws=60",
        "simulations=120, draws=200": "simulations=60, draws=60",
    },
    "06_train_your_own": {
        "simulations=200_000, steps=5_000": "simulations=1_000, steps=40, examined=20",
        'simulations=2_000, steps=1_000, size="small", examined=100': (
            'simulations=1_000, steps=40, size="small", examined=20'
        ),
        "simulations=2_000, steps=1_000": "simulations=1_000, steps=40",
    },
    "07_abc_to_npe": {"draw(10_000, rng)": "draw(1_000, rng)", "epochs=20": "epochs=4"},
    "08_break_it": {
        "simulations=100, draws=100": "simulations=24, draws=50",
        '("underestimated", "overestimated", "wild")': '("underestimated",)',
        '("prior", "filter", "redshift")': '("redshift",)',
        '("outside", "dust")': '("dust",)',
        '("few", "small", "early")': '("early",)',
        'bench.look("few", 4)': 'bench.look("early", 4)',
    },
    "10_catalogue": {"example_galaxies(posterior)": "example_galaxies(posterior)[::4]"},
    "11_population": {
        "infer(galaxies, draws=800": "infer(galaxies[::4], draws=800",
        "bootstrap_population(evidence, fitted, 20)": "bootstrap_population(evidence, fitted, 4)",
        "bootstrap_population(sample, two, 10)": "bootstrap_population(sample, two, 3)",
    },
}
"""Budgets that are minutes, and what they are here: benchmarks/lessons.py runs lessons whole."""


def outputs(cell: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    """What a cell has shown."""
    return cell.get("outputs", [])


each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def test_there_is_a_quickstart():
    assert "01_quickstart" in [path.stem for path in NOTEBOOKS]


@each
def test_notebook_is_committed_without_outputs(path: Path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert not cell.outputs and cell.execution_count is None


@each
@pytest.mark.timeout(400)
@pytest.mark.skipif(not BUNDLE.is_dir(), reason=f"the bundle {DEFAULT_BUNDLE} is not shipped yet")
def test_notebook_runs(path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    notebook = nbformat.read(path, as_version=4)
    for long, short in SHORTER.get(path.stem, {}).items():
        assert any(long in cell.source for cell in notebook.cells), long
        for cell in notebook.cells:
            cell.source = cell.source.replace(long, short)
    client = NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": path.parent}}
    )
    client.execute()  # raises at the first cell that fails
    shown = {
        kind for cell in notebook.cells for out in outputs(cell) for kind in out.get("data", {})
    }
    assert shown & {"application/vnd.jupyter.widget-view+json", "image/png"}
    for cell in notebook.cells:
        if "solution" in cell.metadata.get("tags", ()):
            printed = "".join(out.get("text", "") for out in outputs(cell))
            assert printed.startswith("Right"), printed


@each
def test_a_lesson_has_three_exercises_with_hidden_solutions(path: Path):
    cells = nbformat.read(path, as_version=4).cells
    if "What you will learn" not in cells[0].source:
        return
    solutions = [cell for cell in cells if "solution" in cell.metadata.get("tags", ())]
    assert len(solutions) >= 3
    assert all(cell.metadata["jupyter"] == {"source_hidden": True} for cell in solutions)
    asked = "".join(cell.source for cell in cells)
    assert all(f"answer_{k} = None" in asked for k in (1, 2, 3))
    assert "Further reading" in cells[-1].source
