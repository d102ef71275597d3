"""Panels for notebooks: each is a state without widgets, its figures, and the view on both."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import lazy

if TYPE_CHECKING:
    from .abc.state import ABCState
    from .abc.view import ABCPanel
    from .catalogue.state import CatalogueState
    from .catalogue.view import CataloguePanel
    from .coverage.state import CoverageState
    from .coverage.view import CoveragePanel
    from .explorer.state import ExplorerState
    from .explorer.view import ExplorerPanel
    from .galaxy.state import GalaxyState
    from .galaxy.view import GalaxyPanel
    from .own.state import OwnState
    from .own.view import OwnGalaxiesPanel
    from .picker.state import PickerState
    from .picker.view import PickerPanel
    from .train.state import TrainState
    from .train.view import TrainPanel
    from .whatif.state import WhatIfState
    from .whatif.view import WhatIfPanel
    from .witness.state import WitnessState
    from .witness.view import WitnessPanel

# Bokeh and ipywidgets load when a view is first asked for: a state needs neither.
__getattr__, __all__ = lazy(__name__, __file__)
