"""The commands of the NASA-Sloan Atlas: nsa fetch, nsa flags, nsa cuts; and download."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from .._files import expanded
from . import shared
from .shared import option

if TYPE_CHECKING:
    from astropy.table import Table

__all__ = ["add_commands"]

_GOES_ON = "what has arrived is kept: run the same command again to go on."
_SAMPLES = ("all", "paper", "supported")


def add_commands(commands: shared.Commands) -> None:
    """Add nsa fetch, nsa flags, nsa cuts, and download, as nsa fetch was called first."""
    atlas = commands.add_parser(
        "nsa",
        help="the NASA-Sloan Atlas: fetch it, its photo flags, and the paper's sample",
        description="The NASA-Sloan Atlas of galaxies, from which the paper took its sample.",
    )
    parts = atlas.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_fetch(parts, "fetch", "sedflow-lab nsa fetch")
    _add_flags(parts)
    _add_cuts(parts)
    old = _add_fetch(commands, "download", "sedflow-lab download nsa")
    option(old, "what WHAT", "nsa: the Atlas", choices=("nsa",))


def _add_fetch(commands: shared.Commands, name: str, example: str) -> shared.Parser:
    parser = shared.add_command(
        commands,
        name,
        "download the NASA-Sloan Atlas",
        "Downloads the NASA-Sloan Atlas (half a gigabyte or more) into your cache folder, or\n"
        "finds it there. A download that was cut off goes on when repeated.",
        example,
        lambda args: print(_fetch(args)),
        _GOES_ON,
    )
    _add_place(parser)
    return parser


def _add_flags(commands: shared.Commands) -> None:
    parser = shared.add_command(
        commands,
        "flags",
        "get the SDSS photo flags of the Atlas's galaxies",
        "Asks the SDSS for the photo flags of the Atlas's galaxies, by position, and keeps them\n"
        "beside the Atlas; or takes them from a file of yours. The SDSS is asked for 500 galaxies\n"
        "at a time, with pauses, which takes minutes to an hour. What was stopped goes on when\n"
        "repeated. Needs astroquery: pip install 'sedflow-lab[flags]'.",
        "sedflow-lab nsa flags --from flags.csv",
        lambda args: print(f"{_matched(_flags(args, _fetch(args)))} are in {_flags_path(args)}."),
        _GOES_ON,
    )
    option(
        parser,
        "--from FILE",
        "a table with flags_r, the 64-bit photo flags of band r, and nsaid or ra and dec [deg] "
        "(default: ask the SDSS)",
        dest="source",
    )
    _add_place(parser)


def _add_cuts(commands: shared.Commands) -> None:
    parser = shared.add_command(
        commands,
        "cuts",
        "make the paper's sample, and say what each cut removes",
        "Applies the cuts of Hahn & Melchior (2022) to the Atlas, and asks beside them whether\n"
        "the network was trained on such colours, uncertainties and brightness. Writes the\n"
        "galaxies of a sample as a catalogue for 'infer', with the cuts that each passes, and\n"
        "beside it, in a file that ends in .md, what each cut removes alone and in sequence. The\n"
        "Atlas and its photo flags are fetched if they are not there.",
        "sedflow-lab nsa cuts --sample paper --out sample.fits",
        _cuts,
        "nothing was written but what was fetched.",
    )
    option(
        parser,
        "--sample NAME",
        "all: every galaxy; paper: those that pass the paper's cuts; supported: those of them that "
        "the network can use and that look like its training set",
        choices=_SAMPLES,
        default="all",
    )
    option(parser, "--out FILE", "catalogue to write: .fits, .ecsv or .csv", required=True)
    shared.add_posterior(parser)
    _add_place(parser)


def _add_place(parser: shared.Parser) -> None:
    option(parser, "--release NAME", "v0_1_2 (the paper's) or v1_0_1", default="v0_1_2")
    option(
        parser,
        "--folder FOLDER",
        "where the Atlas is kept (default: nsa in $SEDFLOW_CACHE or the user's cache folder)",
    )
    option(parser, "--url URL", "a mirror to take it from (default: the Atlas's own server)")


def _fetch(args: argparse.Namespace) -> Path:
    from ..observations.nsa import download_nsa

    return download_nsa(args.release, args.folder, args.url, progress=shared.is_interactive())


def _flags_path(args: argparse.Namespace) -> Path:
    from ..observations.nsa import nsa_folder

    return nsa_folder(args.folder) / f"nsa_{args.release}_flags.fits"


def _flags(args: argparse.Namespace, atlas: Path) -> Table:
    """Photo flags of all galaxies, from a file of the user's, or kept, or of the SDSS."""
    from ..observations.nsa import read_positions
    from ..observations.photo_flags import fetch_flags, read_flags
    from ..observations.write import write_table

    path, galaxies = _flags_path(args), read_positions(atlas)
    if getattr(args, "source", None) is None:
        return fetch_flags(*galaxies, path, progress=shared.is_interactive())
    table = read_flags(expanded(args.source), *galaxies)
    write_table(table, path)
    return table


def _matched(flags: Table) -> str:
    return f"The flags of {int((flags['flags_r'] != 0).sum()):,} of {len(flags):,} galaxies"


def _cuts(args: argparse.Namespace) -> None:
    from .._files import write_text
    from ..observations.nsa import read_nsa
    from ..observations.write import write_table
    from ..reports.cuts import cut_sample, sample_table

    out = shared.check_path(args.out, shared.TABLES)
    posterior, atlas = shared.load(args), _fetch(args)
    flags = _flags(args, atlas)
    photometry = read_nsa(atlas, args.release, posterior.bands, on_bad="flag")
    cuts = cut_sample(photometry, flags["flags_r"], posterior)
    table = sample_table(photometry, flags, cuts, args.sample)
    write_table(table, out)
    command = shlex.join(["sedflow-lab", "nsa", "cuts", "--sample", args.sample, "--out", out.name])
    about = [
        f"Command: `{command}`.",
        f"Atlas {args.release}, network `{posterior.bundle.name}`.",
        f"{_matched(flags)} were found.",
    ]
    report = cuts.to_markdown(about)
    write_text(out.with_suffix(".md"), report)
    print(report)
    print(f"{len(table):,} galaxies are in {out}, and this report in {out.with_suffix('.md')}.")
