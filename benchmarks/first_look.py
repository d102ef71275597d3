"""How long until a notebook's first panel stands there, from a kernel that has not started yet.

    taskset -c 0 python benchmarks/first_look.py [NAME ...]

Prints a row for each notebook: seconds of the clock from the start of the kernel to the end of the
cell that makes the first panel, with its posterior, and seconds of the kernel's processor, which
other work on the machine changes less. `taskset` gives it one core, as Binder does. Linux only.
"""

from __future__ import annotations

import argparse
import os
import time
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


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="stems of notebooks; default: all with a panel")
    names = parser.parse_args().names or sorted(path.stem for path in FOLDER.glob("*.ipynb"))
    print(f"{len(os.sched_getaffinity(0))} cores")
    print("| notebook | seconds | processor [s] | load |\n|---|---:|---:|---:|")
    for name in names:
        if cells := cells_to_panel(FOLDER / f"{name}.ipynb"):
            load = os.getloadavg()[0]
            seconds, spent = measure(cells)
            print(f"| `{name}` | {seconds:.1f} | {spent:.1f} | {load:.1f} |", flush=True)


if __name__ == "__main__":
    main()
