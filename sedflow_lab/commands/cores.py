"""How many threads, processes and machines a command uses."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager

from .shared import Parser, option

__all__ = ["add_threads", "add_workers", "at_most"]


def add_threads(parser: Parser) -> None:
    """Add how many cores to use, which `main` sees to."""
    option(parser, "--threads N", "cores to use at most (default: all)", least=1)


def add_workers(parser: argparse._ActionsContainer, shared: str = "") -> None:
    """Add how many processes to use, by Dask, and what they must see under the same path."""
    option(
        parser,
        "--workers N",
        "processes of one thread each, by Dask (default: this one, with all its cores)",
        least=1,
    )
    seen = f"; they need to see {shared} under the same paths" if shared else ""
    option(parser, "--scheduler ADDRESS", f"Dask scheduler whose workers are to do it{seen}")


@contextmanager
def at_most(threads: int | None) -> Iterator[None]:
    """Let a command use so many cores at most; None for all."""
    if threads is None:
        yield
        return
    from .._threads import limited

    with limited(threads):
        yield
