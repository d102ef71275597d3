"""Panels for notebooks: each is a state without widgets, its figures, and the view on both."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import lazy

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

if TYPE_CHECKING:
    from .coverage.state import CoverageState
    from .coverage.view import CoveragePanel
    from .explorer.state import ExplorerState
    from .explorer.view import ExplorerPanel
    from .galaxy.state import GalaxyState
    from .galaxy.view import GalaxyPanel
    from .witness.state import WitnessState
    from .witness.view import WitnessPanel

# Bokeh and ipywidgets load when a view is first asked for: a state needs neither.
__getattr__ = lazy(
    __name__,
    {
        ".coverage.state": "CoverageState",
        ".coverage.view": "CoveragePanel",
        ".explorer.state": "ExplorerState",
        ".explorer.view": "ExplorerPanel",
        ".galaxy.state": "GalaxyState",
        ".galaxy.view": "GalaxyPanel",
        ".witness.state": "WitnessState",
        ".witness.view": "WitnessPanel",
    },
)
