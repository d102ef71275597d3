"""The command that measures a trained posterior: card."""

from __future__ import annotations

import argparse
from importlib.resources import as_file, files
from pathlib import Path

from .shared import (
    Commands,
    add_command,
    is_interactive,
    say,
    stop_on_interrupt,
)

__all__ = ["add_commands"]


def add_commands(commands: Commands) -> None:
    """Add card."""
    parser = add_command(
        commands,
        "card",
        "measure how good a trained posterior is",
        "Makes the calibration card of a trained posterior: tests of its calibration on\n"
        "simulations, sampling efficiency on simulations and real galaxies, speed, refinement,\n"
        "known limits, and goals reached or not. The numbers go into the bundle (card.json), the\n"
        "page and its figures into a folder. A run that was stopped goes on when repeated; what\n"
        "it needs is kept beside OUT, in OUT.work.",
        "sedflow-lab card nsa-ugriz --out card --catalogue nsa_sample.csv",
        _card,
        "run the same command again to go on.",
    )
    parser.add_argument(
        "bundle", metavar="BUNDLE", help="nsa-ugriz, which ships, or a folder of 'train'"
    )
    parser.add_argument("--out", metavar="FOLDER", required=True, help="folder for the page")
    parser.add_argument(
        "--work",
        metavar="FOLDER",
        help="keeps what was measured; delete it to measure anew (default: OUT.work)",
    )
    parser.add_argument(
        "--catalogue",
        metavar="FILE",
        help="real galaxies, all of which are inferred: columns as for 'infer'; bands without a "
        "usable value are masked",
    )
    for name, default, what in (
        ("simulations", 2000, "simulations of the calibration tests"),
        ("draws", 1000, "draws of each"),
        ("galaxies", 192, "galaxies of each kind whose efficiency is measured"),
        ("weighted-draws", 10_000, "draws of each"),
        ("refined", 48, "real galaxies that are refined; 0 for none"),
        ("seed", 0, "the same seed gives the same numbers"),
    ):
        parser.add_argument(
            f"--{name}", metavar="N", type=int, default=default, help=f"{what} (default: {default})"
        )
    parser.add_argument(
        "--ssp", metavar="FILE", help="stellar populations of the bundle (default: the shipped)"
    )


def _card(args: argparse.Namespace) -> None:
    from ..anpe import load_posterior
    from ..anpe.bundle import attach, shipped_bundles
    from ..errors import InputError
    from ..observations.nsa import showcase
    from ..observations.photometry import read_photometry
    from ..reports.card import CardSettings, make_card, write_page
    from ..sps import load_ssp_grid

    if args.simulations < 20 or min(args.draws, args.weighted_draws) < 50 or args.galaxies < 1:
        raise InputError(
            "The card needs --simulations of 20 or more, --draws and --weighted-draws of 50 or "
            "more, and --galaxies of 1 or more."
        )
    posterior = load_posterior(args.bundle, ssp=load_ssp_grid(args.ssp))
    catalogue = None
    if args.catalogue:
        catalogue = read_photometry(args.catalogue, posterior.bands, on_bad="mask")
        if not (posterior.check(catalogue) == "").any():
            raise InputError(f"No galaxy of {args.catalogue} can be used.")
    real = showcase()
    settings = CardSettings(
        simulations=args.simulations,
        draws=args.draws,
        galaxies=args.galaxies,
        weighted_draws=args.weighted_draws,
        refined=args.refined,
        seed=args.seed,
    )
    out = Path(args.out)
    work = Path(args.work) if args.work else out.with_name(f"{out.name}.work")
    shipped = args.bundle in shipped_bundles()
    source = files("sedflow_lab.data") / "bundles" / args.bundle if shipped else Path(args.bundle)
    with as_file(source) as folder, stop_on_interrupt() as stop:
        size = sum(p.stat().st_size for p in folder.iterdir() if p.name != "card.json")
        made = make_card(
            posterior,
            work,
            settings,
            showcase=real if real.bands == posterior.bands else None,
            catalogue=catalogue,
            bundle_bytes=size,
            progress=is_interactive(),
            stop=stop,
        )
        if made is None:
            raise KeyboardInterrupt(f"what was measured is in {work}: run the same command again.")
        card, runs = made
        page = write_page(card, runs, out, Path(args.bundle).name)
        attach(folder, card=card)
    say(f"the card is in {folder / 'card.json'}")
    reached = sum(goal["reached"] for goal in card["goals"])
    print(f"{reached} of {len(card['goals'])} goals are reached; the page is {page}.")
    for goal in card["goals"]:
        print(f"  {'yes' if goal['reached'] else 'NO':>4}  {goal['goal']}: {goal['found']}")
