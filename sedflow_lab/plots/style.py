"""The look that all figures share: one palette, one font scale, one name a method."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from .palette import COLORS

__all__ = ["LabFigure", "dress", "log_ticks", "new_figure", "use_style"]


_FONT = 11.0
_RC: Any = {
    "axes.axisbelow": True,
    "axes.edgecolor": "#444444",
    "axes.labelcolor": COLORS["data"],
    "axes.labelsize": _FONT,
    "axes.linewidth": 0.8,
    "axes.titlesize": _FONT + 1,
    "figure.dpi": 100,
    "figure.facecolor": "white",
    "figure.titlesize": _FONT + 2,
    "font.size": _FONT,
    "legend.fontsize": _FONT - 1.5,
    "legend.frameon": False,
    "lines.linewidth": 1.5,
    "mathtext.fontset": "dejavusans",
    "savefig.dpi": 200,
    "text.color": COLORS["data"],
}


@contextmanager
def use_style() -> Iterator[None]:
    """Context, and decorator, in which matplotlib draws in the style of this package.

    All functions of `sedflow_lab.plots` use it themselves; it is here for figures of one's own.

    Examples
    --------
    >>> with use_style():
    ...     figure = new_figure((4, 3))
    """
    with mpl.rc_context(_RC):
        yield


class LabFigure(Figure):
    """A figure that lives without pyplot: nothing to close, and notebooks still show it."""

    def _repr_png_(self) -> bytes:
        stream = BytesIO()
        self.savefig(stream, format="png", dpi=self.dpi, bbox_inches="tight")
        return stream.getvalue()


def new_figure(
    size: tuple[float, float], layout: Literal["constrained"] | None = "constrained"
) -> LabFigure:
    """Make an empty figure of this size [inch], outside pyplot's list of figures."""
    figure = LabFigure(figsize=size, layout=layout)
    FigureCanvasAgg(figure)
    return figure


def dress(ax: Axes, size: float = _FONT - 1.5) -> None:
    """Give the ticks of an axes their look, now and for those that are made at drawing."""
    ink: Any = {"color": "#444444", "labelcolor": COLORS["data"], "width": 0.7}
    ax.tick_params(which="both", direction="in", top=True, right=True, labelsize=size, **ink)
    ax.tick_params(which="major", length=4.0)
    ax.tick_params(which="minor", length=2.0)


def log_ticks(axis: Axis, low: float, high: float) -> None:
    """Label a logarithmic axis with plain numbers, two or more even where it is short."""
    decades = np.log10(high / low)
    subs = (1.0, 2.0, 5.0) if decades < 1.7 else (1.0,)
    axis.set_major_locator(LogLocator(subs=subs, numticks=20))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(LogLocator(subs=np.arange(1.0, 10.0).tolist(), numticks=200))
    axis.set_minor_formatter(NullFormatter())
