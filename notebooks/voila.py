"""Notebooks as apps, without code: `make apps` serves them with Voila, which reads this file.

An app is a notebook down to its first panel and the text below that. What follows is for those who
read code, and chains and tables would keep the panel waiting.
"""

from __future__ import annotations

from typing import Any

from nbformat import NotebookNode


def down_to_the_panel(notebook: NotebookNode, resources: Any) -> tuple[NotebookNode, Any]:
    """A notebook's cells down to its first panel, and the text below."""
    codes = [n for n, cell in enumerate(notebook.cells) if cell.cell_type == "code"]
    panels = [n for n in codes if "Panel(" in notebook.cells[n].source]
    if panels:
        end = min((n for n in codes if n > panels[0]), default=len(notebook.cells))
        notebook.cells = notebook.cells[: min(end, panels[0] + 2)]
    return notebook, resources


c = get_config()  # noqa: F821  (Voila's loader gives it)
c.VoilaExporter.preprocessors = [down_to_the_panel]
# Text is there at once, and the panel when it is ready.
c.VoilaConfiguration.progressive_rendering = True
