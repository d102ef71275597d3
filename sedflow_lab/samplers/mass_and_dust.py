"""The SED model with two free parameters, mass and dust: small enough for a grid to be exact."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch

from ..errors import InputError
from ..exact.likelihood import LogPosterior
from ..observations.photometry import Photometry
from ..parameters import NAMES, get_prior
from ..quantities import QUANTITIES
from ..sps import SEDModel
from .grid import Grid, tabulate

__all__ = ["FREE", "HELD", "MassAndDust"]

FREE = ("log_mstar", "tau_ism")
"""The two parameters, in their order."""

HELD = {
    "beta1": 0.25,
    "beta2": 0.25,
    "beta3": 0.25,
    "beta4": 0.25,
    "fburst": 0.0,
    "tburst": 5.0,
    "log_gamma1": -2.0,
    "log_gamma2": -2.0,
    "tau_bc": 0.3,
    "n_dust": -0.5,
}
"""Values at which the ten others are held: stars formed all the time, without a burst."""

_COLUMNS = [NAMES.index(name) for name in FREE]


@dataclass(frozen=True, eq=False, repr=False)
class MassAndDust:
    """A galaxy of which only mass and dust are unknown, as a survey sees it.

    Attributes
    ----------
    truth : tuple of float
        True log M★ [M☉] and τ ISM of the galaxy that is observed.
    redshift : float
    error : float
        Uncertainty in every band, as a fraction of the flux of that galaxy. It is the same number
        of nanomaggies for whatever other galaxy the survey looks at.
    seed : int
        Of the noise in the observation.
    low, high : tuple of float
        Limits of the prior, which is uniform in both.
    model : SEDModel
    """

    truth: tuple[float, float] = (10.2, 0.5)
    redshift: float = 0.05
    error: float = 0.1
    seed: int = 1
    low: tuple[float, float] = (9.0, 0.0)
    high: tuple[float, float] = (11.5, 3.0)
    model: SEDModel = field(default_factory=SEDModel)
    sigma: np.ndarray = field(init=False)  # (B,), nanomaggies
    observed: np.ndarray = field(init=False)  # (B,)

    def __post_init__(self) -> None:
        """Observe the galaxy."""
        inside = [a <= t <= b for a, t, b in zip(self.low, self.truth, self.high, strict=True)]
        if not all(inside) or not self.error > 0:
            raise InputError(
                f"The truth is {self.truth} and the error {self.error:g}: the truth must lie "
                f"between {self.low} and {self.high}, and the error be more than 0."
            )
        clean = self.flux(np.array([self.truth]))
        object.__setattr__(self, "sigma", self.error * clean[0])
        noisy = self.simulate(np.array([self.truth]), np.random.default_rng(self.seed))
        object.__setattr__(self, "observed", noisy[0])

    def draw(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Draws (n, 2) of the prior."""
        return rng.uniform(self.low, self.high, (n, 2))

    def theta(self, points: np.ndarray) -> np.ndarray:
        """All twelve parameters (n, 12) of points (n, 2)."""
        theta = np.array([HELD.get(name, np.nan) for name in NAMES]) * np.ones((len(points), 1))
        theta[:, _COLUMNS] = points
        return theta

    def flux(self, points: np.ndarray) -> np.ndarray:
        """Fluxes (n, B) [nanomaggies] without noise, of points (n, 2) or of all twelve (n, 12)."""
        theta = points if points.shape[1] == len(NAMES) else self.theta(points)
        with torch.no_grad():
            return np.asarray(self.model.photometry(theta, np.full(len(theta), self.redshift)))

    def simulate(self, points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Noisy fluxes (n, B) [nanomaggies], of points (n, 2) or of all twelve (n, 12)."""
        clean = self.flux(points)
        return clean + self.sigma * rng.normal(size=clean.shape)

    def in_sigmas(self, flux: np.ndarray) -> np.ndarray:
        """Fluxes (n, B) in units of their uncertainty: summaries that weigh all bands alike."""
        return flux / self.sigma

    def features(self, flux: np.ndarray) -> np.ndarray:
        """What networks are shown (n, B) of fluxes: an asinh magnitude and colours.

        Bands rise and fall together with the mass; colours do not, and are easier to learn from.
        """
        asinh = np.arcsinh(0.5 * self.in_sigmas(flux))
        middle = asinh.shape[1] // 2
        return np.concatenate([asinh[:, middle : middle + 1], np.diff(asinh, axis=1)], 1)

    def draw_all(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Draws (n, 12) of the package's prior of all parameters, masses within the same limits."""
        theta = get_prior().sample(n, int(rng.integers(2**31)))
        theta[:, 0] = rng.uniform(self.low[0], self.high[0], n)
        return theta

    def photometry(self, flux: np.ndarray) -> Photometry:
        """Fluxes (n, B) as the package's photometry."""
        n = len(flux)
        sigma, redshift = np.tile(self.sigma, (n, 1)), np.full(n, self.redshift)
        return Photometry(flux, sigma, redshift, bands=self.model.bands)

    def log_posterior(self, points: np.ndarray, flux: np.ndarray | None = None) -> np.ndarray:
        """Log of prior times likelihood (n,) at points (n, 2), given fluxes (B,).

        Both are normalised, so the integral is the evidence. Minus infinity outside the prior.
        """
        data = self.observed if flux is None else np.asarray(flux)
        likelihood = LogPosterior(self.photometry(data[None]), self.model)
        with torch.no_grad():
            found = np.asarray(likelihood.log_likelihood(self.theta(points)[None])[0])
        inside = ((points >= self.low) & (points <= self.high)).all(1)
        volume = float(np.prod(np.subtract(self.high, self.low)))
        return np.where(inside, found - np.log(volume), -np.inf)

    def exact(self, flux: np.ndarray | None = None, n: int = 100) -> Grid:
        """The exact posterior of fluxes (B,), by default the observed ones, on a grid."""
        return tabulate(lambda points: self.log_posterior(points, flux), self.low, self.high, n)

    def labels(self) -> tuple[str, str]:
        """Labels of the two axes, in plain letters."""
        x, y = (QUANTITIES[name].axis_text for name in FREE)
        return x, y
