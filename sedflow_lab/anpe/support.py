r"""Is this photometry like anything that the network was trained on? A calibrated answer.

A network extrapolates without a word. So three things are compared with the training set, in the
bands that were observed:

- *colours*, given the uncertainties and the redshift. A mixture of Gaussians describes noiseless
  colours and redshift, and the measurement's own noise widens it,

  .. math:: p(m \mid \sigma, z) = \sum_k \pi_k(z) \,
            \mathcal N\!\left(m;\, a_k(z),\, J_k (S_k + V \mathbf 1 \mathbf 1^T) J_k^T + E_k\right),

  in asinh magnitudes m, with E_k their errors and J_k their slopes at the component's best
  brightness. V is so large that brightness does not matter here. The score is ln p less the same
  with every residual zero, so that large errors do not lower it;
- *uncertainties*: the density of the logarithms of the magnitude errors;
- *brightness*: how far the absolute magnitude is from the middle of the training set.

Each score is turned into the fraction of held-out simulations, with as many observed bands, that
are odder. The smallest of the three, times three, bounds the probability that a galaxy of the
training set looks as odd as this one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy.linalg import helmert

from ..errors import InputError
from ..units import POGSON, magnitude
from .features import Seen, softened_log
from .gaussians import Mixture, gauss, log_sum_exp, rounded

if TYPE_CHECKING:
    from ..observations.noise import NoiseModel
    from ..sps.histories import Cosmology

__all__ = ["FALSE_ALARM_RATE", "FEWEST", "PARTS", "Support", "SupportScore", "fit_support"]

FALSE_ALARM_RATE = 1e-3
"""Galaxies with a smaller p-value are called outside the training set: so many of those inside
it are called so at most."""

FEWEST = 8
"""Simulations of which anything can be said."""

PARTS = ("colours", "uncertainties", "brightness")
"""What is compared with the training set."""

_FREE = 100.0  # mag²: variance that makes the brightness free
_COMPONENTS = {"colours": 10, "uncertainties": 5}
_SIMULATIONS = 80_000
_FIT, _CALIBRATE = 30_000, 50_000
_LEVELS = np.geomspace(1e-4, 1.0, 41)
_BLOCK = 4096
_WELL_INSIDE = 0.01  # p-value, ten times the limit


@dataclass(frozen=True)
class SupportScore:
    """How odd galaxies are beside the training set.

    Attributes
    ----------
    p_value : ndarray, shape (N,)
        Bound on the probability that a galaxy of the training set looks as odd. Not resolved
        below 3e-4.
    part : ndarray of str, shape (N,)
        Which of `PARTS` is oddest.
    parts : ndarray, shape (N, 3)
        The probability for each of `PARTS` by itself.
    """

    p_value: np.ndarray
    part: np.ndarray
    parts: np.ndarray

    @property
    def outside(self) -> np.ndarray:
        """Whether each galaxy is outside the training set, at the stated false-alarm rate."""
        return self.p_value < FALSE_ALARM_RATE


@dataclass(frozen=True)
class Support:
    """What a training set looks like, and how odd its own galaxies are."""

    colours: Mixture  # noiseless magnitudes as Helmert contrasts of the bands, and redshift
    uncertainties: Mixture  # log10 of the asinh magnitude errors
    redshift_scale: float  # unit of the redshift in `colours`
    brightness: float  # absolute magnitude (mean of the bands) in the middle of the set
    quantiles: dict[int, np.ndarray]  # (3, L) of scores of held-out ones, by observed bands
    resolution: float  # smallest probability that so many held-out simulations can tell

    def __call__(self, seen: Seen) -> SupportScore:
        """Judge N galaxies, arrays of which two or more observed bands are seen of each."""
        scores = self.scores(seen)
        parts = np.empty(scores.shape)
        observed = seen.mask.sum(1)
        for count in np.unique(observed):
            rows = observed == count
            table = self.quantiles[min(max(int(count), 2), max(self.quantiles))]
            for k in range(len(PARTS)):
                parts[rows, k] = np.exp(np.interp(scores[rows, k], table[k], np.log(_LEVELS)))
        parts = np.maximum(parts, self.resolution)
        p_value = np.minimum(1.0, len(PARTS) * parts.min(1))
        return SupportScore(p_value, np.array(PARTS)[parts.argmin(1)], parts)

    def suspect(self, seen: Seen) -> np.ndarray:
        """Number (N,) of the band to blame where a galaxy is outside the training set, else -1.

        It is the band without which the galaxy is likest the training set, if it then is well
        inside; where there are two bands alone, none is.
        """
        blamed = np.full(len(seen.flux), -1)
        rows = np.flatnonzero(self(seen).outside & (seen.mask.sum(1) > 2))
        odd = seen.rows(rows)
        best = np.full(len(rows), _WELL_INSIDE)
        for band in range(odd.mask.shape[1]):
            rest = odd.mask.copy()
            rest[:, band] = False
            p = self(odd._replace(mask=rest)).p_value
            better = odd.mask[:, band] & (p > best)
            blamed[rows[better]], best[better] = band, p[better]
        return blamed

    def scores(self, seen: Seen) -> np.ndarray:
        """Scores (N, 3) of `PARTS`; the lower, the odder."""
        mask = seen.mask
        flux, sigma, _, redshift, modulus = (np.asarray(x, dtype=np.float64) for x in seen)
        flux, sigma = np.where(mask, flux, 0.0), np.where(mask, sigma, 1.0)
        out = np.empty((len(flux), len(PARTS)))
        for first in range(0, len(flux), _BLOCK):
            rows = slice(first, first + _BLOCK)
            part = flux[rows], sigma[rows], mask[rows]
            out[rows, 0], brightness = self._judge_colours(*part, redshift[rows])
            out[rows, 1] = self._judge_uncertainties(*part)
            out[rows, 2] = -np.abs(brightness - modulus[rows] - self.brightness)
        return out

    def _judge_colours(
        self, flux: np.ndarray, sigma: np.ndarray, mask: np.ndarray, redshift: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Score (N,), and mean magnitude (N,) of the bands in the best component."""
        basis = helmert(flux.shape[1])
        log_weight, mean, cov = self.colours.given_last(redshift / self.redshift_scale)
        mean = mean @ basis
        # The brightness at which each component's colours fit best; the noise is about that.
        shape = 10 ** (-0.4 * mean)
        s = sigma[:, None, :]
        inverse = (mask / sigma**2)[:, None, :]
        best = (shape * flux[:, None, :] * inverse).sum(-1) / (shape**2 * inverse).sum(-1)
        faintest = 1e-3 * np.where(mask, sigma, np.inf).min(1)[:, None] / shape.max(-1)
        best = np.maximum(best, faintest)
        model = best[..., None] * shape
        slope = model / np.hypot(model, 2 * s)
        # Of asinh magnitudes, whose zero point does not matter.
        apart = POGSON * softened_log(model, s) - POGSON * softened_log(flux[:, None], s)
        residual = np.where(mask[:, None], apart, 0.0)
        full = basis.T @ cov @ basis + _FREE
        full = slope[..., :, None] * full * slope[..., None, :]
        noise = np.where(mask[:, None], _error(model, s) ** 2, 1.0)
        log_det, chi2 = gauss(full, noise, residual, mask)
        flat = log_weight - 0.5 * log_det
        score = log_sum_exp(flat - 0.5 * chi2) - log_sum_exp(flat)
        likeliest = (flat - 0.5 * chi2).argmax(1)
        amplitude = np.take_along_axis(best, likeliest[:, None], 1)[:, 0]
        return score, magnitude(amplitude)

    def _judge_uncertainties(
        self, flux: np.ndarray, sigma: np.ndarray, mask: np.ndarray
    ) -> np.ndarray:
        """Score (N,)."""
        mixture = self.uncertainties
        x = np.log10(_error(flux, sigma))
        residual = np.where(mask[:, None], x[:, None] - mixture.means, 0.0)
        none = np.where(mask, 0.0, 1.0)[:, None]
        log_det, chi2 = gauss(mixture.covariances[None], none, residual, mask)
        return log_sum_exp(np.log(mixture.weights) - 0.5 * (log_det + chi2))

    def to_dict(self) -> dict[str, Any]:
        """JSON-able values."""
        return {
            "colours": self.colours.to_dict(),
            "uncertainties": self.uncertainties.to_dict(),
            "redshift_scale": self.redshift_scale,
            "brightness": self.brightness,
            "quantiles": {str(k): rounded(v) for k, v in self.quantiles.items()},
            "resolution": self.resolution,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Support:
        """Inverse of `to_dict`; InputError if the values are not those of a support."""
        try:
            found = cls(
                Mixture.from_dict(values["colours"]),
                Mixture.from_dict(values["uncertainties"]),
                float(values["redshift_scale"]),
                float(values["brightness"]),
                {int(k): np.asarray(v, np.float64) for k, v in values["quantiles"].items()},
                float(values["resolution"]),
            )
            n_bands = found.colours.means.shape[1]
            if found.uncertainties.means.shape[1] != n_bands:
                raise ValueError("its colours and its uncertainties are of different bands")
            if set(found.quantiles) != set(range(2, n_bands + 1)):
                raise ValueError("it lacks quantiles of some number of bands")
            for table in found.quantiles.values():
                if table.shape != (len(PARTS), len(_LEVELS)) or not (np.diff(table) >= 0).all():
                    raise ValueError("its quantiles do not rise")
            if not (found.redshift_scale > 0 and 0 < found.resolution <= 1):
                raise ValueError("a scale of it is not positive")
            if not np.isfinite([found.redshift_scale, found.brightness]).all():
                raise ValueError("it holds numbers that are not finite")
            return found
        except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
            raise InputError(f"This does not describe a training set: {error}") from error


def fit_support(
    flux: torch.Tensor,
    redshift: torch.Tensor,
    noise: NoiseModel,
    cosmology: Cosmology,
    seed: int = 0,
) -> Support:
    """Describe a training set, and calibrate on its other half.

    It is noiseless fluxes (N, B) [nanomaggies] and redshifts (N,), of which the first 80,000 are
    used. With fewer than 6000 nothing is called outside: the false-alarm rate could not be known;
    with fewer than 8 InputError is raised. The seed is that of noise, of the bands that are hidden,
    and of the fit.
    """
    if len(flux) < FEWEST:
        raise InputError(f"{len(flux)} simulations do not describe a training set: make more.")
    flux, redshift = flux[:_SIMULATIONS], redshift[:_SIMULATIONS]
    observed, sigma = noise.observe(flux, torch.Generator().manual_seed(seed))
    every = torch.ones_like(flux, dtype=torch.bool)
    seen = Seen.at(redshift, observed.double(), sigma.double(), every, cosmology).numpy()
    n, n_bands = flux.shape
    n_fit = min(_FIT, n // 2)
    z, mu = seen.redshift[:n_fit].astype(np.float64), seen.modulus[:n_fit].astype(np.float64)
    magnitudes = magnitude(flux[:n_fit].double().clamp_min(1e-30).numpy())
    scale = float(z.std())
    contrasts = np.column_stack([magnitudes @ helmert(n_bands).T, z / scale])
    error = np.log10(_error(seen.flux, seen.sigma))[:n_fit]
    support = Support(
        Mixture.fit(contrasts, min(_COMPONENTS["colours"], n_fit // 4), seed),
        Mixture.fit(error, min(_COMPONENTS["uncertainties"], n_fit // 4), seed),
        scale,
        float(np.median(magnitudes.mean(1) - mu)),
        {},
        1.0 / (1 + min(_CALIBRATE, n - n_fit)),
    )
    held = seen.rows(slice(n_fit, n_fit + _CALIBRATE))
    rng = np.random.default_rng(seed)
    order = rng.random(held.flux.shape).argsort(1).argsort(1)
    for count in range(2, n_bands + 1):
        scores = support.scores(held._replace(mask=order < count))
        support.quantiles[count] = np.quantile(scores, _LEVELS, axis=0).T
    return support


def _error(flux: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """Errors of asinh magnitudes."""
    return POGSON * sigma / np.hypot(flux, 2 * sigma)
