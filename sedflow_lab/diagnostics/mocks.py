"""Simulated galaxies to calibrate with, and ways to make a calibration fail on purpose."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import NamedTuple

import numpy as np
import torch

from ..anpe.simulate import mock_photometry
from ..errors import InputError
from ..observations.noise import NoiseModel
from ..observations.photometry import Photometry
from ..parameters import PARAMETERS, Prior
from ..posterior.result import PosteriorResult
from ..posterior.weighting import weighted_quantile
from ..sps import SEDModel

__all__ = ["Fault", "Origin", "draw_mocks", "narrow_result"]


@dataclass(frozen=True)
class Fault:
    """What is wrong on purpose. By default nothing is.

    Attributes
    ----------
    sigma : float
        Uncertainties that the posterior is told, in units of the true ones: below 1 they are
        understated, above 1 overstated.
    prior_shift : float
        How far the truth is drawn from beside the prior, in standard deviations of each of the
        eleven free coordinates.
    narrow : float
        Width of the posterior in units of what it was: below 1 draws are pulled towards their
        median, above 1 pushed away from it.
    """

    sigma: float = 1.0
    prior_shift: float = 0.0
    narrow: float = 1.0

    def __post_init__(self) -> None:
        """Check the values."""
        if not (0 < self.sigma < np.inf and 0 < self.narrow < np.inf):
            raise InputError(
                f"Factors on uncertainties ({self.sigma}) and widths ({self.narrow}) must be "
                "positive numbers."
            )
        if not abs(self.prior_shift) <= 5:
            raise InputError(f"Shift the prior by 5 at most, not by {self.prior_shift}.")

    def __bool__(self) -> bool:
        return self != Fault()

    def __str__(self) -> str:
        """What is wrong, in words."""
        words = []
        if self.sigma != 1:
            way = "under" if self.sigma < 1 else "over"
            words.append(f"uncertainties {way}stated (× {self.sigma:g})")
        if self.prior_shift:
            words.append(f"truths drawn {self.prior_shift:+g} σ beside the prior")
        if self.narrow != 1:
            way = "narrowed" if self.narrow < 1 else "widened"
            words.append(f"posterior {way} (× {self.narrow:g})")
        return ", ".join(words) or "nothing is wrong on purpose"

    def to_dict(self) -> dict[str, float]:
        """JSON-able values."""
        return asdict(self)


@dataclass(frozen=True)
class _ShiftedPrior(Prior):
    """Draws from beside the prior: normal coordinates and the mass's are moved alike."""

    shift: float = 0.0

    def sample_free(self, n: int, generator: torch.Generator | None = None) -> torch.Tensor:
        phi = super().sample_free(n, generator)
        mass = PARAMETERS[0]
        width = mass.high - mass.low
        probit = torch.special.ndtri((phi[:, 0] - mass.low) / width)
        phi[:, 0] = mass.low + width * torch.special.ndtr(probit + self.shift)
        phi[:, 1:] += self.shift
        return phi


def draw_mocks(
    model: SEDModel,
    prior: Prior,
    noise: NoiseModel,
    n: int,
    seed: int = 0,
    fault: Fault | None = None,
    first: int = 0,
) -> tuple[Photometry, np.ndarray]:
    """Draw n truths from the prior and observe them, with the `sigma` and `prior_shift` of a fault.

    Galaxies are numbered from the first. Returns the photometry, with the uncertainties that the
    posterior is told, and the true reported parameters (n, 12).
    """
    fault = fault or Fault()
    source: Prior = prior
    if fault.prior_shift:
        source = _ShiftedPrior(prior.name, prior.powers, fault.prior_shift)
    made, theta = mock_photometry(model, source, noise, n, seed)
    told, ids = fault.sigma * made.sigma, [f"mock-{first + i}" for i in range(n)]
    return Photometry(made.flux, told, made.redshift, made.bands, ids=ids, on_bad="flag"), theta


class Origin(NamedTuple):
    """Where narrowed draws, and the truth, were before: the density there is the narrowed one's."""

    samples: np.ndarray  # (N, D, 12), the draws, in reported parameters
    truth: np.ndarray  # (N, 11), what becomes the truth, in free coordinates; masses may be beyond


def narrow_result(
    result: PosteriorResult, prior: Prior, factor: float, truth: np.ndarray
) -> tuple[PosteriorResult, Origin]:
    """Pull the draws of N galaxies towards their medians in the free coordinates.

    True parameters have the shape (N, 12). Where everything was before is returned with the result.
    """
    good = result.usable
    phi = prior.to_free(result.samples[good])
    middle = weighted_quantile(phi, result.weights[good], 0.5)
    samples = result.samples.copy()
    moved = middle[:, None] + factor * (phi - middle[:, None])
    moved[..., 0] = np.clip(moved[..., 0], PARAMETERS[0].low, PARAMETERS[0].high)
    samples[good] = prior.from_free(moved)
    before = np.full((len(result), phi.shape[-1]), np.nan)
    before[good] = middle + (prior.to_free(truth[good]) - middle) / factor
    return replace(result, samples=samples), Origin(result.samples, before)
