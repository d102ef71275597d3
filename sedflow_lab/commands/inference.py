"""The commands that give posteriors: infer, mcmc and demo."""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError, SedflowError
from .shared import (
    Commands,
    Parser,
    add_catalog,
    add_command,
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
    from ..photometry import Photometry

__all__ = ["add_commands"]

_DRAWS_AT_ONCE = 2_000_000  # draws of galaxies that are in memory together: 200 MB
_SEED_STEP = 1_000_003  # between the seeds of parts of a catalogue


def add_commands(commands: Commands) -> None:
    """Add infer, mcmc and demo."""
    _add_infer(commands)
    _add_mcmc(commands)
    _add_demo(commands)


def _add_posterior(parser: Parser) -> None:
    parser.add_argument(
        "--posterior",
        metavar="NAME",
        default="nsa-ugriz",
        help="trained posterior: nsa-ugriz, which ships, or a folder made by 'sedflow-lab train' "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--ssp",
        metavar="FILE",
        help="stellar populations that it was trained with (default: the shipped grid)",
    )


def _add_infer(commands: Commands) -> None:
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
    _add_posterior(parser)
    parser.add_argument(
        "--method",
        metavar="NAME",
        default="fast",
        help="fast: the network's draws; weighted: the same with importance weights; exact: draws "
        "moved to the exact posterior, about a second a galaxy (default: %(default)s)",
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


def _add_mcmc(commands: Commands) -> None:
    parser = add_command(
        commands,
        "mcmc",
        "sample the posterior of one galaxy with emcee",
        "Samples the exact posterior of one galaxy of a catalogue with emcee until it has\n"
        "converged, and writes all draws. It takes about a minute; the network needs no such\n"
        "time, but this is the witness to check it by.",
        "sedflow-lab mcmc galaxies.csv --row 0 --out chain.h5",
        _mcmc,
        "the draws so far were written.",
    )
    add_catalog(parser)
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--row",
        metavar="N",
        type=int,
        default=0,
        help="galaxy by its row in the catalogue, from 0 (default: %(default)s)",
    )
    which.add_argument("--id", metavar="ID", help="galaxy by its id in the catalogue")
    parser.add_argument(
        "--bands",
        metavar="NAME",
        default="sdss-ugriz",
        help="bands of the catalogue: a named set, or filters joined by commas "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--start",
        choices=("prior", "posterior"),
        default="prior",
        help="where walkers start: at draws of the prior, or of the shipped network "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--max-steps",
        metavar="N",
        type=int,
        default=20_000,
        help="steps after which to give up (default: %(default)s)",
    )
    parser.add_argument(
        "--draws", metavar="N", type=int, default=4000, help="draws to keep (default: %(default)s)"
    )
    parser.add_argument(
        "--seed",
        metavar="N",
        type=int,
        default=0,
        help="the same seed gives the same numbers (default: %(default)s)",
    )
    parser.add_argument(
        "--backend",
        metavar="FILE",
        help="HDF5 file to keep the chains in; a later run goes on from it (default: none)",
    )
    parser.add_argument(
        "--out", metavar="FILE", required=True, help="HDF5 file to write the draws to (.h5)"
    )


def _add_demo(commands: Commands) -> None:
    parser = add_command(
        commands,
        "demo",
        "the network beside emcee, for three real galaxies",
        "Infers a blue, a typical and a red galaxy of the NASA-Sloan Atlas with the network and\n"
        "with emcee, and writes corner plots, spectra, histories, and a report of how well the\n"
        "two agree. It takes a few minutes.",
        "sedflow-lab demo --out demo",
        _demo,
        "what is in the folder was finished.",
    )
    parser.add_argument(
        "--out", metavar="DIR", default="demo", help="folder to write to (default: %(default)s)"
    )
    parser.add_argument(
        "--ids", metavar="ID", nargs="+", help="other galaxies of the showcase, by their NSAID"
    )
    parser.add_argument(
        "--seed",
        metavar="N",
        type=int,
        default=0,
        help="the same seed gives the same numbers (default: %(default)s)",
    )


def _mcmc(args: argparse.Namespace) -> None:
    from ..mcmc import run_mcmc
    from ..parameters import NAMES
    from ..sps import SEDModel, get_bands

    out = _check_samples_path(args.out)
    if out is None:
        raise InputError("Give the HDF5 file to write the draws to: --out chain.h5.")
    bands = get_bands(args.bands)
    photometry = read_catalog(args, bands, "flag")
    row = args.row
    if args.id is not None:
        ids = photometry.ids.tolist()
        if args.id not in ids:
            raise InputError(f"{args.catalog} has no galaxy {args.id!r}: the first is {ids[0]!r}.")
        row = ids.index(args.id)
    if not 0 <= row < len(photometry):
        raise InputError(f"{args.catalog} has no row {row}: rows are 0 to {len(photometry) - 1}.")
    galaxy = photometry[row]
    if not galaxy.usable[0]:
        raise InputError(str(galaxy.problems[0]))
    with stop_on_interrupt() as stop:
        result = run_mcmc(
            galaxy,
            SEDModel(bands),
            start=args.start,
            max_steps=args.max_steps,
            draws=args.draws,
            seed=args.seed,
            backend=args.backend,
            progress=is_interactive(),
            stop=stop,
        )
    result.save(out)
    row_of = result.summary()[0]
    print(f"Galaxy {galaxy.ids[0]}: {result.badge[0]}; the draws are in {out}.")
    for name in NAMES:
        low, high = row_of[f"{name}_lo"], row_of[f"{name}_hi"]
        print(f"  {name:<11} {row_of[name]:9.4f}   68 %: {low:.4f} to {high:.4f}")
    numbers = {k: v[0] for k, v in result.diagnostics.items() if not k.startswith("draw_")}
    print(
        f"  {int(numbers['n_steps']):,} steps, {int(numbers['n_evaluations']):,} evaluations, "
        f"acceptance {numbers['acceptance']:.2f}, longest autocorrelation time "
        f"{numbers['tau'].max():.0f} steps, largest R-hat {numbers['rhat'].max():.3f}, "
        f"effective sample size {numbers['ess_bulk'].min():,.0f}, {numbers['seconds']:.0f} s"
    )
    if stop.is_set():
        raise KeyboardInterrupt(f"the draws so far are in {out}.")


def _demo(args: argparse.Namespace) -> None:
    from ..demo import run_demo

    say("three galaxies, with the network and with emcee: a few minutes")
    reports = run_demo(args.out, args.ids, seed=args.seed, progress=is_interactive())
    for report in reports:
        print(report.to_markdown())
    print(f"Figures, report.md and summary.ecsv are in {args.out}.")


def _infer(args: argparse.Namespace) -> None:
    from astropy.table import vstack

    from ..anpe import load_posterior
    from ..sps import load_ssp_grid

    out = check_table_path(args.out)
    samples = _check_samples_path(args.samples)
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


def _check_samples_path(name: str | None) -> Path | None:
    if name is None:
        return None
    path = Path(name).expanduser()
    if path.suffix.lower() not in (".h5", ".hdf5"):
        raise InputError(f"The draws {path} are HDF5: give a name that ends in .h5.")
    if not path.parent.is_dir():
        raise InputError(f"The folder {path.parent} does not exist: make it first.")
    return path
