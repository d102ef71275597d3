"""The command that infers the posteriors of a catalogue: infer."""

from __future__ import annotations

import argparse
from collections import Counter

from ..errors import SedflowError
from . import shared
from .robust import add_robust, outliers_of, with_floor
from .shared import option

__all__ = ["add_commands"]


def add_commands(commands: shared.Commands) -> None:
    """Add infer."""
    parser = shared.add_command(
        commands,
        "infer",
        "infer the posteriors of a catalogue",
        "Infers the posterior of every galaxy of a catalogue and writes a table, one row a galaxy\n"
        "in the order of the catalogue: medians and 68 % intervals of the 12 parameters, and a\n"
        "badge that says how far to trust them. Galaxies that cannot be used are flagged in the\n"
        "column 'problem'. A long run that was stopped goes on when repeated; what it needs is\n"
        "kept beside FILE, in FILE.partial, until it ends.",
        "sedflow-lab infer galaxies.csv --method exact --out results.ecsv",
        _infer,
        "what is finished of a long run is kept: run the same command again to go on.",
    )
    shared.add_catalog(parser)
    shared.add_posterior(parser)
    option(
        parser,
        "--method NAME",
        "fast: the network's draws; weighted: the same with importance weights; exact: draws "
        "moved to the exact posterior, a few seconds a galaxy; auto: fast, and exact where the "
        "badge asks for it",
        default="fast",
    )
    option(parser, "--draws N", "draws a galaxy", default=1000, least=1)
    add_robust(parser)
    shared.add_seed(parser)
    shared.add_threads(parser)
    option(parser, "--out FILE", "table to write: .ecsv, .csv or .fits", required=True)
    option(
        parser,
        "--samples FILE",
        "HDF5 file to write with all draws, for PosteriorResult.load (default: none)",
    )
    option(
        parser,
        "--on-bad",
        "galaxies with values that cannot be used: flag them and go on; mask bad bands where "
        "two good ones are left; or stop",
        choices=("flag", "mask", "raise"),
        default="flag",
    )


def _infer(args: argparse.Namespace) -> None:
    from ..catalogue.run import infer_catalogue

    out = shared.check_path(args.out, shared.TABLES)
    samples = shared.check_path(args.samples, shared.DRAWS) if args.samples else None
    posterior = shared.load(args)
    photometry = with_floor(args, shared.read_catalog(args, posterior.bands, args.on_bad))
    shared.warn_of(posterior.check(photometry, "raise" if args.on_bad == "raise" else "flag"))
    with shared.stop_on_interrupt() as stop:
        table = infer_catalogue(
            posterior,
            photometry,
            out,
            args.draws,
            args.method,
            args.seed,
            outliers=outliers_of(args),
            samples=samples,
            progress=shared.is_interactive(),
            stop=stop,
            tell=shared.say,
        )
    inferred = table["problem"].tolist().count("")
    print(f"{inferred:,} of {len(table):,} galaxies were inferred; the table is {out}.")
    for badge, count in Counter(table["badge"].tolist()).most_common():
        print(f"  {count:>8,}  {badge}")
    if stop.is_set():
        raise KeyboardInterrupt(
            f"galaxies that were not reached are flagged in {out}: run the same command again to "
            "go on."
        )
    if not inferred:
        raise SedflowError(
            f"No galaxy of {args.catalog} could be inferred: see 'problem' in {out}."
        )
