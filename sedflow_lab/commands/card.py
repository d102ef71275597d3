"""The command that measures a trained posterior: card."""

from __future__ import annotations

import argparse
from pathlib import Path

from . import cores, shared
from .shared import option

__all__ = ["add_commands"]


def add_commands(commands: shared.Commands) -> None:
    """Add card."""
    parser = shared.add_command(
        commands,
        "card",
        "measure how good a trained posterior is",
        "Makes the calibration card of a trained posterior: tests of its calibration on\n"
        "simulations, sampling efficiency on simulations and real galaxies, speed, exact draws,\n"
        "known limits, and goals reached or not. The numbers go into the bundle (card.json), the\n"
        "page and its figures into a folder. A run that was stopped goes on when repeated; what\n"
        "it needs is kept beside OUT, in OUT.work.",
        "sedflow-lab card nsa-ugriz --out card --catalogue nsa_sample.csv",
        _card,
        "run the same command again to go on.",
    )
    option(
        parser,
        "posterior BUNDLE",
        "a network that 'sedflow-lab networks' lists, or a folder of 'train'",
    )
    option(parser, "--out FOLDER", "folder for the page", required=True)
    option(
        parser,
        "--work FOLDER",
        "keeps what was measured; delete it to measure anew (default: OUT.work)",
    )
    option(
        parser,
        "--catalogue FILE",
        "real galaxies, all of which are inferred: columns as for 'infer'; bands without a "
        "usable value are masked (default: simulated ones stand in for them)",
    )
    for name, default, least, meaning in (
        ("simulations", 2000, 20, "simulations of the calibration tests"),
        ("exact-simulations", 2000, 0, "the same for exact posteriors; 0 for none"),
        ("draws", 1000, 50, "draws of each"),
        ("galaxies", 192, 1, "galaxies of each kind whose efficiency is measured"),
        ("weighted-draws", 10_000, 50, "draws of each"),
        ("exact", 48, 0, "showcase galaxies whose exact posterior is timed; 0 for none"),
        ("judged", 300, 0, "galaxies of the catalogue whose badge is held against exact draws"),
        ("batch", 200, 0, "others, whose exact posteriors are timed together"),
    ):
        option(parser, f"--{name} N", meaning, default=default, least=least)
    shared.add_seed(parser)
    cores.add_threads(parser)
    option(parser, "--ssp FILE", "stellar populations of the bundle (default: the shipped)")


def _card(args: argparse.Namespace) -> None:
    from ..anpe.bundle import attach
    from ..errors import InputError
    from ..observations import read_photometry
    from ..observations.nsa import NSA_BANDS, showcase
    from ..reports.card import CardSettings, make_card, write_page

    posterior = shared.load(args)
    catalogue = None
    if args.catalogue:
        catalogue = read_photometry(args.catalogue, posterior.bands, on_bad="mask")
        if not (posterior.check(catalogue) == "").any():
            raise InputError(f"No galaxy of {args.catalogue} can be used.")
    real = showcase(posterior.bands) if set(posterior.bands.names) <= set(NSA_BANDS) else None
    settings = CardSettings(
        simulations=args.simulations,
        exact_simulations=args.exact_simulations,
        draws=args.draws,
        galaxies=args.galaxies,
        weighted_draws=args.weighted_draws,
        exact=args.exact,
        judged=args.judged,
        batch=args.batch,
        seed=args.seed,
    )
    out = Path(args.out)
    work = Path(args.work) if args.work else out.with_name(f"{out.name}.work")
    with shared.stop_on_interrupt() as stop:
        made = make_card(
            posterior,
            work,
            settings,
            showcase=real,
            catalogue=catalogue,
            progress=shared.is_interactive(),
            stop=stop,
        )
    if made is None:
        raise KeyboardInterrupt(f"what was measured is in {work}: run the same command again.")
    card, runs = made
    page = write_page(card, runs, out, posterior.bundle.name)
    shared.say(f"the card is in {attach(args.posterior, card=card) / 'card.json'}")
    reached = [goal["reached"] for goal in card["goals"] if goal["reached"] is not None]
    print(f"{sum(reached)} of {len(reached)} goals are reached; the page is {page}.")
    for goal in card["goals"]:
        word = {True: "yes", False: "NO", None: "–"}[goal["reached"]]
        print(f"  {word:>4}  {goal['goal']}: {goal['found']}")
