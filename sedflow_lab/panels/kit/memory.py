"""What the panel of a cell showed last: a cell that is run again makes it so again.

The memory is that of the kernel. A cell whose code was changed begins anew.
"""

from __future__ import annotations

from typing import Any

import traitlets

from ...errors import InputError
from .state import State

__all__ = ["recall"]

_VIEWS: dict[tuple[str, str, int], str] = {}  # by code of the cell, kind of state, and number
_MADE: dict[str, Any] = {"run": None, "kinds": []}  # in the cell that is running


def recall(state: State) -> None:
    """Go to the view that the panel had before in this cell, and remember from now on."""
    if not state.shared or (key := _place(state)) is None:
        return
    if key in _VIEWS:
        try:
            state.load_json(_VIEWS[key])
        except InputError:  # it was of other galaxies
            del _VIEWS[key]

    def remember(_: traitlets.Bunch) -> None:
        _VIEWS[key] = state.to_json()

    state.observe(remember, list(state.shared))


def _place(state: State) -> tuple[str, str, int] | None:
    """Where a state is made: in which cell, and as which of its kind there."""
    from IPython import get_ipython

    shell: Any = get_ipython()
    parent = shell.get_parent() if hasattr(shell, "get_parent") else {}
    code = parent.get("content", {}).get("code")
    if not code:
        return None
    kind, run = type(state).__name__, (parent["header"]["msg_id"], code)
    if _MADE["run"] != run:
        _MADE.update(run=run, kinds=[])
    _MADE["kinds"].append(kind)
    return code, kind, _MADE["kinds"].count(kind)
