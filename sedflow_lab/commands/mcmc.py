"""The command that samples the exact posterior of a galaxy: mcmc."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ..errors import InputError
from . import shared
from .one_galaxy import add_galaxy, add_output, print_posterior, read_galaxy
from .robust import outliers_of
from .shared import option

if TYPE_CHECKING:
    from ..posterior.result import PosteriorResult

__all__ = ["add_commands"]


def add_commands(commands: shared.Commands) -> None:
    """Add mcmc."""
    parser = shared.add_command(
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
    add_galaxy(parser)
    option(
        parser,
        "--start",
        "where walkers start: at draws of the network, or of the prior, like a witness that "
        "has not talked to the network, or half of them at each, to see whether they meet",
        choices=("posterior", "prior", "both"),
        default="prior",
    )
    meaning = "steps of each walker after which to give up, a multiple of 50"
    option(parser, "--max-steps N", meaning, default=20_000, least=1)
    option(parser, "--walkers N", "a multiple of 4, at least 88", default=128, least=1)
    option(parser, "--backend FILE", "HDF5 file to keep the chains in and to go on from")
    add_output(parser)


def _mcmc(args: argparse.Namespace) -> None:
    from ..samplers.mcmc import run_mcmc

    out = shared.check_path(args.out, shared.DRAWS)
    if args.bands is not None and args.start != "prior":
        raise InputError(f"--bands is for a model without network: leave out --start {args.start}.")
    galaxy, model, prior, network = read_galaxy(args)
    start = {"prior": "prior", "posterior": network, "both": (network, "prior")}[args.start]
    with shared.stop_on_interrupt() as stop:
        result = run_mcmc(
            galaxy,
            model,
            prior,
            outliers=outliers_of(args),
            start=start,
            walkers=args.walkers,
            max_steps=args.max_steps,
            draws=args.draws,
            seed=args.seed,
            backend=args.backend,
            progress=shared.is_interactive(),
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


def _print_chain(result: PosteriorResult) -> None:
    """Print the posterior, and how well the chains mix."""
    found = {name: values[0] for name, values in result.diagnostics.items()}
    print_posterior(result, {"R-hat": (found["rhat"], ".3f"), "ESS": (found["ess_bulk"], ".0f")})
    print(
        f"{found['n_steps']:.0f} steps of {result.provenance['walkers']} walkers "
        f"({found['n_evaluations']:,.0f} evaluations, {found['seconds']:.1f} s), longest "
        f"autocorrelation time {found['tau'].max():.0f} steps, acceptance "
        f"{found['acceptance']:.0%}, smallest chi-squared {result.chi2_min[0]:.2f}"
    )
