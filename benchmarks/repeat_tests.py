"""Repeat the tests with other seeds, on one core and on two, and keep a log.

A test that passes by luck fails sooner or later: seeds are shifted in whatever draws random numbers
(SEDFLOW_TEST_SEED), Hypothesis draws other examples, and the browser's timing is another on fewer
cores. Needs Linux.

    python benchmarks/repeat_tests.py --seeds 10 --cores 1 2 --out docs/tests.md
    python benchmarks/repeat_tests.py --seeds 3 --cores 2 -- -m "chance and not browser"

Seeds take the numbers of cores in turn. With --add, the runs that the page holds stay.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from xml.etree import ElementTree

from sedflow_lab.anpe.recipe import processor_name

ROOT = Path(__file__).resolve().parents[1]
HEAD = "| seed | cores | passed | failed | skipped | minutes |\n|---:|---:|---:|---:|---:|---:|\n"
_BEGIN, _END = "<!-- runs -->\n", "<!-- end of runs -->\n"


def repeat(seed: int, cores: int, selection: list[str]) -> tuple[str, list[str]]:
    """Run the tests once; a row of the table, and which tests failed."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        command += ["-n", "auto", "--dist", "worksteal", f"--junitxml={report}"]
        command += [f"--hypothesis-seed={seed}", *selection]
        environment = {k: v for k, v in os.environ.items() if k != "CI"}
        began = time.monotonic()
        subprocess.run(
            command,
            cwd=ROOT,
            env=environment | {"SEDFLOW_TEST_SEED": str(seed)},
            preexec_fn=lambda: os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores]),
            check=False,
        )
        minutes = (time.monotonic() - began) / 60
        cases = list(ElementTree.parse(report).iter("testcase"))
    failed = [
        f"{case.get('classname')}::{case.get('name')} (seed {seed}, cores {cores})"
        for case in cases
        if case.find("failure") is not None or case.find("error") is not None
    ]
    skipped = sum(case.find("skipped") is not None for case in cases)
    passed = len(cases) - len(failed) - skipped
    return f"| {seed} | {cores} | {passed} | {len(failed)} | {skipped} | {minutes:.0f} |", failed


def _runs_of(page: Path) -> str:
    """What a page holds of runs, but for the sentence that there are none."""
    runs = page.read_text().partition(_BEGIN)[2].partition(_END)[0].rstrip("\n")
    return f"{runs}\n" if "|" in runs else ""


def main() -> None:
    """Repeat, and write the log after each run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10, help="how many, from --first on")
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--cores", type=int, nargs="+", default=[1, 2], help="in turn")
    parser.add_argument("--out", type=Path, help="page whose runs to replace")
    parser.add_argument("--add", action="store_true", help="keep the runs that are there")
    parser.add_argument("selection", nargs="*", default=["-m", "chance"], help="for pytest")
    args = parser.parse_args()
    rows: list[str] = []
    failures: list[str] = []
    said = " ".join(f'"{word}"' if " " in word else word for word in args.selection)
    kept = _runs_of(args.out) if args.add and args.out else ""
    began = f"`pytest {said}` from {date.today()} on, on {processor_name()}:\n\n{HEAD}"
    for k in range(args.seeds):
        row, failed = repeat(args.first + k, args.cores[k % len(args.cores)], args.selection)
        rows, failures = [*rows, row], [*failures, *failed]
        text = began + "\n".join(rows) + "\n"
        text += "".join(f"\n* failed: {name}" for name in failures) + "\n" * bool(failures)
        print(text, flush=True)
        if args.out:
            before, _, rest = args.out.read_text().partition(_BEGIN)
            runs = f"{kept}\n{text}\n"
            args.out.write_text(f"{before}{_BEGIN}{runs}{_END}{rest.partition(_END)[2]}")
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
