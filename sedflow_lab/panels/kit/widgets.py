"""Widgets as panels use them: a row, a button, a list, and the choice of a galaxy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import ipywidgets as w

from ...methods import METHODS
from .choice import ERROR_FLOOR, GalaxyChoice, describe

__all__ = [
    "allowances",
    "beside",
    "button",
    "columns",
    "corner_box",
    "drop_down",
    "galaxy_buttons",
    "galaxy_list",
    "methods",
    "row",
    "step",
    "toggles",
]


_MOST_LISTED = 2000  # galaxies


def row(*children: w.Widget, **layout: Any) -> w.Box:
    """Widgets beside each other, that go on below where there is no room."""
    flow = {"display": "flex", "flex_flow": "row wrap", "align_items": "center"}
    return w.Box(children, layout=flow | layout)


def columns(*children: w.Widget, **layout: Any) -> w.Box:
    """Figures beside each other, as wide as the page."""
    return row(*children, **{"align_items": "stretch", "width": "100%"} | layout)


def corner_box(*children: w.Widget) -> w.VBox:
    """A corner plot and what belongs to it: a square that leaves room for more on one screen."""
    wide = {"flex": "1 1 380px", "min_width": "340px", "max_width": "min(680px, 49vh)"}
    return w.VBox(children, layout=wide)


def beside(*children: w.Widget) -> w.VBox:
    """Figures that go beside a corner plot."""
    return w.VBox(children, layout={"flex": "1 1 300px", "min_width": "290px"})


def button(text: str, icon: str, do: Callable[[], Any], tooltip: str | None = None) -> w.Button:
    """A button as wide as its words, and what it does."""
    made = w.Button(description=text, icon=icon, tooltip=tooltip, layout={"width": "auto"})
    made.on_click(lambda _: do())
    return made


def drop_down(
    label: str, options: Iterable[Any], width: int, *, label_width: int | None = None, **more: Any
) -> w.Dropdown:
    """A list to choose from, of a width [pixel] and with room for its label [pixel]."""
    style = {} if label_width is None else {"description_width": f"{label_width}px"}
    made: Any = {"options": list(options), "description": label, "style": style} | more
    return w.Dropdown(layout={"width": f"{width}px"}, **made)


def methods(words: Iterable[str]) -> w.ToggleButtons:
    """A button for each method of inference."""
    options = [(word.capitalize(), word) for word in words]
    meanings = [METHODS[word].meaning for _, word in options]
    size: Any = {"style": {"button_width": "84px"}, "layout": {"width": "auto"}}
    return w.ToggleButtons(options=options, tooltips=meanings, **size)


def galaxy_list(
    state: GalaxyChoice, width: int, label_width: int | None = None
) -> w.Dropdown | w.BoundedIntText:
    """All galaxies of a state, one of them to choose; of very many, their row."""
    if len(state.galaxies) > _MOST_LISTED:  # a list of them would be megabytes
        style = {} if label_width is None else {"description_width": f"{label_width}px"}
        last = len(state.galaxies) - 1
        return w.BoundedIntText(
            description="Row",
            max=last,
            tooltip=f"0 to {last:,}",
            style=style,
            layout={"width": "200px"},
        )
    options = [(describe(state.galaxies[i]), i) for i in range(len(state.galaxies))]
    return drop_down("Galaxy", options, width, label_width=label_width)


def allowances() -> dict[str, w.ToggleButton]:
    """Switches for what the model cannot make, by the traits of `GalaxyChoice`."""
    size: Any = {"layout": {"width": "auto"}}
    return {
        "error_floor": w.ToggleButton(
            description=f"Error floor {ERROR_FLOOR:.0%}".replace("%", " %"),
            tooltip="Add this fraction of the flux to every uncertainty, in quadrature",
            **size,
        ),
        "outliers": w.ToggleButton(
            description="Allow bad bands",
            tooltip="Let each band be bad with a probability of 1 %: a flux that does not fit "
            "the others then hardly counts. The network's own draws know nothing of it",
            **size,
        ),
    }


def galaxy_buttons(state: GalaxyChoice) -> tuple[w.Button, w.Button]:
    """Arrows to the previous and the next galaxy."""
    return (
        button("‹ Prev", "", lambda: step(state, -1), "Previous galaxy"),
        button("Next ›", "", lambda: step(state, 1), "Next galaxy"),
    )


def step(state: GalaxyChoice, by: int) -> None:
    """Go to another galaxy, for a person who may be in a hurry."""
    with state.patiently():
        state.step(by)


def toggles(texts: Mapping[str, str], tips: Mapping[str, str]) -> dict[str, w.ToggleButton]:
    """A switch for each key, as wide as its text, and a sentence to hover."""
    return {
        key: w.ToggleButton(
            description=text, tooltip=tips[key], layout={"width": "auto", "height": "26px"}
        )
        for key, text in texts.items()
    }
