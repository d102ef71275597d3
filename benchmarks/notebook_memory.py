"""Memory and time of the notebooks: what a person in a workshop needs, and what Binder must have.

    python benchmarks/notebook_memory.py [NAME ...]
    taskset -c 0 python benchmarks/notebook_memory.py --tour [NAME ...]

Runs notebooks from top to bottom and prints a row for each. By itself each has a kernel of its own,
and the figure is the peak of that kernel's resident memory; JupyterLab's server comes on top, once
a person. With --tour they are opened one after another in a JupyterLab that is started as Binder
starts it, by binder/start; the figure is the peak of the server and of all kernels together,
each page of memory counted once (PSS); --most makes it an error to exceed so many MB. Linux only.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
import psutil
from jupyter_client import BlockingKernelClient
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "notebooks"
PEAK = "import resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"


def measure(path: Path) -> tuple[float, float]:
    """Seconds, and peak memory [MB] of the kernel."""
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell(PEAK))
    client = NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": FOLDER}}
    )
    began = time.perf_counter()
    client.execute()
    seconds = time.perf_counter() - began
    return seconds, int(notebook.cells[-1].outputs[0]["text"]) / 1024


class Lab:
    """A JupyterLab as on Binder: its address and process.

    Parameters
    ----------
    folder : path
        For what Jupyter keeps while it runs.
    """

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.token = secrets.token_hex(8)
        self.base = f"http://127.0.0.1:{port}/api"
        self.runtime = folder / "runtime"
        command = [str(ROOT / "binder/start"), sys.executable, "-m", "jupyterlab", "--no-browser"]
        command += ["--allow-root", f"--ServerApp.port={port}", "--ServerApp.port_retries=0"]
        command += [f"--IdentityProvider.token={self.token}", f"--ServerApp.root_dir={ROOT}"]
        apart = {f"JUPYTER_{name}_DIR": str(folder / name.lower()) for name in ("DATA", "RUNTIME")}
        log = (folder / "log").open("w")
        self.process = subprocess.Popen(
            command, env=os.environ | apart, stdout=log, stderr=subprocess.STDOUT
        )
        for _ in range(600):
            try:
                self.ask("status")
                break
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        else:
            raise RuntimeError((folder / "log").read_text())

    def ask(self, what: str, body: dict[str, Any] | None = None) -> Any:
        """Answer of the server's API."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"token {self.token}"}
        request = urllib.request.Request(f"{self.base}/{what}", data, headers)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def memory(self) -> float:
        """Proportional set size [MB] of the server and its kernels."""
        server = psutil.Process(self.process.pid)
        total = 0
        for process in [server, *server.children(recursive=True)]:
            try:
                total += process.memory_full_info().pss
            except psutil.NoSuchProcess:
                continue
        return total / 1e6

    @contextmanager
    def notebook(self, path: Path) -> Iterator[BlockingKernelClient]:
        """Open a notebook as JupyterLab does: a session with a kernel, which goes on living."""
        name = str(path.relative_to(ROOT))
        asked = {"path": name, "name": name, "type": "notebook", "kernel": {"name": "python3"}}
        kernel = self.ask("sessions", asked)["kernel"]["id"]
        connection = self.runtime / f"kernel-{kernel}.json"
        client = BlockingKernelClient(connection_file=str(connection))
        client.load_connection_file()
        client.start_channels()
        end = time.monotonic() + 120
        while True:
            try:
                client.wait_for_ready(timeout=10)
                break
            except RuntimeError:  # too busy a machine to hear its heart
                if time.monotonic() > end:
                    raise
        try:
            yield client
        finally:
            client.stop_channels()


def tour(lab: Lab, path: Path) -> tuple[float, float]:
    """Seconds, and peak memory [MB] of server and kernels, while a notebook is opened and run."""
    peak, done = 0.0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.1):
            peak = max(peak, lab.memory())

    watcher = threading.Thread(target=watch)
    watcher.start()
    began = time.perf_counter()
    try:
        with lab.notebook(path) as client:
            for cell in nbformat.read(path, as_version=4).cells:
                if cell.cell_type == "code":
                    options = {"timeout": 600, "output_hook": lambda message: None}
                    reply = client.execute_interactive(cell.source, **options)
                    if reply["content"]["status"] != "ok":
                        raise RuntimeError(f"{path.stem}: {reply['content']['evalue']}")
        return time.perf_counter() - began, peak
    finally:
        done.set()
        watcher.join()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="stems of notebooks; default: all")
    parser.add_argument("--tour", action="store_true", help="one after another, as on Binder")
    parser.add_argument("--most", type=float, default=float("inf"), metavar="MB")
    options = parser.parse_args()
    names = options.names or sorted(path.stem for path in FOLDER.glob("*.ipynb"))
    paths = [FOLDER / f"{name}.ipynb" for name in names]
    load = os.getloadavg()[0]
    print(f"{len(os.sched_getaffinity(0))} cores, load {load:.1f}", end="")
    print("" if options.tour else f", OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS', 'unset')}")
    what = "server and kernels" if options.tour else "the kernel"
    print(f"\n| notebook | seconds | peak of {what} [MB] |\n|---|---:|---:|")
    highest = 0.0
    with tempfile.TemporaryDirectory() as folder:
        lab = Lab(Path(folder)) if options.tour else None
        try:
            if lab is not None:
                print(f"| the server alone | | {lab.memory():.0f} |")
            for path in paths:
                seconds, peak = measure(path) if lab is None else tour(lab, path)
                print(f"| `{path.stem}` | {seconds:.0f} | {peak:.0f} |", flush=True)
                highest = max(highest, peak)
        finally:
            if lab is not None:
                lab.process.terminate()
                lab.process.wait(30)
    if highest > options.most:
        sys.exit(f"{highest:.0f} MB are more than {options.most:.0f} MB")


if __name__ == "__main__":
    main()
