"""A journey through the catalogue panel in JupyterLab, in headless Chromium."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from test_browser import Opener, lasso, n_changed, run_all, settled, until

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

NOTEBOOK = Path(__file__).resolve().parents[1] / "notebooks" / "10_catalogue.ipynb"


def test_a_catalogue_is_inferred_looked_at_and_opened(
    open_notebook: Opener, tmp_path: Path
) -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    notebook.cells = notebook.cells[:2]
    source = notebook.cells[1].source
    call = "CataloguePanel(posterior=posterior"
    assert call in source
    notebook.cells[1].source = source.replace(call, f"{call}, draws=200")
    with open_notebook(notebook) as page:
        run_all(page)
        bare = settled(page, 6)

        # The run fills the planes.
        page.get_by_role("button", name="Infer 192 galaxies").click()
        page.get_by_text("192 of 192").wait_for()
        until(page, lambda: n_changed(page, bare) >= 6)
        full = settled(page, 6)
        page.screenshot(path=tmp_path / "inferred-1440.png")

        # What a lasso holds in one plane is marked in all, and listed.
        plane = page.get_by_role("img", name=re.compile("log SFR 1 Gyr .* of 192 galaxies")).first
        lasso(page, plane, (90, 60), (290, 220))
        rows = page.locator(".slick-row")
        rows.first.wait_for()
        until(page, lambda: n_changed(page, full) >= 6)
        assert page.get_by_text(re.compile(r"^[1-9]\d* of 192 galaxies are chosen")).is_visible()

        # The list is sorted.
        page.get_by_label("Sort by").select_option(label="log M★")
        masses = page.locator(".slick-row .slick-cell:nth-child(3)")
        until(page, lambda: (seen := masses.all_inner_texts()) and seen == sorted(seen, key=float))

        # A row opens a galaxy.
        name = rows.first.locator(".slick-cell").first.inner_text()
        rows.first.click()
        page.get_by_text(f"Galaxy {name}").wait_for()
        page.get_by_text("Medians and 68 % intervals").wait_for()
        settled(page, 6 + 15 + 2)
        assert (seen := masses.all_inner_texts()) == sorted(seen, key=float)
        page.screenshot(path=tmp_path / "opened-1440.png")
        print(f"screenshots in {tmp_path}")
