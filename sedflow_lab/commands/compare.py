"""The command that holds the network against emcee for many galaxies: compare."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import shared
from .robust import add_robust, outliers_of, robust_words, with_floor
from .shared import option

if TYPE_CHECKING:
    from ..reports.study import Sample

__all__ = ["add_commands"]


def add_commands(commands: shared.Commands) -> None:
    """Add compare."""
    parser = shared.add_command(
        commands,
        "compare",
        "the network against emcee, for many real or simulated galaxies",
        "Samples the exact posteriors of galaxies with emcee, infers them by the network's three\n"
        "methods (fast, weighted, exact), and reports how far each is from emcee beside the noise\n"
        "floor. Chains take nearly all the time; they are kept in the folder, and the same\n"
        "command goes on where it stopped.",
        "sedflow-lab compare --sample both --galaxies 30 --simulations 100 --out study",
        _compare,
        "the galaxies that were finished are kept: run the same command again to go on.",
    )
    option(
        parser,
        "--sample",
        "real galaxies, spread over colour and brightness, or galaxies simulated with the "
        "network's prior and noise",
        choices=("showcase", "simulations", "both"),
        default="showcase",
    )
    option(parser, "--galaxies N", "how many real galaxies, at most 192", default=30, least=1)
    option(parser, "--simulations N", "how many simulated ones", default=100, least=1)
    shared.add_posterior(parser)
    option(parser, "--chains-only", "run emcee, and leave the network for later")
    shared.add_methods(parser, ("fast", "weighted", "exact"), "methods of the network")
    option(
        parser,
        "--fresh",
        "infer by these methods anew, as after they have changed; chains are kept",
    )
    option(
        parser,
        "--workers N",
        "processes that share the galaxies, one thread each",
        default=1,
        least=1,
    )
    add_robust(parser)
    shared.add_seed(parser)
    option(
        parser,
        "--out FOLDER",
        "where results are kept, and report.md, report.csv and figures are written",
        required=True,
    )


def _compare(args: argparse.Namespace) -> None:
    from ..reports.study import open_store, run_chains, run_network, simulations, spread_showcase
    from ..reports.study.page import write_report

    posterior = shared.load(args)
    samples: list[Sample] = []
    if args.sample != "simulations":
        samples.append(spread_showcase(args.galaxies))
    if args.sample != "showcase":
        samples.append(simulations(posterior, args.simulations, args.seed))
    samples = [
        replace(sample, photometry=with_floor(args, sample.photometry)) for sample in samples
    ]
    outliers = outliers_of(args)
    allowed = samples[0].photometry.settings() | (outliers.settings() if outliers else {})
    store = open_store(args.out, posterior, args.seed, allowed)
    with shared.stop_on_interrupt() as stop:
        common: dict[str, Any] = {
            "ssp": args.ssp,
            "workers": args.workers,
            "progress": shared.is_interactive(),
            "stop": stop,
        }
        again: dict[str, Any] = {"methods": args.methods, "fresh": args.fresh}
        for sample in samples:
            run_chains(store, sample, args.posterior, **common)
        if not args.chains_only:
            for sample in samples:
                run_network(store, sample, args.posterior, **again, **common)
        if stop.is_set():
            raise KeyboardInterrupt
    if not args.chains_only:
        print(write_report(store, posterior, _command(args)))
        shared.say(f"report.md, report.csv and the figures are in {store.folder}.")


def _command(args: argparse.Namespace) -> str:
    """The command that makes the same again."""
    words = ["sedflow-lab compare", f"--sample {args.sample}"]
    if args.sample != "simulations":
        words.append(f"--galaxies {args.galaxies}")
    if args.sample != "showcase":
        words.append(f"--simulations {args.simulations}")
    if args.posterior != "nsa-ugriz":
        words.append(f"--posterior {args.posterior}")
    words += robust_words(args)
    return " ".join([*words, f"--seed {args.seed}", f"--out {Path(args.out).name}"])
