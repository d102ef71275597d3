"""The report of a study as a page: Markdown, with a table and figures beside it."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
import torch
from astropy.table import Table

from ..._files import write_text
from ...anpe import AmortizedPosterior
from ...anpe.recipe import processor_name
from ...methods import METHODS
from ...observations.write import write_table
from ...parameters import NAMES
from ...plots import plot_corner
from ...plots.style import LabFigure
from ..pages import markdown_table, save_figure
from .figures import plot_distances
from .report import CLAIMS, by_method, collect, columns, overall, pick_cases, within_floor
from .store import NETWORK, Store

__all__ = ["to_markdown", "write_report"]

_CORNER = ("log_mstar", "fburst", "age_mw", "log_z_mw", "tau_bc", "tau_ism", "n_dust")
_PAPER = (
    ("one evaluation with FSPS", "340 ms"),
    ("one evaluation with a neural emulator", "2.9 ms"),
    ("MCMC of one galaxy", "10-100 CPU hours"),
    ("ANPE of one galaxy (10,000 draws)", "1 s"),
)
"""What Hahn & Melchior (2022) quote."""

_TITLES = {"showcase": "Real galaxies", "simulations": "Simulations"}


def write_report(store: Store, posterior: AmortizedPosterior, command: str) -> str:
    """Write ``report.md``, ``report.csv`` and figures into the folder of a study.

    The command is one that makes the same again. Returns the report.
    """
    for sample in store.samples():
        store.check_network(posterior.bundle.hash, sample.name)
    table = collect(store)
    notes = [
        f"Command: `{command}`.",
        f"Machine: {processor_name()}, {os.cpu_count()} cores; each galaxy on "
        f"{torch.get_num_threads()} of them. Times are of the wall clock.",
    ]
    text = to_markdown(store, table, notes)
    write_text(store.folder / "report.md", text)
    write_table(table, store.folder / "report.csv")
    for sample in dict.fromkeys(overall(table)["sample"]):
        path = store.folder / f"distances-{sample}.png"
        save_figure(plot_distances(table, sample), path, dpi=100)
        for case, galaxy in pick_cases(table, sample).items():
            figure = _plot_case(store, posterior, table, sample, case, galaxy)
            save_figure(figure, store.folder / f"corner-{sample}-{case}.png", dpi=80)
    return text


def _plot_case(
    store: Store, posterior: AmortizedPosterior, table: Table, sample: str, case: str, galaxy: str
) -> LabFigure:
    """Corner plot of a galaxy for which the network alone is best, in the middle, or worst."""
    known = store.sample(sample)
    results = [store.load(sample, method, galaxy) for method in ("fast", "exact", "mcmc")]
    truth = None
    if known.truth is not None:
        truth = known.truth[known.photometry.ids.tolist().index(galaxy)]
    rows = table[(table["sample"] == sample) & (table["id"] == galaxy)]
    c2st = {row["method"]: float(row["c2st"]) for row in rows}
    return plot_corner(
        [result for result in results if result is not None],
        parameters=_CORNER,
        truth=truth,
        title=f"{galaxy}, {case} for the network alone\n"
        f"C2ST {c2st['fast']:.2f}, exact {c2st.get('exact', float('nan')):.2f}",
        model=posterior.model,
    )


def to_markdown(store: Store, table: Table, notes: Sequence[str] = ()) -> str:
    """Write the report of what `report.collect` returned, with notes on how it was made."""
    summary = overall(table)
    settings = store.settings()
    blocks = [
        "# The network against emcee",
        f"emcee: {settings['walkers']} walkers in {settings['ensembles']} independent ensembles, "
        "half of them started at the network's posterior and half at the prior, run until they "
        "had converged by every criterion of `sedflow_lab.samplers.ensemble` (50 autocorrelation "
        "times, R-hat < 1.01 across the ensembles, bulk and tail effective sample sizes above 1000 "
        f"and 400). Each method gives {settings['draws']} draws. Seed {settings['seed']}.",
        "\n".join(f"- {note}" for note in notes),
        "C2ST is the accuracy of a classifier that tells the method's draws from emcee's: 0.5 is "
        "chance. JS is the Jensen-Shannon distance of a marginal, W1 the Wasserstein distance in "
        "standard deviations of the chain. Floors are the same numbers for independent halves of "
        "the chain, one of them cut to the method's effective sample size.",
        "## Goals",
        _claims(summary),
    ]
    for sample in dict.fromkeys(summary["sample"]):
        chains = table[(table["sample"] == sample) & (table["method"] == "mcmc")]
        failed = int(np.count_nonzero(chains["chain"] != "converged"))
        blocks += [
            f"## {_TITLES[sample]}",
            f"{len(chains)} chains, of which {failed} did not converge and are left out.",
            _overall(summary[summary["sample"] == sample]),
            _by_parameter(table, sample),
        ]
    blocks += ["## Cost of one galaxy", *_cost(table)]
    return "\n\n".join(blocks) + "\n"


def _claims(summary: Table) -> str:
    rows = []
    for claim in CLAIMS:
        for sample in dict.fromkeys(summary["sample"]):
            part = summary[(summary["sample"] == sample) & (summary["method"] == claim.method)]
            if len(part):
                value = float(part[claim.value][0])
                text = f"{claim.text}: {_TITLES[sample].lower()}"
                limit = f"{'≥' if claim.at_least else '≤'} {claim.limit:.2f}"
                met = value >= claim.limit if claim.at_least else value <= claim.limit
                rows.append([text, limit, f"{value:.3f}", "yes" if met else "no"])
    return markdown_table(["goal", "limit", "measured", "met"], rows)


_OVERALL = {
    "galaxies": ("galaxies", "d"),
    "c2st": ("C2ST", ".3f"),
    "c2st_floor": ("floor", ".3f"),
    "js": ("JS", ".3f"),
    "js_floor": ("floor", ".3f"),
    "w1": ("W1 [σ]", ".3f"),
    "w1_floor": ("floor", ".3f"),
    "w1_95": ("W1, 95 %", ".2f"),
    "within": ("JS ≤ 2 floors", ".1%"),
    "within_worst": ("worst parameter", ".1%"),
    "ess": ("ESS", ".0f"),
}
"""Columns of `overall`, as the report calls and writes them."""


def _overall(summary: Table) -> str:
    head = ["method", *(title for title, _ in _OVERALL.values())]
    rows = [
        [
            METHODS[row["method"]].label,
            *(format(row[name], style) for name, (_, style) in _OVERALL.items()),
        ]
        for row in summary
    ]
    return markdown_table(head, rows)


def _by_parameter(table: Table, sample: str) -> str:
    """Median JS distance of each parameter, and the share within twice the floor."""
    parts = by_method(table, sample)
    head = ["parameter", *(f"JS {METHODS[m].label}" for m in parts), "floor"]
    head += [f"≤ 2 floors {METHODS[m].label}" for m in parts]
    medians = [np.median(columns(part, "js"), axis=0) for part in parts.values()]
    floor = np.median(columns(list(parts.values())[-1], "js_floor"), axis=0)
    shares = [within_floor(part) for part in parts.values()]
    numbers = [*medians, floor]
    rows = [
        [name, *(f"{m[k]:.3f}" for m in numbers), *(f"{s[k]:.0%}" for s in shares)]
        for k, name in enumerate(NAMES)
    ]
    return markdown_table(head, rows)


def _cost(table: Table) -> list[str]:
    rows = []
    for method in ("mcmc", *NETWORK):
        part = table[table["method"] == method]
        if len(part):
            low, middle, high = np.quantile(np.asarray(part["seconds"]), (0.05, 0.5, 0.95))
            count = f"{np.median(np.asarray(part['evaluations'])):,.0f}"
            times = [f"{middle:.2f} s", f"{low:.2f} - {high:.2f} s"]
            rows.append([METHODS[method].label, count, *times])
    here = markdown_table(["method", "model evaluations", "time", "90 % of galaxies"], rows)
    return [here, markdown_table(["Hahn & Melchior (2022)", "time"], _PAPER)]
