"""The command that shows what the package does: demo."""

from __future__ import annotations

import argparse

from .shared import Commands, add_command, add_posterior, is_interactive, say

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
    which.add_argument(
        "--galaxies",
        metavar="N",
        type=int,
        default=3,
        help="how many galaxies, spread over the colours of the showcase (default: %(default)s)",
    )
    which.add_argument(
        "--ids", metavar="ID", nargs="+", help="these galaxies of the showcase, by their NSAID"
    )
    add_posterior(parser)
    parser.add_argument(
        "--max-steps",
        metavar="N",
        type=int,
        default=6000,
        help="steps after which emcee gives up, a multiple of 50 (default: %(default)s)",
    )
    parser.add_argument(
        "--seed",
        metavar="N",
        type=int,
        default=0,
        help="the same seed gives the same numbers (default: %(default)s)",
    )


def _demo(args: argparse.Namespace) -> None:
    from ..anpe import load_posterior
    from ..reports.demo import run_demo
    from ..sps import load_ssp_grid

    posterior = load_posterior(args.posterior, ssp=load_ssp_grid(args.ssp))
    report = run_demo(
        args.out,
        args.ids,
        n=args.galaxies,
        posterior=posterior,
        max_steps=args.max_steps,
        seed=args.seed,
        progress=is_interactive(),
        tell=say,
    )
    print(report.to_markdown())
    print(f"report.md, summary.ecsv and the figures are in {args.out}.")
