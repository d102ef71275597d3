"""Disturb every command at random moments, repeat it, and compare with a run that was left alone.

Disturbances are SIGKILL, SIGTERM, Ctrl-C, a full disk (a limit on the size of files), and the same
command in a second process. Afterwards the same command must give the same numbers, to the bit;
times, and pictures but for their being there, are left out. Needs fork.

    python benchmarks/reliability.py --minutes 10 --seed 0
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import resource
import shutil
import signal
import tempfile
import time
import traceback
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.table import Table
from safetensors.numpy import load_file

import sedflow_lab as sl
from sedflow_lab import anpe, catalogue, reports, samplers
from sedflow_lab.commands.main import main
from sedflow_lab.reports import demo, paper, study
from sedflow_lab.reports.study import run as study_run

LOADED = (anpe, catalogue, reports, samplers, demo, paper, study)  # once, before the forks

DISTURBANCES = ("SIGKILL", "SIGTERM", "Ctrl-C", "full disk", "second process")
SIGNALS = {"SIGKILL": signal.SIGKILL, "SIGTERM": signal.SIGTERM, "Ctrl-C": signal.SIGINT}
TINY = "--couplings 2 --hidden 16 --steps 200 --batch 64 -n 1000"

COMMANDS = {
    "infer": "infer in.csv --posterior net --method weighted --draws 1000 --out out.ecsv "
    "--samples draws.h5",
    "mcmc": "mcmc in.csv --posterior net --row 0 --walkers 88 --max-steps 400 --draws 200 "
    "--out out.h5 --backend chains.h5",
    "compare": "compare --posterior net --galaxies 1 --chains-only --out out",
    "simulate": "simulate out -n 60000",
    "train": f"train out {TINY}",
    "card": "card net --out out --simulations 20 --draws 50 --galaxies 2 --weighted-draws 50 "
    "--exact 1",
    "figures": "figures --posterior net --out out --only 5 --simulations 40 --draws 100 "
    "--mcmc-simulations 0",
    "demo": "demo --posterior net --galaxies 1 --max-steps 100 --out out",
    "noise": "noise in.csv --out out.json",
    "ssp compare": "ssp compare shipped shipped --table out.csv --out out.png",
}
"""Commands by their names, as small as they can be."""


@dataclass(frozen=True)
class Reference:
    """What a command gives that is left alone: digests by file, seconds, and its largest file."""

    digests: dict[str, str]
    seconds: float
    bytes: int


def start(command: str, folder: Path, log: Path, limit: int | None = None) -> int:
    """Run a command in a forked process; returns its id."""
    if process := os.fork():
        return process
    code = 70
    try:
        os.chdir(folder)
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        code = main(command.split())
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def finish(process: int) -> int:
    """Wait for a process; its exit code, or minus the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def digest(path: Path) -> str:
    """What a file says, times left out."""
    found = hashlib.sha256()
    if path.suffix in (".csv", ".ecsv"):
        table = Table.read(path)
        for name in table.colnames:
            if "seconds" not in name:
                found.update(f"{name} {table[name].tolist()}".encode())
    elif path.suffix == ".h5":
        result = sl.PosteriorResult.load(path)
        for array in (result.samples, result.weights, result.ess):
            found.update(np.ascontiguousarray(array).tobytes())
    elif path.suffix == ".safetensors":
        for name, array in sorted(load_file(path).items()):
            found.update(name.encode() + array.tobytes())
    elif path.suffix == ".npz":
        with np.load(path) as arrays:
            for name in sorted(arrays):
                if name != "settings":
                    found.update(name.encode() + arrays[name].tobytes())
    elif path.name in ("out.json", "support.json"):
        found.update(path.read_bytes())
    return found.hexdigest()


def digests(folder: Path) -> dict[str, str]:
    """What the files of a command say, those left out that are its own affair."""
    own = ("in.csv", "chains.h5", "checkpoint.safetensors")
    paths = [p for p in sorted(folder.rglob("*")) if p.is_file() and p.name not in own]
    return {
        str(p.relative_to(folder)): digest(p)
        for p in paths
        if "net" not in p.relative_to(folder).parts[0] and not p.name.endswith(".lock")
    }


