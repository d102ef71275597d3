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
    "CoveragePanel": ".coverage.view",
    "CoverageState": ".coverage.state",
    "ExplorerPanel": ".explorer.view",
    "ExplorerState": ".explorer.state",
    "GalaxyPanel": ".galaxy.view",
    "GalaxyState": ".galaxy.state",
    "WitnessPanel": ".witness.view",
    "WitnessState": ".witness.state",
}

if TYPE_CHECKING:
    from .coverage.state import CoverageState
    from .coverage.view import CoveragePanel
    from .explorer.state import ExplorerState
    from .explorer.view import ExplorerPanel
    from .galaxy.state import GalaxyState
    from .galaxy.view import GalaxyPanel
    from .witness.state import WitnessState
    from .witness.view import WitnessPanel


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
