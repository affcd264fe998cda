"""What may import what: packages only those below them, no circle, no module or name that is not there."""

from __future__ import annotations

import ast
import re
from collections import Counter
from functools import cache
from pathlib import Path

import plaudit

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "plaudit"


def module_name(file: Path) -> str:
    parts = file.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(file): file for file in SOURCE.rglob("*.py")}


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text(encoding="utf-8"))


def imports(module: str) -> set[str]:
    """The dotted names that a module imports, in functions and for types too; ``from a import b`` is ``a.b``."""
    names: set[str] = set()
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: a relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return {name for name in names if name.split(".")[0] == "plaudit"}


@cache
def names_in(module: str) -> frozenset[str]:
    """What a module defines or imports."""
    found: set[str] = set()
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.ImportFrom | ast.Import):
            found |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
    return frozenset(found)


def loaded_by(name: str) -> str | None:
    """The module that importing a dotted name loads: itself, or the one that has this name in it.

    What a package hands on from a module of its own is an import of the package, whose own imports lead on.
    """
    if name in MODULES:
        return name
    module, _, symbol = name.rpartition(".")
    there = module in MODULES and (symbol in names_in(module) or module == "plaudit")
    return module if there else None


def graph() -> dict[str, set[str]]:
    return {
        module: {found for name in imports(module) if (found := loaded_by(name))} - {module}
        for module in MODULES
    }


def circles(edges: dict[str, set[str]]) -> list[list[str]]:
    """Groups of modules that reach one another (Tarjan's strongly connected components of more than one)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for after in sorted(edges.get(node, ())):
            if after not in index:
                visit(after)
                low[node] = min(low[node], low[after])
            elif after in stack:
                low[node] = min(low[node], index[after])
        if low[node] == index[node]:
            group = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(group) > 1:
                found.append(sorted(group))

    for node in sorted(edges):
        if node not in index:
            visit(node)
    return found


def packages() -> list[str]:
    """Packages and single modules, top to bottom, as the table of docs/architecture.md has them."""
    table = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = table.partition("## Packages, top to bottom")[2].partition("\n## ")[0]
    return re.findall(r"^\| `([a-z_]+)(?:/|\.py)`", table, re.MULTILINE)


def upward(edges: dict[str, set[str]], order: list[str]) -> set[tuple[str, str]]:
    place = {f"plaudit.{name}": at for at, name in enumerate(order)}

    def place_of(module: str) -> int | None:
        return place.get(".".join(module.split(".")[:2]))

    return {
        (module, other)
        for module, others in edges.items()
        for other in others
        if (own := place_of(module)) is not None and (its := place_of(other)) is not None and its < own
    }


def test_every_package_is_in_the_table():
    assert {p.stem for p in SOURCE.iterdir() if (p / "__init__.py").exists()} <= set(packages())


def test_every_import_names_a_module_or_a_name_that_exists():
    missing = {(module, name) for module in MODULES for name in imports(module) if loaded_by(name) is None}
    assert missing == set()


def test_no_package_imports_one_above_it():
    assert upward(graph(), packages()) == set()


def test_no_modules_import_one_another_in_a_circle():
    assert circles(graph()) == []


def test_a_planted_circle_upward_import_and_missing_name_are_found():
    edges = graph()
    top, bottom = "plaudit.data.readers.sources", "plaudit.errors"
    assert bottom in edges[top]
    edges[bottom].add(top)
    assert any({top, bottom} <= set(circle) for circle in circles(edges))
    assert (bottom, top) in upward(edges, packages())
    assert loaded_by(f"{top}.no_such_name") is None and loaded_by("plaudit.no_such_module.name") is None
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}) == [["b", "c"]]


def classes_of_one_name() -> dict[str, list[str]]:
    """Modules by the name of a public class, where there are several."""
    found: dict[str, list[str]] = {}
    for module in MODULES:
        for node in tree(module).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                found.setdefault(node.name, []).append(module)
    return {name: modules for name, modules in found.items() if len(modules) > 1}


def test_no_two_public_classes_have_the_same_name():
    assert classes_of_one_name() == {}


def test_no_public_name_of_plaudit_stands_twice():
    assert [name for name, count in Counter(plaudit.__all__).items() if count > 1] == []
