"""Panels for notebooks: each is a state without widgets, its figures, and the view on both."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__all__ = [
    "CoveragePanel",
    "CoverageState",
    "ExplorerPanel",
    "ExplorerState",
    "GalaxyPanel",
    "GalaxyState",
    "WitnessPanel",
    "WitnessState",
]

# Bokeh and ipywidgets load when a view is first asked for: a state needs neither.
_HOME = {
    "CoveragePanel": ".coverage",
    "CoverageState": ".coverage_state",
    "ExplorerPanel": ".explorer",
    "ExplorerState": ".explorer_state",
    "GalaxyPanel": ".view",
    "GalaxyState": ".state",
    "WitnessPanel": ".witness",
    "WitnessState": ".witness_state",
}

if TYPE_CHECKING:
    from .coverage import CoveragePanel
    from .coverage_state import CoverageState
    from .explorer import ExplorerPanel
    from .explorer_state import ExplorerState
    from .state import GalaxyState
    from .view import GalaxyPanel
    from .witness import WitnessPanel
    from .witness_state import WitnessState


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
