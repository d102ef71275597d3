r"""The exact likelihood, and the posterior up to a constant.

The likelihood is Gaussian in flux and diagonal (Hahn & Melchior 2022, equation 1),

.. math:: \ln L = -\tfrac12 \sum_X \left(\frac{\hat f_X - f_X(\theta, z)}{\sigma_X}\right)^2
          - \sum_X \ln(\sqrt{2\pi}\,\sigma_X),

summed over the observed bands. It is the noise that simulations are given, so the posterior that
a network approximates is known here up to a constant, and the network can be corrected.

With `outliers.Outliers` any band may be bad: then the likelihood is a mixture, and still exact.
Where a redshift is uncertain it is a parameter, and points have a coordinate more: see `redshift`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from .._arrays import like_input, to_tensor
from ..errors import InputError
from ..observations.photometry import Photometry
from ..parameters import N_FREE, Prior, get_prior
from ..sps import SEDModel
from .outliers import BandTerms, Outliers
from .profile import REFERENCE_MASS, MassProfile, OutlierProfile, with_mass
from .redshift import RedshiftPrior, log_normal

__all__ = ["LogPosterior"]


class LogPosterior:
    """Log of prior times likelihood for a group of galaxies, batched over galaxies and points.

    Parameters
    ----------
    photometry : Photometry
        G usable galaxies.
    model : SEDModel
        Must have the photometry's bands.
    prior : Prior or str
    outliers : Outliers, optional
        Let each band be bad with a small probability. By default all bands are good.

    Attributes
    ----------
    redshift_prior : RedshiftPrior
    n_free : int
        Coordinates of a point: 11, or 12 where any of the galaxies has an uncertain redshift.

    Raises
    ------
    InputError
        If a galaxy is not usable or the bands differ from the model's.
    """

    def __init__(
        self,
        photometry: Photometry,
        model: SEDModel,
        prior: Prior | str = "flat-dirichlet",
        outliers: Outliers | None = None,
    ) -> None:
        if photometry.bands != model.bands:
            raise InputError(
                f"The photometry is in {', '.join(photometry.bands.names)}, but the model in "
                f"{', '.join(model.bands.names)}."
            )
        bad = ~photometry.usable
        if bad.any():
            raise InputError(str(photometry.problems[bad][0]))
        self.model = model
        self.prior = get_prior(prior)
        self.n_galaxies = len(photometry)
        device = model.device
        mask = torch.as_tensor(photometry.mask.copy(), device=device)
        flux = to_tensor(photometry.flux, model.dtype, device)
        sigma = to_tensor(photometry.sigma, model.dtype, device)
        # A missing band has no weight, whatever stands in its place.
        self._flux = torch.where(mask, flux, torch.zeros_like(flux))
        self._inverse = torch.where(mask, 1.0 / sigma, torch.zeros_like(sigma))
        safe = torch.where(mask, sigma, torch.ones_like(sigma))
        normal = torch.log(safe) + 0.5 * math.log(2 * math.pi)
        self._constant = -(normal * mask).sum(-1)
        self.redshift = to_tensor(photometry.redshift, model.dtype, device)
        self.redshift_prior = RedshiftPrior(photometry, model.redshift_max, device)
        self._terms: BandTerms | None = None
        if outliers is not None:
            terms = outliers.terms(self._flux * self._inverse, mask)
            self._terms = BandTerms(terms.good[:, None], terms.bad[:, None])

    def select(self, rows: torch.Tensor) -> LogPosterior:
        """The same for some of the galaxies, by their indices."""
        part = object.__new__(LogPosterior)
        part.model, part.prior, part.n_galaxies = self.model, self.prior, len(rows)
        part.redshift_prior = self.redshift_prior.select(rows)
        for name in ("_flux", "_inverse", "_constant", "redshift"):
            setattr(part, name, getattr(self, name)[rows])
        terms = self._terms
        part._terms = None if terms is None else BandTerms(*(term[rows] for term in terms))
        return part

    def at_measured_redshifts(self) -> LogPosterior:
        """The same where the redshifts that were measured are taken for known."""
        part = self.select(torch.arange(self.n_galaxies, device=self.redshift.device))
        part.redshift_prior.size = 0
        return part

    @property
    def n_free(self) -> int:
        """Coordinates of a point."""
        return N_FREE + self.redshift_prior.size

    def reported(self, phi: Any) -> tuple[Any, Any]:
        """Reported parameters (G, D, 12) and redshifts (G, D) of points (G, D, n_free).

        Redshifts are (G, 1) where all are known.
        """
        redshift = like_input(self.redshift[:, None], phi)
        if self.redshift_prior.size:
            redshift = self.redshift_prior.redshift(phi[..., N_FREE])
        return self.prior.from_free(phi[..., :N_FREE]), redshift

    def log_prior(self, phi: Any) -> Any:
        """Normalised log prior density (...) of points (..., n_free)."""
        return self.prior.log_prob_free(phi[..., :N_FREE]) + log_normal(phi[..., N_FREE:])

    def chi2(self, theta: Any, redshift: Any = None) -> Any:
        """Chi-squared of parameters.

        Parameters
        ----------
        theta : array, shape (G, D, 12)
            D points for each galaxy.
        redshift : array, shape (G, D) or (G, 1), optional
            By default those that were measured, here and below.

        Returns
        -------
        array, shape (G, D)
        """
        residuals = self.residuals(to_tensor(theta, self.model.dtype), redshift)
        return like_input(residuals.square().sum(-1), theta)

    def best_chi2(self, theta: Any, redshift: Any = None) -> Any:
        """Chi-squared (G,) of the likeliest of points (G, D, 12), which is the smallest.

        With outliers each band counts by the probability that it is good there.
        """
        residuals = self.residuals(to_tensor(theta, self.model.dtype), redshift)
        if self._terms is None:
            return like_input(residuals.square().sum(-1).amin(-1), theta)
        likeliest = self._terms.log_likelihood(residuals).argmax(-1)
        residuals = residuals[torch.arange(self.n_galaxies), likeliest][:, None]
        good = 1 - self._terms.probability(residuals)
        return like_input((good * residuals.square()).sum(-1)[:, 0], theta)

    def residuals(self, theta: Any, redshift: Any = None) -> Any:
        """Model minus data over uncertainty (G, D, B), zero where a band is missing."""
        redshift = self.redshift[:, None] if redshift is None else redshift
        flux = self.model.photometry(to_tensor(theta, self.model.dtype), redshift)
        return like_input((flux - self._flux[:, None]) * self._inverse[:, None], theta)

    @property
    def signal_to_noise(self) -> torch.Tensor:
        """Signal-to-noise ratio (G,) of all observed bands together."""
        return (self._flux * self._inverse).square().sum(-1).sqrt()

    def profile(self, phi: torch.Tensor) -> MassProfile:
        """Likelihood as a function of the mass, at points whose own mass does not count.

        Parameters
        ----------
        phi : tensor, shape (G, D, n_free)
            Free coordinates.

        Returns
        -------
        MassProfile
            Of G × D points.
        """
        flux = self.model.photometry(*self.reported(with_mass(phi, REFERENCE_MASS)))
        model, data = flux * self._inverse[:, None], (self._flux * self._inverse)[:, None]
        norm = model.square().sum(-1)
        if self._terms is not None:
            best, constant = self._terms.best_factor(model, data), self._constant[:, None]
            highest = constant + self._terms.log_likelihood(best[..., None] * model - data)
            return OutlierProfile(best, norm, highest, model, data, self._terms, constant)
        best = (model * data).sum(-1) / norm
        floor = (best[..., None] * model - data).square().sum(-1)
        return MassProfile(best, norm, self._constant[:, None] - 0.5 * floor)

    def log_likelihood(self, theta: Any, redshift: Any = None) -> Any:
        """Log likelihood of parameters (G, D, 12), shape (G, D)."""
        residuals = self.residuals(to_tensor(theta, self.model.dtype), redshift)
        log_likelihood = (
            -0.5 * residuals.square().sum(-1)
            if self._terms is None
            else self._terms.log_likelihood(residuals)
        )
        return like_input(log_likelihood + self._constant[:, None], theta)

    def bad_bands(self, theta: Any, weights: Any = None, redshift: Any = None) -> np.ndarray:
        """Posterior probability (G, B) that each band is bad, from draws of the posterior.

        Parameters
        ----------
        theta : array, shape (G, D, 12)
        weights : array, shape (G, D), optional
            Of the draws; they sum to one. By default all are the same.
        redshift : array, shape (G, D), optional

        Returns
        -------
        ndarray, shape (G, B)
            NaN where a band is missing, or where all bands are taken for good.
        """
        missing = (self._inverse == 0).cpu().numpy()
        if self._terms is None:
            return np.full(missing.shape, np.nan)
        residuals = self.residuals(to_tensor(theta, self.model.dtype), redshift)
        bad = self._terms.probability(residuals)
        each = bad.double().detach().cpu().numpy()
        even = np.full(each.shape[:2], 1.0 / each.shape[1])
        mean = np.einsum("gd,gdb->gb", even if weights is None else weights, each)
        return np.where(missing, np.nan, np.clip(mean, 0, 1))  # weights sum to one to rounding

    def __call__(self, phi: Any) -> Any:
        """Log of prior times likelihood in free coordinates (G, D, n_free), shape (G, D)."""
        x = to_tensor(phi, self.model.dtype)
        log_prior = self.log_prior(x)
        log_likelihood = self.log_likelihood(*self.reported(x))
        inside = torch.isfinite(log_prior) & torch.isfinite(log_likelihood)
        return like_input(torch.where(inside, log_prior + log_likelihood, -torch.inf), phi)
