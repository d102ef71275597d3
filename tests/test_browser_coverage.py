"""A journey through the coverage notebook in JupyterLab, in headless Chromium."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from test_browser import Opener, n_changed, run_all, settled, until

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

NOTEBOOK = Path(__file__).resolve().parents[1] / "notebooks" / "05_coverage.ipynb"


@pytest.fixture
def page(open_notebook: Opener) -> Iterator[Any]:
    """The notebook up to its panel, which does not start by itself."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    notebook.cells = notebook.cells[:2]
    source = notebook.cells[1].source
    method, start = 'method="weighted", ', "panel.state.start()\n"
    assert f"CoveragePanel({method}simulations=200, draws=200)\n{start}" in source
    notebook.cells[1].source = source.replace(method, "").replace(start, "")
    with open_notebook(notebook) as page:
        yield page


def select(page: Any, label: str, value: str) -> None:
    page.get_by_label(label, exact=True).select_option(label=value)


def test_run_cancel_run_and_open_a_simulation(page: Any, tmp_path: Path) -> None:
    run_all(page)
    page.get_by_text("Press Run.").wait_for()
    empty = settled(page)

    # Run many, and cancel when some are there.
    select(page, "Simulations", "2000")
    select(page, "Draws", "50")
    run, cancel = (page.locator(f".widget-button:has-text('{name}')") for name in ("Run", "Cancel"))
    run.click()
    verdict = page.get_by_text("simulations can tell").or_(page.get_by_text("Not calibrated at"))
    verdict.first.wait_for()
    page.screenshot(path=tmp_path / "running-1440.png")
    cancel.click()
    page.locator(".widget-button:has-text('Run'):not([disabled])").wait_for()
    assert cancel.is_disabled()

    # Break something, and run to the end.
    select(page, "Simulations", "100")
    slider = page.locator(".widget-hslider", has_text="Errors told").locator(".noUi-handle")
    slider.focus()
    for _ in range(3):
        page.keyboard.press("ArrowLeft")
    page.get_by_text("The choice above has changed").wait_for()
    run.click()
    page.get_by_text("Not calibrated at 100 simulations").wait_for()
    page.get_by_text("uncertainties understated (× 0.4)").wait_for()
    until(page, lambda: n_changed(page, empty) >= 3)
    shown = settled(page)

    # Look at one simulation: the corner plot appears, with the truth.
    page.get_by_role("button", name="Most surprising").click()
    page.get_by_text("The truth (crosses and dashed lines)").wait_for()
    until(page, lambda: n_changed(page, shown) >= 1)
    settled(page)
    page.screenshot(path=tmp_path / "drilled-1440.png")
    page.set_viewport_size({"width": 1024, "height": 2400})
    settled(page)
    page.screenshot(path=tmp_path / "drilled-1024.png")
    print(f"screenshots in {tmp_path}")
