"""sedflow_lab: a laboratory for amortized SED modelling of galaxies.

Everything public is reachable from here, and loads what it needs when first touched: importing
the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ._version import __version__

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
    "magnitude",
    "read_nsa",
    "read_photometry",
    "run_calibration",
    "run_mcmc",
    "run_nested",
    "showcase",
]

_HOME = {
    "NAMES": ".parameters",
    "PARAMETERS": ".parameters",
    "AmortizedPosterior": ".anpe",
    "InputError": ".errors",
    "LogPosterior": ".exact",
    "Photometry": ".observations",
    "PosteriorResult": ".posterior",
    "SEDModel": ".sps",
    "best_fit": ".exact",
    "get_bands": ".sps",
    "get_prior": ".parameters",
    "load_posterior": ".anpe",
    "magnitude": ".units",
    "read_nsa": ".observations",
    "read_photometry": ".observations",
    "run_calibration": ".diagnostics.runs",
    "run_mcmc": ".samplers",
    "run_nested": ".samplers",
    "showcase": ".observations",
}

if TYPE_CHECKING:
    from .anpe import AmortizedPosterior, load_posterior
    from .diagnostics.runs import run_calibration
    from .errors import InputError
    from .exact import LogPosterior, best_fit
    from .observations import Photometry, read_nsa, read_photometry, showcase
    from .parameters import NAMES, PARAMETERS, get_prior
    from .posterior import PosteriorResult
    from .samplers import run_mcmc, run_nested
    from .sps import SEDModel, get_bands
    from .units import magnitude


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
