"""Surveys as a network needs to know them: bands, depths, calibration, and how far they are used.

Depths are 5σ, as the surveys give them: for point sources, and in the Legacy Surveys for a small
exponential galaxy. Larger galaxies are harder to measure, and fields differ. Noise models of them
(`noise_of`) therefore scatter, and a posterior depends on the uncertainties that a galaxy comes
with, not on these.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..errors import InputError
from ..sps.bands import BAND_SETS
from .noise import NoiseModel

__all__ = ["SURVEYS", "Survey", "get_survey", "noise_of"]


@dataclass(frozen=True)
class Survey:
    """A survey.

    Attributes
    ----------
    bands : str
        Name of its band set.
    depth : tuple of float
        5σ depth [AB mag] of each band.
    floor : float
        Calibration error [mag], below which no band is taken to be known.
    redshift_max : float
        Highest redshift at which the shipped stellar populations reach under all its bands, or
        less.
    source : str
        Where the depths are from.
    """

    bands: str
    depth: tuple[float, ...]
    floor: float
    redshift_max: float
    source: str


SURVEYS: Mapping[str, Survey] = {
    "legacy-grz": Survey(
        "decam-grz",
        (24.0, 23.4, 22.5),
        0.02,
        0.6,
        "DESI Legacy Imaging Surveys, goals: Dey et al. 2019, AJ 157, 168",
    ),
    "panstarrs-grizy": Survey(
        "panstarrs-grizy",
        (23.3, 23.2, 23.1, 22.3, 21.4),
        0.02,
        0.7,
        "Pan-STARRS1 3pi stacks: Chambers et al. 2016, arXiv:1612.05560",
    ),
    "lsst-ugrizy": Survey(
        "lsst-ugrizy",
        (26.1, 27.4, 27.5, 26.8, 26.1, 24.9),
        0.01,
        0.4,
        "Rubin's LSST after ten years: Ivezic et al. 2019, ApJ 873, 111",
    ),
}
"""Surveys by name; the Atlas has a noise model that was fitted to it (`load_noise`)."""


def get_survey(name: str) -> Survey:
    """A survey by its name; InputError if there is none of this name."""
    if name not in SURVEYS:
        raise InputError(f"There is no survey {name!r}: choose one of {', '.join(SURVEYS)}.")
    return SURVEYS[name]


def noise_of(survey: Survey) -> NoiseModel:
    """The noise model of a survey, from its depths."""
    return NoiseModel.from_depths(BAND_SETS[survey.bands], list(survey.depth), survey.floor)
