"""Figures as files, which appear complete or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._files import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["save_figure"]


def save_figure(figure: Figure, path: Path, **settings: Any) -> None:
    """Write a figure in the format of its name's ending; `settings` are those of `savefig`."""
    if path.suffix == ".pdf":  # a date in the file would make every run another file
        settings["metadata"] = {"CreationDate": None}
    with replacing(path) as partial:
        figure.savefig(partial, **settings)
