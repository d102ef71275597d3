"""Simulated galaxies to calibrate with, and ways to make a calibration fail on purpose."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from itertools import chain
from typing import NamedTuple, cast

import numpy as np
import torch

from ..anpe.simulate import REDSHIFT_MIN, mock_photometry
from ..errors import InputError
from ..observations.noise import NoiseModel
from ..observations.photometry import Photometry
from ..parameters import FREE_NAMES, NAMES, PARAMETERS, Prior
from ..posterior.result import PosteriorResult
from ..posterior.weighting import weighted_quantile
from ..quantities import QUANTITIES
from ..sps import SEDModel
from ..sps.bands import BAND_SETS, get_bands

__all__ = ["ANOTHER", "YOUNG", "Fault", "Origin", "draw_mocks", "narrow_result"]

YOUNG = 0.3
"""Age [Gyr] of bursts that are called young: 2 % of the prior are younger."""

ANOTHER = "another"
"""For the name of a filter: one that is called as a band is, and belongs to another survey."""

_FIRST_TRIED = "decam2014-g"
_MOST_REDSHIFT = 0.05
_WILD = 10.0  # times as large is the noise of a wild measurement
_BURST, _FARTHEST = FREE_NAMES.index("tburst"), 7.0  # in standard deviations
_DEPTHS = [NAMES.index("tau_bc"), NAMES.index("tau_ism")]


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
    wild : float
        Share of the measurements whose noise is ten times as large as told.
    redshift : float
        How far redshifts are told from the true ones; down where up is beyond the trained range.
    filters : str
        Filter, such as ``decam2014-g``, through which the band of the same label is observed, or
        `ANOTHER` for one of another survey.
    line : float
        Emission in the middle band that the model does not know, in units of its starlight.
    bare : float
        Share of the starlight that shines past all dust, which the model thinks covers every star.
    young : float
        Share of the truths whose bursts are younger than `YOUNG`, uniform in the log of their age.
    """

    sigma: float = 1.0
    prior_shift: float = 0.0
    narrow: float = 1.0
    wild: float = 0.0
    redshift: float = 0.0
    filters: str = ""
    line: float = 0.0
    bare: float = 0.0
    young: float = 0.0

    def __post_init__(self) -> None:
        """Check the values."""
        for name, most in (("wild", 1.0), ("bare", 1.0), ("young", 1.0), ("line", 100.0)):
            if not 0 <= (value := getattr(self, name)) <= most:
                raise InputError(f"{name} of a fault lies between 0 and {most:g}, not at {value}.")
        if not abs(self.redshift) <= _MOST_REDSHIFT:
            raise InputError(
                f"Redshifts may be off by {_MOST_REDSHIFT:g} at most, not by {self.redshift}."
            )
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
        if self.wild:
            words.append(f"{100 * self.wild:g} % of the measurements with ten times the noise told")
        if self.redshift:
            words.append(f"redshifts off by {self.redshift:+g}")
        if self.filters:
            of = "a filter of another survey" if self.filters == ANOTHER else self.filters
            words.append(f"observed through {of}")
        if self.line:
            words.append(
                f"an emission line of {self.line:g} times the starlight in the middle band"
            )
        if self.bare:
            words.append(f"{100 * self.bare:g} % of the stars not covered by dust")
        if self.young:
            words.append(f"{100 * self.young:g} % of the truths with bursts below {YOUNG:g} Gyr")
        return ", ".join(words) or "nothing is wrong on purpose"

    def to_dict(self) -> dict[str, float | str]:
        """JSON-able values."""
        return asdict(self)


