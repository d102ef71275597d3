"""The command that samples the exact posterior of a galaxy and its evidence: nested."""

from __future__ import annotations

import argparse

from ..errors import SedflowError
from . import shared
from .one_galaxy import add_galaxy, add_output, print_posterior, read_galaxy
from .robust import outliers_of
from .shared import option

__all__ = ["add_commands"]


def add_commands(commands: shared.Commands) -> None:
    """Add nested."""
    parser = shared.add_command(
        commands,
        "nested",
        "sample the exact posterior of one galaxy by nested sampling, with its evidence",
        "Samples the exact posterior of one galaxy of a catalogue by nested sampling with\n"
        "nautilus, which gives the evidence: a second witness of the network, without chains.\n"
        "Model and prior are those of --posterior, or with --bands those that you give.",
        "sedflow-lab nested galaxies.csv --id 18039 --out nested.h5",
        _nested,
        "no draws were written: the posterior had not been found yet.",
    )
    add_galaxy(parser)
    option(
        parser, "--live N", "live points; more of them miss fewer modes", default=2000, least=100
    )
    option(
        parser,
        "--effective N",
        "effective sample size to reach; the error of the evidence goes with its root",
        default=10_000,
        least=100,
    )
    add_output(parser)


def _nested(args: argparse.Namespace) -> None:
    from ..samplers.nested import run_nested

    out = shared.check_path(args.out, shared.DRAWS)
    galaxy, model, prior, _ = read_galaxy(args)
    with shared.stop_on_interrupt() as stop:
        try:
            result = run_nested(
                galaxy,
                model,
                prior,
                outliers=outliers_of(args),
                live=args.live,
                effective=args.effective,
                draws=args.draws,
                seed=args.seed,
                progress=shared.is_interactive(),
                stop=stop,
            )
        except SedflowError:
            if stop.is_set():
                raise KeyboardInterrupt from None
            raise
    result.save(out)
    print_posterior(result)
    found = {name: values[0] for name, values in result.diagnostics.items()}
    print(
        f"log evidence {result.log_evidence[0]:.2f} ± {found['log_evidence_error']:.2f} "
        f"({found['n_evaluations']:,.0f} evaluations, {found['seconds']:.1f} s), smallest "
        f"chi-squared {result.chi2_min[0]:.2f}"
    )
    print(f"The draws are in {out}.")
    if stop.is_set():
        raise KeyboardInterrupt("the draws so far were written.")
