"""The report of a study as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from astropy.table import Table

from ...parameters import NAMES
from ...plots.style import LABELS
from .report import GOALS, chosen, columns, overall, within_floor
from .store import METHODS, Store

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
        "had converged by every criterion of `sedflow_lab.ensemble` (50 autocorrelation times, "
        "R-hat < 1.01 across the ensembles, bulk and tail effective sample sizes above 1000 and "
        f"400). Each method gives {settings['draws']} draws. Seed {settings['seed']}.",
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
        *_goals(summary),
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
            *_overall(summary[summary["sample"] == sample]),
            "",
            *_by_parameter(table, sample),
        ]
    lines += ["", "## Cost of one galaxy", "", *_cost(table)]
    return "\n".join(lines) + "\n"


def _goals(summary: Table) -> list[str]:
    rows = []
    for goal in GOALS:
        for sample in dict.fromkeys(summary["sample"]):
            part = summary[(summary["sample"] == sample) & (summary["method"] == goal.method)]
            if len(part):
                value = float(part[goal.value][0])
                sign = "≥" if goal.at_least else "≤"
                met = "yes" if goal.met(value) else "no"
                rows.append(
                    [f"{goal.text}: {_TITLES[sample].lower()}", f"{sign} {goal.limit:.2f}",
                     f"{value:.3f}", met]
                )  # fmt: skip
    return _table(["goal", "limit", "measured", "met"], rows)


def _overall(summary: Table) -> list[str]:
    head = [
        "method", "galaxies", "C2ST", "floor", "JS", "floor", "W1 [σ]", "floor", "W1, 95 %",
        "JS ≤ 2 floors", "worst parameter", "ESS",
    ]  # fmt: skip
    rows = [
        [
            LABELS[row["method"]], f"{row['galaxies']}", f"{row['c2st']:.3f}",
            f"{row['c2st_floor']:.3f}", f"{row['js']:.3f}", f"{row['js_floor']:.3f}",
            f"{row['w1']:.3f}", f"{row['w1_floor']:.3f}", f"{row['w1_95']:.2f}",
            f"{row['within']:.1%}", f"{row['within_worst']:.1%}", f"{row['ess']:.0f}",
        ]
        for row in summary
    ]  # fmt: skip
    return _table(head, rows)


def _by_parameter(table: Table, sample: str) -> list[str]:
    """Median JS distance of each parameter, and the share within twice the floor."""
    parts = {m: chosen(table, sample, m) for m in METHODS}
    parts = {m: part for m, part in parts.items() if len(part)}
    head = ["parameter", *(f"JS {LABELS[m]}" for m in parts), "floor"]
    head += [f"≤ 2 floors {LABELS[m]}" for m in parts]
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
    return _table(head, rows)


def _cost(table: Table) -> list[str]:
    rows = []
    for method in ("mcmc", *METHODS):
        part = table[table["method"] == method]
        if len(part):
            seconds, count = np.asarray(part["seconds"]), np.asarray(part["evaluations"])
            low, middle, high = np.quantile(seconds, (0.05, 0.5, 0.95))
            rows.append(
                [LABELS[method], f"{np.median(count):,.0f}", f"{middle:.2f} s",
                 f"{low:.2f} - {high:.2f} s"]
            )  # fmt: skip
    here = _table(["method", "model evaluations", "time", "90 % of galaxies"], rows)
    paper = _table(["Hahn & Melchior (2022)", "time"], [list(row) for row in _PAPER])
    return [*here, "", *paper]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Markdown table with columns that line up."""
    widths = [max(len(row[k]) for row in (head, *rows)) for k in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        rest = [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)]
        return "| " + " | ".join([cells[0].ljust(widths[0]), *rest]) + " |"

    rule = "-" * (widths[0] + 2) + "|" + "|".join("-" * (width + 1) + ":" for width in widths[1:])
    return [line(head), f"|{rule}|", *(line(row) for row in rows)]
