"""The exact posterior: its density, best fits, and draws by sequential Monte Carlo."""

from __future__ import annotations

from .bestfit import BestFit, best_fit
from .likelihood import LogPosterior

__all__ = ["BestFit", "LogPosterior", "best_fit"]
