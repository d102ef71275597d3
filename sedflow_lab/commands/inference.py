"""The command that infers the posteriors of a catalogue: infer."""

from __future__ import annotations

import argparse
from collections import Counter

from ..errors import SedflowError
from .shared import (
    DRAWS,
    TABLES,
    Commands,
    add_catalog,
    add_command,
    add_number,
    add_posterior,
    add_seed,
    check_path,
    is_interactive,
    load,
    read_catalog,
    say,
    stop_on_interrupt,
    warn_of,
)

__all__ = ["add_commands"]


def add_commands(commands: Commands) -> None:
    """Add infer."""
    parser = add_command(
        commands,
        "infer",
        "infer the posteriors of a catalogue",
        "Infers the posterior of every galaxy of a catalogue and writes a table, one row a galaxy\n"
        "in the order of the catalogue: medians and 68 % intervals of the 12 parameters, and a\n"
        "badge that says how far to trust them. Galaxies that cannot be used are flagged in the\n"
        "column 'problem'.",
        "sedflow-lab infer galaxies.csv --method exact --out results.ecsv",
        _infer,
        "nothing was written.",
    )
    add_catalog(parser)
    add_posterior(parser)
    parser.add_argument(
        "--method",
        metavar="NAME",
        default="fast",
        help="fast: the network's draws; weighted: the same with importance weights; exact: draws "
        "moved to the exact posterior, a few seconds a galaxy; auto: fast, and exact where the "
        "badge asks for it (default: %(default)s)",
    )
    add_number(parser, "--draws", 1000, "draws a galaxy")
    parser.add_argument(
        "--threads",
        metavar="N",
        type=int,
        help="workers that share the galaxies out among them; the numbers stay the same (default: "
        "as many as there are cores)",
    )
    add_seed(parser)
    parser.add_argument(
        "--out", metavar="FILE", required=True, help="table to write: .ecsv, .csv or .fits"
    )
    parser.add_argument(
        "--samples",
        metavar="FILE",
        help="HDF5 file to write with all draws, for PosteriorResult.load (default: none)",
    )
    parser.add_argument(
        "--on-bad",
        choices=("flag", "mask", "raise"),
        default="flag",
        help="galaxies with values that cannot be used: flag them and go on; mask bad bands where "
        "two good ones are left; or stop (default: %(default)s)",
    )


def _infer(args: argparse.Namespace) -> None:
    from ..catalogue.run import infer_catalogue
    from ..observations.write import write_table

    out = check_path(args.out, TABLES)
    samples = check_path(args.samples, DRAWS) if args.samples else None
    posterior = load(args)
    photometry = read_catalog(args, posterior.bands, args.on_bad)
    warn_of(posterior.check(photometry, "raise" if args.on_bad == "raise" else "flag"))
    with stop_on_interrupt() as stop:
        table = infer_catalogue(
            posterior,
            photometry,
            args.draws,
            args.method,
            args.seed,
            samples=samples,
            progress=is_interactive(),
            stop=stop,
            threads=args.threads,
            tell=say,
        )
    table.meta["posterior"] = str(args.posterior)
    write_table(table, out)
    inferred = table["problem"].tolist().count("")
    print(f"{inferred:,} of {len(table):,} galaxies were inferred; the table is {out}.")
    for badge, count in Counter(table["badge"].tolist()).most_common():
        print(f"  {count:>8,}  {badge}")
    if stop.is_set():
        raise KeyboardInterrupt(f"galaxies that were not reached are flagged in {out}.")
    if not inferred:
        raise SedflowError(
            f"No galaxy of {args.catalog} could be inferred: see 'problem' in {out}."
        )
