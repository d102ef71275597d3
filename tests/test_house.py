"""The house: who may import from whom, and whether CONTRIBUTING.md lists the rooms."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "sedflow_lab"
MODULES = sorted(PACKAGE.rglob("*.py"))

MOST_ROOMS = 20
MOST_LINES = 400  # of a module: it can be read in one sitting

HOLDS = {"picker": {"galaxy"}, "own": {"picker"}}
"""Panels that hold others: they take them as they are, and know nothing of their insides."""

DRAWING = {"matplotlib", "bokeh", "corner"}
NUMERICAL = {"numpy", "torch", "scipy"}


def room_order() -> list[str]:
    """Rooms in the order of the table, a row's own modules from left to right."""
    rows = re.findall(r"^\| ((?:`[a-z_]+(?:\.py|/)`(?:, )?)+) \|", table_of_rooms(), re.MULTILINE)
    return [
        name.removesuffix(".py").rstrip("/") for row in rows for name in re.findall("`(.*?)`", row)
    ]


def table_of_rooms() -> str:
    page = (ROOT / "CONTRIBUTING.md").read_text()
    return page[page.index("| in `sedflow_lab/` | lives |") :]


def dotted(path: Path) -> tuple[list[str], bool]:
    """Name of a module below the package, and whether it is a package itself."""
    parts = list(path.relative_to(PACKAGE).with_suffix("").parts)
    return (parts[:-1], True) if parts[-1] == "__init__" else (parts, False)


def own_imports(path: Path, lazy: bool = True) -> Iterator[tuple[int, list[str], list[str]]]:
    """Line, module below the package, and names of every relative import.

    Those of functions can be left out; those for annotations alone count always.
    """
    name, is_package = dotted(path)
    base = name if is_package else name[:-1]
    pending: list[ast.AST] = [ast.parse(path.read_text())]
    while pending:
        node = pending.pop()
        if lazy or not isinstance(node, ast.FunctionDef):
            pending.extend(ast.iter_child_nodes(node))
        if isinstance(node, ast.ImportFrom) and node.level:
            up = base[: len(base) - node.level + 1]
            yield node.lineno, up + (node.module or "").split("."), [a.name for a in node.names]


def foreign_imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield str(node.module).partition(".")[0]


def where(path: Path, line: int) -> str:
    return f"{path.relative_to(ROOT)}:{line}"


def test_table_lists_every_room_once():
    rooms = {
        path.name.removesuffix(".py")
        for path in PACKAGE.iterdir()
        if path.suffix == ".py" or (path / "__init__.py").exists()
    } - {"__init__"}
    order = room_order()
    assert sorted(order) == sorted({*rooms, "data"})
    assert len([room for room in order if not room.startswith("_")]) <= MOST_ROOMS


def test_no_room_imports_from_one_below_it_in_the_table():
    order = room_order()
    for path in MODULES:
        name, _ = dotted(path)
        if not name:  # the package's face may point anywhere: nothing imports from it
            continue
        for line, module, names in own_imports(path):
            for target in [module[0]] if module[0] else names:
                assert target in order, f"{where(path, line)} imports from the package's face"
                assert order.index(target) <= order.index(name[0]), where(path, line)


def test_no_panel_imports_another_panel_but_those_that_hold_one():
    for path in sorted((PACKAGE / "panels").rglob("*.py")):
        name, _ = dotted(path)
        if len(name) < 2:
            continue
        for line, module, _ in own_imports(path):
            if module[:1] == ["panels"] and len(module) > 1:
                mine = (name[1], "kit", *HOLDS.get(name[1], ()))
                assert module[1] in mine, where(path, line)
                assert module[1] in mine[:2] or module[2:] == ["view"], where(path, line)


def test_commands_parse_and_call_but_compute_nothing():
    for path in sorted((PACKAGE / "commands").rglob("*.py")):
        assert not NUMERICAL & set(foreign_imports(path)), path


def test_nothing_below_the_plots_draws():
    order = room_order()
    for path in MODULES:
        name, _ = dotted(path)
        if name and order.index(name[0]) < order.index("plots"):
            assert not DRAWING & set(foreign_imports(path)), path


def test_modules_do_not_import_in_a_circle():
    edges: dict[str, set[str]] = {}
    known = {".".join(dotted(path)[0]) for path in MODULES}
    for path in MODULES:
        name = ".".join(dotted(path)[0])
        targets: set[str] = set()
        for _, module, names in own_imports(path, lazy=False):
            parent = ".".join(part for part in module if part)
            inner = {f"{parent}.{n}".lstrip(".") for n in names}
            targets |= (inner & known) or {parent} & known
        edges[name] = targets - {name}
    # Names only for annotations count too: what needs to know of each other is one thing.
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join((*path[path.index(name) :], name))
        if name not in done:
            for target in sorted(edges[name]):
                visit(target, (*path, name))
            done.add(name)

    for name in sorted(edges):
        if name:
            visit(name, ())


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_module_can_be_read_in_one_sitting(path: Path):
    assert len(path.read_text().splitlines()) <= MOST_LINES
