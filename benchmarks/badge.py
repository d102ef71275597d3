"""How often the badge is right: fast draws against exact ones, and the threshold to set.

For real galaxies and simulated ones the posterior of the network is compared with the exact one:
the largest Wasserstein distance over 12 parameters and 7 derived quantities, in their standard
deviations. The threshold on the distance of `exact.defensive` is set on galaxies with an even
NSAID, which the network may have learnt from, and judged on those with an odd one. What was
measured is kept in the file, and not measured again.

    python benchmarks/badge.py ../shared/nsa/nsa_v0_1_2_sample.csv --number 150 --out badge.npz
"""

from __future__ import annotations

import argparse
import itertools
from functools import partial
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

import sedflow_lab as sl
from sedflow_lab._files import replacing
from sedflow_lab._threads import share_out, workers
from sedflow_lab.anpe import AmortizedPosterior
from sedflow_lab.anpe.simulate import mock_photometry
from sedflow_lab.anpe.support import FALSE_ALARM_RATE
from sedflow_lab.anpe.trust import MAX_DISTANCE, chi2_limit
from sedflow_lab.methods import RECIPE
from sedflow_lab.reports.card.badges import MISLEADS, WRONG, farthest

COLUMNS = (
    "row distance efficiency pareto_k chi2_min bands support w1 w1_weighted ess_weighted "
    "exact_finished exact_chi2 evaluations"
).split()
MOST_MISLED, MOST_WRONG = 0.05, 0.01
BLOCK = 8  # galaxies between savings


def read_sample(path: str, posterior: AmortizedPosterior) -> sl.Photometry:
    """Real galaxies that can be inferred."""
    galaxies = sl.read_photometry(path, bands=posterior.bands, on_bad="flag")
    return galaxies[np.flatnonzero(posterior.check(galaxies) == "")]


def measure(
    posterior: AmortizedPosterior, seed: int, draws: int, item: tuple[int, sl.Photometry]
) -> list[float]:
    """One row of `COLUMNS`."""
    row, galaxy = item
    infer = partial(posterior.infer, galaxy, draws, seed=seed, threads=1)
    fast, weighted, exact = infer("fast"), infer("weighted"), infer("exact")
    w1 = [farthest(posterior, each, exact) for each in (fast, weighted)]
    found = {name: float(values[0]) for name, values in fast.diagnostics.items()}
    return [
        row,
        *(found[name] for name in ("distance", "efficiency", "pareto_k")),
        fast.chi2_min[0],
        galaxy.mask.sum(),
        found.get("support", 1.0),
        *w1,
        weighted.ess[0],
        exact.badge[0] != "unfinished",
        exact.chi2_min[0],
        exact.diagnostics["evaluations"][0],
    ]


def collect(
    out: Path,
    name: str,
    posterior: AmortizedPosterior,
    galaxies: sl.Photometry,
    rows: np.ndarray,
    args: argparse.Namespace,
) -> dict[str, np.ndarray]:
    """Measure the galaxies that are not in the file yet; the columns of all that were asked for."""
    kind = "real" if name.endswith("half") else name
    key = f"{kind} {posterior.bundle.hash} {RECIPE} {args.seed} {args.draws}"
    kept = dict(np.load(out)) if out.exists() else {}
    done = kept.get(key, np.empty((0, len(COLUMNS))))
    todo = [int(row) for row in rows if row not in done[:, 0]]
    for i in range(0, len(todo), BLOCK):
        items = [(row, galaxies[row]) for row in todo[i : i + BLOCK]]
        work = partial(measure, posterior, args.seed, args.draws)
        found = list(share_out(work, items, workers(args.threads)))
        kept[key] = done = np.concatenate([done, np.array(found, dtype=float)])
        with replacing(out) as part, part.open("wb") as file:
            np.savez(file, **kept)
        print(f"{name}: {min(i + BLOCK, len(todo))} of {len(todo)}", flush=True)
    done = done[np.isin(done[:, 0], rows)]
    return dict(zip(COLUMNS, done.T, strict=True))


def fits(found: dict[str, np.ndarray]) -> np.ndarray:
    """Where nothing but the distance keeps the badge from `ok`."""
    inside = ~(found["support"] < FALSE_ALARM_RATE)
    return inside & (found["chi2_min"] <= chi2_limit(found["bands"]))


