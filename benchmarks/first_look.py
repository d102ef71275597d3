"""How long until a notebook's first panel stands there, from a kernel that has not started yet.

    taskset -c 0 python benchmarks/first_look.py [NAME ...]
    taskset -c 0 python benchmarks/first_look.py --apps [NAME ...]

Prints a row for each notebook: seconds of the clock from the start of the kernel to the end of the
cell that makes the first panel, with its posterior, and seconds of the kernel's processor, which
other work on the machine changes less. With --apps they are served by Voila, and the seconds are
those until the page has text, and until it has a figure, in headless Chromium; the browser may use
every core. `taskset` gives the rest one core, as Binder does. Linux only.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import nbformat
import psutil
from jupyter_client.manager import KernelManager

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"


def cells_to_panel(path: Path) -> list[str]:
    """Code of a notebook down to its first panel; empty if it has none."""
    cells = [c.source for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]
    panels = [n for n, source in enumerate(cells) if "Panel(" in source]
    return cells[: panels[0] + 1] if panels else []


def measure(cells: list[str]) -> tuple[float, float]:
    """Seconds of the clock, and of the kernel's processor."""
    manager = KernelManager(kernel_name="python3")
    began = time.perf_counter()
    manager.start_kernel(cwd=str(FOLDER), env=os.environ | {"OMP_NUM_THREADS": "1"})
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=120)
        for source in cells:
            options = {"timeout": 300, "output_hook": lambda message: None}
            reply = client.execute_interactive(source, **options)
            if reply["content"]["status"] != "ok":
                raise RuntimeError(reply["content"]["evalue"])
        seconds = time.perf_counter() - began
        spent = psutil.Process(manager.provisioner.process.pid).cpu_times()
        return seconds, spent.user + spent.system
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def measure_apps(names: list[str]) -> None:
    """Print a row for each notebook as an app."""
    from playwright.sync_api import sync_playwright

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        base = f"http://127.0.0.1:{free.getsockname()[1]}"
    voila = str(Path(sys.executable).with_name("voila"))
    command = [voila, "--no-browser", f"--port={base.rpartition(':')[2]}", "."]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    server = subprocess.Popen(command, cwd=FOLDER, env=environment, stderr=subprocess.DEVNULL)
    os.sched_setaffinity(0, range(os.cpu_count() or 1))
    try:
        for _ in range(600):
            try:
                urllib.request.urlopen(base, timeout=5).close()
                break
            except (urllib.error.URLError, OSError):
                time.sleep(0.2)
        with sync_playwright() as driver:
            browser = driver.chromium.launch(
                executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
            )
            for name in names:
                load, page = os.getloadavg()[0], browser.new_page()
                page.set_default_timeout(300_000)
                began = time.perf_counter()
                page.goto(f"{base}/voila/render/{name}.ipynb", wait_until="commit")
                page.locator("h1").first.wait_for()
                text = time.perf_counter() - began
                page.locator(".bk-Figure").first.wait_for()
                figure = time.perf_counter() - began
                print(f"| `{name}` | {text:.1f} | {figure:.1f} | {load:.1f} |", flush=True)
                page.close()
            browser.close()
    finally:
        server.terminate()
        server.wait(30)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="stems of notebooks; default: all with a panel")
    parser.add_argument("--apps", action="store_true", help="served by Voila")
    options = parser.parse_args()
    names = options.names or sorted(path.stem for path in FOLDER.glob("*.ipynb"))
    names = [name for name in names if cells_to_panel(FOLDER / f"{name}.ipynb")]
    print(f"{len(os.sched_getaffinity(0))} cores")
    if options.apps:
        print("| notebook | text [s] | figure [s] | load |\n|---|---:|---:|---:|")
        return measure_apps(names)
    print("| notebook | seconds | processor [s] | load |\n|---|---:|---:|---:|")
    for name in names:
        load = os.getloadavg()[0]
        seconds, spent = measure(cells_to_panel(FOLDER / f"{name}.ipynb"))
        print(f"| `{name}` | {seconds:.1f} | {spent:.1f} | {load:.1f} |", flush=True)


if __name__ == "__main__":
    main()
