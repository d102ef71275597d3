"""What every panel is: a column of widgets with Bokeh figures that outlive a page load."""

from __future__ import annotations

import asyncio
from typing import Any

import ipywidgets as w
from bokeh.io import output_notebook
from bokeh.models import UIElement
from bokeh.resources import Resources
from jupyter_bokeh import BokehModel

__all__ = ["Panel"]

_QUIET = 0.7  # seconds


class Panel(w.VBox):
    """A column of widgets and Bokeh figures.

    Parameters
    ----------
    loop : asyncio.AbstractEventLoop, optional
        The loop that runs the kernel. Without one, a page that is loaded anew shows figures as
        they were at first.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self._loop = loop
        self._figures: dict[str, BokehModel] = {}
        self._keeping: asyncio.TimerHandle | None = None
        super().__init__()

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        """Show the panel; BokehJS goes with it, as the default asks the internet for it."""
        output_notebook(Resources(mode="inline", components=["bokeh"]), hide_banner=True)
        return super()._repr_mimebundle_(**kwargs)

    def _show(self, name: str, model: UIElement) -> BokehModel:
        """A widget for a figure."""
        self._figures[name] = BokehModel(model, layout=w.Layout(width="100%"))
        return self._figures[name]

    def _place(self, box: w.Box, name: str, model: UIElement) -> None:
        """Put a figure into a box of its own, instead of what it holds by that name."""
        old = self._figures.pop(name, None)
        box.children = [self._show(name, model)]
        if old is not None:
            # BokehModel.close() itself may run but once, and that is when Python drops it.
            w.DOMWidget.close(old)

    def _changed(self) -> None:
        """Note that figures have changed; call it from any thread."""
        if self._loop is not None and self._loop.is_running():
            self._loop.call_soon_threadsafe(self._keep_later, self._loop)

    def _keep_later(self, loop: asyncio.AbstractEventLoop) -> None:
        """Plan to keep the figures' state, once nothing has changed for a while: it is slow."""
        if self._keeping is not None:
            self._keeping.cancel()
        self._keeping = loop.call_later(_QUIET, self._keep)

    def _keep(self) -> None:
        """Make the figures' state what a page that is loaded anew shows."""
        for view in self._figures.values():
            view.render_bundle = view._model_to_traits(view._model)
