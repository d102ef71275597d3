r"""What the network sees of a galaxy: photometry as well-behaved numbers.

Magnitudes break at zero and negative flux. Asinh magnitudes do not (Lupton, Gunn & Szalay 1999,
AJ 118, 1406); softened by the measurement's own uncertainty,

.. math:: \mu = 22.5 - \frac{2.5}{\ln 10} \left[ \sinh^{-1}\frac{f}{2\sigma} + \ln\sigma \right],

they are the usual magnitude for a good measurement and linear in f/σ for a bad one.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from .._arrays import is_torch, to_tensor
from ..units import AB_ZERO_POINT, LN10, POGSON

if TYPE_CHECKING:
    from ..observations.photometry import Photometry
    from ..sps.histories import Cosmology

__all__ = ["CLIP", "Features", "Seen", "asinh_magnitude", "softened_log"]

CLIP = 6.0
"""Standardised features are clipped to ±CLIP: a wild input must not drive the network wild."""

_WELL_MEASURED = 0.1  # mag
_HOPELESS = 2.0
"""A band is as good as missing if its σ exceeds this many times the brightest measured flux."""


class Seen(NamedTuple):
    """What a network is shown of N galaxies in B bands, as tensors or as arrays.

    Attributes
    ----------
    flux, sigma : shape (N, B)
        Nanomaggies; anything where `mask` is False.
    mask : bool, shape (N, B)
        True where the band was observed.
    redshift, modulus : shape (N,)
        Redshift and distance modulus.
    """

    flux: Any
    sigma: Any
    mask: Any
    redshift: Any
    modulus: Any

    @classmethod
    def at(cls, redshift: Any, flux: Any, sigma: Any, mask: Any, cosmology: Cosmology) -> Seen:
        """Measurements (tensors) of galaxies at redshifts, from which the moduli follow."""
        modulus = 25.0 + 5.0 / LN10 * cosmology.log_distance(redshift)
        return cls(flux, sigma, mask, redshift, modulus)

    @classmethod
    def of(
        cls, photometry: Photometry, cosmology: Cosmology, device: torch.device | str = "cpu"
    ) -> Seen:
        """Photometry as tensors in single precision."""
        redshift, flux, sigma = (
            to_tensor(x, torch.float32, device)
            for x in (photometry.redshift, photometry.flux, photometry.sigma)
        )
        mask = torch.as_tensor(photometry.mask.copy(), device=device)
        return cls.at(redshift, flux, sigma, mask, cosmology)

    def rows(self, rows: Any) -> Seen:
        """Some of the galaxies, by a slice or indices."""
        return Seen(*(x[rows] for x in self))

    def to(self, device: torch.device | str) -> Seen:
        """Copy tensors to a device."""
        return Seen(*(x.to(device) for x in self))

    def numpy(self) -> Seen:
        """Tensors as arrays."""
        return Seen(*(x.cpu().numpy() for x in self))


def softened_log(flux: Any, sigma: Any) -> Any:
    """Natural log of fluxes, softened by σ: asinh(f / 2σ) + ln σ, of arrays or tensors."""
    xp = torch if is_torch(flux, sigma) else np
    return xp.arcsinh(flux / (2 * sigma)) + xp.log(sigma)


def asinh_magnitude(flux: torch.Tensor, sigma: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Asinh magnitudes softened by σ, and their uncertainties (at most 0.54 mag)."""
    magnitude = AB_ZERO_POINT - POGSON * softened_log(flux, sigma)
    error = POGSON * sigma / torch.sqrt(flux.square() + 4 * sigma.square())
    return magnitude, error


class Features(torch.nn.Module):
    """Standardised features of photometry, and the magnitude that anchors the mass.

    The features are, for B bands: colours against the anchor band (B), its absolute asinh
    magnitude, log10 of the magnitude errors (B), which bands were observed (B), and redshift.
    The anchor is the first observed band, from the middle of the set outwards. Features of
    missing bands are zero.

    Parameters
    ----------
    n_bands : int
    """

    anchor_order: torch.Tensor
    mean: torch.Tensor
    scale: torch.Tensor

    def __init__(self, n_bands: int) -> None:
        super().__init__()
        self.n_bands = n_bands
        self.size = 3 * n_bands + 2
        middle = n_bands // 2
        order = sorted(range(n_bands), key=lambda k: (abs(k - middle), -k))
        self.register_buffer("anchor_order", torch.tensor(order), persistent=False)
        self.register_buffer("mean", torch.zeros(self.size))
        self.register_buffer("scale", torch.ones(self.size))

    def observed(self, seen: Seen) -> torch.Tensor:
        """Bands (N, B) that carry information: observed, and not hopelessly uncertain."""
        flux, sigma, mask = seen[:3]
        measured = torch.where(mask & (flux > 3 * sigma), flux, torch.zeros_like(flux))
        brightest = measured.amax(-1, keepdim=True)
        return mask & ((sigma <= _HOPELESS * brightest) | (brightest <= 0))

    def raw(self, seen: Seen) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Features before standardisation (N, F), which of them exist (N, F), anchor (N,).

        The anchor is the absolute asinh magnitude of the anchor band.
        """
        mask = self.observed(seen)
        flux = torch.where(mask, seen.flux, torch.zeros_like(seen.flux))
        sigma = torch.where(mask, seen.sigma, torch.ones_like(seen.sigma))
        magnitude, error = asinh_magnitude(flux, sigma)
        first = mask[..., self.anchor_order].to(torch.int8).argmax(-1)
        anchor = magnitude.gather(-1, self.anchor_order[first][..., None])
        absolute = anchor[..., 0] - seen.modulus
        exists = mask.to(flux.dtype)
        features = torch.cat(
            [
                (magnitude - anchor) * exists,
                absolute[..., None],
                torch.log10(error) * exists,
                exists,
                seen.redshift[..., None],
            ],
            dim=-1,
        )
        one = torch.ones_like(absolute[..., None])
        present = torch.cat([exists, one, exists, torch.ones_like(exists), one], dim=-1)
        return features, present, absolute

    def forward(self, seen: Seen) -> tuple[torch.Tensor, torch.Tensor]:
        """Standardised, clipped features (N, F) and the anchor's absolute magnitude (N,)."""
        features, present, absolute = self.raw(seen)
        standard = ((features - self.mean) / self.scale).clamp(-CLIP, CLIP)
        return standard * present, absolute

    def fit(self, seen: Seen) -> None:
        """Set mean and scale from simulations, by quantiles that outliers do not move.

        Colours count only where both bands are well measured: the noise of the others would
        stretch the scale, and a network resolves best what is of order one.
        """
        features, present, _ = self.raw(seen)
        n = self.n_bands
        flags = slice(2 * n + 1, 3 * n + 1)
        bad = features[..., n + 1 : 2 * n + 1] > math.log10(_WELL_MEASURED)
        present[..., :n] *= ~bad
        features = torch.where(present > 0, features, torch.nan)
        levels = features.new_tensor([0.1587, 0.5, 0.8413])
        low, middle, high = torch.nanquantile(features, levels, dim=0)
        self.mean.copy_(middle)
        self.scale.copy_((0.5 * (high - low)).clamp_min(1e-3))
        # Flags of observed bands stay as they are, but centred where most galaxies are: on one.
        self.mean[flags], self.scale[flags] = 1.0, 1.0
