"""Which band is to blame where the bands of a galaxy do not agree, and by how much."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..observations.checks import MIN_BANDS
from ..observations.photometry import Photometry
from .amortized import AmortizedPosterior

__all__ = ["Blame", "find_blame"]

_LEAST = 3.0  # σ, of which one band in some hundred galaxies is off by chance
_FEWEST = 20  # effective draws


class Blame(NamedTuple):
    """A band that does not agree with the others.

    Attributes
    ----------
    band : str
        Its label.
    off : float
        Measured flux less what the other bands predict, in standard deviations of both.
    """

    band: str
    off: float


def find_blame(
    posterior: AmortizedPosterior, photometry: Photometry, draws: int = 500, seed: int = 0
) -> Blame | None:
    """The band without which the others agree best, by the network's weighted draws.

    Parameters
    ----------
    posterior : AmortizedPosterior
    photometry : Photometry
        One usable galaxy.
    draws, seed : int
        Of the posterior without each band.

    Returns
    -------
    Blame or None
        None where a band is within 3 σ of what the others predict, or only two are observed.
    """
    found = []
    observed = np.flatnonzero(photometry.mask[0])
    for band in observed if len(observed) > MIN_BANDS else ():
        label = photometry.bands.labels[band]
        rest = posterior.infer(photometry.drop_bands(label), draws, "weighted", seed)
        flux = posterior.model.photometry(rest.samples[0], rest.draw_redshift[0])[:, band]
        # A handful of weighted draws would understate how much the other bands allow.
        weights = rest.weights[0] if rest.ess[0] >= _FEWEST else np.full(draws, 1 / draws)
        middle = weights @ flux
        spread = np.sqrt(weights @ np.square(flux - middle))
        off = (photometry.flux[0, band] - middle) / np.hypot(photometry.sigma[0, band], spread)
        likely = rest.diagnostics.get("support", np.ones(1))[0]
        found.append((likely, -rest.chi2_min[0], Blame(label, float(off))))
    best = max(found)[2] if found else None
    return best if best is not None and abs(best.off) >= _LEAST else None
