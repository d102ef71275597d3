"""Figures as files, which appear complete or not at all."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._files import write_bytes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["save_figure"]


def save_figure(figure: Figure, path: Path, **settings: Any) -> None:
    """Write a figure in the format of its name's ending; `settings` are those of `savefig`."""
    if path.suffix == ".pdf":  # a date in the file would make every run another file
        settings["metadata"] = {"CreationDate": None}
    image = io.BytesIO()
    figure.savefig(image, format=path.suffix[1:], **settings)
    write_bytes(path, image.getbuffer())
