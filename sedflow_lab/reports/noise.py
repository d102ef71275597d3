"""What a noise model says, band by band, beside the catalogue that it was fitted to."""

from __future__ import annotations

import numpy as np
from astropy.table import Table

from ..observations.noise import NoiseModel
from ..observations.photometry import Photometry

__all__ = ["describe_noise"]


def describe_noise(noise: NoiseModel, photometry: Photometry) -> Table:
    """One row a band: relative floor and median uncertainty, and scatter of ln sigma.

    ``meta["galaxies"]`` of the table is how many galaxies are measured in all bands.
    """
    used = photometry.usable & photometry.mask.all(1) & (photometry.flux > 0).all(1)
    table = Table(
        {
            "band": photometry.bands.labels,
            "floor": noise.floor,
            "median": np.median(photometry.sigma[used] / photometry.flux[used], axis=0),
            "scatter of ln sigma": np.hypot(noise.common_scatter, noise.band_scatter),
        },
        meta={"galaxies": int(used.sum())},
    )
    for name, style in (("floor", ".1%"), ("median", ".1%"), ("scatter of ln sigma", ".2f")):
        table[name].info.format = f"{{:{style}}}"
    return table
