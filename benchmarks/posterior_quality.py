"""How good the shipped network is: sampling efficiency on simulations and on real galaxies.

python benchmarks/posterior_quality.py [--posterior nsa-ugriz] [--seed 0]
"""

from __future__ import annotations

import argparse
import os
import platform
import time

import numpy as np
import torch

import sedflow_lab as sl
from sedflow_lab.anpe.simulate import mock_photometry


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--posterior", default="nsa-ugriz")
    parser.add_argument("--galaxies", type=int, default=192)
    parser.add_argument("--draws", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    posterior = sl.load_posterior(args.posterior)
    mocks, _ = mock_photometry(
        posterior.model, posterior.prior, posterior.bundle.noise, args.galaxies, args.seed + 1000
    )
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, torch "
        f"{torch.__version__}, {args.draws} draws a galaxy, seed {args.seed}\n"
    )
    print("| galaxies | efficiency: quartiles | Pareto k > 0.7 | badges | ms a galaxy, fast |")
    print("|---|---|---|---|---|")
    for name, galaxies in (("simulations", mocks), ("showcase", sl.showcase()[: args.galaxies])):
        result = posterior.infer(galaxies, args.draws, "weighted", args.seed)
        began = time.perf_counter()
        posterior.sample(galaxies, args.draws, args.seed)
        milliseconds = 1e3 * (time.perf_counter() - began) / len(galaxies)
        low, middle, high = np.quantile(result.diagnostics["efficiency"], [0.25, 0.5, 0.75])
        heavy = np.mean(result.diagnostics["pareto_k"] > 0.7)
        words, counts = np.unique(result.badge, return_counts=True)
        badges = ", ".join(f"{c} {w}" for w, c in zip(words, counts, strict=True))
        print(
            f"| {len(galaxies)} {name} | {low:.1%}, {middle:.1%}, {high:.1%} | {heavy:.0%} | "
            f"{badges} | {milliseconds:.0f} |"
        )


if __name__ == "__main__":
    main()
