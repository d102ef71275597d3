"""Colours and labels of figures, for those who draw without matplotlib, too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..methods import METHODS, Method
from ..units import MICRON

if TYPE_CHECKING:
    from ..sps.bands import BandSet

__all__ = ["COLORS", "CREDIBLE", "LABELS", "SPARE_COLORS", "method_look", "span_of"]

_LOOKS = METHODS | {
    "data": Method("Data", "#222222", "what was measured"),
    "prior": Method("Prior", "#999999", "what was known before", ":"),
    "truth": Method("Truth", "#999999", "what simulations were made of", "--"),
}

COLORS: dict[str, str] = {name: look.color for name, look in _LOOKS.items()}
"""Colours of methods, and of data, prior and truth."""

LABELS: dict[str, str] = {name: look.label for name, look in _LOOKS.items()}
"""What legends call methods; others go by their own names."""

CREDIBLE = (0.68, 0.95)
"""Probability inside the contours of corner plots."""

SPARE_COLORS = ("#CC79A7", "#56B4E9", "#000000")
"""For methods without a colour of their own, and for methods that come twice."""


def method_look(name: str) -> Method:
    """Return the look of a method of inference, by its name in `PosteriorResult.method`.

    ``"data"``, ``"prior"`` and ``"truth"`` have one as well.
    """
    return _LOOKS.get(name, Method(name, SPARE_COLORS[0], ""))


def span_of(bands: BandSet) -> tuple[float, float]:
    """Wavelengths [micron] that the axes show: all filters and a little more."""
    low = min(band.support[0] for band in bands.bands) * MICRON
    high = max(band.support[1] for band in bands.bands) * MICRON
    return 0.95 * low, 1.03 * high
