"""What pages are made of: tables in Markdown, and figures as files."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._files import write_bytes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["markdown_table", "save_figure"]


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Table whose columns line up in a terminal too: the first to the left, others to the right."""
    lines = [head, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]

    def line(cells: Sequence[str]) -> str:
        pairs = list(zip(cells, widths, strict=True))
        padded = [pairs[0][0].ljust(widths[0]), *(cell.rjust(width) for cell, width in pairs[1:])]
        return f"| {' | '.join(padded)} |"

    rule = ["-" * (widths[0] + 2), *("-" * (width + 1) + ":" for width in widths[1:])]
    return "\n".join([line(head), f"|{'|'.join(rule)}|", *map(line, lines[1:])])


def save_figure(figure: Figure, path: Path, **settings: Any) -> None:
    """Write a figure in the format of its name's ending; `settings` are those of `savefig`."""
    if path.suffix == ".pdf":  # a date in the file would make every run another file
        settings["metadata"] = {"CreationDate": None}
    image = io.BytesIO()
    figure.savefig(image, format=path.suffix[1:], **settings)
    write_bytes(path, image.getbuffer())
