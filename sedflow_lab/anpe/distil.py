"""Lessons: exact posteriors of galaxies like those of a catalogue, for a network to learn from.

The colours of real galaxies fill less than a hundredth of those that the prior makes, so a network
that learns from simulations alone spends itself elsewhere. But its draws can be made exact for any
galaxy, and maximising log q at exact draws makes q nearer to the exact posterior, whatever the
distribution of the galaxies: they only decide where the network is good.
"""

from __future__ import annotations

import threading
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm.auto import tqdm

from .._files import difference, fingerprint, read_json, reading, write_json
from ..errors import InputError
from ..observations.photometry import Photometry
from ..sps.histories import Cosmology
from .amortized import AmortizedPosterior
from .features import Seen
from .likeness import fit_likeness, simulate_alike, vary
from .tensors import load_tensors, save_tensors

__all__ = ["DRAWS", "Lessons", "distil", "vary"]

DRAWS = 64
"""Exact draws that are kept of each galaxy."""

_MANIFEST = "lessons.json"
METHODS = ("weighted", "exact", "simulated")
"""How draws of exact posteriors are had: made from the network's, or known from simulations."""

_CHUNK = {"weighted": 500, "exact": 500, "simulated": 500_000}  # galaxies of a file
_FEWEST_EFFECTIVE = 25.0  # effective draws: with fewer, the weights cannot be believed


@dataclass(frozen=True)
class Lessons:
    """Galaxies with draws of their exact posteriors.

    Attributes
    ----------
    phi : tensor, shape (G, K, 11)
        Free coordinates.
    flux, sigma : tensor, shape (G, B)
        Nanomaggies.
    mask : tensor of bool, shape (G, B)
    redshift : tensor, shape (G,)
    weights : tensor, shape (G,)
        In the loss.
    settings : dict
        What they were made of.
    """

    phi: torch.Tensor
    flux: torch.Tensor
    sigma: torch.Tensor
    mask: torch.Tensor
    redshift: torch.Tensor
    weights: torch.Tensor
    settings: dict[str, Any]

    def __len__(self) -> int:
        return len(self.redshift)

    def draw(
        self, n: int, cosmology: Cosmology, generator: torch.Generator
    ) -> tuple[torch.Tensor, Seen, torch.Tensor]:
        """Free coordinates (n, 11), galaxies and weights (n,), at random."""
        kind: dict[str, Any] = {"generator": generator, "device": self.phi.device}
        rows = torch.randint(len(self), (n,), **kind)
        which = torch.randint(self.phi.shape[1], (n,), **kind)
        seen = Seen.at(
            self.redshift[rows], self.flux[rows], self.sigma[rows], self.mask[rows], cosmology
        )
        return self.phi[rows, which], seen, self.weights[rows]

    def to(self, device: torch.device | str) -> Lessons:
        """Copy to a device."""
        tensors = {k: v for k, v in vars(self).items() if k != "settings"}
        return Lessons(**{k: v.to(device) for k, v in tensors.items()}, settings=self.settings)

    @classmethod
    def load(cls, folder: str | Path) -> Lessons:
        """Read lessons written by `distil`.

        Raises
        ------
        InputError
            If the folder holds no complete set.
        """
        folder = Path(folder)
        settings = _read_settings(folder)
        if settings is None:
            raise InputError(f"{folder} holds no lessons: make some with sedflow-lab distil.")
        n = _n_chunks(settings["n"], settings["method"])
        paths = [_chunk_path(folder, i) for i in range(n)]
        missing = [path.name for path in paths if not path.exists()]
        if missing:
            raise InputError(
                f"{folder} lacks {len(missing)} of {len(paths)} files (the first is {missing[0]}): "
                "run the same sedflow-lab distil again, it goes on where it stopped."
            )
        chunks = [_read_chunk(folder, i, settings) for i in range(len(paths))]
        return cls(**{k: torch.cat([c[k] for c in chunks]) for k in chunks[0]}, settings=settings)


