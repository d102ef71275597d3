"""The catalogue panel: infer many galaxies, look at all of them, and open any one."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import ipywidgets as w
import numpy as np
from bokeh.events import RangesUpdate, Reset, SelectionGeometry, Tap
from bokeh.models import ColumnDataSource, DataTable

from ...methods import AMORTIZED, BADGES, Badge
from ...observations import Photometry
from ...posterior.weighting import weighted_quantile
from ...quantities import QUANTITIES
from ..kit import html
from ..kit.base import Panel
from ..kit.choice import Outcome, Source
from ..kit.corner import CornerFigure
from ..kit.sed import HistoryFigure, SEDFigure
from ..kit.style import named
from ..kit.widgets import beside, button, columns, corner_box, drop_down, methods, row
from .figures import CHOSEN_COLOR, MARKERS, MOST_POINTS, PlaneFigure
from .listing import columns_of, rows_of
from .results import Results, axis_text
from .state import PLANES, CatalogueState

__all__ = ["CataloguePanel"]

_HELP = (
    "Every point is a galaxy, at the medians of its posterior, in the colour and shape of its "
    f"badge; where more than {MOST_POINTS:,} are in view, the figures show their density, with "
    "lines around 68 and 95 % of them, and the badge map the share that is not to be trusted. "
    "Draw a <b>lasso</b> or a box around some, or press a <b>badge</b>: they are marked in every "
    "figure and listed below. <b>Click</b> near a point, or on a row of the list, for its "
    "posterior. Zoom in to see points again."
)
_TITLES = (
    "Main sequence",
    "Mass and metallicity",
    "Mass and age",
    "Badge map",
    "Width of the posterior",
    "Dust and star formation",
)
_SHARE = 3  # the plane that is a map of badges
_SIGNS = {"circle": "●", "triangle": "▲", "diamond": "◆", "x": "✕"}
_MOST_ROWS = 2000  # of the list
_AT_REST = 0.15  # seconds after which a zoom has ended


class CataloguePanel(Panel):
    """Widgets on a `CatalogueState`: a run, planes of its results, a list, and one posterior.

    Parameters
    ----------
    results, photometry, posterior, out, **choice
        As of `CatalogueState`.

    Examples
    --------
    >>> panel = CataloguePanel("results.ecsv", photometry="galaxies.csv")
    >>> panel.state.select_badge("refine")
    """

    _components = ("bokeh-widgets", "bokeh-tables")

    def __init__(
        self,
        results: Any = None,
        photometry: Photometry | str | Path | None = None,
        posterior: Source = None,
        *,
        out: str | Path | None = None,
        **choice: Any,
    ) -> None:
        self.state = CatalogueState(results, photometry, posterior, out=out, **choice)
        super().__init__(self.state)
        self._later: dict[int, Any] = {}
        self._make_controls()
        self._make_planes()
        self._make_list()
        self._make_galaxy()
        self.children = [
            w.HTML(html.help_text(_HELP)),
            self._run_controls,
            self.status,
            self._badge_box,
            columns(*self._plane_boxes),
            self._list_box,
            self._galaxy_box,
        ]
        self._watch(["running", "done", "finished", "message", "opening"], self._tell)
        self._watch(["results", "planes"], self._refresh)
        self._watch("chosen", self._show_chosen)
        self._watch("tapped", self._mark)
        self._watch("outcome", self._show_galaxy)
        self._refresh()
        self._show_galaxy()

    def _make_controls(self) -> None:
        state = self.state
        self.method = methods(sorted(AMORTIZED, key=lambda word: word != "fast"))
        numbers = sorted({200, 500, 1000, 2000, state.draws})
        self.draws = drop_down("Draws", numbers, 130, label_width=44)
        self._link(method=self.method, draws=self.draws)
        self.run = button("Infer", "play", state.run)
        self.run.button_style = "primary"
        self.cancel = button("Cancel", "stop", state.cancel)
        self.progress = w.IntProgress(layout=w.Layout(width="120px"))
        self.progress_text = w.HTML()
        how = w.HTML("<span class='sedflow-label first'>Method</span>")
        parts = (how, self.method, self.draws, self.run, self.cancel)
        self._run_controls = row(*parts, self.progress, self.progress_text)
        self._run_controls.layout.display = "flex" if state.can_run else "none"
        self.status = w.HTML()
        self._badge_box = row()

    def _make_planes(self) -> None:
        self.planes: list[PlaneFigure] = []
        self.axes: list[tuple[w.Dropdown, w.Dropdown]] = []
        self._plane_boxes, self._heads = list[w.VBox](), list[w.HTML]()
        for k, title in enumerate(_TITLES):
            plane = PlaneFigure("share" if k == _SHARE else "density")
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

    def _make_galaxy(self) -> None:
        self.corner: CornerFigure | None = None
        self.galaxy, self.medians, self._drawn = w.HTML(), w.HTML(), columns()
        self._galaxy_box = w.VBox([self.galaxy, self._drawn, self.medians])

    def _make_figures_of_galaxy(self) -> None:
        """Make the figures of one galaxy, once one is opened."""
        self.corner, self.history = CornerFigure(), HistoryFigure()
        self.sed = SEDFigure(self.state.posterior.model)
        parts = ("sed", self.sed.layout), ("history", self.history.figure)
        left = corner_box(self._show("corner", self.corner.figure))
        self._drawn.children = [left, beside(*(self._show(*part) for part in parts))]

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
        if self._loop is None or not self._loop.is_running():
            self._draw(k)
            return
        if k in self._later:
            self._later[k].cancel()
        self._later[k] = self._loop.call_later(_AT_REST, self._draw, k)

    def _draw(self, k: int) -> None:
        if self.comm is not None:
            with self._together():
                self.planes[k].draw()

    def _picked(self, attribute: str, old: list[int], new: list[int]) -> None:
        if new and new[0] < len(self.rows.data["row"]):
            self.state.tapped = int(self.rows.data["row"][new[0]])

    # What is shown

    def _refresh(self) -> None:
        """Show the newest results in all planes."""
        state, found = self.state, self.state.results
        names = [] if found is None else list(found.columns)
        options = [(axis_text(name).partition(" [")[0], name) for name in names]
        with self._together():
            for k, (plane, lists) in enumerate(zip(self.planes, self.axes, strict=True)):
                x, y = state.planes[k]
                labels = axis_text(x), axis_text(y)
                if found is None:
                    plane.clear(labels)
                    continue
                self._heads[k].value = f"<div class='sedflow-heading'>{_title(k, x, y)}</div>"
                for one, name in zip(lists, (y, x), strict=True):
                    if list(one.options) != options:
                        one.options, one.value = options, name
                    one.value = name
                plane.update(*state.points(k), found.badges, labels)
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
            look = BADGES.get(word, Badge("a badge of another version", "#666666"))
            sign, choose = _SIGNS[MARKERS[look.color]], partial(self.state.select_badge, word)
            one = button(f"{sign} {word}: {count:,}", "", choose, look.meaning)
            one.style.button_color, one.style.text_color = look.color, "white"
            made.append(one)
        self._badge_box.children = made

    def _show_chosen(self) -> None:
        """List the galaxies that are chosen, and mark them."""
        found, chosen = self.state.results, self.state.chosen
        self._list_box.layout.display = "none" if found is None else "flex"
        if found is not None:
            self._offer_to_sort(found)
            if name := self.sort.value:
                chosen = found.sorted(chosen, name, self.descending.value)
            shown = chosen[:_MOST_ROWS]
            self._fill_list(found, shown)
            square = f"<span class='sedflow-square' style='background:{CHOSEN_COLOR}'></span>"
            more = f"; the first {_MOST_ROWS:,} are listed" if len(shown) < len(chosen) else ""
            text = f"{square}<b>{len(chosen):,}</b> of {len(found):,} galaxies are chosen{more}"
            self.list_text.value = html.paragraph(text)
        self._mark()

    def _offer_to_sort(self, found: Results) -> None:
        """Offer all columns of the list to sort by, and keep the one that is chosen."""
        listed = columns_of(found, self.state.planes)
        known = [(c.title.partition(" [")[0], c.field) for c in listed if c.field != "problem"]
        options = [("catalogue order", ""), *known]
        if list(self.sort.options) != options:
            now = self.sort.value
            self.sort.options = options
            self.sort.value = now if now in [field for _, field in options] else ""

    def _fill_list(self, found: Results, rows: np.ndarray) -> None:
        """Put galaxies into the list, which is made when it is first needed, or has new columns."""
        made = columns_of(found, self.state.planes)
        titles = [one.title for one in made]
        if self.list is None or titles != [one.title for one in self.list.columns]:
            if not len(rows):
                return
            self.rows = ColumnDataSource(rows_of(found, rows, made))
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
            self.rows.data = rows_of(found, rows, made)

    def _mark(self) -> None:
        with self._together():
            if self.state.results is not None:
                for plane in self.planes:
                    plane.mark(self.state.chosen, self.state.tapped)
        self._tell()

    def _show_galaxy(self) -> None:
        """Show the posterior of one galaxy."""
        outcome = self.state.outcome
        self._drawn.layout.display = "none" if outcome is None else "flex"
        self.medians.value = "" if outcome is None else _medians(outcome)
        if outcome is not None:
            result, model = outcome.result, self.state.posterior.model
            if self.corner is None:
                self._make_figures_of_galaxy()
            assert self.corner is not None
            with self._together():
                self.corner.update(outcome.drawn)
                self.sed.update(outcome.photometry, result, model)
                self.history.update(result, model)
        self._tell()

    def _tell(self) -> None:
        """Say how the run goes, and what is known of the galaxy that is open."""
        state = self.state
        self.progress.max, self.progress.value = state.total, state.done
        self.progress_text.value = f"{state.done:,} of {state.total:,}" if state.done else ""
        going_on = 0 < state.done and not state.finished
        self.run.description = "Go on" if going_on else f"Infer {len(state.galaxies):,} galaxies"
        self.run.disabled = state.running or state.finished
        self.cancel.layout.display = None if state.running else "none"
        parts = [html.busy("inferring")] if state.running else []
        if state.message and state.tapped is None:
            parts.append(html.failure(state.message))
        self.status.value = html.strip(parts)
        self.galaxy.value = _about(state)


def _title(k: int, x: str, y: str) -> str:
    """What a plane is called: by what it was made for, as long as it shows that."""
    if k == _SHARE or (x, y) == PLANES[k]:
        return _TITLES[k]
    return " and ".join(axis_text(name).partition(" [")[0] for name in (y, x))


def _about(state: CatalogueState) -> str:
    """A line on the galaxy that is open."""
    found, number = state.results, state.tapped
    if found is None or number is None:
        return ""
    parts = [f"<b>Galaxy {html.escape(str(found.ids[number]))}</b>"]
    if state.opening:
        parts.append(html.busy("opening"))
    if state.message:
        parts.append(html.failure(state.message))
    if "redshift" in found.columns:
        parts.append(f"z {found.columns['redshift'][number]:.4f}")
    if (word := str(found.badges[number])) in BADGES:
        parts += [html.badge(word), html.escape(BADGES[word].meaning)]
    return html.strip(parts)


def _medians(outcome: Outcome) -> str:
    """Medians and 68 % intervals of one galaxy."""
    values = np.stack([outcome.values[name] for name in QUANTITIES], axis=-1)
    low, middle, high = weighted_quantile(values, outcome.result.weights[0], (0.16, 0.5, 0.84))
    rows = [
        (
            html.cell(q.axis_text, q.description),
            html.cell(f"<b>{m:.2f}</b>", width=52),
            html.cell(f"{a:.2f} … {b:.2f}", width=108),
        )
        for q, a, m, b in zip(QUANTITIES.values(), low, middle, high, strict=True)
    ]
    return html.listing("<b>Medians and 68 % intervals</b>", rows)
