"""Methods of inference and badges: each once, with its word, label, colour and meaning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["AMORTIZED", "BADGES", "METHODS", "RECIPE", "Badge", "Method"]

RECIPE = 7
"""Version of the network's methods: raise it when the same network, galaxy and seed give other
draws, so that what was kept of before is not taken for what would be found now."""


@dataclass(frozen=True)
class Method:
    """A way to a posterior, by its word in `PosteriorResult.method`, and how figures draw it."""

    label: str  # in legends
    color: str  # from Okabe & Ito's colour-blind safe set
    meaning: str
    linestyle: Literal["-", "--", ":"] = "-"  # weighted draws share the colour of exact ones
    marker: str = "s"

    @property
    def line(self) -> dict[str, Any]:
        """Colour and line style, as matplotlib takes them."""
        return {"color": self.color, "linestyle": self.linestyle}


METHODS: dict[str, Method] = {
    "fast": Method("ANPE", "#0072B2", "draws of the network"),
    "weighted": Method(
        "ANPE weighted",
        "#009E73",
        "draws of the network and points of the prior, weighted by the likelihood",
        "--",
        "D",
    ),
    "exact": Method(
        "Exact",
        "#009E73",
        "draws of the exact posterior, by importance sampling or moving particles",
    ),
    "auto": Method("ANPE, exact where needed", "#0072B2", "fast, and exact where the badge asks"),
    "mcmc": Method("MCMC (emcee)", "#D55E00", "a chain of emcee"),
    "nested": Method("Nested sampling", "#E69F00", "nested sampling by nautilus"),
}

AMORTIZED = ("fast", "weighted", "exact", "auto")
"""The methods of `AmortizedPosterior.infer`."""


@dataclass(frozen=True)
class Badge:
    """How far to trust a posterior, by its word in `PosteriorResult.badge`."""

    meaning: str
    color: str  # a background dark enough for white letters


_GOOD, _CAUTION, _BAD, _GREY = "#00795A", "#8F5F00", "#B34E00", "#666666"

BADGES: dict[str, Badge] = {
    "ok": Badge("the network's posterior is close to the exact one", _GOOD),
    "refine": Badge("the network's posterior is a rough guide: make it exact", _CAUTION),
    "exact": Badge("the network's posterior, made exact", _GOOD),
    "model cannot fit": Badge("exact, but no parameters reproduce the photometry", _BAD),
    "bad photometry": Badge("the photometry cannot be used", _BAD),
    "unfinished": Badge("stopped early: not yet the exact posterior", _GREY),
    "converged": Badge("the ensembles of the chain agree, and are long enough", _GOOD),
    "not converged": Badge("the chain is too short, or its ensembles disagree", _CAUTION),
}
"""What each badge says. Contrast with white is 4.5 or more (WCAG 2.1, level AA)."""
