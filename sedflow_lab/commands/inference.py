"""The command that infers the posteriors of a catalogue: infer."""

from __future__ import annotations

import argparse
import re
from collections import Counter

from ..errors import InputError, SedflowError
from . import cores, shared
from .robust import add_robust, floor_of, outliers_of, with_floor
from .shared import option

__all__ = ["add_commands"]

_STORE = ".zarr"


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
        "kept beside FILE, in FILE.partial, until it ends.\n\n"
        "Catalogues of any length go into a store, a folder whose name ends in .zarr, with draws\n"
        "and summaries (sedflow_lab.open_catalogue reads it). Memory does not grow with them, and\n"
        "the same command goes on with a store that is not finished.",
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
    cores.add_threads(parser)
    option(
        parser, "--out FILE", "table to write: .ecsv, .csv or .fits; or store: .zarr", required=True
    )
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
    option(
        parser,
        "--rest-frame SET",
        "bands at rest, such as sdss-ugriz, to add absolute magnitudes, colours, K-corrections and "
        "mass-to-light ratios of (default: none)",
    )
    _add_store(parser)


def _add_store(parser: shared.Parser) -> None:
    """Add what there is for stores alone."""
    group = parser.add_argument_group(
        "catalogues of any length", "These need --out NAME.zarr, a store."
    )
    option(
        group,
        "--keep WHAT",
        "what to keep of draws: float32, 48 kB for 1,000; uint16, half of that, as equal steps of "
        "each parameter's range; or none, summaries alone, about 1 kB a galaxy (default: float32)",
    )
    option(
        group,
        "--budget TIME",
        "stop making posteriors exact after this time, such as 30min or 2h; those farthest from "
        "the network's come first (default: until all are exact)",
    )
    cores.add_workers(group, "store and posterior")
    option(group, "--chunk N", "galaxies that are kept together (default: 128)", least=1)


def _infer(args: argparse.Namespace) -> None:
    from ..sps.bands import get_bands

    if args.rest_frame is not None:  # unknown ones are refused before anything is loaded
        args.rest_frame = get_bands(args.rest_frame)
    if args.out.rstrip("/").endswith(_STORE):
        _infer_store(args)
        return
    for name in ("keep", "budget", "workers", "scheduler", "chunk"):
        if getattr(args, name) is not None:
            raise InputError(f"--{name} needs a store: give --out a name that ends in {_STORE}.")
    _infer_table(args)


def _infer_store(args: argparse.Namespace) -> None:
    from ..catalogue import infer_catalogue

    if args.samples:
        raise InputError(f"A store keeps its draws itself: leave out --samples {args.samples}.")
    out = shared.check_path(args.out, (_STORE,))
    with shared.stop_on_interrupt() as stop:
        catalogue = infer_catalogue(
            args.catalog,
            out,
            args.draws,
            args.method,
            args.seed,
            posterior=args.posterior,
            ssp=args.ssp,
            keep=args.keep or "float32",
            chunk=args.chunk,
            outliers=outliers_of(args),
            error_floor=floor_of(args),
            rest_frame=args.rest_frame,
            budget=None if args.budget is None else _seconds(args.budget),
            workers=args.workers,
            scheduler=args.scheduler,
            progress=shared.is_interactive(),
            stop=stop,
            tell=shared.say,
            columns=shared.columns_of(args) or None,
            on_bad=args.on_bad,
            extinction=args.extinction,
            hdu=args.hdu,
            limit_sigmas=args.limit_sigmas,
        )
    inferred = catalogue.usable
    print(f"{inferred:,} of {len(catalogue):,} galaxies were inferred; the store is {out}.")
    _print_badges(catalogue.badges)
    if stop.is_set():
        raise KeyboardInterrupt("what is done is kept: run the same command again to go on.")
    _complain_of_none(inferred, args)


def _seconds(text: str) -> float:
    """A time such as 90s, 30min or 1h30min."""
    found = re.fullmatch(r"(?:([\d.]+)h)?(?:([\d.]+)min)?(?:([\d.]+)s)?", text.replace(" ", ""))
    try:
        if found is None or not any(found.groups()):
            raise ValueError
        hours, minutes, seconds = (float(part or 0) for part in found.groups())
    except ValueError:
        raise InputError(f"--budget {text} is no time: give it as 90s, 30min or 2h.") from None
    return 3600 * hours + 60 * minutes + seconds


def _print_badges(badges: Counter[str]) -> None:
    for badge, count in badges.most_common():
        print(f"  {count:>8,}  {badge}")


def _complain_of_none(inferred: int, args: argparse.Namespace) -> None:
    if not inferred:
        raise SedflowError(
            f"No galaxy of {args.catalog} could be inferred: see 'problem' in {args.out}."
        )


def _infer_table(args: argparse.Namespace) -> None:
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
            rest_frame=args.rest_frame,
            progress=shared.is_interactive(),
            stop=stop,
            tell=shared.say,
        )
    inferred = table["problem"].tolist().count("")
    print(f"{inferred:,} of {len(table):,} galaxies were inferred; the table is {out}.")
    _print_badges(Counter(table["badge"].tolist()))
    if stop.is_set():
        raise KeyboardInterrupt(
            f"galaxies that were not reached are flagged in {out}: run the same command again to "
            "go on."
        )
    _complain_of_none(inferred, args)
