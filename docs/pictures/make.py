"""Make the README's picture: a flux goes up and down, and the posterior follows.

    python docs/pictures/make.py

Serves notebooks/ with Voila, moves the u band of the what-if panel in headless Chromium, and
writes docs/pictures/what-if.gif. Wants Chromium and the extra dev.
"""

from __future__ import annotations

import io
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

HERE = Path(__file__).resolve().parent
NOTEBOOKS = HERE.parents[1] / "notebooks"
SIZE = 1200, 860  # of the window [pixel]
U_BRIGHTER = 1  # place of its slider, after the redshift's
KEYS = 3 * ["PageUp"] + 6 * ["PageDown"] + 3 * ["PageUp"]
AT_ONCE = 2  # presses from frame to frame
SHOWN_AT = 0.75  # of the size it has


def frames(page: Page) -> list[Image.Image]:
    """The panel, while the u band goes up and down."""
    panel = page.locator(".widget-vbox").first
    panel.scroll_into_view_if_needed()
    part = panel.bounding_box()
    assert part is not None

    def frame() -> Image.Image:
        page.wait_for_timeout(4000)  # any machine has drawn by then
        return Image.open(io.BytesIO(page.screenshot(clip=part))).convert("RGB")

    found = [frame()]
    slider = page.locator(".noUi-handle").nth(U_BRIGHTER)
    for key in KEYS:
        for _ in range(AT_ONCE):
            slider.press(key)
        found.append(frame())
    return found


def main() -> None:
    """Write the picture."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    voila = str(Path(sys.executable).with_name("voila"))
    command = [voila, "--no-browser", f"--port={port}", "."]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    server = subprocess.Popen(command, cwd=NOTEBOOKS, env=environment, stderr=subprocess.DEVNULL)
    try:
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}", timeout=5).close()
                break
            except (urllib.error.URLError, OSError):
                time.sleep(0.2)
        with sync_playwright() as driver:
            browser = driver.chromium.launch(
                executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
            )
            page = browser.new_page(viewport={"width": SIZE[0], "height": SIZE[1]})
            page.set_default_timeout(180_000)
            page.goto(f"http://127.0.0.1:{port}/voila/render/12_what_if.ipynb")
            page.get_by_text("it would be").first.wait_for()
            page.wait_for_timeout(2000)
            found = frames(page)
            browser.close()
    finally:
        server.terminate()
        server.wait(30)
    size = tuple(round(SHOWN_AT * side) for side in found[0].size)
    small = [
        frame.resize(size, Image.Resampling.LANCZOS).quantize(
            128, Image.Quantize.FASTOCTREE, dither=0
        )
        for frame in found
    ]
    options = {"append_images": small[1:], "duration": 400, "loop": 0, "optimize": True}
    small[0].save(HERE / "what-if.gif", save_all=True, **options)


if __name__ == "__main__":
    main()