def prepare(source: Path, folder: Path) -> None:
    """Make a fresh folder with the catalogue and the network."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(source, folder)


def refer(command: str, folder: Path, log: Path) -> Reference:
    """Run a command that is left alone."""
    before = {p for p in folder.rglob("*")}
    began = time.monotonic()
    if code := finish(start(command, folder, log)):
        raise SystemExit(f"{command} ended with {code}:\n{log.read_text()}")
    seconds = time.monotonic() - began
    sizes = [p.stat().st_size for p in folder.rglob("*") if p.is_file() and p not in before]
    return Reference(digests(folder), seconds, max(sizes))


def disturb(
    how: str, command: str, reference: Reference, folder: Path, log: Path, rng: random.Random
) -> set[str]:
    """One trial; returns what happened."""
    moment = rng.uniform(0, reference.seconds)
    limit = rng.randrange(reference.bytes) if how == "full disk" else None
    processes = {start(command, folder, log, limit): log}
    if how == "second process":
        time.sleep(moment)
        second = log.with_suffix(".second")
        processes[start(command, folder, second)] = second
    elif how in SIGNALS:
        time.sleep(moment)
        os.kill(next(iter(processes)), SIGNALS[how])
    happened = set()
    for process, its_log in processes.items():
        code, text = finish(process), its_log.read_text()
        if "Traceback" in text or "Exception ignored" in text or code == 70:
            happened.add("traceback")
            print(f"--- {how}: {command}\n{text}", flush=True)
        elif code > 0:
            happened.add("sentence")
        elif code < 0:
            happened.add("killed" if how in SIGNALS else "crash")
    if code := finish(start(command, folder, log)):
        happened.add("blocked")
        print(f"--- after {how}: {command} ended with {code}\n{log.read_text()}", flush=True)
    found = digests(folder)
    happened.add("identical" if found == reference.digests else "lost")
    if found != reference.digests:
        differ = {k for k in found | reference.digests if found.get(k) != reference.digests.get(k)}
        print(f"--- {how}: {command}: {', '.join(sorted(differ))}", flush=True)
    return happened


def report(counts: dict[tuple[str, str], Counter[str]]) -> str:
    """Markdown of all counts."""
    outcomes = ("identical", "sentence", "killed", "traceback", "crash", "blocked", "lost")
    lines = [f"| command | disturbance | trials | {' | '.join(outcomes)} |"]
    lines.append("|---|---|" + "---:|" * (1 + len(outcomes)))
    total: Counter[str] = Counter()
    for (name, how), found in counts.items():
        total += found
        cells = (found["trials"], *(found[outcome] for outcome in outcomes))
        lines.append(f"| {name} | {how} | {' | '.join(map(str, cells))} |")
    cells = (total["trials"], *(total[outcome] for outcome in outcomes))
    lines.append(f"| all | all | {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def run() -> None:
    """Disturb until the time is over, and print the counts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0, help="when to end (%(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", choices=COMMANDS, default=list(COMMANDS))
    args = parser.parse_args()
    rng, until = random.Random(args.seed), time.monotonic() + 60 * args.minutes
    study_run.MAX_STEPS = 200  # so that a chain takes seconds
    counts = {(name, how): Counter[str]() for name in args.only for how in DISTURBANCES}
    with tempfile.TemporaryDirectory() as temporary:
        source, folder, log = (Path(temporary) / name for name in ("source", "trial", "log"))
        source.mkdir()
        sl.showcase().to_table().write(source / "in.csv")
        if finish(start(f"train net {TINY}", source, log)):
            raise SystemExit(log.read_text())
        references: dict[str, Reference] = {}
        try:
            while time.monotonic() < until:
                for name, how in rng.sample(list(counts), len(counts)):
                    if time.monotonic() > until:
                        break
                    if name not in references:
                        prepare(source, folder)
                        references[name] = refer(COMMANDS[name], folder, log)
                    prepare(source, folder)
                    happened = disturb(how, COMMANDS[name], references[name], folder, log, rng)
                    counts[name, how].update({"trials": 1} | dict.fromkeys(happened, 1))
        finally:  # what was counted is said, whatever comes between
            print(report(counts))


if __name__ == "__main__":
    run()
