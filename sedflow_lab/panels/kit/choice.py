"""Which posterior and which galaxy: loading them, and going through the list."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import traitlets

from ...anpe import AmortizedPosterior, load_posterior
from ...anpe.examples import Examples, find_examples
from ...errors import InputError
from ...exact import Outliers
from ...observations import Photometry
from ...posterior.result import PosteriorResult
from ...posterior.reweight import implied_prior, values_of
from ...quantities import QUANTITIES
from ...sps import BandSet, SEDModel
from ...sps.rest_frame import at_rest
from .state import State

__all__ = [
    "DEFAULT_BUNDLE",
    "DEFAULT_QUANTITIES",
    "ERROR_FLOOR",
    "Drawn",
    "GalaxyChoice",
    "Outcome",
    "Source",
    "describe",
    "main_bands",
    "open_posterior",
]

DEFAULT_BUNDLE = "nsa-ugriz"
"""The shipped posterior that panels use."""

DEFAULT_QUANTITIES = ("log_mstar", "log_ssfr_1gyr", "age_mw", "log_z_mw", "tau_ism")
"""What corner plots show at first."""

ERROR_FLOOR = 0.05
"""Fraction of the flux that panels offer to add to the uncertainties."""

_PRIOR_DRAWS = 20_000
_REDSHIFT_STEP = 0.005  # in which the universe ages by 0.07 Gyr

Source = AmortizedPosterior | str | Path | None
"""A posterior, a shipped bundle by name, or a folder; None is `DEFAULT_BUNDLE`."""


class Drawn(NamedTuple):
    """What a corner plot shows of a posterior."""

    values: Mapping[str, np.ndarray]  # draws (D,) of quantities
    weights: np.ndarray  # (D,)
    ess: float  # effective draws
    method: str

    @classmethod
    def of(cls, values: Mapping[str, np.ndarray], result: PosteriorResult) -> Drawn:
        """Draws of the result of one galaxy."""
        return cls(values, result.weights[0], float(result.ess[0]), result.method)


@dataclass(frozen=True, eq=False)
class Outcome:
    """A finished inference of one galaxy, ready to be drawn."""

    photometry: Photometry  # with the bands that were used
    result: PosteriorResult
    values: Mapping[str, np.ndarray]  # parameters and derived quantities of the draws, each (D,)
    seconds: float  # of the wall clock, that it took
    model: SEDModel

    @cached_property
    def at_rest(self) -> Mapping[str, np.ndarray]:
        """Quantities of the draws in the model's bands at rest, each (D,)."""
        return at_rest(self.model)(self.result.samples[0], self.result.draw_redshift[0])

    @property
    def drawn(self) -> Drawn:
        """For the corner plot."""
        return Drawn.of(self.values, self.result)


def open_posterior(posterior: Source) -> AmortizedPosterior:
    """Load a posterior, unless it is one."""
    if isinstance(posterior, AmortizedPosterior):
        return posterior
    return load_posterior(DEFAULT_BUNDLE if posterior is None else posterior)


