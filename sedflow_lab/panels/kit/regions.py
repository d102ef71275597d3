"""Which galaxies lie in a region of a plane, and which is nearest to a place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

__all__ = ["nearest_row", "rows_inside"]


def rows_inside(region: Mapping[str, Any], x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Rows, increasing, of the points (N,) inside a rectangle or polygon.

    Parameters
    ----------
    region : mapping
        As Bokeh's tools tell it: ``type`` is ``"rect"``, with ``x0``, ``x1``, ``y0`` and ``y1``,
        or ``"poly"``, with the corners ``x`` and ``y``; anything else has nothing inside.
    x, y : ndarray, shape (N,)
        NaN is inside of nothing.
    """
    if region["type"] == "rect":
        sides = [(region["x0"], region["x1"]), (region["y0"], region["y1"])]
    elif region["type"] == "poly" and len(region["x"]) > 2:
        sides = [(min(region[k]), max(region[k])) for k in ("x", "y")]
    else:
        return np.array([], dtype=int)
    inside = np.ones(len(x), dtype=bool)
    for values, ends in zip((x, y), sides, strict=True):
        inside &= (values >= min(ends)) & (values <= max(ends))
    rows = np.flatnonzero(inside)
    if region["type"] == "poly":
        corners = np.column_stack([region["x"], region["y"]]).astype(float)
        rows = rows[_in_polygon(corners, x[rows], y[rows])]
    return rows


def _in_polygon(corners: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Whether points (N,) lie in a polygon (K, 2): a ray from there crosses it oddly often.

    Each side is held only against the points beside it, of which there are few.
    """
    inside, order = np.zeros(len(x), dtype=bool), np.argsort(y)
    heights = y[order]
    for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        if y0 != y1:
            beside = order[slice(*np.searchsorted(heights, sorted((y0, y1))))]
            inside[beside] ^= x[beside] < x0 + (y[beside] - y0) * (x1 - x0) / (y1 - y0)
    return inside


def nearest_row(
    x: np.ndarray, y: np.ndarray, place: tuple[float, float], span: tuple[float, float]
) -> int | None:
    """Row of the point (N,) nearest to a place, on axes that span so much.

    None if it is farther than a twentieth of them, for then nobody meant it.
    """
    distance = np.hypot((x - place[0]) / span[0], (y - place[1]) / span[1])
    if not np.isfinite(distance).any():
        return None
    row = int(np.nanargmin(distance))
    return row if distance[row] < 0.05 else None
