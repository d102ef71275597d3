"""The command that holds the network against emcee for many galaxies: compare."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from .shared import (
    Commands,
    add_command,
    add_posterior,
    is_interactive,
    say,
    stop_on_interrupt,
    write_table,
)

if TYPE_CHECKING:
    from astropy.table import Table

    from ..anpe import AmortizedPosterior
    from ..reports.study import Sample, Store

__all__ = ["add_commands"]

_CORNER = ("log_mstar", "fburst", "age_mw", "log_z_mw", "tau_bc", "tau_ism", "n_dust")


def add_commands(commands: Commands) -> None:
    """Add compare."""
    parser = add_command(
        commands,
        "compare",
        "the network against emcee, for many real or simulated galaxies",
        "Samples the exact posteriors of galaxies with emcee, infers them by the network's three\n"
        "methods (fast, weighted, exact), and reports how far each is from emcee beside the noise\n"
        "floor. Chains take nearly all the time; they are kept in the folder, and the same\n"
        "command goes on where it stopped.",
        "sedflow-lab compare --sample both --galaxies 30 --simulations 100 --out study",
        _compare,
        "the galaxies that were finished are kept: run the same command again to go on.",
    )
    parser.add_argument(
        "--sample",
        choices=("showcase", "simulations", "both"),
        default="showcase",
        help="real galaxies, spread over colour and brightness, or galaxies simulated with the "
        "network's prior and noise (default: %(default)s)",
    )
    parser.add_argument(
        "--galaxies",
        metavar="N",
        type=int,
        default=30,
        help="how many real galaxies, at most 192 (default: %(default)s)",
    )
    parser.add_argument(
        "--simulations",
        metavar="N",
        type=int,
        default=100,
        help="how many simulated ones (default: %(default)s)",
    )
    add_posterior(parser)
    parser.add_argument(
        "--chains-only", action="store_true", help="run emcee, and leave the network for later"
    )
    parser.add_argument(
        "--methods",
        nargs="+",
        metavar="METHOD",
        choices=("fast", "weighted", "exact"),
        default=["fast", "weighted", "exact"],
        help="methods of the network (default: fast weighted exact)",
    )
    parser.add_argument(
        "--fresh",
        action="store_true",
        help="infer by these methods anew, as after they have changed; chains are kept",
    )
    parser.add_argument(
        "--workers",
        metavar="N",
        type=int,
        default=1,
        help="processes that share the galaxies, one thread each (default: %(default)s)",
    )
    parser.add_argument(
        "--seed",
        metavar="N",
        type=int,
        default=0,
        help="the same seed gives the same numbers (default: %(default)s)",
    )
    parser.add_argument(
        "--out",
        metavar="FOLDER",
        required=True,
        help="where results are kept, and report.md, report.csv and figures are written",
    )


def _compare(args: argparse.Namespace) -> None:
    from ..anpe import load_posterior
    from ..reports.study import open_store, run_chains, run_network, simulations, spread_showcase
    from ..sps import load_ssp_grid

    if args.workers < 1:
        raise InputError(f"The number of workers must be positive, it is {args.workers}.")
    posterior = load_posterior(args.posterior, ssp=load_ssp_grid(args.ssp))
    samples: list[Sample] = []
    if args.sample != "simulations":
        samples.append(spread_showcase(args.galaxies))
    if args.sample != "showcase":
        samples.append(simulations(posterior, args.simulations, args.seed))
    store = open_store(args.out, posterior, args.seed)
    with stop_on_interrupt() as stop:
        common: dict[str, Any] = {
            "workers": args.workers, "progress": is_interactive(), "stop": stop,
        }  # fmt: skip
        again: dict[str, Any] = {"methods": args.methods, "fresh": args.fresh}
        for sample in samples:
            run_chains(store, sample, args.posterior, args.ssp, **common)
        if not args.chains_only:
            for sample in samples:
                run_network(store, sample, args.posterior, args.ssp, **again, **common)
        if stop.is_set():
            raise KeyboardInterrupt
    if not args.chains_only:
        _report(store, posterior, _command(args))


def _command(args: argparse.Namespace) -> str:
    """The command that makes the same again."""
    words = ["sedflow-lab compare", f"--sample {args.sample}"]
    if args.sample != "simulations":
        words.append(f"--galaxies {args.galaxies}")
    if args.sample != "showcase":
        words.append(f"--simulations {args.simulations}")
    if args.posterior != "nsa-ugriz":
        words.append(f"--posterior {args.posterior}")
    return " ".join([*words, f"--seed {args.seed}", f"--out {Path(args.out).name}"])


def _report(store: Store, posterior: AmortizedPosterior, command: str) -> None:
    """Write the table, the report and the figures, and print the report."""
    import torch

    from ..anpe.recipe import processor_name
    from ..reports.study.figures import plot_distances
    from ..reports.study.markdown import to_markdown
    from ..reports.study.report import collect, overall

    table = collect(store)
    notes = [
        f"Command: `{command}`.",
        f"Machine: {processor_name()}, {os.cpu_count()} cores; each galaxy on "
        f"{torch.get_num_threads()} of them. Times are of the wall clock.",
    ]
    text = to_markdown(store, table, notes)
    (store.folder / "report.md").write_text(text)
    write_table(table, store.folder / "report.csv")
    for sample in dict.fromkeys(overall(table)["sample"]):
        figure = plot_distances(table, sample)
        figure.savefig(store.folder / f"distances-{sample}.png", dpi=100)
        _draw_cases(store, posterior, table, sample)
    print(text)
    say(f"report.md, report.csv and the figures are in {store.folder}.")


def _draw_cases(store: Store, posterior: AmortizedPosterior, table: Table, sample: str) -> None:
    """Corner plots of the galaxies for which the network alone is best, in the middle, worst."""
    from ..plots import plot_corner
    from ..reports.study.report import pick_cases

    known = store.sample(sample)
    for case, galaxy in pick_cases(table, sample).items():
        results = [store.load(sample, method, galaxy) for method in ("fast", "exact", "mcmc")]
        truth = None
        if known.truth is not None:
            truth = known.truth[known.photometry.ids.tolist().index(galaxy)]
        row = table[(table["sample"] == sample) & (table["id"] == galaxy)]
        told = {r["method"]: float(r["c2st"]) for r in row}
        figure = plot_corner(
            [result for result in results if result is not None],
            parameters=_CORNER,
            truth=truth,
            title=f"{galaxy}, {case} for the network alone\n"
            f"C2ST {told['fast']:.2f}, refined {told.get('exact', float('nan')):.2f}",
            model=posterior.model,
        )
        figure.savefig(store.folder / f"corner-{sample}-{case}.png", dpi=80)
