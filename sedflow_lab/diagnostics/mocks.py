"""Simulated galaxies to calibrate with, and ways to make a calibration fail on purpose."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

import numpy as np
import torch

from ..anpe.simulate import draw_simulations
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
    generator: torch.Generator,
    fault: Fault | None = None,
    first: int = 0,
) -> tuple[Photometry, np.ndarray]:
    """Draw truths from the prior and observe them.

    Parameters
    ----------
    model : SEDModel
    prior : Prior
    noise : NoiseModel
    n : int
    generator : torch.Generator
    fault : Fault, optional
        `sigma` and `prior_shift` are used.
    first : int
        Number of the first galaxy, for its id.

    Returns
    -------
    photometry : Photometry
        With the uncertainties that the posterior is told.
    theta : ndarray, shape (n, 12)
        True reported parameters.
    """
    fault = fault or Fault()
    source: Prior = prior
    if fault.prior_shift:
        source = _ShiftedPrior(prior.name, prior.powers, fault.prior_shift)
    phi, redshift, flux = draw_simulations(model, source, n, generator)
    observed, sigma = noise.observe(flux, generator)
    photometry = Photometry(
        observed.double().numpy(),
        fault.sigma * sigma.double().numpy(),
        redshift.double().numpy(),
        bands=model.bands,
        ids=[f"mock-{first + i}" for i in range(n)],
        on_bad="flag",
    )
    return photometry, prior.from_free(phi.double().numpy())


@dataclass(frozen=True)
class Origin:
    """Where narrowed draws, and the truth, were before: the density there is the narrowed one's.

    Attributes
    ----------
    samples : ndarray, shape (N, D, 12)
        The draws, in reported parameters.
    truth : ndarray, shape (N, 11)
        What the narrowing takes to the truth, in free coordinates; masses may be beyond the
        prior.
    """

    samples: np.ndarray
    truth: np.ndarray

    def part(self, rows: np.ndarray) -> Origin:
        """Some of the galaxies."""
        return Origin(self.samples[rows], self.truth[rows])


def narrow_result(
    result: PosteriorResult, prior: Prior, factor: float, truth: np.ndarray
) -> tuple[PosteriorResult, Origin]:
    """Pull the draws towards their medians in the free coordinates.

    Parameters
    ----------
    result : PosteriorResult
        N galaxies.
    prior : Prior
    factor : float
    truth : ndarray, shape (N, 12)

    Returns
    -------
    result : PosteriorResult
    origin : Origin
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
