"""A journey through the picker in JupyterLab, in headless Chromium: from a lasso to a file."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import numpy as np
import pytest
from astropy.table import Table
from test_browser import Opener, lasso, n_changed, run_all, settled, until

import sedflow_lab as sl
from sedflow_lab.observations.nsa import showcase_table

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

NOTEBOOK = Path(__file__).resolve().parents[1] / "notebooks" / "03_pick_and_infer.ipynb"
FIGURES = 5 + 4  # planes; the corner plot, SED, residuals, and history


def test_from_a_lasso_to_a_file_of_draws(open_notebook: Opener, tmp_path: Path) -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    notebook.cells = notebook.cells[:2]
    source = notebook.cells[1].source
    call = "PickerPanel(posterior"
    assert call in source
    notebook.cells[1].source = source.replace(call, f"{call}, draws=100")
    with open_notebook(notebook) as page:
        run_all(page)
        page.get_by_text("made in").wait_for()
        until(page, lambda: page.get_by_text("looking for badges").count() == 0)
        page.get_by_role("button", name=re.compile("ok: ")).wait_for()
        full = settled(page, FIGURES)

        # What a lasso holds in one plane is marked in all, and listed.
        plane = page.get_by_role("img", name=re.compile("g−r .* of 192 galaxies")).first
        lasso(page, plane, (90, 50), (260, 150))
        rows = page.locator(".slick-row")
        rows.first.wait_for()
        until(page, lambda: n_changed(page, full) >= 5)
        assert page.get_by_text(re.compile(r"^[1-9]\d* of 192 galaxies are chosen")).is_visible()

        # A row picks a galaxy: it is told of, and its posterior is shown.
        name = rows.nth(1).locator(".slick-cell").first.inner_text()
        before = settled(page, FIGURES)
        rows.nth(1).click()
        page.get_by_text(f"Galaxy {name}", exact=True).wait_for()
        until(page, lambda: n_changed(page, before) >= 5 + 3)

        # Search by coordinates, with the keyboard alone.
        table = showcase_table()[40]
        page.get_by_label("Find").fill(f"{table['RA']} {table['DEC']}")
        page.keyboard.press("Enter")
        page.get_by_text(f"Galaxy {table['NSAID']} is 0.0″ from").wait_for()
        page.get_by_label("Find").fill("10:00:00 -80:00:00")
        page.keyboard.press("Enter")
        page.get_by_text("No galaxy lies within 60.0″ of").wait_for()
        page.screenshot(path=tmp_path / "picked-1440.png")

        # Its posterior is made exact, and goes home as a file.
        shown = "s => s.selectedOptions[0].text"
        galaxy = page.get_by_label("Galaxy", exact=True)
        until(page, lambda: galaxy.evaluate(shown).startswith(str(table["NSAID"])))
        until(page, lambda: page.get_by_text("making it exact").count() == 0)
        page.get_by_role("button", name="Exact", exact=True).click()
        until(
            page,
            lambda: (
                page.get_by_text("the network's posterior, made exact").count() > 0
                and page.get_by_text("making it exact").count() == 0
            ),
        )
        settled(page, FIGURES)  # nothing moves any more below the mouse
        page.get_by_text("Download the draws").click()
        link = page.locator(f"a[download='draws-{table['NSAID']}-exact.ecsv']")
        link.wait_for()
        with page.expect_download() as download:
            link.click()
        download.value.save_as(tmp_path / "draws.ecsv")
        print(f"screenshots in {tmp_path}")
    draws = Table.read(tmp_path / "draws.ecsv", format="ascii.ecsv")
    expected = sl.load_posterior().infer(sl.showcase()[40], 1000, "exact", 0)
    np.testing.assert_allclose(draws["log_mstar"], expected.samples[0, :, 0], rtol=1e-5)
