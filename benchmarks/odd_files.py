"""Put something odd in the place of each file that a command reads, writes, or finds of its own.

Each command of `reliability.py` is run with one path made odd: a file that it reads is missing,
empty, cut short, full of flipped bits, junk, another command's file, a folder, a named pipe, a
device, or a link to itself; where it writes there lies one of these, or the path is none; and
what it has left of a run before is damaged, and it runs again. It must end with exit code 0 or
with one sentence, soon. Needs Linux, and the tests beside it.

    python benchmarks/odd_files.py --minutes 8 --seed 0 --out docs/reliability.md
"""

from __future__ import annotations

import argparse
import os
import random
import shlex
import shutil
import stat
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from reliability import COMMANDS, GIVEN, Log, finish, kitchen, prepare, start

PLACES = ("read", "written", "left over")
OUTCOMES = ("done", "sentence", "long text", "traceback", "crash", "hang")
WRITTEN = ("out", "draws", "chains")  # what commands write, by the start of its name
READS = {*GIVEN, "net", "net.zip", "atlas"}
_PATIENCE = 180.0  # seconds; more than any of these commands takes, ten times over
_LONGEST = 3  # lines of an error

Odd = Callable[[Path, bytes, random.Random], None]


def _flip(data: bytes, rng: random.Random) -> bytes:
    """Flip some bits, here and there."""
    flipped = bytearray(data)
    for _ in range(1 + len(data) // 2000):
        if flipped:
            flipped[rng.randrange(len(flipped))] ^= 1 << rng.randrange(8)
    return bytes(flipped)


def _link_to(target: str) -> Odd:
    return lambda path, data, rng: path.symlink_to(target)


def _device(name: str, minor: int) -> Odd:
    """Make a device of its own: who may make one could replace that of the machine, too."""

    def make(path: Path, data: bytes, rng: random.Random) -> None:
        try:
            os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, minor))
        except PermissionError:
            path.symlink_to(f"/dev/{name}")

    return make


def _writes(make: Callable[[bytes, random.Random], bytes]) -> Odd:
    def write(path: Path, data: bytes, rng: random.Random) -> None:
        path.write_bytes(make(data, rng))

    return write


ODD: dict[str, Odd] = {
    "missing": lambda path, data, rng: None,
    "empty": _writes(lambda data, rng: b""),
    "cut short": _writes(lambda data, rng: data[: rng.randrange(len(data) or 1)]),
    "flipped bits": _writes(_flip),
    "longer": _writes(lambda data, rng: data + rng.randbytes(rng.randrange(1, 3000))),
    "junk": _writes(lambda data, rng: rng.randbytes(3000)),
    "zeros": _writes(lambda data, rng: bytes(len(data))),
    "words": _writes(lambda data, rng: b"<!DOCTYPE html>\n<html><body>Not found</body></html>\n"),
    "folder": lambda path, data, rng: path.mkdir(),
    "pipe": lambda path, data, rng: os.mkfifo(path),
    "null device": _device("null", 3),
    "full device": _device("full", 7),
    "link to itself": lambda path, data, rng: path.symlink_to(path.name),
    "link to nothing": _link_to("nowhere/at/all"),
}
"""What is put in the place of a file, by its name."""

NAMES = ("in.csv/out", "x" * 300, "nowhere/" * 700, "/proc/out", "out\udcff", "net")
"""Paths that a command is told to write to."""


def remove(path: Path) -> None:
    """Remove a file, folder or link."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def put(path: Path, others: list[Path], rng: random.Random) -> str:
    """Put something odd in a place; what it is."""
    data = path.read_bytes() if path.is_file() else b""
    what = rng.choice([*ODD, "another file"])
    another = rng.choice(others).read_bytes()
    remove(path)
    if what == "another file":
        path.write_bytes(another)
    else:
        ODD[what](path, data, rng)
    return what


def files_of(folder: Path) -> list[Path]:
    """All files in a folder, at any depth."""
    return [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink()]


def attempt(
    place: str, command: str, source: Path, done: Path, folder: Path, rng: random.Random
) -> tuple[str, int | None, str]:
    """One trial: what was odd, the exit code, None where it hung, and what was printed."""
    prepare(done if place == "left over" else source, folder)
    words, others = command.split(), files_of(source)
    outputs = [i for i, word in enumerate(words) if word.partition(".")[0] in WRITTEN]
    if place == "written":
        at = rng.choice(outputs)
        if rng.random() < 0.5:
            words[at] = rng.choice(NAMES)
            what = f"told to write to {words[at][:40]!r}"
        else:
            what = f"{words[at]} is {put(folder / words[at], others, rng)}"
    else:
        given = [word for i, word in enumerate(words) if i not in outputs]
        known = {path.relative_to(source) for path in others}
        if place == "read":
            mine = [p for p in known if p.parts[0] in given]
        else:
            mine = [p for p in (f.relative_to(folder) for f in files_of(folder)) if p not in known]
        path = rng.choice(sorted(mine))
        what = f"{path} is {put(folder / path, others, rng)}"
    code, text = finish(start(shlex.join(words), folder), _PATIENCE)
    return what, code, text


def outcome(code: int | None, text: str) -> str:
    """What an exit code and what was printed amount to."""
    if code is None:
        return "hang"
    if "Traceback" in text or "Exception ignored" in text or code == 70:
        return "traceback"
    if code < 0:
        return "crash"
    if code == 0:
        return "done"
    lines = text[text.find("error:") :].count("\n")
    return "sentence" if "error:" in text and lines <= _LONGEST else "long text"


def main() -> None:
    """Try until the time is over, and print the counts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0, help="when to end (%(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", choices=COMMANDS, default=list(COMMANDS))
    parser.add_argument("--out", type=Path, help="page whose counts of these commands to replace")
    args = parser.parse_args()
    rng, log = random.Random(args.seed), Log("odd files", "odd file", PLACES, OUTCOMES)
    counts = {
        (name, place): Counter[str]()
        for name in args.only
        for place in PLACES
        if place != "read" or READS.intersection(COMMANDS[name].split())
    }
    with (
        tempfile.TemporaryDirectory() as temporary,
        kitchen(Path(temporary)) as (source, url),
    ):
        folder = Path(temporary) / "trial"
        until = time.monotonic() + 60 * args.minutes
        try:
            while time.monotonic() < until:
                for name, place in rng.sample(list(counts), len(counts)):
                    if time.monotonic() > until:
                        break
                    command, done = COMMANDS[name].replace("URL", url), Path(temporary) / name
                    if not done.exists():
                        prepare(source, done)
                        code, text = finish(start(command, done))
                        if code:
                            raise SystemExit(text)
                    what, code, text = attempt(place, command, source, done, folder, rng)
                    found = outcome(code, text)
                    counts[name, place].update(("trials", found))
                    print(f"--- {found}: {name}: {what}\n{text[-3000:]}", flush=True)
        finally:  # what was counted is said, whatever comes between
            print(log.table(counts))
    if args.out:
        log.update(args.out, counts)


if __name__ == "__main__":
    main()
