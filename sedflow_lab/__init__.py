"""sedflow_lab: a laboratory for amortized SED modelling of galaxies.

Everything public is reachable from here, and loads what it needs when first touched: importing
the package costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._lazy import lazy
from ._version import __version__

if TYPE_CHECKING:
    from .anpe import (
        AmortizedPosterior,
        example_galaxies,
        fetch_network,
        load_posterior,
        networks,
    )
    from .catalogue import infer_catalogue, open_catalogue
    from .diagnostics.runs import run_calibration
    from .errors import InputError
    from .exact import LogPosterior, Outliers, best_fit
    from .observations import Photometry, read_nsa, read_photometry, showcase
    from .parameters import NAMES, PARAMETERS, get_prior
    from .posterior import PosteriorResult
    from .samplers import run_abc, run_mcmc, run_nested
    from .sps import SEDModel, get_bands
    from .units import magnitude

__getattr__, __all__ = lazy(__name__, __file__)
__all__ += ["__version__"]


def __dir__() -> list[str]:
    return sorted(__all__)
