"""The SED model: photometry, spectra and histories for batches of parameters."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from .._arrays import is_torch, like_input, to_tensor
from ..errors import InputError
from ..parameters import N_THETA, split
from ..units import L_SUN, LN10, MPC
from .bands import AB_NANOMAGGY, SPEED_OF_LIGHT, Band, BandSet, get_bands
from .dust import attenuation, dust_curves
from .histories import N_YOUNG_BINS, TIME_EDGES, Cosmology, Histories
from .photometer import Photometer
from .populations import LogAxis, Populations
from .ssp import SSPGrid, load_ssp_grid

__all__ = ["SEDModel", "at_first"]

_CHUNK = 8192  # galaxies at a time: temporaries stay in the processor's cache
_DEVICE_CHUNK = 2**18  # an accelerator wants enough to do at a time
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

    surviving_mass: torch.Tensor

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
        if self.bands.dusty:
            warnings.warn(
                f"The bands {', '.join(self.bands.dusty)} lie beyond 2.5 micron, where dust shines "
                "too, but the model is starlight only: mask them where a galaxy has warm dust.",
                stacklevel=2,
            )
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
        self.populations = Populations(self.redshift_max, self.birth_cloud_age, dtype)
        self.age_axis = LogAxis(self.ssp.age_gyr)
        self.metallicity_axis = LogAxis(self.ssp.metallicity)
        self.photometer = Photometer(
            self.ssp, self.bands, self.populations, self.redshift_max, dtype
        )
        surviving = torch.as_tensor(self.ssp.surviving_mass, dtype=dtype)
        self.register_buffer("surviving_mass", surviving, persistent=False)
        self._spectra: torch.Tensor | None = None
        self.to(device)

    @property
    def device(self) -> torch.device:
        """Where the model computes."""
        return self.surviving_mass.device

    def settings(self) -> dict[str, Any]:
        """What identifies its physics (JSON-able): models that agree in it make the same fluxes.

        Filters of one's own are there with their curves: their files may change or vanish.
        """
        return {
            "bands": self.bands.to_json(),
            "birth_cloud_age": self.birth_cloud_age,
            "ssp_hash": self.ssp.hash,
            "redshift_max": self.redshift_max,
        }

    @property
    def cosmology(self) -> Cosmology:
        """Ages of the universe and distances."""
        return self.populations.cosmology

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
        size = _CHUNK if self.device.type == "cpu" else _DEVICE_CHUNK
        flux = _in_chunks(self.photometer, flat, z, size)
        return like_input(flux.reshape(*shape, len(self.bands)), theta)

    def spectrum(self, theta: Any, redshift: Any) -> Any:
        """Rest-frame spectra behind dust, (..., L) [L_sun / Angstrom] at `wavelength`.

        Parameters are those of `photometry`; the redshift sets the age of the oldest stars.
        """
        flat, z, shape = self.check_inputs(theta, redshift)
        spectra = _in_chunks(self._spectrum, flat, z, _SPECTRUM_CHUNK)
        return like_input(spectra.reshape(*shape, len(self.wavelength)), theta)

    def observed_spectrum(self, theta: Any, redshift: Any) -> tuple[Any, Any]:
        """Observed-frame spectra in nanomaggies, to be drawn over photometry.

        Parameters are those of `photometry`.

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
        scale = L_SUN / (4 * np.pi * MPC**2 * SPEED_OF_LIGHT * AB_NANOMAGGY)
        flux = luminosity * observed**2 * torch.exp(-2 * distance) * scale / (1 + z[:, None])
        return (
            like_input(observed.reshape(*shape, len(rest)), theta),
            like_input(flux.reshape(*shape, len(rest)), theta),
        )

    def histories(self, theta: Any, redshift: Any) -> Histories:
        """Star-formation and metallicity histories in the model's 42 time bins.

        Parameters are those of `photometry`.
        """
        flat, z, shape = self.check_inputs(theta, redshift)
        galaxies, history = split(flat), self.populations.star_formation
        age = self.cosmology.age(z)
        burst = self.populations.burst_share(galaxies, age[:, None])
        smooth = torch.diff(history.cumulative(galaxies.beta, age), dim=-1)
        at = galaxies.tburst.detach().contiguous()
        in_bin = torch.bucketize(at, history.edges, right=True) - 1
        mass = ((1 - burst) * smooth).scatter_add(
            1, in_bin.clamp(0, smooth.shape[1] - 1)[:, None], burst
        )
        width = torch.diff(history.edges) * 1e9
        sfr = torch.exp(LN10 * galaxies.log_mstar[:, None]) * mass / width
        metallicity = history.metallicity(galaxies.log_gamma, history.middle_zh)
        return Histories(
            TIME_EDGES,
            like_input(sfr.reshape(*shape, len(width)), theta),
            like_input(metallicity.reshape(*shape, len(width)), theta),
            like_input(age.reshape(shape), theta),
        )

    def check_inputs(
        self, theta: Any, redshift: Any
    ) -> tuple[torch.Tensor, torch.Tensor, tuple[int, ...]]:
        """Flat parameters (N, 12) and redshifts (N,), checked, and the shape they came in."""
        device = self.device
        t = to_tensor(theta, self.dtype, device)
        z = to_tensor(redshift, self.dtype, device)
        if t.ndim == 0 or t.shape[-1] != N_THETA:
            raise InputError(
                f"theta needs the {N_THETA} parameters on its last axis, but its shape is "
                f"{tuple(t.shape)}."
            )
        try:
            shape = np.broadcast_shapes(t.shape[:-1], z.shape)
        except ValueError as error:
            raise InputError(
                f"theta of shape {tuple(t.shape)} and redshift of shape {tuple(z.shape)} do not "
                "belong together: give one redshift, or one per row of theta."
            ) from error
        highest = self.redshift_max * (1 + 1e-6)
        low, high = torch.aminmax(z) if z.numel() else (highest, highest)
        if not (low > 0 and high <= highest):
            good = (z > 0) & (z <= highest)
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

    def surviving_fraction(self, age: torch.Tensor, metallicity: torch.Tensor) -> torch.Tensor:
        """Fraction (...) of mass that still is in stars and remnants at ages (...) [Gyr].

        Linear in log age and log metallicity (...), a PROVABGS label, on the SSP grid, whose ends
        hold.
        """
        i, f = self.age_axis(age)
        j, g = self.metallicity_axis(metallicity)
        i, j, table = i.long(), j.long(), self.surviving_mass
        younger = torch.lerp(table[i, j], table[i, j + 1], g)
        older = torch.lerp(table[i + 1, j], table[i + 1, j + 1], g)
        return torch.lerp(younger, older, f)

    def _spectrum(self, theta: torch.Tensor, redshift: torch.Tensor) -> torch.Tensor:
        """Spectra (N, L) from the grid itself: no tables, no nodes."""
        galaxies, epoch = split(theta), self.populations.epoch(redshift)
        mass = self.populations.masses(galaxies, epoch)
        age = self.populations.ages(galaxies, epoch)
        metal, upper = self.metallicity_axis(self.populations.metallicities(galaxies, epoch))
        younger, later = self.age_axis(age)
        # The first population has spectra of its own: they come first in the table.
        n_met = len(self.ssp.metallicity)
        row = (younger + 1) * n_met
        row[:, 0] = 0
        later = torch.cat([torch.zeros_like(later[:, :1]), later[:, 1:]], dim=1)
        row = row + metal
        rows = torch.cat([row, row + 1, row + n_met, row + n_met + 1], dim=1)
        ends = torch.cat([mass * (1 - upper), mass * upper], dim=1)
        later = later.repeat(1, 2)
        weights = torch.cat([ends * (1 - later), ends * later], dim=1)
        young = self.populations.in_birth_clouds(galaxies).repeat(1, 4)
        light = [
            torch.nn.functional.embedding_bag(
                rows, self._spectrum_table, per_sample_weights=weights * part, mode="sum"
            )
            for part in (~young, young)
        ]
        curves = dust_curves(torch.as_tensor(self.wavelength)).to(theta)
        dust = (galaxies.tau_bc, galaxies.tau_ism, galaxies.n_dust)
        diffuse, cloud = attenuation(curves, *(x[:, None] for x in dust))
        mass = torch.exp(LN10 * galaxies.log_mstar[:, None])
        return diffuse * (light[0] + cloud * light[1]) * mass

    @property
    def _spectrum_table(self) -> torch.Tensor:
        """Spectra of the mean young population, then of the grid, shape (M + A M, L)."""
        if self._spectra is None:
            grid = self.ssp
            rows = [grid.young_lsun_per_aa, *grid.ssp_lsun_per_aa]
            self._spectra = torch.as_tensor(np.concatenate(rows), dtype=self.dtype)
        self._spectra = self._spectra.to(self.device)
        return self._spectra


def at_first(wavelength: np.ndarray, flux: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Spectra (D, L) at the wavelengths (L,) of the first, where redshifts may differ."""
    first = wavelength[0]
    if (wavelength != first).any():
        pairs = zip(wavelength, flux, strict=True)
        flux = np.stack([np.interp(first, each, values) for each, values in pairs])
    return first, flux


def _in_chunks(
    function: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    theta: torch.Tensor,
    redshift: torch.Tensor,
    size: int,
) -> torch.Tensor:
    """Apply a function to `size` rows at a time, so that memory stays bounded."""
    if len(theta) <= size:
        return function(theta, redshift)
    pairs = zip(theta.split(size), redshift.split(size), strict=True)
    return torch.cat([function(t, z) for t, z in pairs])
