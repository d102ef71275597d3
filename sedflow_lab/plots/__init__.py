"""Publication figures with matplotlib and corner."""

from .calibration import plot_contraction, plot_joint_coverage, plot_pp, plot_ranks
from .conditional import plot_conditional, plot_coverage_map
from .corner import plot_corner
from .histories import plot_galaxy, plot_histories
from .sed import plot_sed
from .style import COLORS, LABELS, use_style
from .training_set import plot_training_set

__all__ = [
    "COLORS",
    "LABELS",
    "plot_conditional",
    "plot_contraction",
    "plot_corner",
    "plot_coverage_map",
    "plot_galaxy",
    "plot_histories",
    "plot_joint_coverage",
    "plot_pp",
    "plot_ranks",
    "plot_sed",
    "plot_training_set",
    "use_style",
]
