"""A journey through the training panel in JupyterLab, in headless Chromium."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from test_browser import Opener, n_changed, run_all, settled, until

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

NOTEBOOK = Path(__file__).resolve().parents[1] / "notebooks" / "06_train_your_own.ipynb"


@pytest.fixture
def page(open_notebook: Opener, tmp_path: Path) -> Iterator[Any]:
    """The panel of the lesson, with few simulations; it does not start by itself."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    (cell,) = [cell for cell in notebook.cells if "panel = TrainPanel" in cell.source]
    long, start = "simulations=200_000, steps=5_000", "panel.state.start()\n"
    assert long in cell.source and start in cell.source
    few = f"folder={str(tmp_path / 'kept')!r}, simulations=1_000, size='small', examined=20"
    cell.source = cell.source.replace(long, few).replace(start, "")
    notebook.cells = [cell]
    with open_notebook(notebook) as page:
        yield page


def test_train_cancel_go_on_and_hand_in(page: Any, tmp_path: Path) -> None:
    run_all(page)
    page.get_by_text("Press Train.").wait_for()
    empty = settled(page, 4)

    page.get_by_role("button", name="Train").click()
    page.get_by_text("left …").wait_for()
    page.get_by_role("button", name="Cancel").click()
    page.get_by_text("steps are done: press Go on.").wait_for()
    until(page, lambda: n_changed(page, empty) >= 1)
    page.screenshot(path=tmp_path / "cancelled-1440.png")

    # On to fewer steps than were wanted: the journey is not about learning.
    steps = page.locator(".widget-dropdown", has_text="Steps").locator("select")
    steps.select_option(label="500")
    page.get_by_role("button", name="Go on").or_(page.get_by_role("button", name="Train")).click()
    page.get_by_text("quantities are calibrated").wait_for()
    page.get_by_text("Numbers learnt").wait_for()
    until(page, lambda: n_changed(page, empty) >= 4)
    settled(page, 4)

    page.get_by_placeholder("yours").fill("Ada")
    page.get_by_placeholder("of the room").fill(str(tmp_path))
    page.get_by_role("button", name="Hand in").click()
    page.locator(".sedflow-table", has_text="Ada").wait_for()
    assert (tmp_path / "Ada.json").exists()
    page.screenshot(path=tmp_path / "examined-1440.png")
    page.set_viewport_size({"width": 1024, "height": 2200})
    settled(page, 4)
    page.screenshot(path=tmp_path / "examined-1024.png")
    print(f"screenshots in {tmp_path}")
