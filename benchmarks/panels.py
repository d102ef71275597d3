"""Pictures of all panels, and the time from a click to the picture.

    python benchmarks/panels.py pictures [NAME ...]
    python benchmarks/panels.py times [NAME ...]

Both open notebooks, up to the cell with their first panel, in a JupyterLab with its file browser
open, in headless Chromium without internet. The first writes docs/screenshots at 1440 and 1024
pixels, and the galaxy panel in the dark theme too. The second does what people do, on one core and
on two (server, kernel and browser together), and writes docs/panels.md: milliseconds from an action
in the page to the first and to the last stroke on a canvas, the middle one of some; and what the
browser's memory grows by, after its garbage was collected. Linux only. A panel is added by a line
in `PANELS`.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from PIL import Image
from playwright.sync_api import Page, sync_playwright
from playwright.sync_api import TimeoutError as Timeout

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))
from test_browser import CHROMIUM, jupyterlab  # noqa: E402  how the tests start JupyterLab

Act = Callable[[Page], Any]
ROUNDS = 5
QUIET = 1200.0  # ms without a stroke, after which a picture is finished
SPY = """
window.strokes = []
for (const name of ["stroke", "fill", "fillRect", "drawImage", "fillText"]) {
  const draw = CanvasRenderingContext2D.prototype[name]
  CanvasRenderingContext2D.prototype[name] = function (...given) {
    const now = performance.now(), all = window.strokes
    if (all.length == 0 || now - all[all.length - 1] > 5) all.push(now)
    return draw.apply(this, given)
  }
}
"""
CLICKS = """async () => {
  const button = [...document.querySelectorAll("button")].find((b) => b.title == "Next galaxy")
  for (let k = 0; k < 50; k++) { button.click(); await new Promise((go) => setTimeout(go, 20)) }
}"""


def press(name: str, exact: bool = False) -> Act:
    """Click on a button."""
    return lambda page: page.get_by_role("button", name=name, exact=exact).first.click()


def key(label: str) -> Act:
    """Move a slider by one step with the keyboard."""

    def act(page: Page) -> None:
        slider = page.locator(".widget-hslider", has_text=label).first.locator(".noUi-handle").first
        slider.focus()
        page.keyboard.press("ArrowRight")

    return act


def choose(label: str) -> Act:
    """Choose the next of a list."""

    def act(page: Page) -> None:
        one = page.locator(".widget-dropdown", has_text=label).first.locator("select")
        number = one.evaluate("s => (s.selectedIndex + 1) % s.options.length")
        one.select_option(index=number)

    return act


def tick(label: str) -> Act:
    """Tick or untick a box."""
    return lambda page: page.get_by_label(label, exact=True).first.click()


@dataclass(frozen=True)
class Panel:
    """A notebook's first panel, how many figures it draws, and what to do with it."""

    notebook: str
    figures: int
    actions: tuple[tuple[str, Act], ...] = ()
    before: Act | None = None  # what to do for a picture worth looking at
    dark: bool = False


PANELS = {
    "galaxy": Panel(
        "01_quickstart",
        4,
        (
            ("next galaxy", press("Next ›")),
            ("method Weighted, or Fast", lambda page: _either(page, "Weighted", "Fast")),
            ("a band off, or on", tick("u")),
            ("zoom in, or out", press("Zoom in")),
            ("another quantity in the corner plot", lambda page: _quantity(page)),
        ),
        dark=True,
    ),
    "explorer": Panel(
        "02_sed_model",
        4,
        (
            ("arrow key on a slider", key("τ ISM")),
            ("fan of another parameter", choose("Fan of")),
            ("random galaxy", press("Random galaxy")),
        ),
    ),
    "picker": Panel("03_pick_and_infer", 2),
    "witness": Panel("04_anpe_vs_mcmc", 2, (("next galaxy", press("Next ›")),)),
    "coverage": Panel(
        "05_coverage",
        3,
        (("look at another quantity", choose("Look at")),),
        before=lambda page: _run(page, "Run", "simulations can tell"),
    ),
    "train": Panel("06_train_your_own", 3),
    "abc": Panel("07_abc_to_npe", 5, (("arrow key on the tolerance", key("Tolerance")),)),
    "breakit": Panel("08_break_it", 2),
    "own": Panel("09_your_own_galaxies", 0),
    "catalogue": Panel("10_catalogue", 6),
    "whatif": Panel(
        "12_what_if",
        2,
        (
            ("arrow key on the redshift", key("Redshift")),
            ("a preset", press("errors halved")),
            ("next galaxy", press("Next ›")),
        ),
    ),
}


