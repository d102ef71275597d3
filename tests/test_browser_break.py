"""A journey through the panel of the lesson in which things are broken, in headless Chromium."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from test_browser import Opener, run_all, settled

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

NOTEBOOK = Path(__file__).resolve().parents[1] / "notebooks" / "08_break_it.ipynb"


@pytest.fixture
def page(open_notebook: Opener) -> Iterator[Any]:
    """The panel of the lesson, with few simulations."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    (cell,) = [cell for cell in notebook.cells if "panel = CoveragePanel" in cell.source]
    assert "simulations=100" in cell.source
    cell.source = cell.source.replace("simulations=100", "simulations=50")
    notebook.cells = [cell]
    with open_notebook(notebook) as page:
        yield page


def test_break_two_things_and_ask_the_witnesses(page: Any, tmp_path: Path) -> None:
    run_all(page)
    page.get_by_text("Does it see it?").wait_for()
    page.get_by_text("Regions of highest density are drawn too small").wait_for()
    settled(page, 3)
    page.screenshot(path=tmp_path / "underestimated-1440.png")

    cases = page.locator(".widget-dropdown", has_text="Break").locator("select")
    cases.select_option(label="a mode never seen")
    page.get_by_text("The choice above has changed").wait_for()
    # What was seen, and why, is of the run that is shown.
    assert page.get_by_text("Weights compare only draws that there are").count() == 0
    page.locator(".widget-button:has-text('Run')").click()
    page.get_by_text("Weights compare only draws that there are").wait_for()
    page.get_by_role("button", name="Most surprising").click()
    page.get_by_text("The truth (crosses and dashed lines)").wait_for()
    settled(page, 3)
    page.screenshot(path=tmp_path / "mode-1440.png")
    page.set_viewport_size({"width": 1024, "height": 2400})
    settled(page, 3)
    page.screenshot(path=tmp_path / "mode-1024.png")
    print(f"screenshots in {tmp_path}")
