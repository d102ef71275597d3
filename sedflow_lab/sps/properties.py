"""Quantities derived from the parameters: star-formation rates, ages, metallicities, masses.

References
----------
Hahn & Melchior 2022, ApJ 938, 11, section 4 (star-formation rate over the last 1 Gyr and
mass-weighted metallicity as quantities of interest); Hahn et al. 2022, arXiv:2202.01809.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from .._arrays import like_input
from ..parameters import split
from ..quantities import DERIVED
from .model import SEDModel

__all__ = ["DERIVED", "SSFR_FLOOR", "derived"]

SSFR_FLOOR = 1e-14
"""Lowest star-formation rate per mass formed [1/yr] that is told apart from zero."""

_CHUNK = 16384  # rows at a time, so that memory stays bounded


def derived(theta: Any, redshift: Any, model: SEDModel) -> dict[str, Any]:
    r"""Physical properties of galaxies from their parameters.

    Rates are means over the last 1 Gyr or 100 Myr (or over the age of the universe where that
    is shorter) of the exact integral of the star-formation history plus the burst, if it falls
    in that time. Ages, metallicities and surviving masses are sums over the model's own
    populations (`sedflow_lab.sps.populations`), weighted by the mass that they formed. The specific
    rate is per *surviving* mass, which is what catalogues call stellar mass; `log_mstar` among
    the parameters is mass formed, 0.2 to 0.25 dex more.

    A galaxy may have formed no stars at all in those times. Photometry cannot tell a rate of
    zero from a tiny one, and minus infinity would spoil every mean and quantile; so rates are
    floored at `SSFR_FLOOR` = 1e-14 per year and mass formed: values of `log_ssfr_1gyr` near
    -13.8 read "quenched".

    Parameters
    ----------
    theta : array, shape (..., 12)
        Reported parameters.
    redshift : float or array, broadcastable to (...)
    model : SEDModel

    Returns
    -------
    dict of str to array, shape (...)
        The quantities in `DERIVED`, by name. NumPy in, NumPy out; torch in, torch out.

    Raises
    ------
    InputError
        If shapes do not match or a redshift is out of the model's range.
    """
    flat, z, shape = model.check_inputs(theta, redshift)
    parts = [
        _derived(t, r, model) for t, r in zip(flat.split(_CHUNK), z.split(_CHUNK), strict=True)
    ]
    columns = torch.cat(parts).unbind(-1)
    return {
        quantity.name: like_input(column.reshape(shape), theta)
        for quantity, column in zip(DERIVED, columns, strict=True)
    }


def _derived(theta: torch.Tensor, redshift: torch.Tensor, model: SEDModel) -> torch.Tensor:
    """Quantities (N, 7) in the order of `DERIVED`."""
    populations, galaxies = model.populations, split(theta)
    epoch = populations.epoch(redshift)
    universe = epoch.age[:, 0]
    span = torch.minimum(universe[:, None], universe.new_tensor([1.0, 0.1]))
    burst = populations.burst_share(galaxies, epoch.age)
    smooth = populations.star_formation.cumulative(
        galaxies.beta, universe, universe.new_tensor([1.0, 0.1])
    )
    recent = (1 - burst) * smooth + burst * (galaxies.tburst[:, None] <= span)
    log_rate = torch.log10((recent / (span * 1e9)).clamp_min(SSFR_FLOOR))
    log_formed = galaxies.log_mstar[:, None]

    mass = populations.masses(galaxies, epoch)
    age = populations.ages(galaxies, epoch)
    metallicity = populations.metallicities(galaxies, epoch)
    log_z = torch.log10((mass * metallicity).sum(-1))
    log_survived = torch.log10((mass * model.surviving_fraction(age, metallicity)).sum(-1))
    return torch.stack(
        [
            (log_formed + log_rate)[:, 0],
            (log_formed + log_rate)[:, 1],
            log_rate[:, 0] - log_survived,
            log_z,
            log_z + float(np.log10(model.ssp.true_over_label)),
            (mass * age).sum(-1),
            galaxies.log_mstar + log_survived,
        ],
        dim=-1,
    )