def _either(page: Page, one: str, other: str) -> None:
    pressed = page.locator("button.mod-active", has_text=one).count()
    page.get_by_role("button", name=other if pressed else one, exact=True).first.click()


def _quantity(page: Page) -> None:
    switch = page.get_by_role("button", name="f burst", exact=True)
    if not switch.is_visible():
        page.get_by_text("What the corner plot shows").first.click()
    switch.click()


def _run(page: Page, button: str, text: str) -> None:
    page.locator("button.widget-button", has_text=button).first.click()
    page.get_by_text(text).first.wait_for()


@contextmanager
def opened(panel: Panel, width: int = 1440, height: int = 900) -> Iterator[Page]:
    """A page with the panel, run and at rest."""
    notebook = nbformat.read(ROOT / "notebooks" / f"{panel.notebook}.ipynb", as_version=4)
    at = [k for k, cell in enumerate(notebook.cells) if "Panel(" in cell.source]
    notebook.cells = notebook.cells[: at[0] + 1]
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        nbformat.write(notebook, root / "panel.ipynb")
        quiet = root / ".lab" / "settings" / "@jupyterlab" / "apputils-extension"
        quiet.mkdir(parents=True)
        (quiet / "notification.jupyterlab-settings").write_text('{"fetchNews": "false"}')
        with jupyterlab(root) as lab, sync_playwright() as driver:
            options = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
            browser = driver.chromium.launch(executable_path=CHROMIUM, args=options)
            page = browser.new_page(viewport={"width": width, "height": height})
            page.set_default_timeout(180_000)
            page.add_init_script(SPY)
            page.goto(lab.address(root / "panel.ipynb"))
            page.get_by_text("| Idle").wait_for()
            page.get_by_role("menuitem", name="Run", exact=True).click()
            page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
            if panel.figures:
                page.locator(".bk-Figure").first.wait_for()
            page.get_by_text("| Idle").wait_for()
            rest(page)
            yield page
            browser.close()


def rest(page: Page, quiet: float = QUIET) -> float:
    """Wait until nothing is drawn any more; when the last stroke was [ms of the page]."""
    while True:
        now, last = page.evaluate("() => [performance.now(), window.strokes.at(-1) ?? 0]")
        if now - last > quiet:
            return float(last)
        page.wait_for_timeout(50)


def timed(page: Page, act: Act, quiet: float = QUIET) -> tuple[float, float]:
    """Do something, and wait for the picture; the first and the last stroke after it began [ms]."""
    page.evaluate("window.strokes.length = 0")
    began = page.evaluate("performance.now()")
    act(page)
    with contextlib.suppress(Timeout):  # what changes no picture
        page.wait_for_function("window.strokes.length > 0", timeout=20_000)
    last = rest(page, quiet)
    return page.evaluate("window.strokes[0] ?? NaN") - began, last - began


def pictures(names: list[str]) -> None:
    """Take the pictures."""
    folder = ROOT / "docs" / "screenshots"
    folder.mkdir(exist_ok=True)
    for name in names:
        panel = PANELS[name]
        with opened(panel) as page:
            if panel.before is not None:
                panel.before(page)
            page.wait_for_timeout(3000)
            for theme in ("light", "dark") if panel.dark else ("light",):
                if theme == "dark":
                    change = "window.jupyterapp.commands.execute('apputils:change-theme', "
                    page.evaluate(change + "{theme: 'JupyterLab Dark'})")
                for width in (1440, 1024):
                    page.set_viewport_size({"width": width, "height": 900})
                    page.wait_for_timeout(1500)
                    page.locator(".jp-OutputArea-output .widget-vbox").first.evaluate(
                        "node => node.scrollIntoView()"
                    )
                    rest(page)
                    shot = Image.open(io.BytesIO(page.screenshot()))
                    end = "-dark" if theme == "dark" else ""
                    path = folder / f"{name}-{width}{end}.png"
                    shot.convert("RGB").quantize(96).save(path, optimize=True)
                    print(f"{path.relative_to(ROOT)}: {path.stat().st_size // 1000} kB", flush=True)


