"""The command that makes the paper's figures: figures."""

from __future__ import annotations

import argparse

from . import cores, shared
from .shared import option

__all__ = ["add_commands"]

_FIGURES = ("1", "2", "3", "4", "5", "6", "7")


def add_commands(commands: shared.Commands) -> None:
    """Add figures."""
    parser = shared.add_command(
        commands,
        "figures",
        "the figures of the paper: what was trained on, and is it calibrated",
        "Makes the figures of the paper as PDF and PNG: 1 the training distribution with real\n"
        "galaxies over it, 2 a galaxy against MCMC, 3 p-p curves and 4 rank histograms with MCMC\n"
        "in grey; and 5 joint coverage, 6 coverage by what is observed, 7 z-scores. Runs are\n"
        "kept: the network's take minutes, those of MCMC half a minute for each simulation.",
        "sedflow-lab figures --out figures --mcmc study",
        _figures,
        "the simulations that were finished are kept: run the same command again to go on.",
    )
    option(parser, "--out FOLDER", "where to write", default="figures")
    option(
        parser, "--only N", "make these figures only", nargs="+", choices=_FIGURES, default=_FIGURES
    )
    option(parser, "--simulations N", "simulations that the network infers", default=1000, least=1)
    option(parser, "--draws N", "draws for each", default=1000, least=1)
    shared.add_methods(
        parser,
        ("fast", "weighted"),
        "fast, weighted or exact; the first goes into figures 3, 4 and 6",
    )
    chains = parser.add_mutually_exclusive_group()
    option(chains, "--mcmc FOLDER", "take the chains of a study that 'sedflow-lab compare' made")
    meaning = "simulations that MCMC infers; 0 leaves it out"
    option(chains, "--mcmc-simulations N", meaning, default=100, least=0)
    option(parser, "--galaxy ID", "galaxy of the showcase for figure 2")
    option(parser, "--store FOLDER", "where runs are kept (default: runs in --out)")
    shared.add_posterior(parser)
    shared.add_seed(parser)
    cores.add_workers(parser)
    cores.add_threads(parser)


def _figures(args: argparse.Namespace) -> None:
    from ..reports.paper import FigureSettings, make_figures

    settings = FigureSettings(
        simulations=args.simulations,
        draws=args.draws,
        methods=tuple(dict.fromkeys(args.methods)),
        mcmc_simulations=args.mcmc_simulations,
        galaxy=args.galaxy,
        seed=args.seed,
    )
    with shared.stop_on_interrupt() as stop:
        numbers = make_figures(
            args.out,
            shared.load(args),
            settings,
            only=list(dict.fromkeys(args.only)),
            store=args.store,
            study=args.mcmc,
            workers=args.workers,
            scheduler=args.scheduler,
            progress=shared.is_interactive(),
            stop=stop,
            tell=shared.say,
        )
    for method in (*settings.methods, "mcmc"):
        if method in numbers and "verdict" in numbers[method]:
            found = numbers[method]
            print(f"{method}, {found['simulations']} simulations: {found['verdict']}")
    print(f"The figures and figures.json are in {args.out}.")
