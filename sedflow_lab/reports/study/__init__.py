"""A study of many galaxies: the network's posteriors held against emcee's."""

from .galaxies import Sample, simulations, spread_showcase
from .run import open_store, run_chains, run_network
from .store import NETWORK, SAMPLES, Store

__all__ = [
    "NETWORK",
    "SAMPLES",
    "Sample",
    "Store",
    "open_store",
    "run_chains",
    "run_network",
    "simulations",
    "spread_showcase",
]
