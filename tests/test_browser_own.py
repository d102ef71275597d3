"""A journey with a file of one's own in JupyterLab, in headless Chromium."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat
import numpy as np
import pytest
from astropy.table import Table
from test_browser import Opener, settled

import sedflow_lab as sl

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

NOTEBOOK = Path(__file__).resolve().parents[1] / "notebooks" / "09_your_own_galaxies.ipynb"


def _give(page: Page, upload: Locator, file: Any) -> None:
    """Choose a file as people do: the widget's own input is not in the page."""
    with page.expect_file_chooser() as chooser:
        upload.click()
    chooser.value.set_files(file)


def test_a_file_with_a_bad_row_is_given_mended_and_inferred(
    open_notebook: Opener, tmp_path: Path
) -> None:
    galaxies = sl.showcase()[:8]
    table = galaxies.to_table()
    table.rename_column("redshift", "z_best")
    table["flux_g"][3] = np.nan
    table.write(tmp_path / "mine.csv")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    notebook.cells = notebook.cells[2:3]
    source = notebook.cells[0].source
    call = "OwnGalaxiesPanel(path, posterior)"
    assert call in source
    given = "OwnGalaxiesPanel(draws=500, method='fast')"
    notebook.cells[0].source = source.replace(call, given)
    with open_notebook(notebook) as page:
        page.get_by_text("| Idle").wait_for()
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_role("menuitem", name="Run All Cells", exact=True).click()

        # What is no table is told in a sentence.
        upload = page.get_by_role("button", name=re.compile("Choose a file"))
        upload.wait_for()
        nothing = {"name": "photo.csv", "mimeType": "text/csv", "buffer": b"\x00\xff\xfe"}
        _give(page, upload, nothing)
        page.get_by_text("cannot be read, as line 1 is no text").wait_for()

        # A column that was not found is chosen by hand.
        _give(page, upload, tmp_path / "mine.csv")
        page.get_by_text("The table has no column for the redshift").wait_for()
        page.get_by_label("Redshift").select_option("z_best")
        page.get_by_text("7 can be used").wait_for()
        page.get_by_text("the flux in band g is nan").wait_for()
        page.screenshot(path=tmp_path / "read-1440.png")

        # The picker opens on them, and shows a posterior.
        page.get_by_role("button", name="Look at 7 galaxies").click()
        page.get_by_text("made in").wait_for()
        settled(page, 5 + 4)

        # Results go home.
        page.get_by_role("button", name="Infer all").click()
        page.get_by_text("8 galaxies inferred").wait_for()
        with page.expect_download() as download:
            page.locator("a[download='results-mine.fits']").click()
        download.value.save_as(tmp_path / "results.fits")
        page.set_viewport_size({"width": 1440, "height": 2600})
        settled(page)
        page.screenshot(path=tmp_path / "looked-1440.png")
        print(f"screenshots in {tmp_path}")
    results = Table.read(tmp_path / "results.fits")
    assert len(results) == 8 and results["badge"][3].strip() == "bad photometry"
    expected = sl.load_posterior().infer(galaxies, 500, "fast", 0).quantile(0.5)[:, 0]
    others = np.arange(8) != 3
    np.testing.assert_allclose(results["log_mstar"][others], expected[others], rtol=1e-4)
