"""The commands that make what the others need: noise, ssp, download."""

from __future__ import annotations

import argparse
from pathlib import Path

from .shared import (
    BANDS_HELP,
    TABLES,
    Commands,
    add_catalog,
    add_command,
    check_path,
    is_interactive,
    read_catalog,
    warn_of,
)

__all__ = ["add_commands"]


def add_commands(commands: Commands) -> None:
    """Add noise, ssp build, ssp compare, and download."""
    _add_noise(commands)
    ssp = commands.add_parser(
        "ssp",
        help="build or compare grids of stellar populations",
        description="Grids of simple stellar populations, on which the model stands.",
    )
    parts = ssp.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_build(parts)
    _add_compare(parts)
    _add_download(commands)


def _add_noise(commands: Commands) -> None:
    parser = add_command(
        commands,
        "noise",
        "fit the noise model to a catalogue",
        "Fits how uncertain fluxes are in a catalogue, and writes it for 'train --noise'.\n"
        "Training on it shows the network uncertainties like those of your galaxies.",
        "sedflow-lab noise galaxies.fits --bands decam-grz --out noise.json",
        _noise,
        "nothing was written.",
    )
    add_catalog(parser)
    parser.add_argument(
        "--bands",
        metavar="SET",
        default="sdss-ugriz",
        help=f"{BANDS_HELP} (default: %(default)s)",
    )
    parser.add_argument("--out", metavar="FILE", required=True, help="JSON file to write")


def _noise(args: argparse.Namespace) -> None:
    from ..observations.noise import fit_noise
    from ..reports.noise import describe_noise

    photometry = read_catalog(args, args.bands, "flag")
    warn_of(photometry.problems)
    noise = fit_noise(photometry)
    out = Path(args.out).expanduser()
    noise.save(out)
    table = describe_noise(noise, photometry)
    print(f"The noise model of {table.meta['galaxies']:,} galaxies is in {out}.")
    print("\n".join(table.pformat(max_lines=-1, max_width=-1)))


def _add_build(commands: Commands) -> None:
    parser = add_command(
        commands,
        "build",
        "compute a grid with FSPS",
        "Computes the stellar populations with FSPS itself, from the far ultraviolet to the\n"
        "infrared. Needs python-fsps and FSPS's data files, whose folder SPS_HOME names. A build\n"
        "that was stopped goes on when repeated.",
        "sedflow-lab ssp build full_grid.npz",
        _build,
        "what is finished is kept: run the same command again to go on.",
    )
    parser.add_argument("out", metavar="OUT", help="file to write, .npz")
    parser.add_argument(
        "--wavelength-range",
        metavar=("LOW", "HIGH"),
        type=float,
        nargs=2,
        default=(1000.0, 60_000.0),
        help="rest-frame wavelengths to keep (default: 1000 60000 Angstrom)",
    )
    parser.add_argument(
        "--other-libraries",
        action="store_true",
        help="accept an FSPS with other isochrones or spectra than PROVABGS's MIST and MILES",
    )


def _build(args: argparse.Namespace) -> None:
    from ..sps.fsps_grid import build_ssp_grid

    low, high = args.wavelength_range
    grid = build_ssp_grid(
        args.out,
        wavelength_range=(low, high),
        other_libraries=args.other_libraries,
        progress=is_interactive(),
    )
    print(f"{grid!r} is in {args.out}: use it with --ssp {args.out}.")


def _add_compare(commands: Commands) -> None:
    parser = add_command(
        commands,
        "compare",
        "compare two grids in bands",
        "Compares the magnitudes of the stellar populations of two grids, band by band.\n"
        "Differences are B minus A, for one solar mass formed.",
        "sedflow-lab ssp compare shipped full_grid.npz --out comparison.png",
        _compare,
        "nothing was written.",
    )
    for name in ("a", "b"):
        parser.add_argument(name, metavar=name.upper(), help="a grid's file, or 'shipped'")
    parser.add_argument(
        "--bands",
        metavar="SET",
        default="sdss-ugriz",
        help=f"rest-frame {BANDS_HELP} (default: %(default)s)",
    )
    parser.add_argument(
        "--out", metavar="FILE", help="figure to write (.png, .pdf, .svg); none is the default"
    )
    parser.add_argument(
        "--table", metavar="FILE", help="table to write (.ecsv, .csv, .fits); none is the default"
    )


def _compare(args: argparse.Namespace) -> None:
    from ..observations.write import write_table
    from ..reports.figures import save_figure
    from ..reports.grids import compare_ssp_grids, plot_comparison

    for name, endings in ((args.table, TABLES), (args.out, (".png", ".pdf", ".svg"))):
        if name:
            check_path(name, endings)
    a, b = (None if name == "shipped" else name for name in (args.a, args.b))
    comparison = compare_ssp_grids(a, b, args.bands)
    summary = comparison.summary()
    print(f"A: {comparison.a}\nB: {comparison.b}")
    print("\n".join(summary.pformat(show_unit=True, max_lines=-1, max_width=-1)))
    if args.table:
        write_table(summary, args.table)
    if args.out:
        save_figure(plot_comparison(comparison), Path(args.out).expanduser(), dpi=150)


def _add_download(commands: Commands) -> None:
    parser = add_command(
        commands,
        "download",
        "download the NASA-Sloan Atlas",
        "Downloads the NASA-Sloan Atlas (half a gigabyte or more) into your cache folder, or\n"
        "finds it there. A download that was cut off goes on when repeated.",
        "sedflow-lab download nsa",
        _download,
        "what has arrived is kept: run the same command again to go on.",
    )
    parser.add_argument("what", metavar="WHAT", choices=("nsa",), help="nsa: the Atlas")
    parser.add_argument(
        "--release",
        metavar="NAME",
        default="v0_1_2",
        help="v0_1_2 (the paper's) or v1_0_1 (default: %(default)s)",
    )
    parser.add_argument(
        "--folder",
        help="where to put it (default: nsa in $SEDFLOW_CACHE or the user's cache folder)",
    )
    parser.add_argument("--url", help="a mirror to take it from (default: the Atlas's own server)")


def _download(args: argparse.Namespace) -> None:
    from ..observations.nsa import download_nsa

    print(download_nsa(args.release, args.folder, args.url, progress=is_interactive()))
