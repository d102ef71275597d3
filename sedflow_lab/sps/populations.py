"""The stellar populations of a galaxy: their masses, ages and metallicities, and grid positions."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from ..parameters import Parameters
from ..units import LN10
from .histories import (
    METALLICITY_RANGE,
    N_YOUNG_BINS,
    TIME_EDGES,
    Cosmology,
    RedshiftTable,
    StarFormation,
    planck13,
)

__all__ = ["POPULATION_EDGES", "Epoch", "LogAxis", "Populations"]

POPULATION_EDGES = np.append(0.0, TIME_EDGES[N_YOUNG_BINS:])
"""Lookback-time edges [Gyr] of the smooth populations; the first one is the ten youngest bins."""


class LogAxis:
    """Where values lie between the nodes of an axis, linearly in their logarithm.

    The position, a whole number at each node, is a piecewise-linear function of the logarithm:
    a straight line plus a hinge wherever the spacing changes. Grids are nearly evenly spaced,
    so this is much faster than searching. The nodes (K,) are positive and rising.
    """

    def __init__(self, nodes: np.ndarray) -> None:
        x = np.log(nodes)
        slope = 1.0 / np.diff(x)
        kept = np.flatnonzero(np.abs(np.diff(slope)) > 1e-4 * slope[1:])
        # Even spacing up to rounding: one slope from hinge to hinge.
        stops = [0, *(kept + 1), len(nodes) - 1]
        slopes = np.diff(stops) / np.diff(x[stops])
        hinges, changes = x[stops[:-1]], np.diff(slopes, prepend=0.0)
        self.low, self.high, self.last = float(x[0]), float(x[-1]), len(nodes) - 2
        self.hinges = tuple(zip(hinges.tolist(), changes.tolist(), strict=True))
        # position = sum of change * (max(x, hinge) - hinge); the constants are subtracted here.
        self.start = -float(changes @ hinges)

    def __call__(self, value: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Index (int32) of the node below each value and the fraction of the way to the next.

        Values beyond the ends are taken to be there.
        """
        x = torch.log(value).clamp(self.low, self.high)
        position = x * self.hinges[0][1] + self.start
        for hinge, change in self.hinges[1:]:
            position = torch.add(position, x.clamp_min(hinge), alpha=change)
        below = position.to(torch.int32).clamp_(0, self.last)
        return below, position - below


class Epoch(NamedTuple):
    """What a redshift fixes, for N galaxies and L late populations."""

    age: torch.Tensor  # (N, 1), of the universe [Gyr]
    log_distance: torch.Tensor  # (N, 1), natural log of the luminosity distance [Mpc]
    total: torch.Tensor  # (N, 4), integrals of the SFH bases over the age of the universe
    late_mass: torch.Tensor  # (N, 4, L), over the late time bins, which end at the Big Bang
    late_metallicity: torch.Tensor  # (N, 2, L), bases in the middle of these bins


