"""Uncertain redshifts: every method beside emcee, and simulations, for docs/redshift.md.

    python benchmarks/redshift.py --out docs/redshift.md

Redshifts of galaxies of the showcase are taken for uncertain, and those of simulations are drawn
from their priors.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from scipy import stats

import sedflow_lab as sl
from sedflow_lab._files import write_text
from sedflow_lab.anpe import AmortizedPosterior
from sedflow_lab.anpe.recipe import processor_name
from sedflow_lab.exact.redshift import RedshiftPrior
from sedflow_lab.reports.pages import markdown_table
from sedflow_lab.reports.study.galaxies import spread_showcase

_DRAWS = 2000
_LEVELS = 0.16, 0.5, 0.84
_MASS = sl.NAMES.index("log_mstar")
_NOISE = (2.0, 1.0, 1.0, 1.0, 2.0)  # nanomaggies
_SEEN = 15.0, 60.0  # in r: what is measured alone decides which simulations are looked at


def columns_of(result: sl.PosteriorResult) -> np.ndarray:
    """Parameters and redshift (D, 13) of equally weighted draws of one galaxy."""
    even = result.resample(_DRAWS)
    return np.column_stack([even.samples[0], even.draw_redshift[0]])


def beside_emcee(
    posterior: AmortizedPosterior, galaxies: sl.Photometry, sigma: float, seed: int
) -> list[list[str]]:
    """A row for each galaxy: redshifts, and how far exact draws are from a chain's."""
    rows = []
    for one in galaxies.with_redshift_sigma(sigma):
        results = {m: posterior.infer(one, _DRAWS, m, seed) for m in ("fast", "weighted", "exact")}
        results["mcmc"] = sl.run_mcmc(one, posterior.model, start="prior", seed=seed)
        wanted, found = columns_of(results["mcmc"]), columns_of(results["exact"])
        (low, middle, high), known = (np.quantile(x, _LEVELS, axis=0) for x in (found, wanted))
        span = known[2] - known[0]
        shift, width = np.abs(middle - known[1]) / (0.5 * span), (high - low) / span
        shown = [_interval(columns_of(result)[:, -1]) for result in results.values()]
        rows.append(
            [
                str(one.ids[0]),
                f"{one.redshift[0]:.4f}",
                *shown,
                f"{shift[-1]:.2f}, {width[-1]:.2f}",
                f"{shift.max():.2f}, {width.min():.2f} to {width.max():.2f}",
                str(results["fast"].badge[0]),
                str(results["mcmc"].badge[0]),
            ]
        )
        print(" ".join(rows[-1]), flush=True)
    return rows


def simulations(posterior: AmortizedPosterior, n: int, seed: int) -> str:
    """How uniform the ranks of true redshifts and masses are among weighted draws."""
    rng, many = np.random.default_rng(seed), 40 * n
    at, sigma = rng.uniform(0.05, 0.1, many), rng.uniform(0.02, 0.03, many)
    noise = np.tile(_NOISE, (many, 1))
    prior = RedshiftPrior(sl.Photometry(noise, noise, at, redshift_sigma=sigma), 0.2)
    redshift = prior.redshift(rng.normal(size=(many, 1)))[:, 0]
    theta = posterior.prior.sample(many, seed)
    flux = posterior.model.photometry(theta, redshift) + noise * rng.normal(size=noise.shape)
    rows = np.flatnonzero((flux[:, 2] > _SEEN[0]) & (flux[:, 2] < _SEEN[1]))[:n]
    galaxies = sl.Photometry(flux[rows], noise[rows], at[rows], redshift_sigma=sigma[rows])
    found = posterior.infer(galaxies, 1000, "weighted", seed)
    told = []
    for name, draws, truth in (
        ("redshift", found.draw_redshift, redshift[rows]),
        ("mass", found.samples[..., _MASS], theta[rows, _MASS]),
    ):
        rank = (found.weights * (draws < truth[:, None])).sum(1)
        inside = np.abs(rank - 0.5) < 0.34
        told.append(
            f"those of the {name} are uniform with p = {stats.kstest(rank, 'uniform').pvalue:.2g} "
            f"(Kolmogorov-Smirnov), and {inside.mean():.0%} of the truths are in the middle 68 %"
        )
    return f"Ranks of the truth of {len(rows)} simulations: {'; '.join(told)}."


def _interval(values: np.ndarray) -> str:
    low, middle, high = np.quantile(values, _LEVELS)
    return f"{middle:.4f} ({low:.4f}, {high:.4f})"


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--galaxies", type=int, default=6)
    parser.add_argument("--simulations", type=int, default=200)
    parser.add_argument("--sigma", type=float, default=0.02)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("redshift.md"))
    args = parser.parse_args()
    began, posterior = time.perf_counter(), sl.load_posterior()
    told = simulations(posterior, args.simulations, args.seed)
    galaxies = spread_showcase(args.galaxies).photometry
    rows = beside_emcee(posterior, galaxies, args.sigma, args.seed)
    head = ["NSAID", "measured", "fast", "weighted", "exact", "emcee", "redshift", "all"]
    page = [
        "# Uncertain redshifts\n",
        f"Made by `python benchmarks/redshift.py` with the network {posterior.bundle.name}, seed "
        f"{args.seed}, in {time.perf_counter() - began:.0f} s on {processor_name()}.\n",
        f"Redshifts of galaxies of the showcase are taken for uncertain by {args.sigma:g}: medians "
        "and 68 % intervals. Those of *fast* are the prior, normal about what was measured and cut "
        "off at 0.001 and 0.2. The others are the posterior; emcee starts from draws of the prior, "
        "and knows nothing of the network. The next two columns hold exact draws against emcee's: "
        "the difference of the medians in halves of the 68 % interval and the ratio of these, of "
        "the redshift, and the worst of all thirteen parameters. The last two are the badges of "
        "fast draws and of the chain.\n",
        markdown_table([*head, "badge", "chain"], rows),
        f"\n{told} Their redshifts are drawn from priors with an uncertainty of 0.02 to 0.03 about "
        "0.05 to 0.1.\n",
    ]
    write_text(args.out, "\n".join(page))


if __name__ == "__main__":
    main()
