"""Results of a catalogue as the panel needs them, from a table, a file, or a store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Table

from ..._files import expanded
from ...catalogue import Catalogue, open_catalogue
from ...errors import InputError
from ...observations.files import as_table, read_table
from ...posterior.result import PosteriorResult
from ...quantities import QUANTITIES, get_quantity
from ...sps import SEDModel
from ...units import numbers
from ..kit.listed import Listed
from ..kit.summary import LEVELS, summary_of

__all__ = ["WIDTH", "Results", "axis_text", "description", "made_by", "opened"]

WIDTH = "_width"
"""What is put behind the name of a quantity for half the width of its 68 % interval."""

_WORDS = ("id", "badge", "problem")
_OTHERS = {
    "redshift": ("Redshift", "redshift"),
    "ess": ("Effective draws", "effective number of draws"),
    "chi2_min": ("Best χ²", "χ² of the best draw"),
}


@dataclass(frozen=True, eq=False)
class Results(Listed):
    """What is known of the posteriors of N galaxies.

    Attributes
    ----------
    columns : mapping of str to ndarray, shape (N,)
        Medians of quantities, half widths of their 68 % intervals (`WIDTH`), and what else there
        is to be plotted; NaN where there is no posterior.
    ids, badges, problems : ndarray of str, shape (N,)
    meta : dict
        How they were made, as far as is known: ``method``, ``draws``, ``seed``.
    store : Catalogue, optional
        The store that they are from.
    """

    meta: Mapping[str, Any] = field(default_factory=dict)
    store: Catalogue | None = None

    def label(self, name: str) -> str:
        """Label of an axis, with its unit."""
        return axis_text(name)

    @classmethod
    def of(cls, source: Any, model: SEDModel | None = None) -> Results:
        """Take a table that the command ``infer`` wrote, a store, the path of either, or a result.

        Of a result derived quantities are known if its model is given.

        Raises
        ------
        InputError
            If it is not a table of posteriors.
        """
        source = opened(source)
        if isinstance(source, Catalogue):
            names = [name + end for name in source.quantities for end in LEVELS]
            return cls._of_table(source.table(*_WORDS, *_OTHERS, *names), source)
        if isinstance(source, PosteriorResult):
            source = summary_of(source, model)
        return cls._of_table(as_table(source), None)

    @classmethod
    def _of_table(cls, table: Table, store: Catalogue | None) -> Results:
        columns: dict[str, np.ndarray] = {}
        for name in (*filter(_is_quantity, table.colnames), *_OTHERS):
            if name not in table.colnames:
                continue
            columns[name] = numbers(table[name], f"column {name!r}")
            ends = [f"{name}{end}" for end in ("_lo", "_hi")]
            if set(ends) <= set(table.colnames):
                low, high = (numbers(table[end], f"column {end!r}") for end in ends)
                columns[name + WIDTH] = 0.5 * (high - low)
        if not set(QUANTITIES) & set(columns):
            raise InputError(
                "This table has no posteriors: it lacks log_mstar and all others; give one that "
                "the command infer wrote."
            )
        ids, badges, problems = (_words(table, name) for name in _WORDS)
        if "id" not in table.colnames:
            ids = np.arange(len(table)).astype(np.str_)
        meta = {str(name).lower(): value for name, value in table.meta.items()}
        return cls(columns, ids, badges, problems, meta, store)

    def which(self, row: int) -> str | int:
        """How the store calls the galaxy of a row: by its id, unless several have that."""
        name = str(self.ids[row])
        return name if (self.ids == name).sum() == 1 else int(row)


def opened(source: Any) -> Any:
    """What a path leads to, a store or a table; what is no path stays as it is."""
    if not isinstance(source, str | Path):
        return source
    is_store = expanded(source).suffix == ".zarr"
    return open_catalogue(source) if is_store else read_table(source)


def made_by(source: Any) -> str:
    """Name of the network that made results, or a store; ``""`` if they do not say."""
    known = source.meta if isinstance(source, Table) else getattr(source, "provenance", {})
    said = {str(name).lower(): value for name, value in known.items()}
    return str(said.get("posterior") or said.get("bundle") or "")


def axis_text(name: str) -> str:
    """Label of an axis, with its unit."""
    if name in _OTHERS:
        return _OTHERS[name][0]
    quantity = get_quantity(name.removesuffix(WIDTH))
    if not name.endswith(WIDTH):
        return quantity.axis_text
    unit = "dex" if quantity.text.startswith("log") else quantity.text_unit
    return f"± {quantity.text}" + (f" [{unit}]" if unit else "")


def description(name: str) -> str:
    """What is on an axis, in words."""
    if name in _OTHERS:
        return _OTHERS[name][1]
    words = get_quantity(name.removesuffix(WIDTH)).description
    return f"half the width of the 68 % interval of: {words}" if name.endswith(WIDTH) else words


def _is_quantity(name: str) -> bool:
    """Whether a column is the median of a quantity."""
    try:
        get_quantity(name)
    except InputError:
        return False
    return not name.endswith(("_lo", "_hi"))


def _words(table: Table, name: str) -> np.ndarray:
    """A column of text; empty where there is none."""
    if name not in table.colnames:
        return np.full(len(table), "", dtype=np.str_)
    column = np.ma.filled(np.ma.asarray(table[name]), "" if table[name].dtype.kind in "SU" else 0)
    return np.char.strip(column.astype(np.str_))
