"""Publication figures with matplotlib and corner."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import lazy

if TYPE_CHECKING:
    from .calibration import plot_contraction, plot_joint_coverage, plot_pp, plot_ranks
    from .conditional import plot_conditional, plot_coverage_map
    from .corner import plot_corner
    from .histories import plot_galaxy, plot_histories
    from .palette import COLORS, LABELS
    from .sed import plot_sed
    from .style import use_style
    from .training_set import plot_training_set

# Panels ask for the palette alone.
__getattr__, __all__ = lazy(__name__, __file__)
