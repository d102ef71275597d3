"""Band fluxes of galaxies: weighted sums over table rows, then dust at a few wavelengths."""

from __future__ import annotations

import numpy as np
import torch

from .bands import BandSet
from .dust import attenuation, dust_curves
from .histories import Cosmology
from .populations import POPULATION_EDGES, Epoch, LogAxis, Populations
from .projection import make_projection
from .ssp import SSPGrid

__all__ = ["Photometer"]

_LN10 = float(np.log(10.0))
_SHARED = 256  # galaxies at one redshift from which a table of its own pays


class Photometer(torch.nn.Module):
    """Photometry of batches of galaxies from tables of band integrals.

    For each tabulated redshift there is a row of fluxes, one per dust node, for every population
    of the smooth history (at its age) and every SSP of the grid (for bursts of any age), at
    every metallicity of the grid. Two neighbouring redshifts are interpolated linearly.

    Parameters
    ----------
    grid : SSPGrid
    bands : BandSet
    populations : Populations
    redshift_max : float
    dtype : torch.dtype
    """

    rows: torch.Tensor
    curves: torch.Tensor
    node_to_band: torch.Tensor
    first_row: torch.Tensor

    def __init__(
        self,
        grid: SSPGrid,
        bands: BandSet,
        populations: Populations,
        redshift_max: float,
        dtype: torch.dtype,
    ) -> None:
        super().__init__()
        self.populations = populations
        self.age_axis = LogAxis(grid.age_gyr)
        self.metallicity_axis = LogAxis(grid.metallicity)
        table = make_projection(
            grid,
            bands,
            redshift_max,
            np.float64 if dtype == torch.float64 else np.float32,
        )
        redshift = torch.as_tensor(table.redshift)
        self.step = float(np.log1p(redshift_max) / (len(redshift) - 1))
        ssp, young = torch.as_tensor(table.ssp), torch.as_tensor(table.young)
        edges = torch.as_tensor(POPULATION_EDGES)
        universe = Cosmology(redshift_max, torch.float64).age(redshift)
        edges = torch.minimum(edges, universe[:, None])[:, 1:]
        index, fraction = self.age_axis(0.5 * (edges[:, 1:] + edges[:, :-1]))
        at = torch.arange(len(redshift))[:, None]
        smooth = torch.lerp(
            ssp[at, index], ssp[at, index + 1], fraction[..., None, None].to(ssp.dtype)
        )
        rows = torch.cat([young[:, None], smooth, ssp], dim=1)
        _, n_rows, self.n_metallicities, _ = rows.shape
        self.rows_per_redshift = n_rows * self.n_metallicities
        self.n_smooth = n_rows - len(grid.age_gyr)
        curves = dust_curves(torch.as_tensor(table.wavelength), torch.as_tensor(table.blue))
        to_band = torch.nn.functional.one_hot(torch.as_tensor(table.band), len(bands))
        first_row = torch.arange(self.n_smooth) * self.n_metallicities
        self.register_buffer("rows", rows.flatten(0, 2).to(dtype), persistent=False)
        self.register_buffer("curves", curves.to(dtype), persistent=False)
        self.register_buffer("node_to_band", to_band.to(dtype), persistent=False)
        self.register_buffer("first_row", first_row.to(torch.int32), persistent=False)

    def forward(self, theta: torch.Tensor, redshift: torch.Tensor) -> torch.Tensor:
        """Fluxes (N, B) [nanomaggies] of parameters (N, 12) at redshifts (N,)."""
        runs, run = torch.unique_consecutive(redshift, return_inverse=True)
        shared = len(runs) * _SHARED <= len(redshift)
        z = runs if shared else redshift
        x = torch.log1p(z) / self.step
        low = x.floor().clamp_(0, len(self.curves) - 2)
        fraction = (x - low)[:, None]
        low = low.to(torch.int32)
        epoch = self.populations.epoch(z)
        curves = _between(self.curves, low, fraction[..., None])
        if shared:
            tables = self.rows.view(len(self.curves), self.rows_per_redshift, -1)
            table = _between(tables, low, fraction[..., None]).flatten(0, 1)
            epoch = Epoch(*(values.index_select(0, run) for values in epoch))
            curves = curves.index_select(0, run)
            old, young = self._rows_and_weights(theta, epoch, run.to(torch.int32))
            light = [_sum_rows(table, *part) for part in (old, young)]
        else:
            old, young = self._rows_and_weights(theta, epoch, low)
            above = self.rows[self.rows_per_redshift :]
            light = [
                torch.lerp(_sum_rows(self.rows, *part), _sum_rows(above, *part), fraction)
                for part in (old, young)
            ]
        diffuse, cloud = attenuation(curves, theta[:, 9], theta[:, 10], theta[:, 11])
        flux = (diffuse * torch.addcmul(light[0], cloud, light[1])) @ self.node_to_band
        return flux * torch.exp(_LN10 * theta[:, 0] - 2 * epoch.log_distance)[:, None]

    def _rows_and_weights(
        self, theta: torch.Tensor, epoch: Epoch, block: torch.Tensor
    ) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Rows (N, R) in block `block` (N,) of a table, and their weights, for old and young."""
        mass = self.populations.masses(theta, epoch)
        metal, upper = self.metallicity_axis(self.populations.metallicities(theta, epoch))
        metal = metal + (block * self.rows_per_redshift)[:, None]
        upper = mass * upper
        lower = mass - upper
        smooth = metal[:, :-1] + self.first_row
        # The burst lies between two ages of the grid, whose rows come after the smooth ones.
        age, older = self.age_axis(theta[:, 6:7])
        burst = metal[:, -1:] + (age + self.n_smooth) * self.n_metallicities
        corners = [burst, burst + 1, burst + self.n_metallicities, burst + self.n_metallicities + 1]
        ends = torch.cat([lower[:, -1:], upper[:, -1:]], dim=1)
        at_corners = torch.cat([ends * (1 - older), ends * older], dim=1)
        burst_is_young = theta[:, 6:7] < self.populations.birth_cloud_age
        parts = []
        for part, holds_burst in (
            (slice(self.populations.n_young, self.n_smooth), ~burst_is_young),
            (slice(0, self.populations.n_young), burst_is_young),
        ):
            rows = [smooth[:, part], smooth[:, part] + 1, *corners]
            weights = [lower[:, part], upper[:, part], at_corners * holds_burst]
            parts.append((torch.cat(rows, dim=1), torch.cat(weights, dim=1)))
        return parts


def _between(table: torch.Tensor, low: torch.Tensor, fraction: torch.Tensor) -> torch.Tensor:
    """Entries of a table at `low`, moved by `fraction` towards the next ones."""
    return torch.lerp(table.index_select(0, low), table.index_select(0, low + 1), fraction)


def _sum_rows(table: torch.Tensor, rows: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Weighted sums (N, C) of the table's rows (N, R)."""
    return torch.nn.functional.embedding_bag(rows, table, per_sample_weights=weights, mode="sum")
