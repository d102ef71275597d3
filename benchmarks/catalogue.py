"""What a catalogue costs: time, memory, storage; by one process or by Dask; and what a kill costs.

Catalogues are made of a sample: rows repeated with fresh noise, and among fifty of them one that is
hostile. Each part measures and keeps what it found in a file; `page` makes tables of all of it.

    python benchmarks/catalogue.py network ../shared/nsa/nsa_v0_1_2_sample.csv --rows 500 2000
    python benchmarks/catalogue.py memory ../shared/nsa/nsa_v0_1_2_sample.csv --rows 4096 40960
    python benchmarks/catalogue.py auto ../shared/nsa/nsa_v0_1_2_sample.csv --rows 200
    python benchmarks/catalogue.py dask ../shared/nsa/nsa_v0_1_2_sample.csv --rows 1000
    python benchmarks/catalogue.py kill ../shared/nsa/nsa_v0_1_2_sample.csv --rows 300 --kills 5
    python benchmarks/catalogue.py page --out docs/catalogue.md
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil

import sedflow_lab as sl
from sedflow_lab._files import write_text
from sedflow_lab._threads import available
from sedflow_lab.observations.photometry import Photometry

KEPT = Path(__file__).with_suffix(".json")
BETWEEN = "<!-- measured -->", "<!-- end -->"
HOSTILE = 50  # rows, of which one is
SPARSE = 128  # rows of the catalogues that measure memory, of which one can be used
GOAL = 33_884  # galaxies
SURVEYS = (
    ("NASA-Sloan Atlas", 145_155),
    ("SDSS", 10**6),
    ("DESI BGS", 10**7),
    ("Rubin", 10**9),
)
MB, HOUR = 1e6, 3600.0


def make(sample: str, rows: int, path: Path, seed: int = 0, one_of: int = 1) -> None:
    """Write a catalogue of so many rows, of which one in so many has a redshift to be used."""
    real = sl.read_photometry(sample, on_bad="flag")
    real = real[real.usable]
    rng = np.random.default_rng(seed)
    pick = rng.integers(len(real), size=rows)
    flux = real.flux[pick] + real.sigma[pick] * rng.normal(size=(rows, flux_bands(real)))
    sigma, redshift = real.sigma[pick].copy(), real.redshift[pick].copy()
    for k, row in enumerate(range(HOSTILE // 2, rows, HOSTILE)):
        match k % 5:
            case 0:
                flux[row, 1] = np.nan
            case 1:
                sigma[row, 2] = -1.0
            case 2:
                redshift[row] = 99.0
            case 3:
                flux[row] = 1e30
            case 4:
                flux[row, 0] *= 300.0  # can be used, but nothing looks like it
    redshift[np.arange(rows) % one_of > 0] = 99.0
    ids = np.arange(rows).astype(str)
    given = Photometry(flux, sigma, redshift, ids=ids, on_bad="flag")
    table = given.to_table()
    del table["problems"]
    for name in table.colnames:  # FITS has no nanomaggies
        table[name].unit = None
    table.write(path, overwrite=True)


def flux_bands(photometry: Photometry) -> int:
    return photometry.flux.shape[1]


def run(folder: Path, catalogue: Path, name: str, *options: str) -> dict[str, Any]:
    """Time, processor time and memory of `sedflow-lab infer`, its children among them."""
    out = folder / name
    words = ["infer", str(catalogue), "--out", str(out), *options]
    load = os.getloadavg()[0]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start, wall = time.monotonic(), time.time()
    process = subprocess.Popen([sys.executable, "-m", "sedflow_lab.commands.main", *words])
    peak = 0
    while process.poll() is None:
        peak = max(peak, memory_of(process.pid))
        time.sleep(0.25)
    seconds = time.monotonic() - start
    if process.returncode:
        raise SystemExit(f"{' '.join(words)} ended with {process.returncode}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    found = sl.open_catalogue(out)
    written = sorted(path.stat().st_mtime - wall for path in out.glob("summary/0*"))
    files = [path for path in out.rglob("*") if path.is_file()]
    return {
        "rows": len(found),
        "seconds": seconds,
        "cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "first": written[0],  # chunk, so many seconds after the start
        "last": written[-1],
        "peak": peak,
        "bytes": sum(path.stat().st_size for path in files),
        "summary": sum(path.stat().st_size for path in files if path.suffix == ".parquet"),
        "badges": dict(found.badges),
        "load": (load, os.getloadavg()[0]),
        "options": " ".join(options),
    }


def memory_of(process: int) -> int:
    """Resident memory of a process and its children, what they share counted once for each."""
    try:
        parent = psutil.Process(process)
        return sum(p.memory_info().rss for p in (parent, *parent.children(recursive=True)))
    except psutil.Error:
        return 0


def network(args: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    """Catalogues of several lengths, by the network, a process on each core."""
    runs, options = [], ("--workers", str(available()))
    for rows in args.rows:
        make(args.sample, rows, folder / "in.fits")
        runs.append(run(folder, folder / "in.fits", f"{rows}.zarr", *options))
    return runs


def memory(args: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    """Long catalogues, of which most galaxies keep but their place: all is read and written."""
    runs = []
    for rows in args.rows:
        make(args.sample, rows, folder / "in.fits", one_of=SPARSE)
        runs.append(run(folder, folder / "in.fits", f"{rows}.zarr"))
    return runs


def auto(args: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    """The network, and exact posteriors where the badge asks for them."""
    make(args.sample, args.rows[0], folder / "in.fits")
    how = (folder, folder / "in.fits")
    # The difference of the two is what exact posteriors take.
    return [run(*how, "fast.zarr"), run(*how, "auto.zarr", "--method", "auto")]


def dask(args: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    """One process of all threads, and Dask's workers of one thread each."""
    make(args.sample, args.rows[0], folder / "in.fits")
    how, chunk = (folder, folder / "in.fits"), ("--chunk", "32")
    runs = [
        run(*how, "one.zarr", *chunk),
        run(*how, "many.zarr", *chunk, "--workers", str(available())),
    ]
    if files_of(folder / "one.zarr") != files_of(folder / "many.zarr"):
        raise SystemExit("Dask's store is another")
    return runs


