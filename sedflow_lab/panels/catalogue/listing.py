"""The list of galaxies: its columns and their cells."""

from __future__ import annotations

from typing import Any

import numpy as np
from bokeh.models import NumberFormatter, TableColumn

from .results import Results, axis_text

__all__ = ["columns_of", "rows_of"]


def columns_of(found: Results, planes: tuple[tuple[str, str], ...]) -> list[TableColumn]:
    """Columns of the list: who it is, and what the planes show."""
    shown = dict.fromkeys(name for plane in planes for name in plane)
    number = NumberFormatter(format="0.00", nan_format="–", text_align="right")
    close = NumberFormatter(format="0.0000", nan_format="–", text_align="right")
    made = [
        TableColumn(field="id", title="Galaxy", width=80),
        TableColumn(field="badge", title="Badge", width=90),
    ]
    for name in shown:
        title, formatter = axis_text(name), close if name == "redshift" else number
        width = max(56, 18 + 6 * len(title))
        made.append(TableColumn(field=name, title=title, width=width, formatter=formatter))
    if (found.problems != "").any():
        made.append(TableColumn(field="problem", title="Problem", width=600))
    return made


def rows_of(found: Results, rows: np.ndarray, shown: list[TableColumn]) -> dict[str, Any]:
    """Cells of some rows, by column; ``row`` says which they are."""
    words = {"id": found.ids, "badge": found.badges, "problem": found.problems}
    data: dict[str, Any] = {"row": rows}
    for one in shown:
        if one.field in words:
            data[one.field] = words[one.field][rows].tolist()
        else:
            data[one.field] = found.columns[one.field][rows]
    return data
