"""The panel for own galaxies: drop a file, mend how it was read, pick, infer, take results home."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ipywidgets as w
import numpy as np

from ...methods import AMORTIZED
from ...observations.extinction import LAWS
from ..kit import html
from ..kit.base import Panel
from ..kit.choice import Source
from ..kit.pace import Pace
from ..kit.takeaway import links_to
from ..kit.widgets import button, drop_down, methods, row
from ..picker.view import PickerPanel
from .columns import ColumnMenus
from .state import MOST_UPLOADED, OwnState

__all__ = ["OwnGalaxiesPanel"]

_HELP = (
    "Give a table of galaxies with a redshift, and a flux or magnitude with its error for each "
    "band: CSV, ECSV, FITS, VOTable, Parquet or plain text, with names in a header. Fluxes without "
    "a unit are nanomaggies, magnitudes are AB, and both are corrected for the dust of the Milky "
    f"Way, unless you choose a law. A browser can send up to {MOST_UPLOADED} MB this way: drop a "
    "larger file on JupyterLab's list of files, and write its path."
)
_MOST_SHOWN = 100  # bad rows
_BAD = (
    ("leave the galaxy out, and say why", "flag"),
    ("leave the band out, where two are left", "mask"),
    ("stop", "raise"),
)


class OwnGalaxiesPanel(Panel):
    """Widgets on an `OwnState`: a file, its columns, bad rows, a picker, and results.

    Parameters
    ----------
    path, posterior, **choice
        As of `OwnState`.

    Examples
    --------
    >>> panel = OwnGalaxiesPanel("galaxies.csv")
    >>> panel.state.mend("redshift", "z_best")
    """

    _components = PickerPanel._components

    def __init__(
        self, path: str | Path | None = None, posterior: Source = None, **choice: Any
    ) -> None:
        self.state = OwnState(None, posterior, **choice)
        super().__init__(self.state)
        self.picker: PickerPanel | None = None
        self._make_file()
        self._make_results()
        self.menus = ColumnMenus(self.state)
        self.bad = w.HTML()
        self._picker_box = w.VBox()
        self.how = w.VBox([self.menus, row(self.on_bad, self.extinction)])
        self.children = [
            w.HTML(html.help_text(_HELP)),
            row(self.upload, self.path, self.hdu),
            self.status,
            self.how,
            self.bad,
            self._result_box,
            row(self.look),
            self._picker_box,
        ]
        self._watch(["message", "warning", "reading", "galaxies", "name"], self._tell)
        self._watch(["understood", "table"], self.menus.show)
        self._watch("galaxies", self._show_bad)
        self._watch(["running", "done", "left", "results"], self._show_run)
        for tell in (self._tell, self.menus.show, self._show_bad, self._show_run):
            tell()
        if path is not None:
            self.path.value = str(path)

    def close(self) -> None:
        """Stop all threads, free the widgets and figures, and delete what was uploaded."""
        if self.picker is not None:
            self.picker.close()
        super().close()

    def _make_file(self) -> None:
        self.upload = w.FileUpload(
            description="Choose a file",
            tooltip=f"A table of up to {MOST_UPLOADED} MB",
            layout=w.Layout(width="auto"),
        )
        self.upload.observe(self._uploaded, "value")
        self.path = w.Text(
            description="or its path",
            placeholder="galaxies.fits",
            tooltip="Path of a file on the machine where this notebook runs",
            continuous_update=False,
            style={"description_width": "70px"},
            layout=w.Layout(width="330px"),
        )
        self.path.observe(self._opened, "value")
        self.hdu = w.Text(
            description="Table",
            placeholder="the one with the columns",
            tooltip="Number or name of the table, where a file has several",
            continuous_update=False,
            style={"description_width": "44px"},
            layout=w.Layout(width="240px"),
        )
        self.status = w.HTML()
        laws = [("are corrected for dust", ""), *((f"correct them by {law}", law) for law in LAWS)]
        self.on_bad = drop_down("Bad values", _BAD, 350, label_width=74)
        self.extinction = drop_down("Fluxes", laws, 240, label_width=50)
        self._link(hdu=self.hdu, on_bad=self.on_bad, extinction=self.extinction)
        self.look = button(
            "Look at them", "search", self._look, "Open the picker on these galaxies"
        )
        self.look.button_style = "primary"

    def _make_results(self) -> None:
        state = self.state
        self.method = methods(sorted(AMORTIZED, key=lambda word: word != "auto"))
        numbers = sorted({500, 1000, 2000, 5000, state.draws})
        self.draws = drop_down("Draws", numbers, 130, label_width=44)
        self._link(method=self.method, draws=self.draws)
        self.run = button("Infer all", "play", state.infer, "Medians and intervals of all galaxies")
        self.cancel = button("Cancel", "stop", state.cancel)
        self.progress, self.links, self.code = w.HTML(), w.HTML(), w.HTML()
        self._pace = Pace()
        shown = w.Accordion([self.code], titles=("The Python that reads and infers the same",))
        how = w.HTML("<span class='sedflow-label first'>Method</span>")
        run = row(how, self.method, self.draws, self.run, self.cancel, self.progress)
        self._result_box = w.VBox([run, self.links, shown])

    # What the browser tells

    def _uploaded(self, change: Any) -> None:
        if change.new:
            self.state.receive(change.new[0]["name"], bytes(change.new[0]["content"]))
            self.upload.value = ()  # so that the same file can be given again

    def _opened(self, change: Any) -> None:
        if change.new.strip():
            self.state.open(change.new.strip())

    def _look(self) -> None:
        """Open the picker on the galaxies as they are read now."""
        state, old = self.state, self.picker
        if state.galaxies is None:
            return
        self.picker = PickerPanel(state.posterior, state.galaxies, state.table)
        self._picker_box.children = [self.picker]
        if old is not None:
            old.close()

    # What is shown

    def _tell(self) -> None:
        """Say what was read, and what is wrong."""
        state, parts = self.state, []
        if state.name:
            parts.append(f"<b>{html.escape(state.name)}</b>")
        if state.reading:
            parts.append(html.busy("reading"))
        found = state.galaxies
        good = 0 if found is None else int(found.usable.sum())
        if found is not None:
            n = len(found)
            parts.append(f"{n:,} galaxies" if n != 1 else "1 galaxy")
            parts.append(f"<b>{good:,}</b> can be used")
        if state.message:
            parts.append(html.failure(state.message))
        remark = html.remark(state.warning) if state.warning else ""
        self.status.value = (html.strip(parts) if parts else "") + remark
        self.how.layout.display = None if state.table is not None else "none"
        ready = None if good else "none"
        self.look.layout.display = self._result_box.layout.display = ready
        self.look.description = f"Look at {good:,} galaxies" if good != 1 else "Look at 1 galaxy"
        self.code.value = html.code(state.code)

    def _show_bad(self) -> None:
        """List galaxies that cannot be used, with the reasons."""
        found = self.state.galaxies
        rows = np.zeros(0, int) if found is None else np.flatnonzero(~found.usable)
        self.bad.value = ""
        if found is None or not len(rows):
            return
        lines = [
            (
                str(found.rows[k]),
                html.escape(str(found.ids[k])),
                f"<div class='sedflow-left'>{html.escape(_reason(str(found.problems[k])))}</div>",
            )
            for k in rows[:_MOST_SHOWN]
        ]
        more = f", the first {_MOST_SHOWN}" if len(rows) > _MOST_SHOWN else ""
        reason = "<div class='sedflow-left'>Reason</div>"
        heads = "".join(f"<th scope='col'>{text}</th>" for text in ("Row", "Galaxy", reason))
        self.bad.value = (
            f"<div class='sedflow-title'><b>Galaxies that cannot be used{more}</b> (rows count "
            f"from 0)</div><div class='sedflow-scroll'>{html.table([heads], lines)}</div>"
        )

    def _show_run(self) -> None:
        state = self.state
        self.cancel.layout.display = None if state.running else "none"
        self.run.disabled = state.running
        total = 0 if state.galaxies is None else len(state.galaxies)
        pace = self._pace.words(state.done, total)
        told = html.busy(f"inferring: {pace}") if state.running else ""
        self.progress.value = told
        found = state.results
        if found is None:
            self.links.value = ""
        else:
            stem = f"results-{Path(state.name).stem}"
            parts = [f"{len(found):,} galaxies inferred:", *links_to(found, stem)]
            self.links.value = html.strip(parts)


def _reason(problem: str) -> str:
    """Why a galaxy cannot be used, without saying again which it is."""
    return problem.partition("): ")[2] or problem