def measure(names: list[str]) -> dict[str, Any]:
    """Times of all actions [ms], and growth of the browser's memory [MB]."""
    found: dict[str, Any] = {}
    for name in names:
        panel = PANELS[name]
        if not panel.actions:
            continue
        with opened(panel) as page:
            for label, act in panel.actions:
                times = [timed(page, act) for _ in range(ROUNDS)]
                found[f"{name}: {label}"] = [statistics.median(t) for t in zip(*times, strict=True)]
            if name == "galaxy":
                found |= {f"{name}: {key}": value for key, value in _hurry(page).items()}
    return found


def _hurry(page: Page) -> dict[str, Any]:
    """Many clicks at once, and what many changes leave behind."""
    start = heap(page)
    _, last = timed(page, lambda page: page.evaluate(CLICKS), 2 * QUIET)
    found = {"50 clicks, 20 ms apart: after the last": [float("nan"), last - 50 * 20]}
    if len(os.sched_getaffinity(0)) > 1:
        some = heap(page)
        for _ in range(50):
            timed(page, press("Next ›"), 300)
        many = heap(page)
        for _ in range(20):
            timed(page, _quantity, 300)
        found["memory"] = [some - start, many - some, heap(page) - many]
    return found


def heap(page: Page) -> float:
    """Memory of the page's JavaScript, after its garbage was collected [MB]."""
    tools = page.context.new_cdp_session(page)
    for _ in range(3):
        tools.send("HeapProfiler.collectGarbage")
        page.wait_for_timeout(200)
    return float(tools.send("Runtime.getHeapUsage")["usedSize"]) / 1e6


def times(names: list[str]) -> None:
    """Measure on one core and on two, and write the table."""
    cores = sorted(os.sched_getaffinity(0))[:2]
    began, found = time.perf_counter(), []
    for some in (cores[:1], cores):
        text = ",".join(map(str, some))
        command = ["taskset", "-c", text, sys.executable, __file__, "measure", *names]
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        found.append(json.loads(output.splitlines()[-1]))
    one, two = found
    lines = [
        "# How quickly panels answer",
        "",
        "Milliseconds from an action in the page to the first and the last stroke on a canvas,",
        f"the median of {ROUNDS}, with server, kernel and browser on one core and on two. Measured",
        "by `python benchmarks/panels.py times`, in JupyterLab with its file browser open, in",
        f"headless Chromium, on {processor()} (load {os.getloadavg()[2]:.1f} meanwhile).",
        "",
        "| panel: action | one core | two cores |",
        "|---|---:|---:|",
    ]
    for label, values in one.items():
        if not label.endswith("memory"):
            both = ["–" if label not in each else _pair(each[label]) for each in (one, two)]
            assert values
            lines.append(f"| {label} | {both[0]} | {both[1]} |")
    memory = next((v for k, v in two.items() if k.endswith("memory")), None)
    if memory:
        hurry, galaxies, corner = memory
        lines += [
            "",
            f"The galaxy panel's page grows by {hurry:.1f} MB with 50 hurried clicks, by",
            f"{galaxies:.1f} MB with the next 50 galaxies, each waited for, and by {corner:.1f} MB",
            "with 20 changes of the corner plot (JavaScript's memory, garbage collected).",
            "Memory of kernels and of the whole tour: `benchmarks/notebook_memory.py --tour`.",
        ]
    (ROOT / "docs" / "panels.md").write_text("\n".join(lines) + "\n")
    print(f"docs/panels.md, in {time.perf_counter() - began:.0f} s")


def _pair(values: list[float]) -> str:
    first, last = values
    return f"{last:.0f}" if first != first else f"{first:.0f} / {last:.0f}"


def processor() -> str:
    """What it was measured on."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def main() -> None:
    """Take pictures, or measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["pictures", "times", "measure"])
    parser.add_argument("names", nargs="*", help="of PANELS; default: all whose notebooks are here")
    given = parser.parse_args()
    here = [n for n, p in PANELS.items() if (ROOT / "notebooks" / f"{p.notebook}.ipynb").exists()]
    names = given.names or here
    if given.what == "measure":
        print(json.dumps(measure(names)))
    else:
        {"pictures": pictures, "times": times}[given.what](names)


if __name__ == "__main__":
    main()