class GalaxyChoice(State):
    """A posterior, galaxies to infer with it, and the one that is chosen.

    Parameters
    ----------
    posterior : AmortizedPosterior, str or Path, optional
        A posterior, a shipped bundle by name, or a folder; default `DEFAULT_BUNDLE`.
    photometry : Photometry, optional
        The galaxies to choose from; default `sedflow_lab.example_galaxies` of the posterior.
    **choice
        First values of traits.

    Attributes
    ----------
    examples : Examples or None
        The galaxies and what is known of them, if none were given.
    """

    index = traitlets.Int(0)  # row of the chosen galaxy
    error_floor = traitlets.Bool(False)  # add `ERROR_FLOOR` of the flux, in quadrature
    outliers = traitlets.Bool(False)  # each band may be bad, in all but the network's own draws

    def __init__(
        self, posterior: Source = None, photometry: Photometry | None = None, **choice: Any
    ) -> None:
        self.posterior = open_posterior(posterior)
        _ = self.posterior.model  # is built when first touched: not on the first galaxy's time
        self._priors: dict[float, Mapping[str, np.ndarray]] = {}
        self.examples: Examples | None = None
        if photometry is None:
            self.examples = find_examples(self.posterior)
            photometry = self.examples.photometry
        self.galaxies: Photometry = photometry
        if not len(self.galaxies):
            raise InputError("There is no galaxy to choose from: give photometry of one or more.")
        super().__init__(**choice)

    @traitlets.validate("index")
    def _check_index(self, proposal: traitlets.Bunch) -> int:
        if not 0 <= proposal.value < len(self.galaxies):
            raise traitlets.TraitError(
                f"There is no galaxy {proposal.value}: choose 0 to {len(self.galaxies) - 1}."
            )
        return int(proposal.value)

    @property
    def simulated(self) -> bool:
        """Whether the galaxies are simulated, for want of real ones."""
        return self.examples is not None and self.examples.truth is not None

    @property
    def galaxy(self) -> Photometry:
        """The chosen galaxy, with the error floor if there is one."""
        one = self.galaxies[self.index]
        return one.with_error_floor(ERROR_FLOOR) if self.error_floor else one

    @property
    def allowed(self) -> Outliers | None:
        """Bad bands in the likelihood, if there may be any."""
        return Outliers() if self.outliers else None

    def implied_prior(self, redshift: float) -> Mapping[str, np.ndarray]:
        """Draws (M,) of every quantity from the prior, near a redshift."""
        at = (np.floor(redshift / _REDSHIFT_STEP) + 0.5) * _REDSHIFT_STEP
        if at not in self._priors:
            model, prior = self.posterior.model, self.posterior.prior
            at_most = min(at, model.redshift_max)
            drawn = implied_prior(model, at_most, list(QUANTITIES), prior, _PRIOR_DRAWS)
            self._priors[at] = dict(zip(QUANTITIES, drawn.T, strict=True))
        return self._priors[at]

    def step(self, by: int) -> None:
        """Choose another galaxy so many rows on; the list is a ring."""
        self.index = (self.index + by) % len(self.galaxies)

    def _run(
        self,
        photometry: Photometry,
        draws: int,
        method: str,
        stop: threading.Event | None = None,
        seed: int = 0,
    ) -> Outcome:
        """Infer one galaxy."""
        started = time.perf_counter()
        allowed = None if method == "fast" else self.allowed
        result = self.posterior.infer(photometry, draws, method, seed, outliers=allowed, stop=stop)
        return self._outcome(photometry, result, time.perf_counter() - started)

    def _outcome(self, photometry: Photometry, result: PosteriorResult, seconds: float) -> Outcome:
        draws, model = result.samples[0], self.posterior.model
        found = values_of(tuple(QUANTITIES), draws, result.draw_redshift[0], model)
        values = dict(zip(QUANTITIES, found.T, strict=True))
        return Outcome(photometry, result, values, seconds, model)


def describe(galaxy: Photometry) -> str:
    """One line for the list of galaxies: id, redshift, magnitude and colour."""
    labels, magnitudes = galaxy.bands.labels, galaxy.magnitude[0]
    uncertain = f" ± {galaxy.redshift_sigma[0]:.2g}" if galaxy.redshift_sigma[0] else ""
    parts = [str(galaxy.ids[0]), f"z {galaxy.redshift[0]:.4f}{uncertain}"]
    blue, main = main_bands(galaxy.bands)
    if np.isfinite(magnitudes[main]):
        parts.append(f"{labels[main]} {magnitudes[main]:.2f}")
    if blue != main and np.isfinite(magnitudes[[blue, main]]).all():
        color = magnitudes[blue] - magnitudes[main]
        parts.append(f"{labels[blue]}−{labels[main]} {color:.2f}")
    return "  ·  ".join(parts)


def main_bands(bands: BandSet) -> tuple[int, int]:
    """The two bands, by number, whose colour and magnitude tell galaxies apart at first sight.

    They are g and r, or else the middle one and the one before it.
    """
    labels = bands.labels
    if {"g", "r"} <= set(labels):
        return labels.index("g"), labels.index("r")
    middle = len(labels) // 2
    return max(middle - 1, 0), middle
