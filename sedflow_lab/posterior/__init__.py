"""The one result type of every inference method, and its files."""

from __future__ import annotations

from .result import PosteriorResult

__all__ = ["PosteriorResult"]
