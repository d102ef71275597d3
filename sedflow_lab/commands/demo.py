"""The command that shows what the package does: demo."""

from __future__ import annotations

import argparse

from . import cores, shared
from .shared import option

__all__ = ["add_commands"]


def add_commands(commands: shared.Commands) -> None:
    """Add demo."""
    parser = shared.add_command(
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
    option(parser, "--out FOLDER", "where to write", default="demo")
    which = parser.add_mutually_exclusive_group()
    option(
        which,
        "--galaxies N",
        "how many galaxies, spread over the colours of the showcase",
        default=3,
        least=1,
    )
    option(which, "--ids ID", "these galaxies of the showcase, by their NSAID", nargs="+")
    shared.add_posterior(parser)
    option(
        parser,
        "--max-steps N",
        "steps after which emcee gives up, a multiple of 50",
        default=6000,
        least=1,
    )
    shared.add_seed(parser)
    cores.add_threads(parser)


def _demo(args: argparse.Namespace) -> None:
    from ..reports.demo import run_demo

    report = run_demo(
        args.out,
        args.ids,
        n=args.galaxies,
        posterior=shared.load(args),
        max_steps=args.max_steps,
        seed=args.seed,
        progress=shared.is_interactive(),
        tell=shared.say,
    )
    print(report.to_markdown())
    print(f"report.md, summary.ecsv and the figures are in {args.out}.")
