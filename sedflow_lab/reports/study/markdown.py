"""The report of a study as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from astropy.table import Table

from ...methods import METHODS
from ...parameters import NAMES
from ..markdown import markdown_table
from .report import CLAIMS, chosen, columns, overall, within_floor
from .store import NETWORK, Store

__all__ = ["to_markdown"]

_PAPER = (
    ("one evaluation with FSPS", "340 ms"),
    ("one evaluation with a neural emulator", "2.9 ms"),
    ("MCMC of one galaxy", "10-100 CPU hours"),
    ("ANPE of one galaxy (10,000 draws)", "1 s"),
)
"""What Hahn & Melchior (2022) quote."""

_TITLES = {"showcase": "Real galaxies", "simulations": "Simulations"}


def to_markdown(store: Store, table: Table, notes: Sequence[str] = ()) -> str:
    """Write the report.

    Parameters
    ----------
    store : Store
    table : Table
        What `report.collect` returned.
    notes : sequence of str
        How it was made: command, machine, time.
    """
    summary = overall(table)
    settings = store.settings()
    lines = [
        "# The network against emcee",
        "",
        f"emcee: {settings['walkers']} walkers in {settings['ensembles']} independent ensembles, "
        "half of them started at the network's posterior and half at the prior, run until they "
        "had converged by every criterion of `sedflow_lab.samplers.ensemble` (50 autocorrelation "
        "times, R-hat < 1.01 across the ensembles, bulk and tail effective sample sizes above 1000 "
        f"and 400). Each method gives {settings['draws']} draws. Seed {settings['seed']}.",
        "",
        *(f"- {note}" for note in notes),
        "",
        "C2ST is the accuracy of a classifier that tells the method's draws from emcee's: 0.5 is "
        "chance. JS is the Jensen-Shannon distance of a marginal, W1 the Wasserstein distance in "
        "standard deviations of the chain. Floors are the same numbers for independent halves of "
        "the chain, one of them cut to the method's effective sample size.",
        "",
        "## Goals",
        "",
        _claims(summary),
    ]
    for sample in dict.fromkeys(summary["sample"]):
        chains = table[(table["sample"] == sample) & (table["method"] == "mcmc")]
        failed = int(np.count_nonzero(chains["chain"] != "converged"))
        lines += [
            "",
            f"## {_TITLES[sample]}",
            "",
            f"{len(chains)} chains, of which {failed} did not converge and are left out.",
            "",
            _overall(summary[summary["sample"] == sample]),
            "",
            _by_parameter(table, sample),
        ]
    lines += ["", "## Cost of one galaxy", "", *_cost(table)]
    return "\n".join(lines) + "\n"


def _claims(summary: Table) -> str:
    rows = []
    for claim in CLAIMS:
        for sample in dict.fromkeys(summary["sample"]):
            part = summary[(summary["sample"] == sample) & (summary["method"] == claim.method)]
            if len(part):
                value = float(part[claim.value][0])
                text = f"{claim.text}: {_TITLES[sample].lower()}"
                limit = f"{'≥' if claim.at_least else '≤'} {claim.limit:.2f}"
                rows.append([text, limit, f"{value:.3f}", "yes" if claim.met(value) else "no"])
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
    parts = {m: chosen(table, sample, m) for m in NETWORK}
    parts = {m: part for m, part in parts.items() if len(part)}
    head = ["parameter", *(f"JS {METHODS[m].label}" for m in parts), "floor"]
    head += [f"≤ 2 floors {METHODS[m].label}" for m in parts]
    medians = [np.median(columns(part, "js"), axis=0) for part in parts.values()]
    floor = np.median(columns(list(parts.values())[-1], "js_floor"), axis=0)
    shares = [within_floor(part) for part in parts.values()]
    rows = [
        [
            name,
            *(f"{m[k]:.3f}" for m in medians),
            f"{floor[k]:.3f}",
            *(f"{s[k]:.0%}" for s in shares),
        ]
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
    return [here, "", markdown_table(["Hahn & Melchior (2022)", "time"], _PAPER)]
