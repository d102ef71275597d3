"""Faces of packages that load what they show when it is first touched."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

__all__ = ["lazy"]


def lazy(package: str, names: Mapping[str, str]) -> Callable[[str], Any]:
    """Make the `__getattr__` of a package.

    Parameters
    ----------
    package : str
        Its `__name__`.
    names : mapping
        The names that each module has, with spaces between them; modules relative to the package.
    """
    home = {name: module for module, them in names.items() for name in them.split()}

    def get(name: str) -> Any:
        if name in home:
            return getattr(import_module(home[name], package), name)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return get
