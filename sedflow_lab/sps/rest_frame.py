r"""Galaxies at rest: absolute magnitudes, colours, K-corrections and mass-to-light ratios.

The absolute magnitude M of a galaxy is that which it would have at rest at 10 pc, its dust
included. With its apparent magnitude m in the same filter and the distance modulus DM,

.. math:: m = M + DM + K, \qquad M_* / L = 10^{\log M_* + 0.4 (M - M_\odot)},

K is the K-correction, and the mass is that which still is in stars and remnants. All of them come
from the model: they belong to a draw of the posterior, not to the measured flux alone.

References
----------
Hogg et al. 2002, arXiv:astro-ph/0210394 (K-corrections).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any

import torch

from .._arrays import like_input
from ..units import LN10, magnitude
from .bands import Band, BandSet, get_bands
from .model import SEDModel
from .photometer import Photometer
from .properties import derived
from .sun import SOLAR_MAGNITUDE

__all__ = ["RestFrame", "at_rest", "names_at_rest"]

_CHUNK = 8192  # galaxies at a time: temporaries stay in the processor's cache


class RestFrame:
    """What galaxies of a model are in some bands at rest.

    Parameters
    ----------
    model : SEDModel
    bands : str, BandSet or sequence of filters
        Bands in the rest frame, of any survey (see `get_bands`); the model's own or others.

    Attributes
    ----------
    bands : BandSet
    names : tuple of str
        What it computes (see `names_at_rest`).

    Raises
    ------
    InputError
        If the SSP grid does not reach under the bands.

    Examples
    --------
    >>> at_rest = RestFrame(SEDModel("sdss-ugriz"), "sdss-ugriz")
    >>> at_rest(get_prior().sample(3), 0.1)["abs_mag_r"].shape
    (3,)
    """

    def __init__(self, model: SEDModel, bands: str | BandSet | Sequence[str | Band]) -> None:
        self.model, self.bands = model, get_bands(bands)
        self._photometer = Photometer(
            model.ssp, self.bands, model.populations, model.redshift_max, model.dtype, at_rest=True
        ).to(model.device)
        observed, names = model.bands.names, self.bands.names
        self._shared = [(k, observed.index(n)) for k, n in enumerate(names) if n in observed]
        self._solar = [(k, SOLAR_MAGNITUDE[n]) for k, n in enumerate(names) if n in SOLAR_MAGNITUDE]
        self.names = names_at_rest(self.bands, model.bands)

    def photometry(self, theta: Any, redshift: Any) -> Any:
        """Fluxes [nanomaggies], shape (..., B), that galaxies would have at rest at 10 pc.

        Parameters are those of `SEDModel.photometry`: the redshift sets the age of the oldest
        stars.
        """
        flat, z, shape = self.model.check_inputs(theta, redshift)
        pairs = zip(flat.split(_CHUNK), z.split(_CHUNK), strict=True)
        flux = torch.cat([self._photometer(t, r) for t, r in pairs])
        return like_input(flux.reshape(*shape, len(self.bands)), theta)

    def __call__(self, theta: Any, redshift: Any) -> dict[str, Any]:
        """What has `names`, shape (...), of galaxies.

        Parameters are those of `SEDModel.photometry`. NumPy in, NumPy out; torch in, torch out.
        """
        model = self.model
        absolute = magnitude(self.photometry(theta, redshift))
        columns = [absolute[..., k] for k in range(len(self.bands))]
        columns += [a - b for a, b in pairwise(columns)]
        if self._shared:
            _, z, shape = model.check_inputs(theta, redshift)
            modulus = 25 + 5 / LN10 * model.cosmology.log_distance(z)
            apparent = magnitude(model.photometry(theta, redshift))
            modulus = like_input(modulus.reshape(shape), theta)
            columns += [apparent[..., j] - absolute[..., k] - modulus for k, j in self._shared]
        if self._solar:
            mass = derived(theta, redshift, model)["log_mstar_surviving"]
            columns += [mass + 0.4 * (absolute[..., k] - sun) for k, sun in self._solar]
        return dict(zip(self.names, columns, strict=True))


def names_at_rest(bands: BandSet, observed: BandSet) -> tuple[str, ...]:
    """Names of the quantities of galaxies in bands at rest, for `quantities.get_quantity`.

    For each band X there are the absolute magnitude ``abs_mag_X`` and, where the Sun's is known
    (`sps.sun.SOLAR_MAGNITUDE`), the logarithm of the mass-to-light ratio ``log_ml_X``; for
    neighbouring bands the colour ``colour_X_Y``; and for filters that are among those in which
    galaxies are observed the K-correction ``k_corr_X``.
    """
    each = list(zip(bands.names, bands.labels, strict=True))
    return (
        *(f"abs_mag_{label}" for _, label in each),
        *(f"colour_{a}_{b}" for a, b in pairwise(bands.labels)),
        *(f"k_corr_{label}" for name, label in each if name in observed.names),
        *(f"log_ml_{label}" for name, label in each if name in SOLAR_MAGNITUDE),
    )


def at_rest(
    model: SEDModel, bands: str | BandSet | Sequence[str | Band] | None = None
) -> RestFrame:
    """The `RestFrame` of a model in bands, by default its own; tables of the last few are kept."""
    return _made(model, model.bands if bands is None else get_bands(bands), model.device)


@lru_cache(maxsize=4)
def _made(model: SEDModel, bands: BandSet, device: torch.device) -> RestFrame:
    return RestFrame(model, bands)
