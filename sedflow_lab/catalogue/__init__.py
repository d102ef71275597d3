"""Whole catalogues of galaxies."""

from __future__ import annotations

from .atlas import infer_catalogue
from .opened import Catalogue, open_catalogue

__all__ = ["Catalogue", "infer_catalogue", "open_catalogue"]
