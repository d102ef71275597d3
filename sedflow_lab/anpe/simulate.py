"""Simulations: draws from the prior, their noiseless photometry, and where they are kept.

What is stored is free of noise. Noise is added when a simulation is used, afresh each time, so
a stored set never runs out of noise realisations.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tqdm.auto import tqdm

from .._files import difference, fingerprint, read_json, reading, write_json
from ..errors import InputError
from ..observations.noise import NoiseModel
from ..observations.photometry import Photometry
from ..parameters import N_FREE, Prior, add_young_bursts, get_prior, weigh_young_bursts
from ..sps import BandSet, SEDModel, SSPGrid, get_bands, load_ssp_grid
from .tensors import load_tensors, save_tensors

__all__ = [
    "REDSHIFT_MIN",
    "SimulationSet",
    "draw_simulations",
    "mock_photometry",
    "plan_simulations",
    "read_settings",
    "simulate",
    "stream",
]

REDSHIFT_MIN = 1e-3
"""Lowest redshift that is simulated; the NSA reaches below 0.004."""

RECIPE = 1
"""Version of what code decides about simulations: raise it when the same settings and seed give
other galaxies, so that sets and runs of before are not gone on with."""

_MANIFEST = "simulations.json"
_CHUNK = 50_000


@dataclass(frozen=True)
class SimulationSet:
    """Noiseless simulations.

    Attributes
    ----------
    phi : tensor, shape (N, 11)
        Free coordinates, drawn from the prior or from one with more young bursts.
    redshift : tensor, shape (N,)
        Drawn uniformly.
    flux : tensor, shape (N, B)
        Noiseless fluxes [nanomaggies].
    settings : dict
        What the set was made of (see `simulation_settings`).
    """

    phi: torch.Tensor
    redshift: torch.Tensor
    flux: torch.Tensor
    settings: dict[str, Any]

    def __len__(self) -> int:
        return len(self.redshift)

    def to(self, device: torch.device | str) -> SimulationSet:
        """Copy to a device."""
        phi, redshift, flux = (x.to(device) for x in (self.phi, self.redshift, self.flux))
        return SimulationSet(phi, redshift, flux, self.settings)

    def weights(self, rows: Any) -> torch.Tensor:
        """Weights that make some of the simulations those of the prior; their mean is 1."""
        return weigh_young_bursts(self.phi[rows], self.settings.get("young_bursts", 0.0))

    @classmethod
    def load(cls, folder: str | Path) -> SimulationSet:
        """Read a set written by `simulate`.

        Raises
        ------
        InputError
            If the folder holds no complete set.
        """
        folder = Path(folder)
        settings = read_settings(folder)
        if settings is None:
            raise InputError(f"{folder} holds no simulations: make some with sedflow-lab simulate.")
        paths = [_chunk_path(folder, i) for i in range(_n_chunks(settings["n"]))]
        missing = [path.name for path in paths if not path.exists()]
        if missing:
            raise InputError(
                f"{folder} lacks {len(missing)} of {len(paths)} files (the first is {missing[0]}): "
                "run the same sedflow-lab simulate again, it goes on where it stopped."
            )
        return cls.join([_read_chunk(folder, i, settings) for i in range(len(paths))], settings)

    @classmethod
    def join(cls, chunks: list[dict[str, torch.Tensor]], settings: dict[str, Any]) -> SimulationSet:
        """A set of the chunks that it is kept in."""
        joined = {key: torch.cat([c[key] for c in chunks]) for key in ("phi", "redshift", "flux")}
        return cls(**joined, settings=settings)


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


def stream(
    model: SEDModel, prior: Prior, batch: int, seed: int = 0
) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Endless simulations in batches; the same seed gives the same stream."""
    generator = torch.Generator().manual_seed(seed)
    while True:
        yield draw_simulations(model, prior, batch, generator)


