"""Upper limits: without a detection the flux is 0, with the error that the limit tells of.

What a survey measures at the place of a galaxy that it does not see is a flux that scatters about
that galaxy's own with the error σ, and may be negative. A limit of n σ is what is left where the
catalogue keeps the error alone. For a galaxy far below the limit the flux is best taken as 0, and
the likelihood is that of a measurement; one just below the limit is taken for fainter than it is.
"""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np

from ..errors import InputError
from ..units import Measured

__all__ = ["LIMIT_SIGMAS", "with_limit"]

LIMIT_SIGMAS = 3.0
"""Standard deviations that an upper limit is of, if nothing else is said."""


def with_limit(
    flux: Measured, sigma: Measured, limit: Measured, sigmas: float, label: str
) -> tuple[Measured, Measured]:
    """Fluxes and uncertainties (N,) of a band, with those that its upper limits (N,) tell of.

    They are 0 and a part of the limit where there is a limit but no flux, or none with an
    uncertainty. A `UserWarning` says so.

    Raises
    ------
    InputError
        If a limit cannot be of so many standard deviations.
    """
    if not (isinstance(sigmas, int | float) and 0 < sigmas < np.inf):
        raise InputError(
            f"Upper limits of {sigmas} standard deviations make no sense: give a number above 0, "
            "such as 3."
        )
    undetected = ~(np.isfinite(flux.values) & np.isfinite(sigma.values))
    use = undetected & np.isfinite(limit.values)
    if not use.any():
        return flux, sigma
    warnings.warn(
        f"Galaxies that have an upper limit in band {label}, and no flux there with an "
        f"uncertainty, get the flux 0 with the uncertainty limit / {sigmas:g}.",
        UserWarning,
        stacklevel=2,
    )
    error = limit.values / sigmas
    return (
        replace(flux, values=np.where(use, 0.0, flux.values)),
        replace(
            sigma,
            values=np.where(use, error, sigma.values),
            given=np.where(use, limit.given, sigma.given),
        ),
    )
