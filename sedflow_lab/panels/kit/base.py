"""What every panel is: a column of widgets with Bokeh figures that outlive a page load."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, ClassVar

import ipywidgets as w
import traitlets
from bokeh.core.json_encoder import serialize_json
from bokeh.core.serialization import Serializer
from bokeh.document import Document
from bokeh.io.notebook import publish_display_data
from bokeh.models import UIElement
from bokeh.protocol.messages.patch_doc import patch_doc
from jupyter_bokeh import BokehModel

from .bokehjs import loader
from .memory import recall
from .picture import picture
from .state import State
from .theme import follow_theme

__all__ = ["FigureView", "Panel"]


class FigureView(BokehModel):
    """A Bokeh figure whose changes can reach the browser together.

    By itself jupyter_bokeh sends three messages for each change and two more for each array in
    it, hundreds for one refreshed panel. Here arrays are part of their message, and what changes
    within `together` makes one patch. A page that is loaded anew, or shows the figure once more,
    gets it as it is then.

    Parameters
    ----------
    model : bokeh.models.LayoutDOM
    **options
        Of the widget.
    """

    # What is asked for is made when it is asked for: there is nothing to be kept up to date.
    render_bundle = traitlets.Dict().tag(sync=True, to_json=lambda _, view: view.bundle())

    def __init__(self, model: UIElement, **options: Any) -> None:
        self._held: list[Any] | None = None
        self._stale = False  # whether it has changed since a page last got all of it
        super().__init__(model, **options)

    def update_from_model(self, model: UIElement) -> None:
        """Take a figure, which is in no document yet."""
        self._model = model
        document = Document()
        document.add_root(model)
        document.on_change_dispatch_to(self)
        # What changes while a page is being built does not reach it.
        document.on_event("document_ready", lambda _: self.refresh())
        document.js_on_event("document_ready", follow_theme(model))

    def bundle(self) -> str:
        """The figure as it is now, for a page to build it from."""
        self._stale = False
        return str(serialize_json(self._model_to_traits(self._model)))

    def refresh(self) -> None:
        """Give pages all of the figure, if they may have missed some of it."""
        if self._stale and self.comm is not None:
            self.send_state("render_bundle")

    @contextmanager
    def together(self) -> Iterator[None]:
        """Context in which changes are collected; they are sent when it, or one around it, ends."""
        if self._held is not None:
            yield
            return
        self._held = []
        try:
            yield
        finally:
            events, self._held = self._held, None
            if events:
                self._send_patch(events)

    def _document_patched(self, event: Any) -> None:
        """Called by Bokeh on each change."""
        if event.setter is self:
            return  # it came from the browser
        self._stale = True
        if self._held is None:
            self._send_patch([event])
        else:
            self._held.append(event)

    def _send_patch(self, events: list[Any]) -> None:
        models = self._document.models
        serializer = Serializer(references=models.synced_references, deferred=False)
        content = {"events": serializer.encode(events)}
        models.flush_synced(lambda model: not serializer.has_ref(model))
        # The browser wants the three parts of Bokeh's protocol one by one.
        for part in (patch_doc.create_header(), {}, content):
            self.send({"msg": "patch", "payload": serialize_json(part)})

    def close(self) -> None:
        """Close the widget, and empty the figure's document: Bokeh holds on to what is in one."""
        document = self._document
        if self.comm is None or document is None:  # closed before
            return
        document.remove_on_change(self)
        w.DOMWidget.close(self)
        document.clear()


class Panel(w.VBox):
    """A column of widgets and Bokeh figures that show a state.

    Parameters
    ----------
    state : State
    """

    _components: ClassVar[tuple[str, ...]] = ()  # parts of BokehJS that it needs beside the first

    def __init__(self, state: State) -> None:
        self._state = state
        recall(state)
        self._figures: dict[str, FigureView] = {}
        self._ties: list[Callable[[], None]] = []
        super().__init__()

    def close(self) -> None:
        """Stop the state's threads, and free the widgets and figures: what is shown vanishes."""
        if self.comm is None:  # closed before
            return
        for untie in self._ties:
            untie()
        self._state.close()
        for widget in _all_widgets(self) - {self}:
            widget.close()
        self._ties.clear()
        self._figures.clear()
        super().close()

    def _watch(self, names: str | list[str], tell: Callable[[], None]) -> None:
        """Call a method whenever traits of the state change, until the panel is closed."""

        def changed(_: traitlets.Bunch) -> None:
            tell()

        self._state.observe(changed, names)
        self._ties.append(lambda: self._state.unobserve(changed, names))

    def _link(self, **widgets: w.Widget) -> None:
        """Keep values of widgets and traits of the state, by name, the same."""
        for name, widget in widgets.items():
            widget.value = getattr(self._state, name)
            self._ties.append(_tie(self._state, name, widget))

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        """Show the panel; BokehJS goes with it, as the default asks the internet for it."""
        code = loader(["bokeh", *self._components])
        publish_display_data({"application/javascript": code, "text/plain": ""})
        held = [panel for panel in _all_widgets(self) if isinstance(panel, Panel)]
        panels = sorted(held, key=lambda panel: panel is not self)
        views = [view for panel in panels for view in panel._figures.values()]
        for view in views:
            view.refresh()
        bundle: Any = super()._repr_mimebundle_(**kwargs)
        # What pages show that know no widgets, and saved notebooks without a kernel.
        bundle["text/plain"] = f"{type(self).__name__}: run this cell in JupyterLab to use it."
        bundle["image/svg+xml"] = picture(view._model for view in views)
        return bundle

    def _show(self, name: str, model: UIElement) -> FigureView:
        """A widget for a figure."""
        self._figures[name] = FigureView(model, layout=w.Layout(width="100%"))
        return self._figures[name]

    def _place(self, box: w.Box, name: str, model: UIElement) -> None:
        """Put a figure into a box of its own, instead of what it holds by that name."""
        old = self._figures.pop(name, None)
        box.children = [self._show(name, model)]
        if old is not None:
            old.layout.close()
            old.close()

    @contextmanager
    def _together(self) -> Iterator[None]:
        """Context in which each figure collects its changes, and sends them in one patch."""
        with ExitStack() as stack:
            stack.enter_context(self._state.jobs.lock)
            for view in self._figures.values():
                stack.enter_context(view.together())
            yield


def _tie(state: State, name: str, widget: w.Widget) -> Callable[[], None]:
    """Keep a trait and a widget's value the same; what a person does there is patient."""

    def show(_: traitlets.Bunch) -> None:
        widget.value = getattr(state, name)

    def take(_: traitlets.Bunch) -> None:
        with state.jobs.lock, state.patiently():
            setattr(state, name, widget.value)

    def untie() -> None:
        state.unobserve(show, name)
        widget.unobserve(take, "value")

    state.observe(show, name)
    widget.observe(take, "value")
    return untie


def _all_widgets(widget: w.Widget) -> set[w.Widget]:
    """A widget, and all that it holds: children, layouts and styles."""
    found = {widget}
    for value in widget.trait_values().values():
        for part in value if isinstance(value, tuple) else (value,):
            if isinstance(part, w.Widget):
                found |= _all_widgets(part)
    return found