def distil(
    folder: str | Path,
    posterior: AmortizedPosterior,
    photometry: Photometry,
    n: int,
    *,
    method: str = "weighted",
    draws: int = 1000,
    seed: int = 0,
    progress: bool = False,
    stop: threading.Event | None = None,
) -> Lessons | None:
    """Make lessons of galaxies like those of a catalogue; an interrupted run goes on.

    Parameters
    ----------
    folder : path
        Where to keep them: a manifest and one safetensors file per 500 galaxies.
    posterior : AmortizedPosterior
        Its draws are made exact by weights or by sampling.
    photometry : Photometry
        The catalogue; what cannot be used is left out. Its galaxies are taken in turn, and each
        time varied.
    n : int
        Number of galaxies.
    method : str
        ``"weighted"`` or ``"exact"``, as for `AmortizedPosterior.infer`.
    draws : int
        Draws of each galaxy, of which `DRAWS` are kept by their weights. Galaxies with fewer than
        25 effective draws are left out.
    seed : int
        Each file draws from its own seed, so the lessons do not depend on interruptions.
    progress : bool
    stop : threading.Event, optional
        Set it to stop after the file.

    Returns
    -------
    Lessons or None
        None if `stop` ended it early.

    Raises
    ------
    InputError
        If no galaxy can be used, or the folder holds lessons made otherwise.
    """
    if n < 1:
        raise InputError(f"The number of galaxies must be positive, it is {n}.")
    if method not in METHODS:
        raise InputError(f"Lessons are made by {', '.join(METHODS)} draws, not by {method!r}.")
    usable = photometry[np.flatnonzero(posterior.check(photometry) == "")]
    if len(usable) == 0:
        raise InputError("No galaxy of the catalogue can be used: see sedflow-lab check.")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    settings = {
        "posterior": posterior.bundle.hash,
        "physics": posterior.bundle.physics(),
        "galaxies": len(usable),
        "n": n,
        "method": method,
        "draws": draws,
        "seed": seed,
    }
    found = _read_settings(folder)
    if found is not None and (differing := difference(found, settings)):
        raise InputError(
            f"{folder} holds lessons with another {differing}: choose an empty folder or delete "
            "the old lessons."
        )
    write_json(folder / _MANIFEST, settings)
    order = np.random.default_rng(seed).permutation(len(usable))
    likeness = fit_likeness(posterior, usable, seed) if method == "simulated" else None
    size = _CHUNK[method]
    with tqdm(total=n, unit=" galaxies", desc="distil", disable=not progress) as bar:
        for i in range(_n_chunks(n, method)):
            if stop is not None and stop.is_set():
                return None
            rows = np.arange(i * size, min(n, (i + 1) * size))
            if not _is_whole(folder, i, settings):
                own = seed * 1_000_003 + i
                if likeness is not None:
                    tensors = simulate_alike(len(rows), posterior, likeness, own)
                else:
                    part = usable[order[rows % len(usable)]]
                    tensors = _learn(posterior, part, method, draws, own)
                save_tensors(_chunk_path(folder, i), tensors, _chunk_identity(settings, i))
            bar.update(len(rows))
    return Lessons.load(folder)


def _learn(
    posterior: AmortizedPosterior, part: Photometry, method: str, draws: int, seed: int
) -> dict[str, torch.Tensor]:
    """What a file holds: galaxies like the given ones, and draws of their exact posteriors."""
    rng = np.random.default_rng(seed)
    galaxies = vary(part, rng, posterior.bundle.redshift_max)
    result = posterior.infer(galaxies, draws, method, seed)
    good = np.flatnonzero((result.ess >= _FEWEST_EFFECTIVE) & (result.badge != "unfinished"))
    weights = result.weights[good] / result.weights[good].sum(1, keepdims=True)
    picked = [rng.choice(draws, DRAWS, p=w) for w in weights]
    theta = np.array([result.samples[row][k] for row, k in zip(good, picked, strict=True)])
    theta = theta.reshape(len(good), DRAWS, result.samples.shape[-1])
    seen = Seen.of(galaxies[good], posterior.model.cosmology)
    return {
        "phi": torch.as_tensor(posterior.prior.to_free(theta), dtype=torch.float32),
        # What is missing must not be NaN: the network multiplies it by zero.
        "flux": torch.where(seen.mask, seen.flux, 0.0),
        "sigma": torch.where(seen.mask, seen.sigma, 1.0),
        "mask": seen.mask,
        "redshift": seen.redshift,
        "weights": torch.ones_like(seen.redshift),
    }


def _read_settings(folder: Path) -> dict[str, Any] | None:
    path, remedy = folder / _MANIFEST, "delete the folder and make the lessons again"
    if not path.exists():
        return None
    settings = read_json(path, "the settings of lessons", remedy)
    with reading(path, "the settings of lessons", remedy):
        if not (type(settings["n"]) is int and settings["n"] > 0):
            raise ValueError("their number is none")
        return settings | {"physics": dict(settings["physics"])}


def _chunk_identity(settings: dict[str, Any], index: int) -> dict[str, Any]:
    return {"settings": fingerprint(settings)[:16], "index": index}


def _read_chunk(folder: Path, index: int, settings: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Tensors of a file of lessons, which must be whole, in its place, and of these settings."""
    path, what = _chunk_path(folder, index), "the lessons"
    remedy = "run the same sedflow-lab distil again, which makes this file anew"
    chunk, about = load_tensors(path, what, remedy)
    with reading(path, what, remedy):
        if wrong := difference(about, _chunk_identity(settings, index)):
            raise ValueError(f"they are of another {wrong}")
    return chunk


def _is_whole(folder: Path, index: int, settings: dict[str, Any]) -> bool:
    """Whether a file of the lessons is there, and can be read."""
    if not _chunk_path(folder, index).exists():
        return False
    try:
        _read_chunk(folder, index, settings)
    except InputError as error:
        warnings.warn(f"{error} It is made anew now.", stacklevel=3)
        return False
    return True


def _n_chunks(n: int, method: str) -> int:
    return -(-n // _CHUNK[method])


def _chunk_path(folder: Path, index: int) -> Path:
    return folder / f"lessons-{index:05d}.safetensors"
