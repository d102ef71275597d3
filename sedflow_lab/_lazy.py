"""Faces of packages that load what they show when it is first touched."""

from __future__ import annotations

import ast
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

__all__ = ["lazy"]


def lazy(package: str, file: str) -> tuple[Callable[[str], Any], list[str]]:
    """Make `__getattr__` and `__all__` of a package of what its face imports for type checkers.

    So there is one list of names: the imports under ``if TYPE_CHECKING``.

    Parameters
    ----------
    package, file : str
        Its `__name__` and `__file__`.
    """
    face = ast.parse(Path(file).read_bytes()).body
    imports = next(node for node in face if isinstance(node, ast.If)).body
    home = {
        alias.name: "." * node.level + str(node.module)
        for node in imports
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }

    def get(name: str) -> Any:
        if name in home:
            return getattr(import_module(home[name], package), name)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return get, sorted(home)
