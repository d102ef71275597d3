"""Galaxies as linked planes and lists show them: columns of numbers, ids, badges, problems."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...errors import InputError

__all__ = ["Listed", "cells_of", "short_label"]


@dataclass(frozen=True, eq=False)
class Listed:
    """What is known of N galaxies.

    Attributes
    ----------
    columns : mapping of str to ndarray, shape (N,)
        What there is to be plotted; NaN where it is not known.
    ids, badges, problems : ndarray of str, shape (N,)
        A badge is ``""`` where there is none yet.
    """

    columns: Mapping[str, np.ndarray]
    ids: np.ndarray
    badges: np.ndarray
    problems: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)

    def label(self, name: str) -> str:
        """Label of an axis, with its unit."""
        return name

    def values(self, name: str) -> np.ndarray:
        """A column (N,) by name; InputError if there is none."""
        if name not in self.columns:
            raise InputError(f"There is no column {name!r}: choose of {', '.join(self.columns)}.")
        return self.columns[name]

    def sorted(self, rows: np.ndarray, name: str, descending: bool = False) -> np.ndarray:
        """Rows in the order of a column, or of ``id`` or ``badge``; unknown values come last."""
        words = {"id": self.ids, "badge": self.badges}
        values = words[name][rows] if name in words else self.columns[name][rows]
        ranks = np.unique(values, return_inverse=True)[1]
        unknown = np.zeros(len(rows), bool) if name in words else np.isnan(values)
        return rows[np.lexsort((-ranks if descending else ranks, unknown))]

    @property
    def counts(self) -> dict[str, int]:
        """Galaxies by badge, most first."""
        words, counts = np.unique(self.badges, return_counts=True)
        return {str(words[k]): int(counts[k]) for k in np.argsort(-counts, kind="stable")}


def short_label(found: Listed, name: str) -> str:
    """Label of an axis without its unit."""
    return found.label(name).partition(" [")[0]


def cells_of(found: Listed, rows: np.ndarray, names: list[str]) -> dict[str, Any]:
    """Cells of some rows of a list, by column; ``row`` says which they are."""
    words = {"id": found.ids, "badge": found.badges, "problem": found.problems}
    data: dict[str, Any] = {"row": rows}
    for name in names:
        data[name] = words[name][rows].tolist() if name in words else found.columns[name][rows]
    return data
