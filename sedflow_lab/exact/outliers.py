r"""Bands that are bad: a likelihood in which a flux may be wrong by any factor.

Each observed band is bad with a small probability p, independently of the others, and what nobody
knows is summed over (Hogg, Bovy & Lang 2010, arXiv:1008.4686, equation 17),

.. math:: L = \prod_X \left[ (1 - p) \, N(\hat f_X; f_X, \sigma_X) + p \, B(\hat f_X) \right].

A bad flux tells nothing of the galaxy, so B does not depend on the model: given that a band is bad,
the posterior is the one without that band. Theirs is a broad Gaussian. Fluxes go wrong by factors,
so here B is flat in the asinh magnitude, over all signal-to-noise ratios that photometry may have,

.. math:: B(\hat f) = \frac{1}{2 T \sqrt{\hat f^2 + 4 \sigma^2}}, \qquad
          |\hat f| < S \sigma, \quad T = \mathrm{asinh}(S / 2), \quad S = 10^7,

which is normalised. With p = 0.01, a band of S/N 30 is more likely bad than good from 4.6 σ on.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.special import expit

from .._arrays import is_torch
from ..errors import InputError
from ..observations.checks import MAX_SNR

__all__ = ["BandTerms", "Outliers"]

_STEPS = 3  # of reweighting, from a mass that fits some of the bands


@dataclass(frozen=True)
class Outliers:
    """Bad bands in the likelihood; see the module.

    Attributes
    ----------
    probability : float
        That a band is bad, before its flux is compared with the others; above 0 and below 1.
    """

    probability: float = 0.01

    def __post_init__(self) -> None:
        """Check the probability."""
        if not 0 < self.probability < 1:
            raise InputError(
                f"The probability that a band is bad is {self.probability}: give one above 0 and "
                "below 1, such as 0.01, or outliers=None."
            )

    def settings(self) -> dict[str, Any]:
        """For the provenance of results."""
        return {"outliers": asdict(self)}

    def terms(self, snr: Any, observed: Any) -> BandTerms:
        """Terms of bands from their signal-to-noise ratios and whether they are observed."""
        library: Any = torch if is_torch(snr) else np
        zero = library.zeros_like(snr)
        scale = 2 * math.asinh(MAX_SNR / 2) / math.sqrt(2 * math.pi)
        bad = math.log(self.probability / scale) - 0.5 * library.log(snr * snr + 4)
        return BandTerms(
            library.where(observed, zero + math.log1p(-self.probability), zero),
            library.where(observed, bad, zero - math.inf),
        )


class BandTerms(NamedTuple):
    r"""Log probabilities of good and bad bands, in which missing ones do not count.

    All methods take NumPy arrays or tensors, as these are, that broadcast with them.

    Attributes
    ----------
    good, bad : array or tensor, shape (..., B)
        ln(1 - p), and :math:`\ln(p B \sqrt{2\pi} \sigma)`.
    """

    good: Any
    bad: Any

    def log_likelihood(self, residuals: Any) -> Any:
        r"""Log likelihood (...), over :math:`\prod 1 / (\sqrt{2\pi}\sigma)`, of residuals in σ."""
        library: Any = torch if is_torch(residuals) else np
        return library.logaddexp(self.good - 0.5 * residuals * residuals, self.bad).sum(-1)

    def probability(self, residuals: Any) -> Any:
        """Probability (..., B) that each band is bad, given residuals in σ."""
        sigmoid: Any = torch.sigmoid if is_torch(residuals) else expit
        return sigmoid(self.bad - self.good + 0.5 * residuals * residuals)

    def best_factor(self, model: Any, data: Any) -> Any:
        """Factor (...) on a model (..., B) that fits the good ones of its bands, both in σ.

        It is the likeliest of those that fit all bands, or one of them, refined by weighting each
        band with the probability that it is good. A coordinate is measured from it, so it need
        not be the very best.
        """
        library: Any = torch if is_torch(model) else np
        take: Any = torch.take_along_dim if is_torch(model) else np.take_along_axis
        every = ((model * data).sum(-1) / (model * model).sum(-1))[..., None]
        shown = model > 0
        alone = library.where(shown, data / library.where(shown, model, model + 1), every)
        trial = library.concatenate([every, alone], -1)
        residuals = trial[..., None] * model[..., None, :] - data[..., None, :]
        value = BandTerms(*(t[..., None, :] for t in self)).log_likelihood(residuals)
        best = take(trial, value.argmax(-1)[..., None], -1)[..., 0]
        for _ in range(_STEPS):
            weighted = (1 - self.probability(best[..., None] * model - data)) * model
            norm = (weighted * model).sum(-1)
            better = (weighted * data).sum(-1) / library.where(norm > 0, norm, norm + 1)
            best = library.where(norm > 0, better, best)
        return best