def simulate(
    folder: str | Path,
    n: int,
    model: SEDModel,
    prior: Prior | str = "flat-dirichlet",
    *,
    seed: int = 0,
    young_bursts: float = 0.0,
    progress: bool = False,
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
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    settings = {**simulation_settings(model, prior), "n": n, "seed": seed}
    if young_bursts > 0:
        settings["young_bursts"] = young_bursts
    found = read_settings(folder)
    if found is not None and (differing := difference(found, settings)):
        raise InputError(
            f"{folder} holds simulations with another {differing}: choose an empty folder or "
            "delete the old set."
        )
    write_json(folder / _MANIFEST, settings)
    chunks = []
    with tqdm(total=n, unit=" galaxies", desc="simulate", disable=not progress) as bar:
        for i in range(_n_chunks(n)):
            size = min(_CHUNK, n - i * _CHUNK)
            if _chunk_path(folder, i).exists():
                try:
                    chunks.append(_read_chunk(folder, i, settings))
                except InputError as error:
                    warnings.warn(f"{error} It is made anew now.", stacklevel=2)
            if len(chunks) == i:
                _write_chunk(folder, i, size, model, prior, settings)
                chunks.append(_read_chunk(folder, i, settings))
            bar.update(size)
    return SimulationSet.join(chunks, settings)


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

    A setting that is left out is that of the set in the folder, or for a new set the default.

    Parameters
    ----------
    folder : path
    n, seed, young_bursts : optional
        As for `simulate`.
    bands, prior, birth_cloud_age, redshift_max : optional
        Settings of the model and the prior.
    ssp : path or SSPGrid, optional
        The shipped grid when left out.
    defaults : dict, optional
        Settings of a new set; what they lack is 100,000 simulations, sdss-ugriz, flat-dirichlet,
        0.1 Gyr, redshifts to 0.2, seed 0, and no more young bursts than the prior has.

    Raises
    ------
    InputError
        If a setting is unknown, or the set in the folder was made with another SSP grid.
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
    """Noisy mock galaxies and the true parameters behind them.

    Returns
    -------
    photometry : Photometry
        n galaxies.
    theta : ndarray, shape (n, 12)
        True reported parameters.
    """
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


def _write_chunk(
    folder: Path, index: int, size: int, model: SEDModel, prior: Prior, settings: dict[str, Any]
) -> None:
    generator = torch.Generator().manual_seed(settings["seed"] * 1_000_003 + index)
    young_bursts = settings.get("young_bursts", 0.0)
    phi, redshift, flux = draw_simulations(model, prior, size, generator, young_bursts)
    if not bool(torch.isfinite(flux).all()):
        bad = int((~torch.isfinite(flux)).any(1).nonzero()[0])
        raise InputError(
            f"The model gives simulation {index * _CHUNK + bad}, at redshift "
            f"{float(redshift[bad]):g}, fluxes that are not finite: take another SSP grid."
        )
    tensors = {"phi": phi, "redshift": redshift, "flux": flux}
    save_tensors(_chunk_path(folder, index), tensors, _chunk_identity(settings, index))


def _chunk_identity(settings: dict[str, Any], index: int) -> dict[str, Any]:
    return {"settings": fingerprint({"simulation_recipe": 1} | settings)[:16], "index": index}


def _read_chunk(folder: Path, index: int, settings: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Tensors of a file of the set, which must be whole, in its place, and of these settings."""
    path, what = _chunk_path(folder, index), "the simulations"
    remedy = "run the same sedflow-lab simulate again, which makes this file anew"
    chunk, about = load_tensors(path, what, remedy)
    with reading(path, what, remedy):
        if wrong := difference(about, _chunk_identity(settings, index)):
            raise ValueError(f"they are of another {wrong}")
        size = min(_CHUNK, settings["n"] - index * _CHUNK)
        shapes = {"phi": (size, N_FREE), "redshift": (size,)}
        shapes["flux"] = (size, len(settings["bands"]["bands"]))
        if {name: tuple(t.shape) for name, t in chunk.items()} != shapes:
            raise ValueError(f"they are not the {size} simulations that belong here")
    return chunk


def read_settings(folder: str | Path) -> dict[str, Any] | None:
    """Settings of the set in a folder, finished or not; None where there is no set.

    Raises
    ------
    InputError
        If they cannot be read.
    """
    path = Path(folder) / _MANIFEST
    if not path.exists():
        return None
    what, remedy = "the settings of simulations", "delete the folder and simulate again"
    settings = read_json(path, what, remedy)
    with reading(path, what, remedy):
        if isinstance(settings["bands"], list):  # a set of the first version: names alone
            settings["bands"] = get_bands(settings["bands"]).to_json()
        BandSet.from_json(settings["bands"])
        get_prior(settings["prior"])
        for name, least in (("n", 1), ("seed", 0)):
            if type(settings[name]) is not int or not least <= settings[name] < 2**40:
                raise ValueError(f"{name} is {settings[name]!r}")
        for name in ("birth_cloud_age", "redshift_max"):
            value = settings[name]
            if not isinstance(value, int | float) or not 0 < value < math.inf:
                raise ValueError(f"{name} is {value!r}")
        return settings


def _n_chunks(n: int) -> int:
    return -(-n // _CHUNK)


def _chunk_path(folder: Path, index: int) -> Path:
    return folder / f"simulations-{index:05d}.safetensors"
