"""Witnesses that know no network: emcee, nested sampling, and for lessons ABC and grids."""

from __future__ import annotations

from .abc import run_abc
from .mcmc import run_mcmc
from .nested import run_nested

__all__ = ["run_abc", "run_mcmc", "run_nested"]
