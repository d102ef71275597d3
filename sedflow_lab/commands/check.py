"""The command that looks whether everything is here: check."""

from __future__ import annotations

import argparse

from . import shared

__all__ = ["add_commands"]


def add_commands(commands: shared.Commands) -> None:
    """Add check."""
    shared.add_command(
        commands,
        "check",
        "whether everything is here, and what to do if not",
        "Looks at versions and memory, infers a galaxy, and makes a panel where the laboratory is\n"
        "installed. Says what is wrong and how to mend it; the exit code is 1 if something is.",
        "sedflow-lab check",
        _check,
        "what was looked at is told above.",
    )


def _check(args: argparse.Namespace) -> int:
    from ..lessons.check import check_installation

    wrong = 0
    for finding in check_installation():
        print(finding, flush=True)
        wrong += finding.wrong
    things = "1 thing is" if wrong == 1 else f"{wrong} things are"
    print(f"{things} wrong: see above." if wrong else "Everything is here.")
    return 1 if wrong else 0
