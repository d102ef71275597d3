"""Judges of a learner's answers: right, or a sentence that helps."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any, Concatenate, ParamSpec

__all__ = ["exercise", "judge"]

P = ParamSpec("P")

_MISSING = "Not answered yet: put your number in place of None, and run the cell again."


def exercise(
    check: Callable[Concatenate[Any, P], None],
) -> Callable[Concatenate[Any, P], None]:
    """A check that says at once, without working out the answer, where there is none to judge."""

    @functools.wraps(check)
    def checked(answer: Any, /, *args: P.args, **kwargs: P.kwargs) -> None:
        if answer is None:
            print(_MISSING)
        else:
            check(answer, *args, **kwargs)

    return checked


def judge(
    answer: Any, right: float, within: float, hint: str, slips: Mapping[str, float] | None = None
) -> str:
    """Say whether a number is right.

    Parameters
    ----------
    answer : float
        The learner's.
    right : float
    within : float
        Largest difference that is still right.
    hint : str
        What to think of when it is wrong.
    slips : mapping of str to float, optional
        What likely mistakes give, by the sentence that helps.
    """
    try:
        number = float(answer)
    except (TypeError, ValueError):
        return f"A number is asked for, not {type(answer).__name__}: {hint}"
    if not math.isfinite(number):
        return f"{number} is no answer: {hint}"
    if abs(number - right) <= within:
        return f"Right: {number:.4g}."
    for sentence, slip in (slips or {}).items():
        if abs(number - slip) <= (within * abs(slip / right) if right else within):
            return f"{number:.4g} is not it. {sentence}"
    size = "too large" if number > right else "too small"
    return f"{number:.4g} is {size}. {hint}"