@dataclass(frozen=True)
class _OtherPrior(Prior):
    """Draws from beside the prior: normal coordinates and the mass's are moved alike.

    A share of the bursts is young, beside that.
    """

    shift: float = 0.0
    young: float = 0.0

    def sample_free(self, n: int, generator: torch.Generator | None = None) -> torch.Tensor:
        phi = super().sample_free(n, generator)
        mass = PARAMETERS[0]
        width = mass.high - mass.low
        probit = torch.special.ndtri((phi[:, 0] - mass.low) / width)
        phi[:, 0] = mass.low + width * torch.special.ndtr(probit + self.shift)
        phi[:, 1:] += self.shift
        if self.young:
            burst = QUANTITIES["tburst"]
            chosen, power = torch.rand(2, n, generator=generator, dtype=torch.float64)
            age = burst.low * (YOUNG / burst.low) ** power
            probit = torch.special.ndtri((age - burst.low) / (burst.high - burst.low))
            young = chosen < self.young
            phi[young, _BURST] = probit[young].clamp_min(-_FARTHEST).to(phi)
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
    """Draw n truths from the prior and observe them, with all of a fault but its `narrow`.

    Galaxies are numbered from the first. Returns the photometry, as the posterior is told, and the
    true reported parameters (n, 12).
    """
    fault = fault or Fault()
    source: Prior = prior
    if fault.prior_shift or fault.young:
        source = _OtherPrior(prior.name, prior.powers, fault.prior_shift, fault.young)
    nature = model
    if fault.filters or fault.line or fault.bare:
        nature = cast("SEDModel", _Nature(model, fault))
    made, theta = mock_photometry(nature, source, noise, n, seed)
    flux = made.flux.copy()
    if fault.wild:
        rng = np.random.default_rng([seed, 1])
        wild = rng.random(flux.shape) < fault.wild
        flux += np.where(wild, np.sqrt(_WILD**2 - 1) * rng.normal(size=flux.shape), 0) * made.sigma
    redshift = made.redshift + fault.redshift
    beyond = (redshift > model.redshift_max) | (redshift < REDSHIFT_MIN)
    redshift = np.where(beyond, made.redshift - fault.redshift, redshift)
    ids = [f"mock-{first + i}" for i in range(n)]
    told = Photometry(flux, fault.sigma * made.sigma, redshift, model.bands, ids=ids, on_bad="flag")
    return told, theta


class _Nature:
    """Galaxies as they are where the model is wrong; a `SEDModel` to those who simulate."""

    def __init__(self, model: SEDModel, fault: Fault) -> None:
        self._fault = fault
        self._model = model
        if fault.filters == ANOTHER:
            self._model = _observed_otherwise(model)
        elif fault.filters:
            self._model = _observed_through(model, fault.filters)
        self.bands, self.redshift_max = self._model.bands, model.redshift_max

    def photometry(self, theta: torch.Tensor, redshift: torch.Tensor) -> torch.Tensor:
        """Noiseless fluxes (N, B) [nanomaggies] of tensors (N, 12), (N,)."""
        flux, fault = self._model.photometry(theta, redshift), self._fault
        if fault.bare:
            naked = theta.clone()
            naked[..., _DEPTHS] = 0.0
            flux = torch.lerp(flux, self._model.photometry(naked, redshift), fault.bare)
        middle = flux.shape[-1] // 2
        flux[..., middle] *= 1 + fault.line
        return flux


@lru_cache(maxsize=2)
def _observed_through(model: SEDModel, name: str) -> SEDModel:
    """The model with another filter in place of that of the same label."""
    (band,) = get_bands(name).bands
    if band.label not in model.bands.labels:
        raise InputError(
            f"{name} can take the place of no band: there are {', '.join(model.bands.labels)}."
        )
    return SEDModel(
        [band if b.label == band.label else b for b in model.bands.bands],
        birth_cloud_age=model.birth_cloud_age,
        ssp=model.ssp,
        redshift_max=model.redshift_max,
    )


def _observed_otherwise(model: SEDModel) -> SEDModel:
    """The model with a filter of another survey, the first that reaches as far in redshift."""
    bands = model.bands
    for name in dict.fromkeys((_FIRST_TRIED, *chain(*BAND_SETS.values()))):
        if name not in bands.names and name.rpartition("-")[2] in bands.labels:
            with suppress(InputError):
                return _observed_through(model, name)
    raise InputError(
        f"No other survey has a filter called {' or '.join(bands.labels)}: break something else."
    )


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
