"""What becomes of colours in JupyterLab's dark theme, and how legible they are."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

__all__ = ["DARK", "DARK_PAPER", "FAN_COLORS", "LIGHT_PAPER", "contrast"]

LIGHT_PAPER, DARK_PAPER = "#ffffff", "#111111"
"""What JupyterLab's themes are drawn on."""

FAN_COLORS = ("#440154", "#46327e", "#365c8d", "#277f8e", "#1fa187", "#4ac16d", "#a0da39")
"""From a lowest to a highest value: viridis without its palest, which is too pale on white."""

_DARK_FAN = ("#4a7fd0", "#2a8fb0", "#1f9a8a", "#35b779", "#6dcd59", "#b4de2c", "#fde725")

# Colours of methods are legible on either paper, and stay.
DARK: Mapping[str, str] = MappingProxyType(
    {
        "#222222": "#e9e9e9",
        "#444444": "#c8c8c8",
        "#555555": "#bdbdbd",
        "#6f6f6f": "#a6a6a6",
        "#888888": "#979797",
        "#8a8a8a": "#959595",
        "#999999": "#8c8c8c",
        "#9fb4c7": "#5d7285",
        "#c4c4c4": "#4c4c4c",
        "#dddddd": "#3b3b3b",
        "#eeeeee": "#2b2b2b",
        "#00795a": "#2bbd92",  # badges, as points
        "#8f5f00": "#e0a93f",
        "#b34e00": "#ff8f52",
        "#666666": "#a2a2a2",
        "#4f6f8f": "#8fb3d6",
        "#000000": "#f4f4f4",
        "black": "#f4f4f4",
    }
    | dict(zip(FAN_COLORS, _DARK_FAN, strict=True))
)
"""Colours of figures on dark paper, by those on light paper."""


def contrast(one: str, other: str) -> float:
    """Contrast of two colours ``#rrggbb``, from 1 to 21, as WCAG 2.1 defines it."""
    high, low = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def _luminance(color: str) -> float:
    parts = [int(color[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b
