"""Stellar population synthesis: from parameters and redshift to spectra and photometry."""

from __future__ import annotations

from .bands import BandSet, get_bands
from .model import SEDModel
from .ssp import SSPGrid, load_ssp_grid

__all__ = ["BandSet", "SEDModel", "SSPGrid", "get_bands", "load_ssp_grid"]
