"""Simulations: draws from the prior, their noiseless photometry, and where they are kept.

What is stored is free of noise. Noise is added when a simulation is used, afresh each time, so
a stored set never runs out of noise realisations.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch

from .._dask import spread, workers_of
from .._files import reading
from ..errors import InputError
from ..exact.redshift import REDSHIFT_MIN
from ..observations.noise import NoiseModel
from ..observations.photometry import Photometry
from ..parameters import Prior, add_young_bursts, get_prior, weigh_young_bursts
from ..sps import BandSet, SEDModel, SSPGrid, load_ssp_grid
from .chunks import Chunks, Part, Tensors

__all__ = [
    "REDSHIFT_MIN",
    "SimulationSet",
    "draw_simulations",
    "mock_photometry",
    "plan_simulations",
    "read_settings",
    "simulate",
]

RECIPE = 1
"""Version of what code decides about simulations: raise it when the same settings and seed give
other galaxies, so that sets and runs of before are not gone on with."""

_CHUNK = 50_000  # simulations of a file


@dataclass(frozen=True)
class SimulationSet:
    """N noiseless simulations."""

    phi: torch.Tensor  # (N, 11), free coordinates, of the prior or with more young bursts
    redshift: torch.Tensor  # (N,), drawn uniformly
    flux: torch.Tensor  # (N, B), nanomaggies
    settings: dict[str, Any]  # what the set was made of (see `simulation_settings`)

    def __len__(self) -> int:
        return len(self.redshift)

    def to(self, device: torch.device | str) -> SimulationSet:
        """Copy to a device."""
        phi, redshift, flux = (x.to(device) for x in (self.phi, self.redshift, self.flux))
        return SimulationSet(phi, redshift, flux, self.settings)

    def weights(self, rows: Any) -> torch.Tensor:
        """Weights that make some of the simulations those of the prior; their mean is 1."""
        return weigh_young_bursts(self.phi[rows], self.settings.get("young_bursts", 0.0))

    def of_prior(self, seed: int) -> SimulationSet:
        """Those that a set of the prior would hold: each stays as often as its weight says."""
        chance = (1 - self.settings.get("young_bursts", 0.0)) * self.weights(slice(None))
        generator = torch.Generator().manual_seed(seed)
        stay = torch.rand(len(self), generator=generator) < chance
        return SimulationSet(self.phi[stay], self.redshift[stay], self.flux[stay], self.settings)

    @classmethod
    def load(cls, folder: str | Path) -> SimulationSet:
        """Read a set written by `simulate`; InputError if the folder holds no complete one."""
        settings = read_settings(folder)
        return cls(**_chunks(folder).load(settings), settings=settings or {})


def simulation_settings(model: SEDModel, prior: Prior) -> dict[str, Any]:
    """What identifies the physics of a simulation: two sets that agree in it may be mixed."""
    return model.settings() | {"prior": prior.name, "simulation_recipe": RECIPE}


def draw_simulations(
    model: SEDModel,
    prior: Prior,
    n: int,
    generator: torch.Generator,
    young_bursts: float = 0.0,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Draw n simulations: free coordinates (n, 11), redshifts (n,), noiseless fluxes (n, B)."""
    phi = prior.sample_free(n, generator)
    if young_bursts > 0:
        phi = add_young_bursts(phi, young_bursts, generator)
    span = model.redshift_max - REDSHIFT_MIN
    redshift = REDSHIFT_MIN + span * torch.rand(n, generator=generator, device=phi.device)
    with torch.no_grad():
        flux = model.photometry(prior.from_free(phi), redshift)
    return phi, redshift, flux


def simulate(
    folder: str | Path,
    n: int,
    model: SEDModel,
    prior: Prior | str = "flat-dirichlet",
    *,
    seed: int = 0,
    young_bursts: float = 0.0,
    progress: bool = False,
    workers: int | None = None,
    scheduler: Any = None,
) -> SimulationSet:
    """Make a stored set of simulations; an interrupted run goes on where it stopped.

    Parameters
    ----------
    folder : path
        Where to keep the set: a manifest and one safetensors file per 50,000 simulations.
    n : int
        Number of simulations.
    model : SEDModel
    prior : Prior or str
    seed : int
        Each file draws from its own seed, so the set does not depend on interruptions.
    young_bursts : float
        Share of the simulations, below 1, whose bursts are uniform in the logarithm of their age:
        a network learns from them what is rare in the prior. Weights undo it.
    progress : bool
        Show a progress bar.
    workers : int, optional
        Processes of one thread each, by Dask; default, this process.
    scheduler : str or dask.distributed.Client, optional
        Address of a Dask scheduler, or a client of one, whose workers are to do it.

    Returns
    -------
    SimulationSet

    Raises
    ------
    InputError
        If the folder holds a set made with other settings.
    """
    if n < 1:
        raise InputError(f"The number of simulations must be positive, it is {n}.")
    if not 0 <= young_bursts < 1:
        raise InputError(f"The share of young bursts is {young_bursts:g}: give 0 or more, below 1.")
    prior = get_prior(prior)
    settings = {**simulation_settings(model, prior), "n": n, "seed": seed}
    if young_bursts > 0:
        settings["young_bursts"] = young_bursts

    source = _Source(model, prior, seed, young_bursts)
    chunks = _chunks(folder)
    if workers is None and scheduler is None:
        made = chunks.fill(settings, partial(map, partial(_make, source)), progress)
    else:
        with workers_of(workers, scheduler) as client:
            made = chunks.fill(settings, partial(spread, client, _make, source), progress)
    assert made is not None  # nothing stops it
    return SimulationSet(**made, settings=settings)


