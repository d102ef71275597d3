"""The calibration card of a trained posterior: what it was made of, and how good it was found."""

from __future__ import annotations

from .make import CardSettings, make_card
from .page import write_page

__all__ = ["CardSettings", "make_card", "write_page"]