def rates(found: dict[str, np.ndarray], limit: float) -> tuple[float, ...]:
    """Share of `ok`; of those, wrong by more than either; and `refine` that was not needed."""
    ok = fits(found) & (found["distance"] <= limit)
    w1 = found["w1"]
    needless = (w1[~ok] <= MISLEADS).mean() if (~ok).any() else 0.0
    wrong = [(w1[ok] > most).mean() if ok.any() else 0.0 for most in (MISLEADS, WRONG)]
    return (ok.mean(), *wrong, needless)


def threshold(found: dict[str, np.ndarray]) -> float:
    """The largest distance up to which `ok` is wrong no more often than it may be."""
    best = 0.0
    for limit in np.sort(found["distance"]):
        _, misled, wrong, _ = rates(found, limit)
        if misled <= MOST_MISLED and wrong <= MOST_WRONG:
            best = float(limit)
    return best


def describe(name: str, found: dict[str, np.ndarray], limit: float) -> str:
    """A line of the table."""
    ok, misled, wrong, needless = rates(found, limit)
    return (
        f"| {name} | {len(found['w1'])} | {limit:.3f} | {ok:.1%} | {misled:.1%} | {wrong:.1%} | "
        f"{needless:.1%} |"
    )


def main() -> None:
    """Measure, and print two Markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sample", help="a table with the columns of the NSA")
    parser.add_argument("--posterior", default="nsa-ugriz")
    parser.add_argument("--number", type=int, default=150, help="galaxies of each half")
    parser.add_argument("--simulations", type=int, default=0)
    parser.add_argument("--tuning-only", action="store_true", help="leave the other half alone")
    parser.add_argument("--draws", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--out", type=Path, default=Path("badge.npz"))
    args = parser.parse_args()
    posterior = sl.load_posterior(args.posterior)
    real = read_sample(args.sample, posterior)
    order = np.random.default_rng(args.seed).permutation(len(real))
    odd = np.array([int(name) for name in real.ids[order]]) % 2 == 1
    groups = {"tuning half": (real, order[~odd][: args.number])}
    if not args.tuning_only:
        groups["other half"] = (real, order[odd][: args.number])
    if args.simulations:
        noise = posterior.bundle.noise
        mocks = mock_photometry(
            posterior.model, posterior.prior, noise, args.simulations, args.seed + 1000
        )[0]
        groups["simulations"] = (mocks, np.arange(args.simulations))
    found = {
        name: collect(args.out, name, posterior, galaxies, rows, args)
        for name, (galaxies, rows) in groups.items()
    }
    limit = threshold(found["tuning half"])
    print(f"\n{args.posterior} ({posterior.bundle.hash[:12]}), recipe {RECIPE}, seed {args.seed}\n")
    print(f"W1 above {MISLEADS} σ misleads, above {WRONG} σ is wrong.\n")
    print("| galaxies | number | distance up to | ok | misleads | is wrong | refine not needed |")
    print("|---|---|---|---|---|---|---|")
    for name, columns in found.items():
        for each in sorted({limit, MAX_DISTANCE}):
            print(describe(name, columns, each))
    print("\n| galaxies | unfinished | correlation of distance and W1 (Spearman) |\n|---|---|---|")
    for name, columns in found.items():
        correlation = spearmanr(columns["distance"], columns["w1"]).statistic
        print(f"| {name} | {(columns['exact_finished'] == 0).sum():.0f} | {correlation:.2f} |")
    print("\n| weighted, effective points | galaxies | W1, 50 and 95 % |\n|---|---|---|")
    ess, w1 = (
        np.concatenate([columns[key] for columns in found.values()])
        for key in ("ess_weighted", "w1_weighted")
    )
    for low, high in itertools.pairwise((0, 25, 50, 100, 200, 400, np.inf)):
        within = w1[(ess >= low) & (ess < high)]
        if len(within):
            middle, most = np.quantile(within, [0.5, 0.95])
            print(f"| {low} to {high} | {len(within)} | {middle:.2f}, {most:.2f} |")


if __name__ == "__main__":
    main()
