"""Lessons: exact posteriors of galaxies like those of a catalogue, for a network to learn from.

The colours of real galaxies fill less than a hundredth of those that the prior makes, so a network
that learns from simulations alone spends itself elsewhere. But its draws can be made exact for any
galaxy, and maximising log q at exact draws makes q nearer to the exact posterior, whatever the
distribution of the galaxies: they only decide where the network is good.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..errors import InputError
from ..observations.photometry import Photometry
from ..sps.histories import Cosmology
from .amortized import AmortizedPosterior
from .chunks import Chunks, Part, Tensors
from .features import Seen
from .likeness import fit_likeness, simulate_alike, vary

__all__ = ["DRAWS", "Lessons", "distil", "vary"]

DRAWS = 64
"""Exact draws that are kept of each galaxy."""

METHODS = ("weighted", "exact", "simulated")
"""How draws of exact posteriors are had: made from the network's, or known from simulations."""

_CHUNK = {"weighted": 500, "exact": 500, "simulated": 500_000}  # galaxies of a file
_FEWEST_EFFECTIVE = 25.0  # effective draws: with fewer, the weights cannot be believed


@dataclass(frozen=True)
class Lessons:
    """G galaxies with K draws each of their exact posteriors."""

    phi: torch.Tensor  # (G, K, 11), free coordinates
    flux: torch.Tensor  # (G, B), nanomaggies
    sigma: torch.Tensor
    mask: torch.Tensor  # (G, B)
    redshift: torch.Tensor  # (G,)
    weights: torch.Tensor  # (G,), in the loss
    settings: dict[str, Any]  # what they were made of

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
        """Read lessons written by `distil`; InputError if the folder holds no complete set."""
        settings = _chunks(folder).settings()
        chunks = _chunks(folder, str((settings or {}).get("method")))
        return cls(**chunks.load(settings), settings=settings or {})


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
    settings = {
        "posterior": posterior.bundle.hash,
        "physics": posterior.bundle.physics(),
        "galaxies": len(usable),
        "n": n,
        "method": method,
        "draws": draws,
        "seed": seed,
    }
    order = np.random.default_rng(seed).permutation(len(usable))
    likeness = fit_likeness(posterior, usable, seed) if method == "simulated" else None

    def make(part: Part) -> tuple[int, Tensors]:
        index, rows = part
        own = seed * 1_000_003 + index
        if likeness is not None:
            return index, simulate_alike(len(rows), posterior, likeness, own)
        galaxies = usable[order[np.array(rows) % len(usable)]]
        return index, _learn(posterior, galaxies, method, draws, own)

    made = _chunks(folder, method).fill(settings, partial(map, make), progress, stop)
    return None if made is None else Lessons(**made, settings=settings)


def _learn(
    posterior: AmortizedPosterior, part: Photometry, method: str, draws: int, seed: int
) -> Tensors:
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


def _chunks(folder: str | Path, method: str = "") -> Chunks:
    return Chunks(Path(folder), "lessons", "distil", _CHUNK.get(method, 1))