class Populations(torch.nn.Module):
    """Masses, ages and metallicities of the populations that make up galaxies.

    They are the mean young population, one population in the middle of each later time bin as
    far as the universe is old, and the burst. A time bin sits in birth clouds if it begins below
    their age [Gyr].
    """

    early_mass: torch.Tensor
    early_metallicity: torch.Tensor
    edges: torch.Tensor

    def __init__(self, redshift_max: float, birth_cloud_age: float, dtype: torch.dtype) -> None:
        super().__init__()
        self.birth_cloud_age = birth_cloud_age
        self.n_young = int((POPULATION_EDGES[:-1] < birth_cloud_age * (1 - 1e-9)).sum())
        self.cosmology = Cosmology(redshift_max, dtype)
        self.star_formation = StarFormation(dtype)
        history = StarFormation(torch.float64)
        redshift, sky = planck13(redshift_max)
        age = torch.as_tensor(sky[:, 0])
        edges = torch.as_tensor(POPULATION_EDGES)
        # Early populations are there at any redshift; late ones end at the Big Bang.
        self.n_early = int((edges[1:] <= age.min()).sum())
        self.n_late = len(edges) - 1 - self.n_early
        early, late = edges[: self.n_early + 1], edges[self.n_early :]
        clipped = torch.minimum(late, age[:, None])
        late_mass = torch.diff(history.basis_integrals(clipped), dim=1)
        late_zh = history.basis_metallicity(0.5 * (clipped[:, 1:] + clipped[:, :-1]))
        self.epoch_values = np.column_stack(
            [
                sky,
                history.basis_integrals(age),
                late_mass.swapaxes(1, 2).flatten(1),
                late_zh.swapaxes(1, 2).flatten(1),
            ]
        )
        self.epoch_table = RedshiftTable(redshift, self.epoch_values, dtype)
        early_mass = torch.diff(history.basis_integrals(early), dim=0)
        early_zh = history.basis_metallicity(0.5 * (early[1:] + early[:-1]))
        buffers = {
            "early_mass": early_mass.T.contiguous(),
            "early_metallicity": early_zh.T.contiguous(),
            "edges": edges,
        }
        for name, tensor in buffers.items():
            self.register_buffer(name, tensor.to(dtype), persistent=False)

    def epoch(self, redshift: torch.Tensor) -> Epoch:
        """Look up what the redshifts (N,) fix."""
        return self.as_epoch(self.epoch_table(redshift), redshift)

    def as_epoch(self, values: torch.Tensor, redshift: torch.Tensor) -> Epoch:
        """Name the columns (N, K) of the table of epochs."""
        late = self.n_late
        age, distance, total, mass, metallicity = values.split_with_sizes(
            [1, 1, 4, 4 * late, 2 * late], dim=1
        )
        return Epoch(
            age,
            distance + torch.log(redshift)[:, None],
            total,
            mass.reshape(len(values), 4, late),
            metallicity.reshape(len(values), 2, late),
        )

    def burst_share(self, galaxies: Parameters, age: torch.Tensor) -> torch.Tensor:
        """Mass fraction (N, 1) of the burst: none if it would lie before the Big Bang."""
        return galaxies.fburst[:, None] * (galaxies.tburst[:, None] <= age)

    def masses(self, galaxies: Parameters, epoch: Epoch) -> torch.Tensor:
        """Fractions (N, P) of the mass formed, the burst last; they sum to one."""
        burst = self.burst_share(galaxies, epoch.age)
        beta = galaxies.beta
        beta = beta * ((1 - burst) / (beta * epoch.total).sum(1, keepdim=True))
        late = (beta[:, :, None] * epoch.late_mass).sum(1)
        return torch.cat([beta @ self.early_mass, late, burst], dim=1)

    def ages(self, galaxies: Parameters, epoch: Epoch) -> torch.Tensor:
        """Ages (N, P) [Gyr]: middles of the time bins, and the burst."""
        edges = torch.minimum(self.edges, epoch.age)
        return torch.cat([0.5 * (edges[:, 1:] + edges[:, :-1]), galaxies.tburst[:, None]], dim=1)

    def in_birth_clouds(self, galaxies: Parameters) -> torch.Tensor:
        """Whether populations (N, P) are young enough to sit in birth clouds."""
        burst = galaxies.tburst[:, None] < self.birth_cloud_age
        smooth = torch.arange(len(self.edges) - 1, device=burst.device) < self.n_young
        return torch.cat([smooth.expand(len(burst), -1), burst], dim=1)

    def metallicities(self, galaxies: Parameters, epoch: Epoch) -> torch.Tensor:
        """Metallicities (N, P), as PROVABGS labels (solar is 0.019)."""
        gamma = torch.exp(galaxies.log_gamma * LN10)
        late = (gamma[:, :, None] * epoch.late_metallicity).sum(1)
        at_burst = self.star_formation.basis_metallicity(galaxies.tburst)
        burst = (gamma * at_burst).sum(1, keepdim=True)
        z = torch.cat([gamma @ self.early_metallicity, late, burst], dim=1)
        return z.clamp(*METALLICITY_RANGE)
