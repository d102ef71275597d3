"""The galaxies of a study: real ones spread over colour and brightness, and simulated ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...anpe import AmortizedPosterior
from ...anpe.simulate import mock_photometry
from ...errors import InputError
from ...observations.nsa import showcase
from ...observations.photometry import Photometry

__all__ = ["Sample", "simulations", "spread_showcase"]


@dataclass(frozen=True)
class Sample:
    """Galaxies of a study."""

    name: str  # "showcase" or "simulations"
    photometry: Photometry
    truth: np.ndarray | None = None  # (N, 12), the parameters behind simulated galaxies

    def __len__(self) -> int:
        return len(self.photometry)


def spread_showcase(n: int) -> Sample:
    """Real galaxies of the showcase, as evenly spread over colour and brightness as can be.

    In the plane of the ranks in g - r and in absolute r magnitude (without K correction), the
    first galaxy is the one nearest the centre, and each further one is that farthest from those
    chosen. So a larger sample holds the smaller ones, and no network has a say.

    Raises
    ------
    InputError
        If the showcase has not so many: there are 192.
    """
    galaxies = showcase()
    if not 0 < n <= len(galaxies):
        raise InputError(f"The showcase has {len(galaxies)} galaxies: ask for 1 to that, not {n}.")
    g, r = galaxies.magnitude[:, 1], galaxies.magnitude[:, 2]
    # The distance modulus up to a constant, at these redshifts.
    plane = np.column_stack([_rank(g - r), _rank(r - 5 * np.log10(galaxies.redshift))])
    distance = np.linalg.norm(plane - 0.5, axis=1)
    chosen = [int(np.argmin(distance))]
    distance = np.full(len(plane), np.inf)
    while len(chosen) < n:
        distance = np.minimum(distance, np.linalg.norm(plane - plane[chosen[-1]], axis=1))
        chosen.append(int(np.argmax(distance)))
    return Sample("showcase", galaxies[np.array(chosen)])


def _rank(values: np.ndarray) -> np.ndarray:
    """Ranks between 0 and 1."""
    return np.argsort(np.argsort(values, kind="stable")) / (len(values) - 1)


def simulations(posterior: AmortizedPosterior, n: int, seed: int = 0) -> Sample:
    """Simulated galaxies: the prior, the SED model and the noise that a network was trained with.

    Each has a seed of its own, so a larger sample holds the smaller ones.

    Raises
    ------
    InputError
        If there are to be none.
    """
    if n < 1:
        raise InputError(f"The number of simulations must be positive, it is {n}.")
    how = posterior.model, posterior.prior, posterior.bundle.noise, 1
    mocks = [mock_photometry(*how, seed * 1_000_003 + i) for i in range(n)]
    flux, sigma, redshift = (
        np.concatenate([getattr(phot, name) for phot, _ in mocks])
        for name in ("flux", "sigma", "redshift")
    )
    ids = [f"sim-{i:04d}" for i in range(n)]
    photometry = Photometry(flux, sigma, redshift, bands=posterior.bands, ids=ids)
    return Sample("simulations", photometry, np.concatenate([theta for _, theta in mocks]))
