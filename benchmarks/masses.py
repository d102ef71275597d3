"""How much of the mass formed is still there, in galaxies of the showcase.

    python benchmarks/masses.py

Prints the median and the range of log10 of the mass formed over the mass that survives, from the
network's weighted posteriors. Seed 0.
"""

from __future__ import annotations

import numpy as np

import sedflow_lab as sl


def main() -> None:
    posterior, galaxies = sl.load_posterior("nsa-ugriz"), sl.showcase()
    result = posterior.infer(galaxies, 1000, "weighted", seed=0)
    survived = result.derived(posterior.model)["log_mstar_surviving"]
    lost = (result.weights * (result.samples[..., 0] - survived)).sum(1)[result.usable]
    low, middle, high = np.percentile(lost, [5, 50, 95])
    print(
        f"{len(lost)} galaxies: formed - surviving = {middle:.2f} dex, "
        f"{low:.2f} to {high:.2f} for nine of ten"
    )


if __name__ == "__main__":
    main()
