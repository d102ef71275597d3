"""Independent witnesses: emcee, run until it has converged, and nested sampling."""

from __future__ import annotations

from .mcmc import run_mcmc
from .nested import run_nested

__all__ = ["run_mcmc", "run_nested"]
