"""Galaxies to try a network on: the showcase's, or simulated ones where its bands are others.

Real galaxies ship in the bands of the NASA-Sloan Atlas alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from ..observations.nsa import NSA_BANDS, showcase_table
from ..observations.photometry import Photometry
from ..units import magnitude
from .amortized import AmortizedPosterior
from .simulate import draw_simulations

if TYPE_CHECKING:
    from astropy.table import Table

__all__ = ["Examples", "example_galaxies", "find_examples"]

_SIMULATED = 24
_DRAWN = 240  # galaxies of the prior, of which those are taken that the survey would see
_SEED = 0


class Examples(NamedTuple):
    """Galaxies, and what else is known of them: one row each."""

    photometry: Photometry
    table: Table | None  # positions and other numbers of real galaxies
    truth: np.ndarray | None  # (N, 12), parameters of simulated ones


def example_galaxies(posterior: AmortizedPosterior) -> Photometry:
    """Galaxies to try a network on, in its bands and within its redshifts.

    Where all its bands are the NASA-Sloan Atlas's they are the `showcase`. Real galaxies of other
    bands do not ship: there are 24 simulated ones, ``simulated-01`` and so on, always the same for
    a network.
    """
    return find_examples(posterior).photometry


def find_examples(posterior: AmortizedPosterior) -> Examples:
    """`example_galaxies`, with what is known of them."""
    if set(posterior.bands.names) <= set(NSA_BANDS):
        table = showcase_table()  # `showcase` would read it once more
        real = Photometry.from_table(table, bands=posterior.bands, on_bad="mask")
        known = np.flatnonzero(real.redshift <= posterior.bundle.redshift_max)
        if len(known) == len(real):
            return Examples(real, table, None)
        if len(known):
            return Examples(real[known], table[known], None)
    return _simulated(posterior)


def _simulated(posterior: AmortizedPosterior) -> Examples:
    """Galaxies as a network's survey sees them.

    They are drawn from the prior. Of these those are taken whose middle band lies within the
    magnitudes of the network's noise model, or nearest to them, and its noise is added.
    """
    noise = posterior.bundle.noise
    generator = torch.Generator().manual_seed(_SEED)
    phi, redshift, flux = draw_simulations(posterior.model, posterior.prior, _DRAWN, generator)
    middle = magnitude(flux[:, flux.shape[1] // 2].numpy())
    beyond = np.maximum(np.maximum(noise.bright - middle, middle - noise.faint), 0.0)
    rows = np.sort(np.argsort(beyond, kind="stable")[:_SIMULATED])
    clean = flux[rows]
    sigma = noise.draw_sigma(clean, generator)
    noisy = clean + sigma * torch.randn(clean.shape, generator=generator, dtype=clean.dtype)
    photometry = Photometry(
        noisy.double().numpy(),
        sigma.double().numpy(),
        redshift[rows].double().numpy(),
        bands=posterior.bands,
        ids=[f"simulated-{k:02d}" for k in range(1, _SIMULATED + 1)],
    )
    return Examples(photometry, None, posterior.prior.from_free(phi[rows].double().numpy()))
