"""Lessons and their solutions, run twice in fresh kernels: how long, and are the numbers the same?

    OMP_NUM_THREADS=1 python benchmarks/lessons.py [NAME ...]

Prints a row for each lesson; ends with an error if a solution is not right, a lesson takes longer
than it may, or what cells print differs between the two runs. Cells that print times of this
machine have the tag ``timing`` and may differ.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"
LESSONS = ("05_coverage", "06_train_your_own", "07_abc_to_npe", "08_break_it", "11_population")
LONGEST = {"06_train_your_own": 360.0}
LONG = 180.0  # seconds, on two cores


def run(notebook: nbformat.NotebookNode, folder: Path = FOLDER) -> list[str]:
    """Run a notebook in a kernel of its own; what each cell prints, times left out."""
    client = NotebookClient(
        notebook, timeout=900, kernel_name="python3", resources={"metadata": {"path": folder}}
    )
    client.execute()
    return [
        "" if "timing" in cell.metadata.get("tags", ()) else printed(cell)
        for cell in notebook.cells
    ]


def printed(cell: nbformat.NotebookNode) -> str:
    """What a cell has printed or shown as text; figures and widgets by their kinds."""
    parts = []
    for out in cell.get("outputs", []):
        if out.output_type == "stream":
            if out.name == "stdout":
                parts.append(out.text)
        elif "data" in out:
            kinds = sorted(out.data)
            # Names of widgets are made up anew each time; so are addresses of figures.
            plain = out.data.get("text/plain", "") if kinds == ["text/plain"] else ""
            parts.append(f"{kinds} {plain}")
    return "\n".join(parts)


def main() -> int:
    """Run the lessons."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="stems of notebooks; default: all lessons")
    names = parser.parse_args().names or LESSONS
    print("| lesson | seconds | again | solutions | same numbers |\n|---|---:|---:|---|---|")
    failed = False
    for name in names:
        seconds, found = [], []
        for _ in range(2):
            notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
            began = time.perf_counter()
            found.append(run(notebook))
            seconds.append(time.perf_counter() - began)
        solutions = [
            text
            for cell, text in zip(notebook.cells, found[-1], strict=True)
            if "solution" in cell.metadata.get("tags", ())
        ]
        right = sum(text.startswith("Right") for text in solutions)
        other = [k for k, (a, b) in enumerate(zip(*found, strict=True)) if a != b]
        same = "yes" if not other else f"no: cells {other}"
        print(
            f"| `{name}` | {seconds[0]:.0f} | {seconds[1]:.0f} | {right} of {len(solutions)} right "
            f"| {same} |",
            flush=True,
        )
        late = max(seconds) > LONGEST.get(name, LONG)
        failed |= late or right < len(solutions) or bool(other)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
