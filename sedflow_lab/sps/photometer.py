"""Band fluxes of galaxies: weighted sums over table rows, then dust at a few wavelengths."""

from __future__ import annotations

import numpy as np
import torch

from .bands import BandSet
from .dust import attenuation, dust_curves
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
    birth_cloud_age : float
        Age [Gyr] below which stars sit in birth clouds.
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
        birth_cloud_age: float,
        redshift_max: float,
        dtype: torch.dtype,
    ) -> None:
        super().__init__()
        self.populations = populations
        self.birth_cloud_age = birth_cloud_age
        # A bin is young if it begins below the age of birth clouds.
        self.n_young = int((POPULATION_EDGES[:-1] < birth_cloud_age * (1 - 1e-9)).sum())
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
        universe = Populations(redshift_max, torch.float64).cosmology.age(redshift)
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
        low = x.floor().clamp_(0, self.curves.shape[0] - 2)
        fraction = x - low
        low = low.to(torch.int32)
        epoch = self.populations.epoch(z)
        curves = torch.lerp(
            self.curves.index_select(0, low),
            self.curves.index_select(0, low + 1),
            fraction[:, None, None],
        )
        if shared:
            epoch = Epoch(*(values.index_select(0, run) for values in epoch))
            curves = curves.index_select(0, run)
            tables = self.rows.view(len(self.curves), self.rows_per_redshift, -1)
            table = torch.lerp(
                tables.index_select(0, low),
                tables.index_select(0, low + 1),
                fraction[:, None, None],
            ).flatten(0, 1)
            ((old, young),) = self._light(theta, epoch, run.to(torch.int32), [table])
        else:
            above = self.rows[self.rows_per_redshift :]
            below, above = self._light(theta, epoch, low, [self.rows, above])
            old, young = (
                torch.lerp(a, b, fraction[:, None]) for a, b in zip(below, above, strict=True)
            )
        diffuse, cloud = attenuation(curves, theta[:, 9], theta[:, 10], theta[:, 11])
        flux = (diffuse * torch.addcmul(old, cloud, young)) @ self.node_to_band
        return flux * torch.exp(_LN10 * theta[:, 0] - 2 * epoch.log_distance)[:, None]

    def _light(
        self,
        theta: torch.Tensor,
        epoch: Epoch,
        block: torch.Tensor,
        tables: list[torch.Tensor],
    ) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Dust-free light (N, C) of old and of young stars, from block `block` of each table."""
        mass = self.populations.masses(theta, epoch)
        metal, upper = self.metallicity_axis(self.populations.metallicities(theta, epoch))
        block = (block * self.rows_per_redshift)[:, None]
        metal += block
        upper = mass * upper
        lower = mass - upper
        age, later = self.age_axis(theta[:, 6:7])
        row = metal[:, :-1] + self.first_row
        burst_row = metal[:, -1:] + (age + self.n_smooth) * self.n_metallicities
        burst_rows = [burst_row, burst_row + 1]
        burst_rows += [r + self.n_metallicities for r in burst_rows]
        ends = torch.cat([lower[:, -1:], upper[:, -1:]], dim=1)
        burst = torch.cat([ends * (1 - later), ends * later], dim=1)
        is_young = theta[:, 6:7] < self.birth_cloud_age
        cut = self.n_young
        parts = []
        for part, has_burst in ((slice(cut, -1), ~is_young), (slice(0, cut), is_young)):
            r = row[:, part] if part.stop == cut else row[:, cut:]
            rows = torch.cat([r, r + 1, *burst_rows], dim=1)
            weights = torch.cat([lower[:, part], upper[:, part], burst * has_burst], dim=1)
            parts.append((rows, weights))
        return [
            tuple(
                torch.nn.functional.embedding_bag(
                    rows, table, per_sample_weights=weights, mode="sum"
                )
                for rows, weights in parts
            )
            for table in tables
        ]
