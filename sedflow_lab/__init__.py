"""sedflow_lab: a laboratory for amortized SED modelling of galaxies.

Everything public is reachable from here, and loads what it needs when first touched: importing
the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

__all__ = [
    "NAMES",
    "PARAMETERS",
    "AmortizedPosterior",
    "InputError",
    "LogPosterior",
    "Photometry",
    "PosteriorResult",
    "SEDModel",
    "__version__",
    "best_fit",
    "get_bands",
    "get_prior",
    "load_posterior",
    "read_nsa",
    "read_photometry",
    "run_calibration",
    "run_mcmc",
    "showcase",
]

_HOME = {
    "NAMES": ".parameters",
    "PARAMETERS": ".parameters",
    "AmortizedPosterior": ".anpe",
    "InputError": ".errors",
    "LogPosterior": ".exact",
    "Photometry": ".photometry",
    "PosteriorResult": ".posterior",
    "SEDModel": ".sps",
    "best_fit": ".bestfit",
    "get_bands": ".sps",
    "get_prior": ".parameters",
    "load_posterior": ".anpe",
    "read_nsa": ".nsa",
    "read_photometry": ".photometry",
    "run_calibration": ".diagnostics.runs",
    "run_mcmc": ".mcmc",
    "showcase": ".nsa",
}

if TYPE_CHECKING:
    from .anpe import AmortizedPosterior, load_posterior
    from .bestfit import best_fit
    from .diagnostics.runs import run_calibration
    from .errors import InputError
    from .exact import LogPosterior
    from .mcmc import run_mcmc
    from .nsa import read_nsa, showcase
    from .parameters import NAMES, PARAMETERS, get_prior
    from .photometry import Photometry, read_photometry
    from .posterior import PosteriorResult
    from .sps import SEDModel, get_bands


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
