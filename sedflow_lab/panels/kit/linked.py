"""Linked planes of galaxies with lists of their axes, badges as buttons, and a list to sort."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

import ipywidgets as w
import numpy as np
from bokeh.events import RangesUpdate, Reset, SelectionGeometry, Tap
from bokeh.models import ColumnDataSource, DataTable, NumberFormatter, TableColumn

from ...methods import BADGES, Badge
from . import html
from .base import Panel
from .listed import Listed, cells_of, short_label
from .plane import CHOSEN_COLOR, MARKERS, UNJUDGED, PlaneFigure
from .selection import LinkedState
from .style import named
from .widgets import button, drop_down, row

__all__ = ["LinkedPanel"]

_SIGNS = {"circle": "●", "triangle": "▲", "diamond": "◆", "x": "✕", "square": "■"}
_MOST_ROWS = 2000  # of the list
_AT_REST = 0.15  # seconds after which a zoom has ended
_CLOSE = ("redshift", "ra", "dec")  # columns that need four digits
_NO_BADGE = Badge("not inferred yet", UNJUDGED)


class LinkedPanel(Panel):
    """Widgets on a `LinkedState`: planes in which galaxies are chosen, and a list of these.

    A panel that is one makes the parts it shows with `_make_planes` and `_make_list`.

    Parameters
    ----------
    state : LinkedState
    """

    _components = ("bokeh-widgets", "bokeh-tables")
    _titles: tuple[str, ...] = ()  # of the planes
    _share: ClassVar[int | None] = None  # the plane that is a map of badges
    _plane_height: ClassVar[int] = 300  # pixels

    state: LinkedState

    def _make_planes(self) -> None:
        self.planes: list[PlaneFigure] = []
        self.axes: list[tuple[w.Dropdown, w.Dropdown]] = []
        self._plane_boxes, self._heads = list[w.VBox](), list[w.HTML]()
        self._badge_box = row()
        self._planes_at_first = self.state.planes
        for k, title in enumerate(self._titles):
            plane = PlaneFigure("share" if k == self._share else "density", self._plane_height)
            plot = plane.figure
            plot.on_event(SelectionGeometry, partial(self._selected, k))
            plot.on_event(Tap, partial(self._tapped, k))
            for event in (RangesUpdate, Reset):
                plot.on_event(event, partial(self._zoomed, k))
            lists = tuple(
                w.Dropdown(layout=w.Layout(width="auto", flex="1 1 0", min_width="0"), tooltip=text)
                for text in (f"{title}: vertical axis", f"{title}: horizontal axis")
            )
            for one in lists:
                one.observe(lambda _, k=k: self._choose_axes(k), "value")
            self.planes.append(plane)
            self.axes.append(lists)
            against = w.HTML("<span class='sedflow-small'>over</span>")
            head = w.HTML(f"<div class='sedflow-heading'>{title}</div>")
            self._heads.append(head)
            choice = w.HBox([lists[0], against, lists[1]], layout=w.Layout(width="100%"))
            room = w.Layout(flex="1 1 250px", min_width="240px", margin="4px 6px")
            parts = [head, choice, self._show(f"plane {k}", plot)]
            self._plane_boxes.append(w.VBox(parts, layout=room))

    def _make_list(self) -> None:
        self.rows = ColumnDataSource({"row": []})
        self.list: DataTable | None = None
        self.list_text = w.HTML()
        self.clear = button("Clear", "times", self.state.clear, "Choose nothing")
        self.sort = drop_down("Sort by", [("catalogue order", "")], 230, label_width=52)
        self.descending = w.ToggleButton(
            icon="sort-amount-desc", tooltip="Largest first", layout=w.Layout(width="40px")
        )
        for one in (self.sort, self.descending):
            one.observe(lambda _: self._show_chosen(), "value")
        head = row(self.list_text, self.clear, self.sort, self.descending)
        self._table_box = w.VBox()
        self._list_box = w.VBox([head, self._table_box])

    # What the browser tells

    def _choose_axes(self, k: int) -> None:
        y, x = (one.value for one in self.axes[k])
        if x and y and (x, y) != self.state.planes[k]:
            self.state.choose_axes(k, x, y)

    def _selected(self, k: int, event: SelectionGeometry) -> None:
        if event.final:
            self.state.select(k, event.geometry)

    def _tapped(self, k: int, event: Tap) -> None:
        if event.x is not None and event.y is not None:
            self.state.tap(k, (event.x, event.y), self.planes[k].span)

    def _zoomed(self, k: int, event: Any) -> None:
        """Draw a plane anew once a zoom has ended."""
        self.state.jobs.later(_AT_REST, f"draw plane {k}", partial(self._draw, k))

    def _draw(self, k: int) -> None:
        if self.comm is not None:
            with self._together():
                self.planes[k].draw()

    def _picked(self, attribute: str, old: list[int], new: list[int]) -> None:
        if new and new[0] < len(self.rows.data["row"]):
            self.state.tapped = int(self.rows.data["row"][new[0]])

    # What is shown

    def _title(self, k: int, x: str, y: str) -> str:
        """What a plane is called: by what it was made for, as long as it shows that."""
        found = self.state.results
        if found is None or k == self._share or (x, y) == self._planes_at_first[k]:
            return self._titles[k]
        return " and ".join(short_label(found, name) for name in (y, x))

    def _no_label(self, name: str) -> str:
        """Label of an axis while there are no results."""
        return name

    def _refresh(self) -> None:
        """Show the newest results in all planes."""
        state, found = self.state, self.state.results
        names = [] if found is None else list(found.columns)
        options = [] if found is None else [(short_label(found, name), name) for name in names]
        with self._together():
            for k, (plane, lists) in enumerate(zip(self.planes, self.axes, strict=True)):
                x, y = state.planes[k]
                if found is None:
                    plane.clear((self._no_label(x), self._no_label(y)))
                    continue
                title = html.escape(self._title(k, x, y))
                self._heads[k].value = f"<div class='sedflow-heading'>{title}</div>"
                for one, name in zip(lists, (y, x), strict=True):
                    if list(one.options) != options:
                        one.options, one.value = options, name
                    one.value = name
                plane.update(*state.points(k), found.badges, (found.label(x), found.label(y)))
        self._show_badges()
        self._show_chosen()

    def _show_badges(self) -> None:
        """A button for each badge: its colour, its sign, how many have it."""
        for old in self._badge_box.children:
            old.layout.close()
            old.style.close()
            old.close()
        found, made = self.state.results, []
        for word, count in ({} if found is None else found.counts).items():
            unknown = Badge("a badge of another version", UNJUDGED) if word else _NO_BADGE
            look = BADGES.get(word, unknown)
            sign, choose = _SIGNS[MARKERS[look.color]], partial(self.state.select_badge, word)
            text = f"{sign} {word or 'not inferred yet'}: {count:,}"
            one = button(text, "", choose, look.meaning)
            one.style.button_color, one.style.text_color = look.color, "white"
            made.append(one)
        self._badge_box.children = made

    def _show_chosen(self) -> None:
        """List the galaxies that are chosen, and mark them."""
        found, chosen = self.state.results, self.state.chosen
        self._list_box.layout.display = "none" if found is None else "flex"
        if found is not None:
            self._offer_to_sort(found)
            shown = self._in_order(found, chosen)[:_MOST_ROWS]
            self._fill_list(found, shown)
            square = f"<span class='sedflow-square' style='background:{CHOSEN_COLOR}'></span>"
            more = f"; the first {_MOST_ROWS:,} are listed" if len(shown) < len(chosen) else ""
            text = f"{square}<b>{len(chosen):,}</b> of {len(found):,} galaxies are chosen{more}"
            self.list_text.value = html.paragraph(text)
        self._mark()

    def _in_order(self, found: Listed, chosen: np.ndarray) -> np.ndarray:
        """Rows as the list has them."""
        name = self.sort.value
        return found.sorted(chosen, name, self.descending.value) if name else chosen

    def _names(self, found: Listed) -> list[str]:
        """Columns of the list: who it is, and what the planes show."""
        shown = dict.fromkeys(name for plane in self.state.planes for name in plane)
        return ["id", "badge", *shown, *(["problem"] if (found.problems != "").any() else [])]

    def _offer_to_sort(self, found: Listed) -> None:
        """Offer all columns of the list to sort by, and keep the one that is chosen."""
        words = {"id": "Galaxy", "badge": "Badge"}
        names = [name for name in self._names(found) if name != "problem"]
        known = [(words.get(name) or short_label(found, name), name) for name in names]
        options = [("catalogue order", ""), *known]
        if list(self.sort.options) != options:
            now = self.sort.value
            self.sort.options = options
            self.sort.value = now if now in [field for _, field in options] else ""

    def _fill_list(self, found: Listed, rows: np.ndarray) -> None:
        """Put galaxies into the list, which is made when it is first needed, or has new columns."""
        made = _columns_of(found, self._names(found))
        titles = [one.title for one in made]
        cells = cells_of(found, rows, [one.field for one in made])
        if self.list is None or titles != [one.title for one in self.list.columns]:
            if not len(rows):
                return
            self.rows = ColumnDataSource(cells)
            self.rows.selected.on_change("indices", self._picked)
            look: Any = {"index_position": None, "row_height": 24, "height": 230}
            look |= {"sizing_mode": "stretch_width", "autosize_mode": "none"}
            look |= {"sortable": False}  # a sort of the browser's is lost whenever it draws anew
            self.list = DataTable(source=self.rows, columns=made, **look)
            named(self.list, "The galaxies that are chosen")
            self._place(self._table_box, "list", self.list)
            return
        with self._together():
            self.rows.selected.indices = []
            self.rows.data = cells
        self._figures["list"].refresh()  # rows that are as many as before stay as they were drawn

    def _mark(self) -> None:
        with self._together():
            if self.state.results is not None:
                for plane in self.planes:
                    plane.mark(self.state.chosen, self.state.tapped)
        self._tell()

    def _tell(self) -> None:
        """Say what is known of the galaxy that is tapped, and what went wrong."""
        raise NotImplementedError


def _columns_of(found: Listed, names: list[str]) -> list[TableColumn]:
    """Columns of the list, by name."""
    number = NumberFormatter(format="0.00", nan_format="–", text_align="right")
    close = NumberFormatter(format="0.0000", nan_format="–", text_align="right")
    words = {"id": ("Galaxy", 80), "badge": ("Badge", 90), "problem": ("Problem", 600)}
    made = []
    for name in names:
        if name in words:
            title, width = words[name]
            made.append(TableColumn(field=name, title=title, width=width))
            continue
        title, formatter = found.label(name), close if name in _CLOSE else number
        width = max(56, 18 + 6 * len(title))
        made.append(TableColumn(field=name, title=title, width=width, formatter=formatter))
    return made
