"""Publication figures with matplotlib and corner."""

from .corner import plot_corner
from .histories import plot_galaxy, plot_histories
from .sed import plot_sed
from .style import COLORS, LABELS, use_style

__all__ = [
    "COLORS",
    "LABELS",
    "plot_corner",
    "plot_galaxy",
    "plot_histories",
    "plot_sed",
    "use_style",
]
