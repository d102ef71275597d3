"""A journey through the what-if panel in JupyterLab, in headless Chromium."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from test_browser import Opener, n_changed, run_all, settled, until

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

NOTEBOOK = Path(__file__).resolve().parents[1] / "notebooks" / "12_what_if.ipynb"
U_BRIGHTER = 1  # place of its readout, after the redshift's


def test_drag_a_point_and_go_back(open_notebook: Opener, tmp_path: Path) -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    notebook.cells = notebook.cells[:2]
    assert "WhatIfPanel(index=30)" in notebook.cells[1].source

    def readout() -> float:
        text = page.locator(".widget-readout").nth(U_BRIGHTER).inner_text()
        return float(text.replace("−", "-"))

    with open_notebook(notebook) as page:
        run_all(page)
        page.get_by_text("without g it would be").first.wait_for()
        first = settled(page, 2)
        page.screenshot(path=tmp_path / "first-1440.png")
        plot = page.locator(".bk-Figure").first.bounding_box()
        # The u band is the leftmost; half-way up lies no error bar.
        x, y = plot["x"] + 0.2 * plot["width"], plot["y"] + 0.45 * plot["height"]
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x, y - 20, steps=10)
        page.mouse.up()
        until(page, lambda: readout() > 0.3 and n_changed(page, first) >= 2)
        page.get_by_text("bits more").or_(page.get_by_text("bits fewer")).first.wait_for()
        settled(page)
        page.screenshot(path=tmp_path / "second-1440.png")
        page.get_by_role("button", name="As measured").click()
        until(page, lambda: readout() == 0.0)
        # The dashed outlines of before lie on top of what they are the outlines of.
        page.get_by_text("log M★ 9.01 → 9.01").wait_for()
