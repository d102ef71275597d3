"""What linked planes share, without widgets: their axes, what is chosen, and the one tapped."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import traitlets

from .choice import GalaxyChoice
from .listed import Listed
from .regions import nearest_row, rows_inside

__all__ = ["LinkedState"]


class LinkedState(GalaxyChoice):
    """Galaxies in linked planes: what is chosen in one is chosen in all.

    Parameters
    ----------
    posterior, photometry, **choice
        As of `GalaxyChoice`.
    """

    results = traitlets.Instance(Listed, allow_none=True)  # what the planes show
    planes: traitlets.Tuple = traitlets.Tuple()  # names of their columns, horizontal and vertical
    chosen = traitlets.Instance(np.ndarray, args=((0,), int))  # rows of results, increasing
    tapped = traitlets.Int(None, allow_none=True)  # row of one galaxy

    def choose_axes(self, plane: int, x: str, y: str) -> None:
        """Let a plane, by its number, show other quantities."""
        planes = list(self.planes)
        planes[plane] = (x, y)
        self.planes = tuple(planes)

    def points(self, plane: int) -> tuple[np.ndarray, np.ndarray]:
        """What a plane shows, horizontally (N,) and vertically (N,)."""
        if self.results is None:
            return np.array([]), np.array([])
        x, y = (self.results.columns[name] for name in self.planes[plane])
        return x, y

    def select(self, plane: int, region: Mapping[str, Any]) -> None:
        """Choose the galaxies in a region of a plane (see `rows_inside`)."""
        self.chosen = rows_inside(region, *self.points(plane))

    def select_badge(self, word: str) -> None:
        """Choose the galaxies that have a badge."""
        if self.results is not None:
            self.chosen = np.flatnonzero(self.results.badges == word)

    def clear(self) -> None:
        """Choose nothing."""
        self.chosen, self.tapped = np.zeros(0, int), None

    def tap(self, plane: int, place: tuple[float, float], span: tuple[float, float]) -> None:
        """Open the galaxy nearest to a place in a plane, whose axes span so much."""
        row = nearest_row(*self.points(plane), place, span)
        if row is not None:
            self.tapped = row
