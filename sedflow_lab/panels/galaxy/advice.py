"""What to do about a badge: a sentence, and a button that does it."""

from __future__ import annotations

from typing import NamedTuple

from ...anpe.blame import Blame
from ..kit.choice import Outcome

__all__ = ["Advice", "advise"]


class Advice(NamedTuple):
    """What to do next.

    Attributes
    ----------
    text : str
        A sentence.
    action : str
        What a button is to do: ``"exact"``, ``"emcee"``, ``"outliers"``, ``"error_floor"``,
        ``"all_bands"``, the label of a band to leave out, or ``""`` for none.
    label : str
        What is on the button.
    """

    text: str
    action: str = ""
    label: str = ""


def advise(
    outcome: Outcome,
    blamed: Blame | None,
    *,
    busy: bool = False,
    witnessed: bool = False,
    outliers: bool = False,
    error_floor: bool = False,
) -> Advice:
    """What to do about the badge of an outcome.

    Parameters
    ----------
    outcome : Outcome
    blamed : Blame or None
        The band that the others do not agree with.
    busy : bool
        Whether an exact posterior is under way.
    witnessed : bool
        Whether emcee has been run.
    outliers, error_floor : bool
        What is allowed already.
    """
    word, method = str(outcome.result.badge[0]), outcome.result.method
    if busy:
        return Advice("Wait for the exact posterior, which takes its place in some seconds.")
    if word == "bad photometry":
        return Advice("Tick two bands or more that were measured well.", "all_bands", "All bands")
    if blamed is not None and len(outcome.photometry.bands.labels) > 2:
        return Advice(
            f"Leave {blamed.band} out, or allow bad bands, and see whether the answer moves.",
            blamed.band,
            f"Leave out {blamed.band}",
        )
    if word == "model cannot fit":
        if not error_floor:
            text = "Allow for errors of calibration and of the model, and see whether it fits then."
            return Advice(text, "error_floor", "Error floor")
        if not outliers:
            text = "Let each band be bad, so that one that does not fit hardly counts."
            return Advice(text, "outliers", "Allow bad bands")
        return Advice("Do not use these numbers: the model has no galaxy like this one.")
    if word in ("refine", "unfinished"):
        return Advice("Make it exact before you use the numbers.", "exact", "Make exact")
    if method == "exact" and not witnessed:
        text = "Use it. Who doubts it may ask emcee, which knows nothing of the network."
        return Advice(text, "emcee", "Run emcee")
    if method == "exact":
        return Advice("Use it, and see whether emcee's outlines lie on it.")
    text = "Use it: marginals are off by half a σ at most. Where that matters, make it exact."
    return Advice(text, "exact", "Make exact")
