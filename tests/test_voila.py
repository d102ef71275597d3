"""Notebooks as apps: what Voila shows of them, and one of them in headless Chromium."""

from __future__ import annotations

import os
import runpy
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from traitlets.config import Config

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"
APPS = [
    path for path in sorted(FOLDER.glob("*.ipynb")) if path.name[:2] in ("03", "04", "05", "12")
]


@pytest.fixture(scope="module")
def config() -> Config:
    """What notebooks/voila.py configures."""
    config = Config()
    runpy.run_path(str(FOLDER / "voila.py"), {"get_config": lambda: config})
    return config


@pytest.mark.parametrize("path", APPS, ids=lambda path: path.stem)
def test_an_app_ends_with_its_panel_and_the_text_below(config: Config, path: Path):
    (shorten,) = config.VoilaExporter.preprocessors
    whole = nbformat.read(path, as_version=4)
    app, _ = shorten(nbformat.read(path, as_version=4), {})
    assert app.cells == whole.cells[: len(app.cells)]
    codes = [cell.source for cell in app.cells if cell.cell_type == "code"]
    assert "Panel(" in codes[-1] and not any("Panel(" in source for source in codes[:-1])
    assert len(app.cells) < len(whole.cells) and app.cells[-1].cell_type == "markdown"


def test_a_notebook_without_a_panel_is_shown_whole(config: Config):
    (shorten,) = config.VoilaExporter.preprocessors
    cells = [nbformat.v4.new_code_cell("1 + 1"), nbformat.v4.new_markdown_cell("two")]
    app, _ = shorten(nbformat.v4.new_notebook(cells=cells), {})
    assert len(app.cells) == 2


@pytest.fixture
def voila(tmp_path: Path) -> Iterator[str]:
    """Address of a Voila that is started as `make apps` does it."""
    pytest.importorskip("voila", reason="the extra apps is not installed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    apart = {f"JUPYTER_{name}_DIR": str(tmp_path / name.lower()) for name in ("DATA", "RUNTIME")}
    # Not python -m voila: that would find the configuration of this name.
    command = [str(Path(sys.executable).with_name("voila")), "--no-browser", f"--port={port}", "."]
    environment: dict[str, Any] = os.environ | apart | {"OMP_NUM_THREADS": "1"}
    log = tmp_path / "server.log"
    with log.open("w") as stream:
        server = subprocess.Popen(
            command, cwd=FOLDER, env=environment, stdout=stream, stderr=subprocess.STDOUT
        )
        try:
            address = f"http://127.0.0.1:{port}"
            for _ in range(600):
                assert server.poll() is None, log.read_text()
                try:
                    urllib.request.urlopen(address, timeout=5).close()
                    break
                except (urllib.error.URLError, OSError):
                    time.sleep(0.2)
            yield address
        finally:
            server.terminate()
            server.wait(30)


@pytest.mark.browser
@pytest.mark.timeout(600)
def test_a_galaxy_is_picked_without_code(voila: str):
    browser = pytest.importorskip("test_browser", reason="no Chromium, or no playwright")
    errors: list[str] = []
    with browser.browser_page(f"{voila}/voila/render/03_pick_and_infer.ipynb") as page:
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.get_by_role("heading", name="Pick a galaxy").wait_for()
        page.locator(".bk-Figure").first.wait_for()
        page.get_by_label("Find").fill("15185")
        page.get_by_label("Find").press("Enter")
        page.get_by_text("Galaxy 15185", exact=True).wait_for()
        page.get_by_text("made in").wait_for()
        assert page.get_by_text("Things to try").count() == 1
        assert page.get_by_text("The same in Python").count() == 0
        assert page.get_by_text("from sedflow_lab.panels import").count() == 0
    assert not errors
