"""Keywords that were renamed: the old name is still accepted, with a warning."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

__all__ = ["renamed"]

_Function = TypeVar("_Function", bound=Callable[..., Any])


def renamed(**new_names: str) -> Callable[[_Function], _Function]:
    """Let a function accept old keywords under new names, as in ``@renamed(phot="photometry")``.

    It warns of an old keyword (`DeprecationWarning`), and raises `TypeError` if the new one is
    given, too.
    """

    def decorate(function: _Function) -> _Function:
        @wraps(function)
        def accept(*args: Any, **kwargs: Any) -> Any:
            for old in new_names.keys() & kwargs.keys():
                new = new_names[old]
                if new in kwargs:
                    raise TypeError(
                        f"{function.__name__}() was given {new} and, under its old name, {old}: "
                        f"leave out {old}."
                    )
                warnings.warn(
                    f"The keyword {old} of {function.__name__}() is called {new} now.",
                    DeprecationWarning,
                    stacklevel=2,
                )
                kwargs[new] = kwargs.pop(old)
            return function(*args, **kwargs)

        return accept  # type: ignore[return-value]  # takes what the function takes, and old words

    return decorate
