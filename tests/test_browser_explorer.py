"""A journey through the explorer in JupyterLab, in headless Chromium."""

from __future__ import annotations

import statistics
from pathlib import Path

import nbformat
import pytest
from test_browser import Opener, n_changed, run_all, settled, until

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

NOTEBOOK = Path(__file__).resolve().parents[1] / "notebooks" / "02_sed_model.ipynb"
BETA1, TAU_ISM = 2, 11  # places of the sliders

# Press the right arrow on a slider, and wait until the page shows the frame that answers it.
STEPS = """async ([slider, n]) => {
  const handle = document.querySelectorAll('.noUi-handle')[slider]
  const status = [...document.querySelectorAll('.widget-html')].find(
    (e) => e.innerText.includes('log sSFR'))
  const times = []
  handle.focus()
  for (let k = 0; k < n; k++) {
    const before = status.innerText, start = performance.now()
    handle.dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowRight', bubbles: true}))
    while (status.innerText === before && performance.now() - start < 180000)
      await new Promise((done) => setTimeout(done, 2))
    await new Promise((done) => requestAnimationFrame(() => setTimeout(done, 0)))
    times.push(performance.now() - start)
  }
  return times
}"""


def readouts(page) -> list[float]:
    texts = page.locator(".widget-readout").all_inner_texts()
    return [float(text.replace("−", "-")) for text in texts]


def test_figures_follow_a_drag(open_notebook: Opener, tmp_path: Path) -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    notebook.cells = notebook.cells[:2]
    assert "ExplorerPanel()" in notebook.cells[1].source
    with open_notebook(notebook) as page:
        run_all(page)
        page.get_by_text("log sSFR").wait_for()
        first = settled(page, 4)
        assert page.locator(".noUi-handle").count() == 13
        page.screenshot(path=tmp_path / "first-1440.png")

        page.evaluate(STEPS, [TAU_ISM, 3])
        times = page.evaluate(STEPS, [TAU_ISM, 15])
        print(f"{statistics.median(times):.0f} ms a frame; screenshots in {tmp_path}")
        assert readouts(page)[TAU_ISM] == pytest.approx(0.68)

        # The weights move together, and stay where the last move left them.
        page.evaluate(STEPS, [BETA1, 10])
        until(page, lambda: readouts(page)[BETA1 : BETA1 + 4] == [0.35, 0.22, 0.22, 0.22])
        settled(page)
        assert readouts(page)[BETA1 : BETA1 + 4] == [0.35, 0.22, 0.22, 0.22]  # and stay there

        handle = page.locator(".noUi-handle").nth(TAU_ISM).bounding_box()
        page.mouse.move(handle["x"] + 8, handle["y"] + 8)
        page.mouse.down()
        page.mouse.move(handle["x"] + 300, handle["y"] + 8, steps=30)
        page.mouse.up()
        until(page, lambda: readouts(page)[TAU_ISM] == 3.0 and n_changed(page, first) >= 3)
        assert len(settled(page)) == len(first)
        page.set_viewport_size({"width": 1024, "height": 1800})
        settled(page)
        page.screenshot(path=tmp_path / "second-1024.png")
