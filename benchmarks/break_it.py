"""Which diagnostic sees which fault: the matrix of docs/break-it.md.

    python benchmarks/break_it.py --work /tmp/break-it --out docs/break-it.md

Every case of `sedflow_lab.diagnostics.CASES` is run with the network's own draws. Runs are kept in
--work, and a run that was stopped goes on; bad networks are trained there.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import sedflow_lab as sl
from sedflow_lab._files import write_text
from sedflow_lab.anpe import AmortizedPosterior
from sedflow_lab.anpe.recipe import processor_name
from sedflow_lab.diagnostics import CASES, WITNESSES, Fault, Sight, sights
from sedflow_lab.diagnostics.broken import BAD_TRAININGS, blinded, train_badly
from sedflow_lab.diagnostics.mocks import YOUNG
from sedflow_lab.diagnostics.witnesses import SEEN
from sedflow_lab.reports.pages import markdown_table

HINT = 1e-3
SAYS = (
    "Calibration tests (SBC, TARP, HPD regions) compare posteriors with truths, so they need "
    "simulations. What can be run in practice is the second column: simulations of the network's "
    "own model, noise and prior. Where nature is otherwise, those know nothing of it, and the "
    "column is empty. The three that follow are the same tests *with the truths of nature*, which "
    "only a lesson has. The last four look at the galaxies themselves, and need no truth."
)
SPECIAL = (
    "**Another dust law** is what nothing sees that can be done with real data: the model makes "
    "the same colours with other parameters, so draws fit, the photometry is inside the support, "
    "weights are even, and the network agrees with its (wrong) likelihood. Calibration on its own "
    "simulations cannot see it by construction. Only other data (more bands, a spectrum), or "
    "another model beside this one, can.\n\n"
    "**A mode never seen** is what importance weights hardly see: they are computed at draws of "
    "the network, and there nearly all is well. The network here is the shipped one, made blind "
    f"to bursts younger than {YOUNG:g} Gyr."
)


def network_of(kind: str, posterior: AmortizedPosterior, work: Path) -> AmortizedPosterior:
    """The network of a case."""
    if kind not in BAD_TRAININGS:
        return blinded(posterior) if kind else posterior
    made = train_badly(kind, posterior, work)
    assert made is not None  # nothing stops it
    return made


def cell(sight: Sight) -> str:
    """A mark, and how far off."""
    mark = "**sees**" if sight.seen else "hint" if sight.p_value < HINT else "–"
    return f"{mark} {100 * sight.size:.0f}"


def main() -> None:
    """Run all cases, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("docs/break-it.md"))
    parser.add_argument("--simulations", type=int, default=128)
    parser.add_argument("--draws", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    posterior = sl.load_posterior()
    runs = {}

    def run(kind: str, fault: Fault, name: str):
        if (kind, fault) not in runs:
            network = network_of(kind, posterior, args.work)
            how = args.simulations, args.draws, args.seed
            path = args.work / f"{name}.npz"
            runs[kind, fault] = sl.run_calibration(network, "fast", *how, fault=fault, path=path)
        return runs[kind, fault]

    reference, rows, whys = run("", Fault(), "nothing"), [], []
    for name, case in CASES.items():
        own = run(case.network, Fault(), f"own-{name}" if case.network else "nothing")
        found = sights(run(case.network, case.fault, name), reference, own)
        rows.append([f"{case.of}: {case.label}", *map(cell, found.values())])
        print(rows[-1], flush=True)
        if case.why:
            wrong = str(case.fault) if case.fault else BAD_TRAININGS[case.network].what
            whys.append(f"- **{case.label[0].upper()}{case.label[1:]}** ({wrong}). {case.why}")
    seconds = sum(each.seconds for each in runs.values())
    heads = ["what is wrong", *(name if name != "own" else "own simulations" for name in found)]
    meanings = [f"- **{name}**: {meaning}." for name, meaning in WITNESSES.items()]
    page = [
        "# Which diagnostic sees which fault",
        f"Made by `python benchmarks/break_it.py` with the network {posterior.bundle.name} "
        f"({posterior.bundle.hash}) on {args.simulations} simulations of {args.draws} draws of "
        f"each network (method fast), seed {args.seed}, in {seconds:.0f} s on "
        f"{os.cpu_count()} cores of {processor_name()} that were busy with other work.",
        SAYS,
        markdown_table(heads, rows),
        f"**sees**: a p-value below {SEEN:g}, which is how often each would cry wolf where nothing "
        f"is wrong; hint: below {HINT:g}. Numbers are how far off: percentage points between a "
        "curve and its diagonal (for the fit, and the curve where nothing is wrong), or per cent "
        "of galaxies. `tests/test_witnesses.py` holds every row to it.",
        "\n".join(meanings),
        "## Why",
        "\n".join(whys),
        "## Two that are easily missed",
        SPECIAL,
    ]
    write_text(args.out, "\n\n".join(page) + "\n")


if __name__ == "__main__":
    main()
