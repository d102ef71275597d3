"""The SED model: photometry, spectra and histories for batches of parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from .._arrays import is_torch, like_input, to_tensor
from ..errors import InputError
from ..parameters import N_THETA
from .bands import AB_NANOMAGGY, SPEED_OF_LIGHT, Band, BandSet, get_bands
from .dust import attenuation
from .histories import N_YOUNG_BINS, TIME_EDGES, Cosmology, Histories, StarFormation
from .projection import make_projection, redshift_nodes
from .ssp import SSPGrid, load_ssp_grid

__all__ = ["SEDModel"]

_LN10 = float(np.log(10.0))
_L_SUN = 3.846e33  # erg / s
_MPC = 3.0856775814913673e24  # cm
_CHUNK = 4096  # rows at a time: temporaries stay in the processor's cache
_SPECTRUM_CHUNK = 512


class SEDModel(torch.nn.Module):
    """PROVABGS stellar population synthesis on a grid of simple stellar populations.

    Parameters
    ----------
    bands : str, BandSet or sequence of filters, default ``"sdss-ugriz"``
        Bands of the photometry (see `sedflow_lab.sps.bands.get_bands`).
    birth_cloud_age : float, default 0.1
        Age [Gyr] below which stars sit in birth clouds. The paper says 0.1; FSPS's default,
        and so the published PROVABGS code, is 0.01. A time bin is young if it begins below
        this age: FSPS decides on its own age nodes, to the same effect.
    ssp : SSPGrid, optional
        Stellar populations; the shipped grid when left out.
    redshift_max : float, default 0.2
        Highest redshift that the model is tabulated for.
    dtype : torch.dtype, default torch.float32
        Precision of the computation.
    device : str or torch.device, default "cpu"

    Notes
    -----
    Redshift is data, not a parameter: gradients flow through `theta` only.

    References
    ----------
    Hahn et al. 2022, arXiv:2202.01809 (PROVABGS); Conroy, Gunn & White 2009, ApJ 699, 486
    (FSPS); Planck 2013 cosmology.

    Examples
    --------
    >>> model = SEDModel(bands="sdss-ugriz")
    >>> theta = get_prior().sample(3)
    >>> model.photometry(theta, [0.02, 0.05, 0.1]).shape
    (3, 5)
    """

    row_table: torch.Tensor
    node_log_wavelength: torch.Tensor
    node_wavelength: torch.Tensor
    node_to_band: torch.Tensor

    def __init__(
        self,
        bands: str | BandSet | Sequence[str | Band] = "sdss-ugriz",
        *,
        birth_cloud_age: float = 0.1,
        ssp: SSPGrid | None = None,
        redshift_max: float = 0.2,
        dtype: torch.dtype = torch.float32,
        device: str | torch.device = "cpu",
    ) -> None:
        super().__init__()
        self.bands = get_bands(bands)
        self.ssp = ssp if ssp is not None else load_ssp_grid()
        self.birth_cloud_age = float(birth_cloud_age)
        self.redshift_max = float(redshift_max)
        self.dtype = dtype
        young_edge = float(TIME_EDGES[N_YOUNG_BINS])
        if not self.birth_cloud_age >= young_edge * (1 - 1e-9):
            raise InputError(
                f"birth_cloud_age is {birth_cloud_age:g} Gyr, but the youngest stars are one "
                f"population up to {young_edge:.4g} Gyr: it must not be below that."
            )
        if not 0 < self.redshift_max <= 10:
            raise InputError(f"redshift_max must lie in (0, 10], it is {redshift_max:g}.")
        self.cosmology = Cosmology(self.redshift_max, dtype)
        self.star_formation = StarFormation(dtype)
        self._build_populations()
        self._build_tables()
        self.to(device)

    @property
    def wavelength(self) -> np.ndarray:
        """Rest-frame wavelengths [Angstrom] of the spectra, shape (L,)."""
        return self.ssp.wavelength_aa

    def photometry(self, theta: Any, redshift: Any) -> Any:
        """Noiseless fluxes in the model's bands.

        Parameters
        ----------
        theta : array, shape (..., 12)
            Reported parameters.
        redshift : float or array, broadcastable to (...)

        Returns
        -------
        array, shape (..., B)
            Fluxes [nanomaggies]; a tensor if `theta` is one.

        Raises
        ------
        InputError
            If shapes do not match or a redshift is not in (0, redshift_max].
        """
        flat, z, shape = self.check_inputs(theta, redshift)
        parts = [
            self._photometry(t, r) for t, r in zip(flat.split(_CHUNK), z.split(_CHUNK), strict=True)
        ]
        return like_input(torch.cat(parts).reshape(*shape, len(self.bands)), theta)

    def spectrum(self, theta: Any, redshift: Any) -> Any:
        """Rest-frame spectra behind dust.

        Parameters
        ----------
        theta : array, shape (..., 12)
        redshift : float or array, broadcastable to (...)
            Sets the age of the universe, and so the oldest stars.

        Returns
        -------
        array, shape (..., L)
            Luminosity densities [L_sun / Angstrom] at `wavelength`.
        """
        flat, z, shape = self.check_inputs(theta, redshift)
        parts = [
            self._spectrum(t, r)
            for t, r in zip(flat.split(_SPECTRUM_CHUNK), z.split(_SPECTRUM_CHUNK), strict=True)
        ]
        return like_input(torch.cat(parts).reshape(*shape, -1), theta)

    def observed_spectrum(self, theta: Any, redshift: Any) -> tuple[Any, Any]:
        """Observed-frame spectra in nanomaggies, to be drawn over photometry.

        Parameters
        ----------
        theta : array, shape (..., 12)
        redshift : float or array, broadcastable to (...)

        Returns
        -------
        wavelength : array, shape (..., L)
            Observed wavelengths [Angstrom].
        flux : array, shape (..., L)
            Flux densities per frequency [nanomaggies].
        """
        flat, z, shape = self.check_inputs(theta, redshift)
        rest = torch.as_tensor(self.wavelength, dtype=self.dtype, device=flat.device)
        observed = rest * (1 + z[:, None])
        luminosity = self.spectrum(flat, z)
        distance = self.cosmology.log_distance(z)[:, None]
        # F_lambda = L L_sun / (4 pi D^2 (1 + z)), F_nu = F_lambda lambda^2 / c
        scale = _L_SUN / (4 * np.pi * _MPC**2 * SPEED_OF_LIGHT * AB_NANOMAGGY)
        flux = luminosity * observed**2 * torch.exp(-2 * distance) * scale / (1 + z[:, None])
        return (
            like_input(observed.reshape(*shape, -1), theta),
            like_input(flux.reshape(*shape, -1), theta),
        )

    def histories(self, theta: Any, redshift: Any) -> Histories:
        """Star-formation and metallicity histories in the model's 42 time bins.

        Parameters
        ----------
        theta : array, shape (..., 12)
        redshift : float or array, broadcastable to (...)

        Returns
        -------
        Histories
        """
        flat, z, shape = self.check_inputs(theta, redshift)
        age = self.cosmology.age(z)
        share = self._burst_share(flat, age)
        mass = (1 - share)[:, None] * self._bin_fractions(flat, age)
        in_bin = torch.bucketize(flat[:, 6].detach(), self.star_formation.edges, right=True) - 1
        burst = torch.zeros_like(mass).scatter_(1, in_bin.clamp(0, 41)[:, None], share[:, None])
        width = torch.diff(self.star_formation.edges) * 1e9
        sfr = torch.exp(_LN10 * flat[:, :1]) * (mass + burst) / width
        metallicity = self.star_formation.metallicity(flat[:, 7:9], self.star_formation.middle_zh)
        return Histories(
            TIME_EDGES,
            like_input(sfr.reshape(*shape, -1), theta),
            like_input(metallicity.reshape(*shape, -1), theta),
        )

    def check_inputs(
        self, theta: Any, redshift: Any
    ) -> tuple[torch.Tensor, torch.Tensor, tuple[int, ...]]:
        """Flat parameters (N, 12) and redshifts (N,), checked, and the shape they came in."""
        device = self.node_wavelength.device
        t = to_tensor(theta, self.dtype, device)
        z = to_tensor(redshift, self.dtype, device)
        if t.ndim == 0 or t.shape[-1] != N_THETA:
            raise InputError(
                f"theta needs the {N_THETA} parameters on its last axis, but its shape is "
                f"{tuple(t.shape)}."
            )
        try:
            shape = torch.broadcast_shapes(t.shape[:-1], z.shape)
        except RuntimeError as error:
            raise InputError(
                f"theta of shape {tuple(t.shape)} and redshift of shape {tuple(z.shape)} do not "
                "belong together: give one redshift, or one per row of theta."
            ) from error
        good = (z > 0) & (z <= self.redshift_max * (1 + 1e-6))
        if not good.all():
            row = int(torch.nonzero(~good.reshape(-1))[0])
            raise InputError(
                f"Row {row}: redshift {float(z.reshape(-1)[row]):g} is outside the model's range "
                f"(0, {self.redshift_max:g}]: leave the galaxy out or raise redshift_max."
            )
        if not is_torch(theta) and not torch.isfinite(t).all():
            row = int(torch.nonzero(~torch.isfinite(t).all(-1).reshape(-1))[0])
            raise InputError(f"Row {row}: theta holds values that are not finite.")
        flat = t.expand(*shape, N_THETA).reshape(-1, N_THETA)
        return flat, z.expand(shape).reshape(-1), tuple(shape)

    def _build_populations(self) -> None:
        """Ages and metallicities of the rows of the tables.

        Rows are the young mean spectrum (one per metallicity), then age by age the populations
        at the grid's ages and at the middles of the time bins. The latter are put on the line
        between their neighbours in log age, so interpolating between rows is still what
        interpolating between the grid's ages would be.
        """
        grid, middles = self.ssp, 0.5 * (TIME_EDGES[1:] + TIME_EDGES[:-1])
        fixed = middles[N_YOUNG_BINS:-1]
        ages = np.union1d(grid.age_gyr, np.clip(fixed, grid.age_gyr[0], grid.age_gyr[-1]))
        position = np.interp(np.log(ages), np.log(grid.age_gyr), np.arange(len(grid.age_gyr)))
        lower = np.minimum(position.astype(int), len(grid.age_gyr) - 2)
        self._age_lower, self._age_fraction = lower, (position - lower)
        n_met = len(grid.metallicity)
        fixed_rows = n_met * (1 + np.searchsorted(ages, np.clip(fixed, ages[0], ages[-1])))
        young = TIME_EDGES[N_YOUNG_BINS:-2] < self.birth_cloud_age * (1 - 1e-9)
        self._n_young_fixed = int(young.sum())
        self.register_buffer("_fixed_rows", torch.as_tensor(fixed_rows), persistent=False)
        log_ages = torch.as_tensor(np.log(ages), dtype=self.dtype)
        self.register_buffer("_log_ages", log_ages, persistent=False)
        grid_log_ages = torch.as_tensor(np.log(grid.age_gyr), dtype=self.dtype)
        self.register_buffer("_grid_log_ages", grid_log_ages, persistent=False)
        surviving = torch.as_tensor(grid.surviving_mass, dtype=self.dtype)
        self.register_buffer("_surviving_mass", surviving, persistent=False)
        log_metallicity = torch.as_tensor(np.log(grid.metallicity), dtype=self.dtype)
        self.register_buffer("_log_metallicity", log_metallicity, persistent=False)
        fixed_age = np.concatenate([[0.5 * TIME_EDGES[N_YOUNG_BINS]], fixed])
        fixed_age = torch.as_tensor(fixed_age, dtype=self.dtype)
        self.register_buffer("_fixed_age", fixed_age, persistent=False)
        zh = self.star_formation.basis_metallicity(fixed_age)
        self.register_buffer("_fixed_zh", zh, persistent=False)

    def _rows(self, ssp: np.ndarray, young: np.ndarray) -> np.ndarray:
        """Rows of a table from grid values (..., A, M, C) and young ones (..., M, C)."""
        fraction = self._age_fraction[:, None, None].astype(ssp.dtype)
        lower = np.take(ssp, self._age_lower, axis=-3)
        upper = np.take(ssp, self._age_lower + 1, axis=-3)
        rows = lower * (1 - fraction) + upper * fraction
        return np.concatenate([young[..., None, :, :], rows], axis=-3)

    def _build_tables(self) -> None:
        table = make_projection(self.ssp, self.bands, self.redshift_max)
        rows = self._rows(table.ssp, table.young)
        self._rows_per_redshift = rows.shape[1] * rows.shape[2]
        flat = torch.as_tensor(rows.reshape(-1, rows.shape[-1]), dtype=self.dtype)
        self.register_buffer("row_table", flat, persistent=False)
        nodes = torch.as_tensor(table.wavelength, dtype=self.dtype)
        self.register_buffer("node_wavelength", nodes, persistent=False)
        to_band = torch.nn.functional.one_hot(torch.as_tensor(table.band), len(self.bands))
        self.register_buffer("node_to_band", to_band.to(self.dtype), persistent=False)
        self._redshift_step = float(
            np.log1p(self.redshift_max) / (len(redshift_nodes(self.redshift_max)) - 1)
        )

    def _burst_share(self, theta: torch.Tensor, age: torch.Tensor) -> torch.Tensor:
        """Mass fraction of the burst: none if it would lie before the Big Bang."""
        return torch.where(theta[:, 6] <= age, theta[:, 5], torch.zeros_like(age))

    def _bin_fractions(self, theta: torch.Tensor, age: torch.Tensor) -> torch.Tensor:
        """Mass fractions (N, 42) of the smooth star-formation history."""
        return torch.diff(self.star_formation.cumulative(theta[:, 1:5], age), dim=-1)

    def populations(
        self, theta: torch.Tensor, redshift: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The stellar populations of which a galaxy is made.

        They are the mean young population (the ten youngest bins together), one population in
        the middle of each later bin, the oldest bin as far as the universe is old, and the
        burst. Bins before the Big Bang have no mass.

        Parameters
        ----------
        theta : tensor, shape (N, 12)
        redshift : tensor, shape (N,)

        Returns
        -------
        mass : tensor, shape (N, P)
            Fractions of the mass formed; they sum to one.
        age : tensor, shape (N, P)
            Ages [Gyr].
        metallicity : tensor, shape (N, P)
            PROVABGS labels (solar is 0.019).
        """
        history = self.star_formation
        universe = self.cosmology.age(redshift)
        share = self._burst_share(theta, universe)
        fraction = (1 - share)[:, None] * self._bin_fractions(theta, universe)
        whole = history.edges[1:] <= universe[:, None]
        last = torch.bucketize(universe, history.edges) - 1
        partial = fraction.gather(1, last[:, None])
        fraction = fraction * whole
        mass = torch.cat(
            [
                fraction[:, :N_YOUNG_BINS].sum(1, keepdim=True),
                fraction[:, N_YOUNG_BINS:-1],
                partial,
                share[:, None],
            ],
            dim=1,
        )
        free_age = torch.stack([0.5 * (history.edges[last] + universe), theta[:, 6]], dim=1)
        free_zh = history.basis_metallicity(free_age)
        n = theta.shape[0]
        zh = torch.cat([self._fixed_zh.expand(n, -1, -1), free_zh], dim=1)
        age = torch.cat([self._fixed_age.expand(n, -1), free_age], dim=1)
        return mass, age, history.metallicity(theta[:, 7:9], zh)

    def surviving_fraction(self, age: torch.Tensor, metallicity: torch.Tensor) -> torch.Tensor:
        """Fraction of a population's mass that still is in stars and remnants.

        Linear in log age and log metallicity on the SSP grid, whose ends hold.

        Parameters
        ----------
        age : tensor, shape (...)
            Ages [Gyr].
        metallicity : tensor, shape (...)
            PROVABGS labels.

        Returns
        -------
        tensor, shape (...)
        """
        i, f = _bracket(self._grid_log_ages, torch.log(age))
        j, g = _bracket(self._log_metallicity, torch.log(metallicity))
        table = self._surviving_mass
        younger = torch.lerp(table[i, j], table[i, j + 1], g)
        older = torch.lerp(table[i + 1, j], table[i + 1, j + 1], g)
        return torch.lerp(younger, older, f)

    def _populations(
        self, theta: torch.Tensor, redshift: torch.Tensor
    ) -> tuple[tuple[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]:
        """Rows of the tables and mass fractions, for old and for young stars.

        Returns
        -------
        (old_rows, old_weights), (young_rows, young_weights) : tensors, shape (N, P)
        """
        mass, age, metallicity = self.populations(theta, redshift)
        free_age = age[:, -2:]
        met_row, met_fraction = _bracket(self._log_metallicity, torch.log(metallicity))
        age_row, age_fraction = _bracket(self._log_ages, torch.log(free_age))

        n_fixed = 1 + len(self._fixed_rows)
        n_met = len(self._log_metallicity)
        base = torch.cat([self._fixed_rows.new_zeros(1), self._fixed_rows])
        fixed_row = base + met_row[:, :n_fixed]
        free_row = n_met * (1 + age_row) + met_row[:, n_fixed:]
        met = torch.stack([1 - met_fraction, met_fraction], dim=-1)
        weights = mass[..., None] * met
        rows = torch.stack([fixed_row, fixed_row + 1], dim=-1)
        free_rows = torch.stack(
            [free_row, free_row + 1, free_row + n_met, free_row + n_met + 1], dim=-1
        )
        free_weights = torch.cat(
            [
                weights[:, n_fixed:] * (1 - age_fraction)[..., None],
                weights[:, n_fixed:] * age_fraction[..., None],
            ],
            dim=-1,
        )
        is_young = (free_age < self.birth_cloud_age)[..., None]
        cut = 1 + self._n_young_fixed
        free_rows = free_rows.flatten(1)
        young_rows = torch.cat([rows[:, :cut].flatten(1), free_rows], dim=1)
        young_weights = torch.cat(
            [weights[:, :cut].flatten(1), (free_weights * is_young).flatten(1)], dim=1
        )
        old_rows = torch.cat([rows[:, cut:].flatten(1), free_rows], dim=1)
        old_weights = torch.cat(
            [weights[:, cut:n_fixed].flatten(1), (free_weights * ~is_young).flatten(1)], dim=1
        )
        return (old_rows, old_weights), (young_rows, young_weights)

    def _photometry(self, theta: torch.Tensor, redshift: torch.Tensor) -> torch.Tensor:
        old, young = self._populations(theta, redshift)
        x = torch.log1p(redshift) / self._redshift_step
        lower = x.floor().long().clamp(0, self.node_wavelength.shape[0] - 2)
        fluxes = []
        for table in (lower, lower + 1):
            sums = [
                torch.nn.functional.embedding_bag(
                    rows + (table * self._rows_per_redshift)[:, None],
                    self.row_table,
                    per_sample_weights=weights,
                    mode="sum",
                )
                for rows, weights in (old, young)
            ]
            wavelength = self.node_wavelength[table]
            diffuse, birth_cloud = attenuation(wavelength, theta[:, 9], theta[:, 10], theta[:, 11])
            fluxes.append((diffuse * (sums[0] + birth_cloud * sums[1])) @ self.node_to_band)
        flux = torch.lerp(fluxes[0], fluxes[1], (x - lower)[:, None])
        log_scale = _LN10 * theta[:, 0] - 2 * self.cosmology.log_distance(redshift)
        return flux * torch.exp(log_scale)[:, None]

    def _spectrum(self, theta: torch.Tensor, redshift: torch.Tensor) -> torch.Tensor:
        old, young = self._populations(theta, redshift)
        sums = [
            torch.nn.functional.embedding_bag(
                rows, self._spectrum_table, per_sample_weights=weights, mode="sum"
            )
            for rows, weights in (old, young)
        ]
        wavelength = torch.as_tensor(self.wavelength, dtype=self.dtype, device=theta.device)
        diffuse, birth_cloud = attenuation(wavelength, theta[:, 9], theta[:, 10], theta[:, 11])
        spectrum = diffuse * (sums[0] + birth_cloud * sums[1])
        return spectrum * torch.exp(_LN10 * theta[:, :1])

    @property
    def _spectrum_table(self) -> torch.Tensor:
        if not hasattr(self, "_spectrum_rows"):
            rows = self._rows(self.ssp.ssp_lsun_per_aa, self.ssp.young_lsun_per_aa)
            flat = torch.as_tensor(rows.reshape(-1, rows.shape[-1]), dtype=self.dtype)
            flat = flat.to(self.node_wavelength.device)
            self.register_buffer("_spectrum_rows", flat, persistent=False)
        return self._spectrum_rows


def _bracket(nodes: torch.Tensor, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Lower node of each value, and how far (0 to 1) it lies towards the next; ends hold."""
    lower = torch.bucketize(x.detach(), nodes, right=True).sub_(1).clamp_(0, len(nodes) - 2)
    fraction = (x - nodes[lower]) / (nodes[lower + 1] - nodes[lower])
    return lower, fraction.clamp(0.0, 1.0)
