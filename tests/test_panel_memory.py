"""What a panel showed is shown again when its cell is run again."""

from __future__ import annotations

from typing import Any

import pytest
import traitlets

from sedflow_lab.panels.kit import memory
from sedflow_lab.panels.kit.state import State


class Knob(State):
    shared = ("turn", "names")

    turn = traitlets.Int(0, max=9)
    names: traitlets.Tuple = traitlets.Tuple()


class Cell:
    """Stands for the shell of a notebook: which cell runs, and for which time."""

    def __init__(self) -> None:
        self.code, self.runs = "panel", 0

    def run(self, code: str) -> None:
        self.code, self.runs = code, self.runs + 1

    def get_parent(self) -> dict[str, Any]:
        return {"header": {"msg_id": str(self.runs)}, "content": {"code": self.code}}


@pytest.fixture
def cell(monkeypatch: pytest.MonkeyPatch) -> Cell:
    shell = Cell()
    monkeypatch.setattr("IPython.get_ipython", lambda: shell)
    monkeypatch.setattr(memory, "_VIEWS", {})
    return shell


def made(**choice: Any) -> Knob:
    knob = Knob(**choice)
    memory.recall(knob)
    return knob


def test_a_cell_that_is_run_again_shows_what_it_showed(cell: Cell) -> None:
    cell.run("a")
    first = made()
    first.turn, first.names = 3, ("x", "y")
    cell.run("a")
    again = made()
    assert (again.turn, again.names) == (3, ("x", "y"))
    again.turn = 5
    cell.run("a")
    assert made().turn == 5
    cell.run("b")
    assert made().turn == 0


def test_panels_of_one_cell_are_kept_apart(cell: Cell) -> None:
    cell.run("two")
    left, right = made(), made()
    left.turn, right.turn = 1, 2
    cell.run("two")
    assert [made().turn, made().turn] == [1, 2]


def test_a_view_that_cannot_be_shown_any_more_is_forgotten(cell: Cell) -> None:
    cell.run("a")
    made().turn = 8

    class Smaller(Knob):
        turn = traitlets.Int(0, max=5)

    Smaller.__name__ = "Knob"
    cell.run("a")
    knob = Smaller()
    memory.recall(knob)
    assert knob.turn == 0
    knob.turn = 2
    cell.run("a")
    assert made().turn == 2


def test_without_a_notebook_nothing_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("IPython.get_ipython", lambda: None)
    made().turn = 4
    assert made().turn == 0
