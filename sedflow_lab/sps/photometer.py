"""Band fluxes of galaxies: weighted sums over table rows, then dust at a few wavelengths."""

from __future__ import annotations

import numpy as np
import torch

from ..parameters import Parameters, split
from ..units import LN10
from .bands import BandSet
from .dust import attenuation, dust_curves
from .histories import Cosmology, RedshiftTable, planck13
from .populations import POPULATION_EDGES, Epoch, LogAxis, Populations
from .projection import ProjectionTable, make_projection, redshift_nodes
from .ssp import SSPGrid

__all__ = ["Photometer"]

_TEN_PARSEC = float(np.log(1e-5))  # Mpc
_SHARED = 256  # galaxies at one redshift from which a table of its own pays


class Photometer(torch.nn.Module):
    """Photometry of batches of galaxies from tables of band integrals.

    For each tabulated redshift there is a row of fluxes, one per dust node, for every population
    of the smooth history (at its age) and every SSP of the grid (for bursts of any age), at
    every metallicity of the grid. Two neighbouring redshifts are interpolated linearly.

    At rest, a galaxy is seen from 10 pc, and its redshift is but the age of its oldest stars.
    """

    rows: torch.Tensor
    first_row: torch.Tensor
    corners: torch.Tensor
    node_to_band: torch.Tensor

    def __init__(
        self,
        grid: SSPGrid,
        bands: BandSet,
        populations: Populations,
        redshift_max: float,
        dtype: torch.dtype,
        at_rest: bool = False,
    ) -> None:
        super().__init__()
        self.populations, self.at_rest = populations, at_rest
        self.n_epoch = populations.epoch_values.shape[1]
        self.age_axis = LogAxis(grid.age_gyr)
        self.metallicity_axis = LogAxis(grid.metallicity)
        double = dtype == torch.float64
        precision = np.float64 if double else np.float32
        table = make_projection(grid, bands, 0.0 if at_rest else redshift_max, precision)
        if at_rest:
            table = table.repeated(redshift_nodes(redshift_max))
        ssp, young = torch.as_tensor(table.ssp), torch.as_tensor(table.young)
        universe = Cosmology(redshift_max, torch.float64).age(torch.as_tensor(table.redshift))
        edges = torch.minimum(torch.as_tensor(POPULATION_EDGES), universe[:, None])[:, 1:]
        index, fraction = self.age_axis(0.5 * (edges[:, 1:] + edges[:, :-1]))
        at, fraction = torch.arange(len(ssp))[:, None], fraction[..., None, None].to(ssp.dtype)
        smooth = torch.lerp(ssp[at, index], ssp[at, index + 1], fraction)
        rows = torch.cat([young[:, None], smooth, ssp], dim=1).flatten(1, 2).to(dtype)
        # Two neighbouring redshifts side by side: one look-up finds both.
        pairs = torch.cat([rows[:-1], rows[1:]], dim=-1)
        self.n_intervals, self.rows_per_interval, _ = pairs.shape
        n_met, n_smooth = len(grid.metallicity), smooth.shape[1] + 1
        self.n_metallicities = n_met
        # For each population the first row; the grid's ages, for the burst, come last.
        first_row = torch.arange(n_smooth + 1, dtype=torch.int32) * n_met
        corners = torch.tensor([0, 1, n_met, n_met + 1], dtype=torch.int32)
        to_band = torch.nn.functional.one_hot(torch.as_tensor(table.band), len(bands))
        self.register_buffer("rows", pairs.flatten(0, 1), persistent=False)
        self.register_buffer("first_row", first_row, persistent=False)
        self.register_buffer("corners", corners, persistent=False)
        self.register_buffer("node_to_band", to_band.to(dtype), persistent=False)
        self.sky = self._sky(table, redshift_max, dtype)

    def _sky(
        self, table: ProjectionTable, redshift_max: float, dtype: torch.dtype
    ) -> RedshiftTable:
        """Epoch, position among the tabulated redshifts, and dust curves, by redshift."""
        redshift = planck13(redshift_max)[0]
        x = np.log1p(redshift)
        at = np.log1p(table.redshift)
        log_wavelength = [np.interp(x, at, column) for column in np.log(table.wavelength).T]
        wavelength = torch.as_tensor(np.exp(np.transpose(log_wavelength)))
        curves = dust_curves(wavelength, torch.as_tensor(table.blue))
        columns = [self.populations.epoch_values, x / at[1], curves.flatten(1)]
        return RedshiftTable(redshift, np.column_stack(columns), dtype)

    def forward(self, theta: torch.Tensor, redshift: torch.Tensor) -> torch.Tensor:
        """Fluxes (N, B) [nanomaggies] of parameters (N, 12) at redshifts (N,)."""
        z, run = redshift, None
        if len(redshift) >= _SHARED:
            runs, which = torch.unique_consecutive(redshift, return_inverse=True)
            if len(runs) * _SHARED <= len(redshift):
                z, run = runs, which.to(torch.int32)
        sky = self.sky(z)
        interval = sky[:, self.n_epoch].to(torch.int32).clamp_(0, self.n_intervals - 1)
        upper = sky[:, self.n_epoch : self.n_epoch + 1] - interval[:, None]
        table = self.rows
        if run is not None:
            # Few redshifts, many galaxies: a table for each, ready interpolated.
            tables = self.rows.view(self.n_intervals, self.rows_per_interval, -1)
            pairs = tables.index_select(0, interval)
            table = _between(pairs, upper[..., None]).flatten(0, 1)
            sky, interval = sky.index_select(0, run), run
        epoch = self.populations.as_epoch(sky[:, : self.n_epoch], redshift)
        galaxies = split(theta)
        old, young = (
            torch.nn.functional.embedding_bag(rows, table, per_sample_weights=weights, mode="sum")
            for rows, weights in self._rows_and_weights(galaxies, epoch, interval)
        )
        if run is None:
            old, young = _between(old, upper), _between(young, upper)
        curves = sky[:, self.n_epoch + 1 :].view(len(sky), 4, len(self.node_to_band))
        dust = (galaxies.tau_bc, galaxies.tau_ism, galaxies.n_dust)
        diffuse, cloud = attenuation(curves, *(x[:, None] for x in dust))
        flux = (diffuse * torch.addcmul(old, cloud, young)) @ self.node_to_band
        log_distance = _TEN_PARSEC if self.at_rest else epoch.log_distance
        return flux * torch.exp(LN10 * galaxies.log_mstar[:, None] - 2 * log_distance)

    def _rows_and_weights(
        self, galaxies: Parameters, epoch: Epoch, interval: torch.Tensor
    ) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Rows (N, R) of an interval (N,) of the table and their weights, for old and young."""
        mass = self.populations.masses(galaxies, epoch)
        metal, upper = self.metallicity_axis(self.populations.metallicities(galaxies, epoch))
        rows = metal + (interval * self.rows_per_interval)[:, None] + self.first_row
        upper = mass * upper
        lower = mass - upper
        # The burst lies between two ages of the grid.
        burst_time = galaxies.tburst[:, None]
        age, older = self.age_axis(burst_time)
        burst = torch.add(rows[:, -1:], age, alpha=self.n_metallicities) + self.corners
        ends = torch.cat([lower[:, -1:], upper[:, -1:]], dim=1)
        later = ends * older
        at_corners = torch.cat([ends - later, later], dim=1)
        young_corners = at_corners * (burst_time < self.populations.birth_cloud_age)
        n_young, next_rows = self.populations.n_young, rows + 1
        parts = []
        for part, corners in (
            (slice(n_young, -1), at_corners - young_corners),
            (slice(0, n_young), young_corners),
        ):
            indices = torch.cat([rows[:, part], next_rows[:, part], burst], dim=1)
            weights = torch.cat([lower[:, part], upper[:, part], corners], dim=1)
            parts.append((indices, weights))
        return parts


def _between(pair: torch.Tensor, upper: torch.Tensor) -> torch.Tensor:
    """The two halves of the last axis, mixed with weight `upper` for the second."""
    low, high = pair.chunk(2, dim=-1)
    return torch.lerp(low, high, upper)
