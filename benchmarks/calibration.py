"""How long a calibration run takes, and how much memory.

python benchmarks/calibration.py [--simulations 1000] [--draws 1000] [--method fast] [--seed 0]
"""

from __future__ import annotations

import argparse
import os
import resource
import time

import torch

import sedflow_lab as sl
from sedflow_lab.diagnostics.runs import METHODS, run_calibration


def main() -> None:
    """Print one line of numbers, and the verdict."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--posterior", default="nsa-ugriz")
    parser.add_argument("--simulations", type=int, default=1000)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--method", choices=METHODS, default="fast")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    posterior = sl.load_posterior(args.posterior)
    wall, processor = time.perf_counter(), time.process_time()
    run = run_calibration(
        posterior, args.method, args.simulations, args.draws, args.seed, progress=True
    )
    check = run.check()
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    print(
        f"{args.method}: {args.simulations} simulations x {args.draws} draws, seed {args.seed}: "
        f"{wall:.0f} s ({processor:.0f} s of processor time, {torch.get_num_threads()} threads, "
        f"load {os.getloadavg()[0]:.1f}), peak memory {peak:.2f} GiB"
    )
    print(check.verdict())


if __name__ == "__main__":
    main()
