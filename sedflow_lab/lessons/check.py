"""Whether everything is here that package and notebooks need, and what to do if not."""

from __future__ import annotations

import importlib.metadata as metadata
import os
import platform
import re
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

__all__ = ["Finding", "check_installation"]

_NAME = "sedflow-lab"
_OLDEST = (3, 11)
_MEMORY = 0.7  # GB: a kernel with a panel takes some 0.5
_SLOW = 60.0  # seconds for a posterior, beyond which something else keeps the machine busy
_LAB = "jupyterlab"  # who has it has meant to install the laboratory
_CURE = "pip install --upgrade '{}'"
_WHOLE = "install it anew: pip install --force-reinstall --no-deps sedflow-lab, or make lab"


@dataclass(frozen=True)
class Finding:
    """What has been looked at.

    Attributes
    ----------
    what, found : str
    cure : str
        What to do about it; ``""`` where nothing is wrong.
    """

    what: str
    found: str
    cure: str = ""

    @property
    def wrong(self) -> bool:
        """Whether something has to be done."""
        return bool(self.cure)

    def __str__(self) -> str:
        """One line, or two where something is wrong."""
        line = f"{'WRONG' if self.wrong else 'ok':6}{self.what}: {self.found}"
        return f"{line}\n      Remedy: {self.cure}." if self.wrong else line


def check_installation() -> Iterator[Finding]:
    """Look at Python, packages, memory, a posterior and a panel, one after the other.

    What needs a package that is missing is not tried. Without JupyterLab the laboratory counts as
    not installed, which is not wrong.
    """
    yield _python()
    yield _memory()
    packages = _packages("")
    yield from packages
    if any(finding.wrong for finding in packages):
        return
    yield _try("Posterior", _posterior)
    if _version(_LAB) is None:
        yield Finding("Laboratory", "not installed; notebooks need pip install 'sedflow-lab[lab]'")
        return
    lab = _packages("lab")
    yield from lab
    if not any(finding.wrong for finding in lab):
        yield _try("Panel", _panel)


def _python() -> Finding:
    found = f"{platform.python_version()} at {sys.executable}"
    oldest = ".".join(map(str, _OLDEST))
    old = sys.version_info[:2] < _OLDEST
    return Finding("Python", found, f"install Python {oldest} or newer" if old else "")


def _memory() -> Finding:
    free = _free_memory()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    if free is None:
        return Finding("Memory", f"not known here; {cores} cores")
    short = free < _MEMORY
    cure = "close other programs and notebooks; a kernel with a panel takes some 0.5 GB"
    return Finding("Memory", f"{free:.1f} GB free, {cores} cores", cure if short else "")


def _free_memory() -> float | None:
    """Memory [GB] that a program may still take, where the system tells."""
    try:
        with open("/proc/meminfo") as file:
            lines = dict(line.split(":") for line in file)
        return int(lines["MemAvailable"].split()[0]) / 1e6
    except (OSError, KeyError, ValueError):
        return None


def _packages(extra: str) -> list[Finding]:
    """What is missing or too old of what the package, or one of its extras, asks for."""
    label = "Packages of the laboratory" if extra else "Packages"
    try:
        lines = metadata.requires(_NAME) or []
    except metadata.PackageNotFoundError:
        return [Finding(label, "sedflow-lab is not installed here", "pip install ., or make lab")]
    wanted = [line.partition(";")[0].strip() for line in lines if _extra_of(line) == extra]
    bad = [finding for finding in map(_package, wanted) if finding.wrong]
    return bad or [Finding(label, f"all {len(wanted)} are here")]


def _extra_of(line: str) -> str:
    marked = re.search(r"extra\s*==\s*['\"]([\w-]+)['\"]", line)
    return marked[1] if marked else ""


def _package(wanted: str) -> Finding:
    name = re.split(r"[^\w.-]", wanted, maxsplit=1)[0]
    version, least = _version(name), re.search(r">=\s*([\d.]+)", wanted)
    cure = _CURE.format(wanted)
    if version is None:
        return Finding(name, "missing", cure)
    if least and _numbers(version) < _numbers(least[1]):
        return Finding(name, f"{version}, but {least[1]} or newer is needed", cure)
    return Finding(name, version)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _numbers(version: str) -> tuple[int, ...]:
    """The leading numbers of a version: 2.13.0+cpu is (2, 13, 0)."""
    match = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in match[0].split(".")) if match else ()


def _try(what: str, work: Callable[[], Finding]) -> Finding:
    """What work finds, or how it failed: a check has to say so of whatever goes wrong."""
    try:
        return work()
    except Exception as error:
        sentence = " ".join(str(error).split()).rstrip(".")
        return Finding(what, f"failed ({type(error).__name__}: {sentence})", _WHOLE)


def _posterior() -> Finding:
    from ..anpe import load_posterior
    from ..observations import showcase

    began = time.perf_counter()
    posterior, galaxy = load_posterior(), showcase()[0]
    loaded = time.perf_counter()
    result = posterior.infer(galaxy, 1000, "fast", seed=0)
    seconds, taken = time.perf_counter() - loaded, loaded - began
    found = f"of galaxy {galaxy.ids[0]} in {seconds:.2f} s, after {taken:.1f} s to load"
    if not result.usable.all():
        return Finding("Posterior", f"{found}: {result.problems[0]}", _WHOLE)
    slow = seconds + taken > _SLOW
    return Finding("Posterior", found, "see what else keeps this machine busy" if slow else "")


def _panel() -> Finding:
    from ..panels import ABCPanel

    began = time.perf_counter()
    panel = ABCPanel(budget=10_000)
    panel.state.wait()
    panel.close()
    if panel.state.message:
        raise RuntimeError(panel.state.message)
    return Finding("Panel", f"made and closed in {time.perf_counter() - began:.1f} s")