class _Source(NamedTuple):
    """What simulations are drawn from."""

    model: SEDModel
    prior: Prior
    seed: int
    young_bursts: float


def _make(source: _Source, part: Part) -> tuple[int, Tensors]:
    """A file's number, and its simulations."""
    index, rows = part
    generator = torch.Generator().manual_seed(source.seed * 1_000_003 + index)
    phi, redshift, flux = draw_simulations(
        source.model, source.prior, len(rows), generator, source.young_bursts
    )
    if not bool(torch.isfinite(flux).all()):
        bad = int((~torch.isfinite(flux)).any(1).nonzero()[0])
        raise InputError(
            f"The model gives simulation {rows[bad]}, at redshift {float(redshift[bad]):g}, "
            "fluxes that are not finite: take another SSP grid."
        )
    return index, {"phi": phi, "redshift": redshift, "flux": flux}


def plan_simulations(
    folder: str | Path,
    *,
    n: int | None = None,
    bands: str | BandSet | None = None,
    prior: str | None = None,
    birth_cloud_age: float | None = None,
    redshift_max: float | None = None,
    ssp: str | Path | SSPGrid | None = None,
    seed: int | None = None,
    young_bursts: float | None = None,
    defaults: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Settle what a folder of simulations is to hold: the arguments of `simulate`.

    A setting that is left out is that of the set in the folder, or for a new set that of
    `defaults`; what they lack is 100,000 simulations, sdss-ugriz, flat-dirichlet, 0.1 Gyr,
    redshifts to 0.2, seed 0, and no more young bursts than the prior has. The SSP grid, the shipped
    one when left out, must be that of the set in the folder.
    """
    found = read_settings(folder) or defaults or {}
    grid = ssp if isinstance(ssp, SSPGrid) else load_ssp_grid(ssp)
    if found.get("ssp_hash", grid.hash) != grid.hash:
        raise InputError(
            f"{folder} holds simulations made with the SSP grid {found.get('ssp_hash')}, not with "
            f"{grid.hash}: give the grid they were made with (--ssp), or another folder."
        )

    bands_found = BandSet.from_json(found["bands"]) if "bands" in found else "sdss-ugriz"

    def setting(name: str, given: Any, default: Any) -> Any:
        return found.get(name, default) if given is None else given

    return {
        "folder": Path(folder),
        "n": setting("n", n, 100_000),
        "model": SEDModel(
            bands=bands_found if bands is None else bands,
            birth_cloud_age=setting("birth_cloud_age", birth_cloud_age, 0.1),
            redshift_max=setting("redshift_max", redshift_max, 0.2),
            ssp=grid,
        ),
        "prior": get_prior(setting("prior", prior, "flat-dirichlet")),
        "seed": setting("seed", seed, 0),
        "young_bursts": setting("young_bursts", young_bursts, 0.0),
    }


def mock_photometry(
    model: SEDModel, prior: Prior, noise: NoiseModel, n: int, seed: int = 0
) -> tuple[Photometry, Any]:
    """Noisy mock galaxies, and the true reported parameters (n, 12) behind them."""
    generator = torch.Generator().manual_seed(seed)
    phi, redshift, flux = draw_simulations(model, prior, n, generator)
    observed, sigma = noise.observe(flux, generator)
    photometry = Photometry(
        observed.double().numpy(),
        sigma.double().numpy(),
        redshift.double().numpy(),
        bands=model.bands,
        ids=[f"mock-{i}" for i in range(n)],
    )
    return photometry, prior.from_free(phi.double().numpy())


def read_settings(folder: str | Path) -> dict[str, Any] | None:
    """Settings of the set in a folder, finished or not; None where there is no set."""
    settings = _chunks(folder).settings()
    if settings is None:
        return None
    with reading(folder, "the simulations in", "delete the folder and simulate again"):
        BandSet.from_json(settings["bands"])
        get_prior(settings["prior"])
        if type(settings["seed"]) is not int or not 0 <= settings["seed"] < 2**40:
            raise ValueError(f"seed is {settings['seed']!r}")
        for name in ("birth_cloud_age", "redshift_max"):
            value = settings[name]
            if not isinstance(value, int | float) or not 0 < value < math.inf:
                raise ValueError(f"{name} is {value!r}")
        return settings


def _chunks(folder: str | Path) -> Chunks:
    return Chunks(Path(folder), "simulations", "simulate", _CHUNK)
