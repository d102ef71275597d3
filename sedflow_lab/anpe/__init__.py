"""Amortized neural posterior estimation: the flow, its training, and the posterior it gives."""

from __future__ import annotations

from .amortized import AmortizedPosterior, load_posterior
from .bundle import Bundle, load_bundle
from .examples import example_galaxies
from .flow import FlowConfig, PosteriorFlow
from .presets import PRESETS, TrainingConfig
from .shelf import fetch_network, networks
from .training import TrainingRecord, train

__all__ = [
    "PRESETS",
    "AmortizedPosterior",
    "Bundle",
    "FlowConfig",
    "PosteriorFlow",
    "TrainingConfig",
    "TrainingRecord",
    "example_galaxies",
    "fetch_network",
    "load_bundle",
    "load_posterior",
    "networks",
    "train",
]