def kill(args: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    """SIGKILL at random moments, each time going on, and what is left at the end."""
    make(args.sample, args.rows[0], folder / "in.fits")
    options = ("--chunk", "16", "--draws", "100", "--method", args.method)
    whole = run(folder, folder / "in.fits", "whole.zarr", *options)
    wanted, out = files_of(folder / "whole.zarr"), folder / "killed.zarr"
    rng, repeated, hit = random.Random(0), [], 0
    words = ["infer", str(folder / "in.fits"), "--out", str(out), *options]
    chunks, each = len(list(out.with_name("whole.zarr").glob("summary/0*"))), whole["seconds"]
    for k in range(args.kills):
        process = subprocess.Popen([sys.executable, "-m", "sedflow_lab.commands.main", *words])
        # Spread over the run: once so many chunks are there, and at any moment of the next.
        done = (k + rng.random()) / args.kills * chunks
        while process.poll() is None and len(list(out.glob("summary/0*"))) < int(done):
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 2 * each / chunks))
        process.send_signal(signal.SIGKILL)
        hit += process.wait() == -signal.SIGKILL
        there = files_of(out) if out.exists() else {}
        # A table is that of an undisturbed run, before or after its galaxies were made exact.
        odd = [name for name in there if name not in wanted]
        if odd:
            raise SystemExit(f"{odd} are in no undisturbed run")
        repeated.append(in_hand(out))
    again = run(folder, folder / "in.fits", "killed.zarr", *options)
    again |= {"kills": args.kills, "hit": hit, "in_hand": max(repeated)}
    again["identical"] = files_of(out) == wanted
    return [whole, again]


def in_hand(out: Path) -> int:
    """Chunks of which draws are there but not the table that belongs to them."""
    if not out.exists():
        return 0
    from sedflow_lab.catalogue.store import Store

    store, damaged = Store.open(out), 0
    for number in store.chunks:
        try:
            rows = store.state(number)
        except sl.InputError:
            damaged += 1
        else:
            damaged += rows is None and (out / f"samples/c/{number}/0/0").exists()
    return damaged


