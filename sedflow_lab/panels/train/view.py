"""The training panel: train a network, watch its loss, and see what it is worth."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any

import ipywidgets as w

from ...diagnostics.exam import Exam
from ...observations.photometry import Photometry
from ..kit import html
from ..kit.base import Panel
from ..kit.choice import Source
from ..kit.corner import CornerFigure
from ..kit.pace import time_left
from ..kit.widgets import button, columns, corner_box, drop_down, galaxy_buttons, galaxy_list, row
from .figures import MINE, THEIRS, EfficiencyFigure, ExamFigure, LossFigure
from .state import BUDGETS, SETS, SIZES, Examined, Progress, TrainState

__all__ = ["TrainPanel"]

_HELP = (
    "Choose how many galaxies are <b>simulated</b>, how large the <b>network</b> is, and how many "
    "<b>steps</b> it takes; each step shows it 512 of them. Then press <b>Train</b>, and watch the "
    "loss. <b>Cancel</b> stops it and <b>Go on</b> takes it up again; with more steps, too. At the "
    "end it is examined with simulations that it has never seen."
)
_SWITCHES = {
    "embedding": ("Embedding", "A network of its own reads the photometry, once a galaxy"),
    "mass_offset": ("Mass coordinate", "Learn the mass-to-light ratio, and not the mass"),
    "fresh_noise": ("Fresh noise", "New noise each time that a simulation is shown"),
}
_ROOM_HELP = (
    "<b>The room.</b> Give a folder that all can write to, and hand in; or download your file and "
    "give it to whoever collects them."
)


class TrainPanel(Panel):
    """Widgets on a `TrainState`: choices, loss, exam, a galaxy by both networks, and the room.

    Parameters
    ----------
    posterior, photometry, folder, **choice
        As of `TrainState`.

    Examples
    --------
    >>> panel = TrainPanel(simulations=10_000, steps=1_000)
    >>> panel.state.start()
    """

    def __init__(
        self,
        posterior: Source = None,
        photometry: Photometry | None = None,
        folder: Any = None,
        **choice: Any,
    ) -> None:
        self.state = TrainState(posterior, photometry, folder, **choice)
        super().__init__(self.state)
        record = self.state.posterior.bundle.training.get("record", {})
        losses, rival = record.get("validation_loss") or [None], self.state.rival
        self.loss = LossFigure(rival, losses[-1])
        self.exam, self.efficiency = ExamFigure(rival), EfficiencyFigure(rival)
        self.corner = CornerFigure()
        self._make_controls()
        wide = w.Layout(flex="1 1 300px", min_width="265px", max_width="640px")
        parts = (("loss", self.loss), ("exam", self.exam), ("efficiency", self.efficiency))
        figures = [w.Box([self._show(name, part.figure)], layout=wide) for name, part in parts]
        corner = corner_box(self._show("corner", self.corner.figure))
        beside = w.VBox([self.table, self._room_box], layout={"flex": "1 1 330px"})
        self.children = [
            w.HTML(html.help_text(_HELP) + html.of_galaxies(self.state.simulated)),
            self._controls,
            self.verdict,
            columns(*figures),
            self._galaxies,
            columns(corner, beside),
        ]
        self._watch("progress", self._refresh)
        self._watch(["mine", "theirs"], self._examine)
        self._watch("drawn", self._open)
        self._watch(["busy", "message", "simulations", "size", "seed", *_SWITCHES], self._tell)
        self._watch("handed_in", self._look_around)
        self._refresh()
        self._examine()

    def _make_controls(self) -> None:
        state = self.state
        numbers = [(f"{n:,}", n) for n in sorted({*SETS, state.simulations})]
        self.simulations = drop_down("Simulations", numbers, 190, label_width=82)
        self.size = drop_down("Network", list(SIZES), 175, label_width=64)
        numbers = [(f"{n:,}", n) for n in sorted({*BUDGETS, state.steps})]
        self.steps = drop_down("Steps", numbers, 150, label_width=44)
        self.seed = w.BoundedIntText(value=state.seed, min=0, max=10**6, description="Seed")
        self.seed.layout.width = "150px"
        self._link(simulations=self.simulations, size=self.size, steps=self.steps, seed=self.seed)
        self.switches = {
            name: w.ToggleButton(
                description=text, tooltip=meaning, icon="check", layout={"width": "auto"}
            )
            for name, (text, meaning) in _SWITCHES.items()
        }
        self._link(**self.switches)
        self.train = button("Train", "play", state.start)
        self.train.button_style = "primary"
        self.cancel = button("Cancel", "stop", state.cancel)
        self.bar = w.IntProgress(layout=w.Layout(width="170px"))
        self.bar_text = w.HTML()
        self._controls = w.VBox(
            (
                row(self.simulations, self.size, self.steps, self.seed),
                row(*self.switches.values(), self.train, self.cancel, self.bar, self.bar_text),
            )
        )
        self.verdict = w.HTML(layout=w.Layout(min_height="52px"))  # what is below does not jump
        self.galaxy = galaxy_list(state, 385)
        self._link(index=self.galaxy)
        what = "simulated" if state.simulated else "real"
        keys = html.line_key(MINE, "yours"), html.line_key("#6f6f6f", html.escape(state.rival))
        key = w.HTML(html.strip((f"<b>A {what} galaxy by both</b>", *keys), small=True))
        self._galaxies = row(key, self.galaxy, *galaxy_buttons(state))
        self.table = w.HTML()
        self.name = w.Text(description="Name", placeholder="yours", layout={"width": "220px"})
        self.name.observe(lambda _: self._offer(), "value")
        self.room = w.Text(description="Folder", placeholder="of the room")
        self.room.layout.width = "330px"
        self._link(room=self.room)
        self.give = button("Hand in", "upload", lambda: state.hand_in(self.name.value))
        self.look = button("Look around", "refresh", state.look_around)
        self.link, self.everyone = w.HTML(), w.HTML()
        self._room_box = w.VBox(
            (
                w.HTML(html.paragraph(_ROOM_HELP)),
                row(self.name, self.room),
                row(self.give, self.look, self.link),
                self.everyone,
            ),
            layout={"margin": "14px 0 0 0"},
        )

    def _refresh(self) -> None:
        """Show how far the training is, and those before."""
        state, progress = self.state, self.state.progress
        others = [(how, r) for how, r in state.records.items() if how != state.how]
        with self._together():
            if progress is None and not others:
                self.loss.clear()
            else:
                empty = Progress("", state.steps, type(others[0][1])()) if others else None
                shown = progress or empty
                assert shown is not None
                self.loss.update(shown.record, shown.steps, others)
        self._tell()

    def _examine(self) -> None:
        """Show the exam."""
        mine, theirs = self.state.mine, self.state.theirs
        with self._together():
            for part in (self.exam, self.efficiency):
                if mine is None:
                    part.clear()
                else:
                    part.update(mine, theirs)
        self.table.value = _report(mine, theirs, self.state.rival)
        self._offer()
        self._tell()

    def _open(self) -> None:
        """Show a galaxy by both networks."""
        drawn = self.state.drawn
        with self._together():
            if drawn:
                self.corner.update(drawn["mine"]._replace(method="yours"))
                self.corner.show_behind(drawn["theirs"], self.state.rival)
            else:
                self.corner.clear()

    def _tell(self) -> None:
        """Say what is done, what came of it, and what went wrong."""
        state, progress = self.state, self.state.progress
        self.train.disabled, self.cancel.disabled = state.busy, not state.busy
        self.train.description = "Go on" if state.goes_on and not state.busy else "Train"
        self.bar.layout.visibility = "visible" if state.busy else "hidden"
        self.bar_text.value = ""
        if state.busy and progress is not None:
            self.bar.max, self.bar.value = progress.steps, progress.done
            self.bar_text.value = _stage(progress)
        lines = [html.failure(state.message)] if state.message else []
        if state.mine is not None and not state.busy:
            lines.append(_verdict(state.mine, state.theirs, state.rival))
        elif progress is not None and progress.done:
            lines.append(_losses(progress))
        if state.goes_on and not state.busy:
            lines.append(f"{state.done:,} of {state.steps:,} steps are done: press <b>Go on</b>.")
        self.verdict.value = html.verdict(lines or ["Press <b>Train</b>."])

    def _offer(self) -> None:
        """Offer the exam as a file; it is in the page, not on a server."""
        mine, name = self.state.mine, self.name.value.strip()
        if mine is None or not name:
            self.link.value = ""
            return
        values = mine.exam.to_dict() | {"name": name}
        exam = Exam(**{key: value for key, value in values.items() if key != "kind"})
        data = base64.b64encode(json.dumps(values, indent=2).encode()).decode()
        file = html.escape(exam.file_name)
        self.link.value = (
            f"<a download='{file}' href='data:application/json;base64,{data}'>{file}</a>"
        )

    def _look_around(self) -> None:
        self.everyone.value = _room(self.state.handed_in)


def _stage(progress: Progress) -> str:
    """What is done now, and how long it will take."""
    left = progress.seconds_left
    if progress.stage != "training" or left is None:
        return html.busy(progress.stage)
    return html.busy(f"{progress.done:,} of {progress.steps:,}, {time_left(left)}")


def _losses(progress: Progress) -> str:
    record = progress.record
    training, validation = record.training_loss[-1], record.validation_loss[-1]
    return (
        f"After {progress.done:,} steps ({record.seconds:.0f} s): loss in training "
        f"<b>{training:.2f}</b>, of simulations that it has never seen <b>{validation:.2f}</b>."
    )


def _verdict(mine: Examined, theirs: Examined | None, rival: str) -> str:
    """What came of it, in a sentence or two."""
    exam = mine.exam
    other = html.escape(rival)
    beside = "" if theirs is None else f" ({other}: {_percent(theirs.exam.efficiency)})"
    return (
        f"{exam.steps:,} steps in {exam.seconds:.0f} s: <b>{exam.calibrated} of "
        f"{exam.quantities}</b> quantities are calibrated, as far as {exam.galaxies} simulations "
        f"can tell; of its draws <b>{_percent(exam.efficiency)}</b> are effective{beside}. "
        f"{html.escape(mine.run.check().verdict())}"
    )


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %"


_ROWS = (
    ("Numbers learnt", lambda e: f"{e.parameters:,}"),
    ("Simulations", lambda e: f"{e.simulations:,}"),
    ("Steps", lambda e: f"{e.steps:,}"),
    ("Training [s]", lambda e: f"{e.seconds:,.0f}"),
    ("Validation loss [nats]", lambda e: f"{e.loss:.2f}"),
    ("Efficiency, median", lambda e: _percent(e.efficiency)),
    ("Calibrated quantities", lambda e: f"{e.calibrated} of {e.quantities}"),
    ("Curve off by up to [points]", lambda e: f"{100 * e.worst:.0f}"),
)


def _report(mine: Examined | None, theirs: Examined | None, rival: str) -> str:
    """The numbers of both networks beside each other."""
    if mine is None:
        return ""
    exams = [mine.exam, *([] if theirs is None else [theirs.exam])]
    keys = (html.line_key(MINE, "yours"), html.line_key(THEIRS, html.escape(rival)))
    heads = "".join(f"<th>{key}</th>" for key in ("", *keys[: len(exams)]))
    return html.table([heads], [(label, *map(of, exams)) for label, of in _ROWS])


def _room(exams: Sequence[Exam]) -> str:
    """What everyone got."""
    if not exams:
        return ""
    heads = "<th>Name</th><th>Efficiency</th><th>Loss</th><th>Calibrated</th><th>Steps</th>"
    heads += "<th>Time [s]</th><th>How</th>"
    rows = [
        (
            html.escape(e.name),
            _percent(e.efficiency),
            f"{e.loss:.2f}",
            f"{e.calibrated} of {e.quantities}",
            f"{e.steps:,}",
            f"{e.seconds:,.0f}",
            f"<span style='white-space:normal'>{html.escape(e.how)}</span>",
        )
        for e in exams
    ]
    return html.table([heads], rows)
