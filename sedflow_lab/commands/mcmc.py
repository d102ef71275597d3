"""The command that samples the exact posterior of a galaxy: mcmc."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ..errors import InputError
from .shared import (
    BANDS_HELP,
    DRAWS,
    Commands,
    add_catalog,
    add_command,
    add_number,
    add_posterior,
    add_seed,
    as_sentence,
    check_path,
    is_interactive,
    load,
    read_catalog,
    stop_on_interrupt,
)

if TYPE_CHECKING:
    from ..anpe import AmortizedPosterior
    from ..observations.photometry import Photometry
    from ..posterior.result import PosteriorResult

__all__ = ["add_commands"]


def add_commands(commands: Commands) -> None:
    """Add mcmc."""
    parser = add_command(
        commands,
        "mcmc",
        "sample the exact posterior of one galaxy with emcee",
        "Samples the exact posterior of one galaxy of a catalogue with emcee, until several\n"
        "criteria say that the chains have converged: the independent witness of the network.\n"
        "Model and prior are those of --posterior, or with --bands those that you give.",
        "sedflow-lab mcmc galaxies.csv --id 18039 --out chain.h5",
        _mcmc,
        "what --backend keeps is there: run the same command again to go on.",
    )
    add_catalog(parser)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--row", metavar="N", type=int, help="row of the galaxy, counting from 0")
    which.add_argument("--id", metavar="ID", help="id of the galaxy")
    add_posterior(parser)
    parser.add_argument(
        "--bands", metavar="SET", help=f"use no network, but a model in this {BANDS_HELP}"
    )
    parser.add_argument(
        "--prior", metavar="NAME", default="flat-dirichlet", help="with --bands (%(default)s)"
    )
    parser.add_argument(
        "--birth-cloud-age",
        metavar="GYR",
        type=float,
        default=0.1,
        help="with --bands (default: %(default)s Gyr)",
    )
    parser.add_argument(
        "--start",
        choices=("posterior", "prior", "both"),
        default="prior",
        help="where walkers start: at draws of the network, or of the prior, like a witness that "
        "has not talked to the network, or half of them at each, to see whether they meet "
        "(default: %(default)s)",
    )
    for name, default, meaning in (
        ("max-steps", 20_000, "steps of each walker after which to give up, a multiple of 50"),
        ("walkers", 128, "a multiple of 4, at least 88"),
        ("draws", 4000, "draws to keep"),
    ):
        add_number(parser, f"--{name}", default, meaning)
    add_seed(parser)
    parser.add_argument(
        "--backend", metavar="FILE", help="HDF5 file to keep the chains in and to go on from"
    )
    parser.add_argument(
        "--out",
        metavar="FILE",
        required=True,
        help="HDF5 file to write with the draws, for PosteriorResult.load",
    )


def _mcmc(args: argparse.Namespace) -> None:
    from ..parameters import get_prior
    from ..samplers.mcmc import run_mcmc
    from ..sps import SEDModel, load_ssp_grid

    out = check_path(args.out, DRAWS)
    start: str | AmortizedPosterior | tuple[AmortizedPosterior, str] = "prior"
    if args.bands is None:
        posterior = load(args)
        galaxy = _pick(args, read_catalog(args, posterior.bands, "flag"))
        _refuse(posterior.check(galaxy)[0])
        model, prior = posterior.model, posterior.prior
        if args.start != "prior":
            start = posterior if args.start == "posterior" else (posterior, "prior")
    elif args.start != "prior":
        raise InputError(f"--bands is for a model without network: leave out --start {args.start}.")
    else:
        galaxy = _pick(args, read_catalog(args, args.bands, "flag"))
        _refuse(galaxy.problems[0])
        prior = get_prior(args.prior)
        model = SEDModel(
            galaxy.bands,
            birth_cloud_age=args.birth_cloud_age,
            ssp=load_ssp_grid(args.ssp),
            redshift_max=max(0.2, float(galaxy.redshift[0])),
        )
    with stop_on_interrupt() as stop:
        result = run_mcmc(
            galaxy,
            model,
            prior,
            start=start,
            walkers=args.walkers,
            max_steps=args.max_steps,
            draws=args.draws,
            seed=args.seed,
            backend=args.backend,
            progress=is_interactive(),
            stop=stop,
        )
    result.save(out)
    _print_chain(result)
    print(f"The draws are in {out}.")
    if stop.is_set():
        raise KeyboardInterrupt(
            "the draws so far were written."
            if args.backend is None
            else f"the draws so far were written; {args.backend} keeps the chains: run the same "
            "command again to go on."
        )


def _pick(args: argparse.Namespace, photometry: Photometry) -> Photometry:
    """The galaxy that is asked for; another row's problem is no reason to stop."""
    if args.id is not None:
        rows = [row for row, name in enumerate(photometry.ids) if name == args.id]
        if len(rows) != 1:
            few = ", ".join(photometry.ids[:5])
            raise InputError(
                f"{args.catalog} has {len(rows)} galaxies with the id {args.id!r}: give one of its "
                f"ids ({few}{', ...' if len(photometry) > 5 else ''}), or --row."
            )
        return photometry[rows[0]]
    if args.row is None and len(photometry) > 1:
        raise InputError(
            f"{args.catalog} has {len(photometry)} galaxies: choose one with --row or --id."
        )
    row = args.row or 0
    if not 0 <= row < len(photometry):
        raise InputError(f"{args.catalog} has the rows 0 to {len(photometry) - 1}, but no {row}.")
    return photometry[row]


def _refuse(problem: str) -> None:
    if problem:
        raise InputError(as_sentence(problem))


def _print_chain(result: PosteriorResult) -> None:
    """Print medians, 68 % intervals and how well the chains mix."""
    from ..quantities import NAMES

    summary = result.summary()
    found = {name: values[0] for name, values in result.diagnostics.items()}
    print(f"Galaxy {result.ids[0]} at redshift {result.redshift[0]:g}: {result.badge[0]}")
    print(f"{'parameter':<12}{'median':>10}{'16 %':>10}{'84 %':>10}{'R-hat':>8}{'ESS':>9}  unit")
    for name, rhat, ess in zip(NAMES, found["rhat"], found["ess_bulk"], strict=True):
        middle, low, high = (summary[f"{name}{end}"][0] for end in ("", "_lo", "_hi"))
        print(
            f"{name:<12}{middle:>10.3f}{low:>10.3f}{high:>10.3f}{rhat:>8.3f}{ess:>9.0f}  "
            f"{summary[name].unit or ''}"
        )
    print(
        f"{found['n_steps']:.0f} steps of {result.provenance['walkers']} walkers "
        f"({found['n_evaluations']:,.0f} evaluations, {found['seconds']:.1f} s), longest "
        f"autocorrelation time {found['tau'].max():.0f} steps, acceptance "
        f"{found['acceptance']:.0%}, smallest chi-squared {result.chi2_min[0]:.2f}"
    )
