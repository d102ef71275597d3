"""What was measured: photometry, the tables it is read from, its noise, and the NSA."""

from __future__ import annotations

from .files import read_photometry
from .noise import NoiseModel, fit_noise, load_noise
from .nsa import read_nsa, showcase
from .photometry import Photometry

__all__ = [
    "NoiseModel",
    "Photometry",
    "fit_noise",
    "load_noise",
    "read_nsa",
    "read_photometry",
    "showcase",
]
