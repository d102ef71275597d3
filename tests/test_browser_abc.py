"""A journey through the panel of rejection ABC in JupyterLab, in headless Chromium."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from test_browser import Opener, n_changed, run_all, settled, until

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

NOTEBOOK = Path(__file__).resolve().parents[1] / "notebooks" / "07_abc_to_npe.ipynb"


@pytest.fixture
def page(open_notebook: Opener) -> Iterator[Any]:
    """The panel of the lesson."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    notebook.cells = [cell for cell in notebook.cells if "ABCPanel" in cell.source]
    with open_notebook(notebook) as page:
        yield page


def test_turn_the_tolerance_down_and_make_the_data_precise(page: Any, tmp_path: Path) -> None:
    run_all(page)
    page.get_by_text("of 300,000 simulations are kept").wait_for()
    first = settled(page, 5)
    page.screenshot(path=tmp_path / "first-1440.png")

    handle = page.locator(".widget-hslider", has_text="Tolerance").locator(".noUi-handle")
    handle.focus()
    for _ in range(30):
        page.keyboard.press("ArrowLeft")
    until(page, lambda: n_changed(page, first) >= 5)
    near = settled(page, 5)
    page.screenshot(path=tmp_path / "near-1440.png")

    page.locator(".widget-dropdown", has_text="Flux errors").locator("select").select_option(
        label="2 %"
    )
    page.get_by_text("too few to tell a posterior").wait_for()
    until(page, lambda: n_changed(page, near) >= 4)
    page.get_by_role("button", name="All twelve unknown").click()
    until(page, lambda: "years with one" in page.locator(".jp-OutputArea").first.inner_text())
    settled(page, 5)
    page.screenshot(path=tmp_path / "twelve-1440.png")
    page.set_viewport_size({"width": 1024, "height": 1800})
    settled(page, 5)
    page.screenshot(path=tmp_path / "twelve-1024.png")
    print(f"screenshots in {tmp_path}")
