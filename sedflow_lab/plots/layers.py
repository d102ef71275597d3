"""What is drawn over one another: posteriors of one galaxy by several methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np

from ..errors import InputError
from ..methods import Method
from ..observations.photometry import Photometry
from ..parameters import N_THETA
from ..posterior.result import PosteriorResult
from ..posterior.weighting import systematic_resample
from .palette import SPARE_COLORS, method_look

__all__ = ["Layer", "Results", "as_layers", "as_truth", "title_of", "with_looks"]

Kind = TypeVar("Kind", bound=Any)

Results = PosteriorResult | Sequence[PosteriorResult] | Mapping[str, PosteriorResult]
"""One result, several, or several with labels of one's own for the legend."""


@dataclass(frozen=True)
class Layer:
    """The posterior of one galaxy by one method, and how it is drawn."""

    result: PosteriorResult
    look: Method

    @property
    def theta(self) -> np.ndarray:
        """Draws that have weight, shape (D, 12)."""
        return self.result.samples[0, self.result.weights[0] > 0]

    @property
    def weights(self) -> np.ndarray:
        """Weights of `theta`, shape (D,)."""
        weights = self.result.weights[0]
        return weights[weights > 0]

    @property
    def redshift(self) -> float:
        """Redshift of the galaxy as it was measured."""
        return float(self.result.redshift[0])

    @property
    def redshifts(self) -> np.ndarray:
        """Redshifts of `theta`, shape (D,): all the same where it is known."""
        return self.result.draw_redshift[0, self.result.weights[0] > 0]

    def draws(self, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Equally weighted draws, shape (n, 12), and redshifts (n,); the same ones every time."""
        chosen = systematic_resample(self.result.weights, n)[0]
        return self.result.samples[0, chosen], self.result.draw_redshift[0, chosen]


def with_looks(given: Any, kind: type[Kind]) -> list[tuple[Kind, Method]]:
    """One thing of a kind, several, or several by labels of one's own, each with its look.

    Raises
    ------
    InputError
        If there is none, or one of another kind.
    """
    given = [given] if isinstance(given, kind) else given
    named = given.items() if isinstance(given, Mapping) else (("", thing) for thing in given)
    pairs: list[tuple[Kind, Method]] = []
    for label, thing in named:
        if not isinstance(thing, kind):
            raise InputError(
                f"Plots need {kind.__name__} objects, not {type(thing).__name__}: give what "
                "infer(), run_mcmc() or run_calibration() returned."
            )
        look = method_look(thing.method)
        pairs.append((thing, replace(look, label=label or look.label)))
    if not pairs:
        raise InputError(f"There is no result to plot: give one {kind.__name__} or more.")
    return pairs


def as_layers(results: Results, galaxy: int | str = 0) -> list[Layer]:
    """Take one galaxy out of several results, found by its id.

    Parameters
    ----------
    results : PosteriorResult, or a sequence or mapping of them
        They may hold different galaxies as long as each holds this one.
    galaxy : int or str
        Row in the first result, or id.

    Raises
    ------
    InputError
        If there is no result, or one lacks the galaxy, has it at another redshift, or has no
        posterior for it.
    """
    members = with_looks(results, PosteriorResult)
    layers: list[Layer] = []
    looks = _told_apart([look for _, look in members])
    for (result, _), look in zip(members, looks, strict=True):
        row = _row(result, galaxy, layers[0].result if layers else None, look.label)
        one = result[row]
        if not one.usable[0]:
            raise InputError(
                f"Galaxy {str(one.ids[0])!r} has no posterior in the result {look.label!r}: "
                f"{one.problems[0] or 'all weights are zero'}."
            )
        layers.append(Layer(one, look))
    return layers


def title_of(galaxy: PosteriorResult | Photometry) -> str:
    """Id and redshift of one galaxy, the title of its figures."""
    return f"Galaxy {galaxy.ids[0]}, z = {galaxy.redshift[0]:.4g}"


def as_truth(truth: np.ndarray | None) -> np.ndarray | None:
    """Check true parameters, shape (12,)."""
    if truth is None:
        return None
    array = np.asarray(truth, dtype=np.float64)
    if array.shape != (N_THETA,):
        raise InputError(
            f"truth needs the shape ({N_THETA},), the reported parameters, not {array.shape}."
        )
    return array


def _row(
    result: PosteriorResult, galaxy: int | str, first: PosteriorResult | None, label: str
) -> int:
    if first is None and not isinstance(galaxy, str):
        if not -len(result) <= galaxy < len(result):
            raise InputError(
                f"Galaxy {galaxy} was asked for, but the result {label!r} holds {len(result)}."
            )
        return int(galaxy)
    name = galaxy if first is None else str(first.ids[0])
    found = np.flatnonzero(result.ids == name)
    if not len(found):
        some = ", ".join(repr(str(i)) for i in result.ids[:3])
        raise InputError(
            f"The result {label!r} has no galaxy {name!r}: it holds {some}"
            f"{', ...' if len(result) > 3 else ''}."
        )
    if first is None:
        return int(found[0])
    same = np.isclose(result.redshift[found], first.redshift[0], rtol=1e-5, atol=0)
    if not same.any():
        raise InputError(
            f"Galaxy {name!r} is at redshift {result.redshift[found[0]]:g} in the result "
            f"{label!r}, but at {first.redshift[0]:g} in the first: plot results of the same "
            "photometry."
        )
    return int(found[same][0])


def _told_apart(looks: list[Method]) -> list[Method]:
    """Give each layer its own label, and its own colour where colour and line are taken."""
    spare = list(SPARE_COLORS)
    out: list[Method] = []
    for look in looks:
        count = sum(look.label == other.label for other in looks[: len(out)])
        if count:
            look = replace(look, label=f"{look.label} ({count + 1})")
        while spare and any((look.color, look.linestyle) == (o.color, o.linestyle) for o in out):
            look = replace(look, color=spare.pop(0))
        out.append(look)
    return out
