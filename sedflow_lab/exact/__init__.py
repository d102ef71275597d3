"""The exact posterior: its density, best fits, and draws by sequential Monte Carlo."""

from __future__ import annotations

from .bestfit import BestFit, best_fit
from .likelihood import LogPosterior
from .outliers import Outliers

__all__ = ["BestFit", "LogPosterior", "Outliers", "best_fit"]
