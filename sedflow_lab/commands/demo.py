"""The command that shows what the package does: demo."""

from __future__ import annotations

import argparse

from .shared import (
    Commands,
    add_command,
    add_number,
    add_posterior,
    add_seed,
    is_interactive,
    load,
    say,
)

__all__ = ["add_commands"]


def add_commands(commands: Commands) -> None:
    """Add demo."""
    parser = add_command(
        commands,
        "demo",
        "the network beside emcee, for three real galaxies",
        "Infers a blue, a typical and a red galaxy of the NASA-Sloan Atlas with the network and\n"
        "with emcee, and writes corner plots, spectra, histories, and a report of how well the\n"
        "two agree. It takes a few minutes.",
        "sedflow-lab demo --out demo",
        _demo,
        "the galaxies that were finished are in the report.",
    )
    parser.add_argument(
        "--out", metavar="FOLDER", default="demo", help="where to write (default: %(default)s)"
    )
    which = parser.add_mutually_exclusive_group()
    add_number(which, "--galaxies", 3, "how many galaxies, spread over the colours of the showcase")
    which.add_argument(
        "--ids", metavar="ID", nargs="+", help="these galaxies of the showcase, by their NSAID"
    )
    add_posterior(parser)
    add_number(parser, "--max-steps", 6000, "steps after which emcee gives up, a multiple of 50")
    add_seed(parser)


def _demo(args: argparse.Namespace) -> None:
    from ..reports.demo import run_demo

    report = run_demo(
        args.out,
        args.ids,
        n=args.galaxies,
        posterior=load(args),
        max_steps=args.max_steps,
        seed=args.seed,
        progress=is_interactive(),
        tell=say,
    )
    print(report.to_markdown())
    print(f"report.md, summary.ecsv and the figures are in {args.out}.")
