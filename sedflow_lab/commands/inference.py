"""The command that infers the posteriors of a catalogue: infer."""

from __future__ import annotations

import argparse
from collections import Counter
from typing import TYPE_CHECKING, Any

from ..errors import SedflowError
from .shared import (
    Commands,
    add_catalog,
    add_command,
    add_posterior,
    check_draws_path,
    check_table_path,
    is_interactive,
    read_catalog,
    say,
    stop_on_interrupt,
    warn_of,
    write_table,
)

if TYPE_CHECKING:
    import threading

    from ..anpe import AmortizedPosterior
    from ..observations.photometry import Photometry

__all__ = ["add_commands"]

_DRAWS_AT_ONCE = 2_000_000  # draws of galaxies that are in memory together: 200 MB
_SEED_STEP = 1_000_003  # between the seeds of parts of a catalogue


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
    parser.add_argument(
        "--draws",
        metavar="N",
        type=int,
        default=1000,
        help="draws a galaxy (default: %(default)s)",
    )
    parser.add_argument(
        "--seed",
        metavar="N",
        type=int,
        default=0,
        help="the same seed gives the same numbers (default: %(default)s)",
    )
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
    from astropy.table import vstack

    from ..anpe import load_posterior
    from ..sps import load_ssp_grid

    out = check_table_path(args.out)
    samples = check_draws_path(args.samples) if args.samples else None
    posterior = load_posterior(args.posterior, ssp=load_ssp_grid(args.ssp))
    photometry = read_catalog(args, posterior.bands, args.on_bad)
    problems = posterior.check(photometry, "raise" if args.on_bad == "raise" else "flag")
    warn_of(problems)
    tables = []
    with stop_on_interrupt() as stop:
        for result in _results(args, posterior, photometry, stop):
            tables.append(result.summary())
            if samples:
                result.save(samples)
    table = vstack(tables, metadata_conflicts="silent")
    table.meta |= {"posterior": str(args.posterior), "draws": args.draws, "seed": args.seed}
    bad = problems != ""
    table["problem"] = table["problem"].astype(object)
    table["problem"][bad] = problems[bad]  # rows are counted in the catalogue, not in its parts
    table["problem"] = table["problem"].astype(str)
    write_table(table, out)
    inferred = int((table["problem"] == "").sum())
    print(f"{inferred:,} of {len(table):,} galaxies were inferred; the table is {out}.")
    for badge, count in Counter(table["badge"].tolist()).most_common():
        print(f"  {count:>8,}  {badge}")
    if stop.is_set():
        raise KeyboardInterrupt(f"galaxies that were not reached are flagged in {out}.")
    if not inferred:
        raise SedflowError(
            f"No galaxy of {args.catalog} could be inferred: see 'problem' in {out}."
        )


def _results(
    args: argparse.Namespace,
    posterior: AmortizedPosterior,
    photometry: Photometry,
    stop: threading.Event,
) -> Any:
    """Infer a catalogue in parts that fit into memory; in one if all draws are wanted anyway."""
    n = len(photometry)
    size = n if args.samples else max(1, _DRAWS_AT_ONCE // max(1, args.draws))
    for part, first in enumerate(range(0, n, size)):
        if n > size:
            say(f"galaxies {first + 1:,} to {min(first + size, n):,} of {n:,}")
        yield posterior.infer(
            photometry[first : first + size],
            args.draws,
            args.method,
            args.seed + _SEED_STEP * part,
            on_bad="flag",
            progress=is_interactive(),
            stop=stop,
        )
