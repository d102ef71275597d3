"""A journey through the witness panel in JupyterLab, in headless Chromium."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from test_browser import Opener, n_changed, run_all, settled, until

from sedflow_lab import showcase

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

NOTEBOOK = Path(__file__).resolve().parents[1] / "notebooks" / "04_anpe_vs_mcmc.ipynb"
THREADS = """import threading
print("alive", [t.name for t in threading.enumerate() if "sedflow" in t.name])"""
# At first a chain that does not end by itself; from the second time on one of a fixed length:
# whether it converges is tested without a browser.
LENGTH = """times = globals().get("times", 0) + 1
witness.state.max_steps = 100_000 if times == 1 else 500
print("length", witness.state.max_steps)"""


def test_emcee_grows_is_cancelled_and_never_outlives_its_galaxy(
    open_notebook: Opener, tmp_path: Path
) -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    notebook.cells = notebook.cells[:2]
    assert "witness = WitnessPanel()" in notebook.cells[1].source
    notebook.cells += [nbformat.v4.new_code_cell(source) for source in (LENGTH, THREADS)]
    with open_notebook(notebook) as page:
        run_all(page)
        page.get_by_text("ANPE").first.wait_for()
        page.get_by_text("length 100000").wait_for()
        first = settled(page, 2)  # the corner plot, and the walkers

        # The list of what the walkers are shown in is not cut at the right.
        listed = page.locator(".widget-dropdown", has_text="Walkers in")
        right = "getBoundingClientRect().right"
        assert listed.evaluate(f"e => e.{right} <= e.parentElement.{right}")

        # The chain shows up over the network's posterior while it runs.
        page.get_by_role("button", name="Run emcee").click()
        page.get_by_text("sampling …").wait_for()
        until(page, lambda: n_changed(page, first) >= 1)
        page.screenshot(path=tmp_path / "growing-1440.png")

        # Another galaxy is there at once; nothing of the first chain follows.
        page.locator(".widget-dropdown select").first.select_option(index=100)
        page.get_by_text("sampling …").wait_for(state="hidden")
        print(f"screenshots in {tmp_path}")
        settled(page)
        assert page.get_by_text("MCMC (emcee)", exact=True).count() == 0
        chosen = page.locator(".widget-dropdown select").first.evaluate(
            "s => s.options[s.selectedIndex].text"
        )
        assert chosen.startswith(str(showcase().ids[100]))

        # Cancel answers at once, and what was sampled stays to be seen.
        page.get_by_role("button", name="Run emcee").click()
        page.get_by_text("sampling …").wait_for()
        page.get_by_role("button", name="Cancel").click()
        page.get_by_text("unfinished").wait_for()

        # Again, to the end: the table comes by itself.
        page.locator(".jp-CodeCell").nth(1).click()
        page.keyboard.press("Shift+Enter")
        page.get_by_text("length 500", exact=True).wait_for()
        page.get_by_role("button", name="Run emcee again").click()
        page.get_by_text(" 500 steps").wait_for()
        page.locator(".sedflow-table").wait_for()
        page.get_by_text("comparing …").wait_for(state="hidden")
        page.screenshot(path=tmp_path / "compared-1440.png")
        page.set_viewport_size({"width": 1024, "height": 2300})
        settled(page)
        page.screenshot(path=tmp_path / "compared-1024.png")

        # No thread is left.
        page.locator(".jp-CodeCell").last.click()
        page.keyboard.press("Shift+Enter")
        page.get_by_text("alive []").last.wait_for()
