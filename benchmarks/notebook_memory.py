"""Memory and time of each notebook: what a person in a workshop needs.

    python benchmarks/notebook_memory.py [NAME ...]

Runs notebooks from top to bottom, each in a kernel of its own, and prints a row for each: seconds,
and the peak of the kernel's resident memory as the system counts it. JupyterLab's server comes on
top, once a person.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"
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


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="stems of notebooks; default: all")
    names = parser.parse_args().names
    paths = [p for p in sorted(FOLDER.glob("*.ipynb")) if not names or p.stem in names]
    print(f"OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS', 'unset')}")
    print("| notebook | seconds | peak of the kernel [MB] |\n|---|---:|---:|")
    for path in paths:
        seconds, peak = measure(path)
        print(f"| `{path.stem}` | {seconds:.0f} | {peak:.0f} |", flush=True)


if __name__ == "__main__":
    main()