def files_of(store: Path) -> dict[str, str]:
    return {
        str(path.relative_to(store)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in store.rglob("*")
        if path.is_file() and not path.name.startswith(".")
    }


def slope(runs: list[dict[str, Any]], what: str) -> float:
    """What one more galaxy costs, from the shortest and the longest of catalogues."""
    few, many = (pick(runs, key=lambda r: r["rows"]) for pick in (min, max))
    return (many[what] - few[what]) / (many["rows"] - few["rows"])


def page(found: dict[str, Any]) -> str:
    """Tables of what was measured."""
    runs = found["network"]["runs"]
    wall, cpu = slope(runs, "seconds"), slope(runs, "cpu")
    fast, both = found["auto"]["runs"]
    hard = sum(n for badge, n in fast["badges"].items() if badge == "refine")
    share = hard / fast["rows"]
    exact = (both["cpu"] - fast["cpu"]) / hard
    exact_wall = (both["seconds"] - fast["seconds"]) / hard
    drawn = (runs[-1]["bytes"] - runs[-1]["summary"]) / runs[-1]["rows"]
    told = runs[-1]["summary"] / runs[-1]["rows"]
    lines = [machine(found), "", *table_of_runs(found), ""]
    goal = GOAL * wall / 60
    more = goal + GOAL * share * exact_wall / 60
    lines += [
        f"One more galaxy takes {1e3 * wall:.0f} ms of the clock and {1e3 * cpu:.0f} ms of a core "
        "by the network (1,000 draws, badge, derived quantities, files). The badge asked for the "
        f"exact posterior of {100 * share:.0f} % of the galaxies, hostile ones among them, and "
        f"each took {exact:.1f} s of a core, {exact_wall:.1f} s of the clock. For {GOAL:,} "
        "galaxies that is "
        f"{goal:.0f} minutes by the network (the goal is 6) and {more:.0f} minutes with exact "
        "posteriors where the badge asks (the goal is 90).",
        "",
        "| survey | galaxies | network, core hours | with exact ones, core hours | the same, days "
        "of 64 cores | float32 | uint16 | summaries alone |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name, galaxies in SURVEYS:
        hours = galaxies * cpu / HOUR
        every = hours + galaxies * share * exact / HOUR
        sizes = [galaxies * size for size in (drawn + told, drawn / 2 + told, told)]
        cells = [f"{galaxies:,}", number(hours), number(every), number(every / 64 / 24)]
        lines.append(f"| {name} | {' | '.join([*cells, *map(size_of, sizes)])} |")
    per = [1e3 * cpu, 1e3 * (cpu + share * exact)]
    lines += [
        "",
        "| method | processor time a galaxy | source |",
        "|---|---:|---|",
        f"| this network, 1,000 draws, with badge and summary | {per[0]:.0f} ms | above |",
        f"| the same, exact where the badge asks | {per[1]:.0f} ms | above |",
        f"| SEDflow, 10,000 draws | {1e3 * 12 * HOUR / GOAL:.0f} ms | 12 CPU hours for {GOAL:,} "
        "galaxies, Hahn & Melchior 2022 |",
        "| PROVABGS with its emulator | 10 min | Hahn et al. 2023 |",
        "| MCMC with FSPS | 10–100 h | Hahn & Melchior 2022 |",
    ]
    return "\n".join(lines)


def machine(found: dict[str, Any]) -> str:
    loads = [load for part in found.values() for r in part["runs"] for load in r["load"]]
    about = next(iter(found.values()))["machine"]
    return (
        f"Machine: {about}. The load, that of the measurements included, was {min(loads):.1f} to "
        f"{max(loads):.1f}. No GPU was used. Memory is that of the process and its children at its "
        "peak."
    )


def table_of_runs(found: dict[str, Any]) -> list[str]:
    lines = [
        "| measured | rows | options | time [s] | processor [s] | first chunk after [s] | peak "
        "memory [GB] | kB a galaxy | load |",
        "|---|---:|---|---:|---:|---:|---:|---:|---:|",
    ]
    for name, part in found.items():
        for r in part["runs"]:
            cells = [
                name,
                f"{r['rows']:,}",
                f"`{r['options']}`" if r["options"] else "",
                f"{r['seconds']:.0f}",
                f"{r['cpu']:.0f}",
                f"{r['first']:.0f}" if r["first"] > 0 else "",
                f"{r['peak'] / 1e9:.2f}",
                f"{r['bytes'] / r['rows'] / 1e3:.1f}",
                f"{r['load'][0]:.1f}–{r['load'][1]:.1f}",
            ]
            lines.append(f"| {' | '.join(cells)} |")
    one, many = found["dask"]["runs"]
    rates = [(r["rows"] - 32) / (r["last"] - r["first"]) for r in (one, many)]
    killed = found["kill"]["runs"][1]
    lines += [
        "",
        f"Dask's workers made {rates[1]:.1f} galaxies a second from the first chunk to the "
        f"last, and one process with as many threads {rates[0]:.1f}: a ratio of "
        f"{rates[1] / rates[0]:.2f}. Both stores are the same to the last bit.",
        "",
        f"{killed['hit']} of {killed['kills']} times a run was killed at a random moment. "
        f"The most chunks that were half there afterwards were {killed['in_hand']}, and the store "
        f"that the last run finished is {'' if killed['identical'] else 'NOT '}that of an "
        "undisturbed run, to the last bit.",
    ]
    return lines


def number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def size_of(size: float) -> str:
    for unit, scale in (("TB", 1e12), ("GB", 1e9)):
        if size >= scale:
            return f"{number(size / scale)} {unit}"
    return f"{number(size / MB)} MB"


PARTS = {"network": network, "memory": memory, "auto": auto, "dask": dask, "kill": kill}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=[*PARTS, "page"])
    parser.add_argument("sample", nargs="?", help="galaxies of the Atlas")
    parser.add_argument("--rows", type=int, nargs="+", default=[GOAL])
    parser.add_argument("--method", default="auto", help="of the run that is killed")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--out", help="page whose part between the marks is written anew")
    args = parser.parse_args()
    found = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    if args.part != "page":
        with tempfile.TemporaryDirectory() as folder:
            runs = PARTS[args.part](args, Path(folder))
        cores = f"{available()} virtual cores of an {processor()}"
        found[args.part] = {"runs": runs, "machine": cores}
        found = {name: found[name] for name in PARTS if name in found}
        write_text(KEPT, json.dumps(found, indent=1) + "\n")
        print(json.dumps(runs, indent=1))
        return
    text = page(found)
    print(text)
    if args.out:
        before, _, rest = Path(args.out).read_text().partition(BETWEEN[0])
        _, _, after = rest.partition(BETWEEN[1])
        write_text(args.out, f"{before}{BETWEEN[0]}\n\n{text}\n\n{BETWEEN[1]}{after}")


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown processor"
    return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))


if __name__ == "__main__":
    main()
