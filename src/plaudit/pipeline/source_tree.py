"""Python source as syntax trees, read without importing it: definitions, imports, and what a definition mentions."""

from __future__ import annotations

import ast
import importlib.util
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

OWN = "plaudit"
RUN_AT_IMPORT = ""  # statements of a module that define nothing, such as a registration
NAMED = re.compile(rf"{OWN}(?:\.[a-z_][a-z0-9_]*)+(?::[A-Za-z_]\w*)?")


@dataclass(frozen=True)
class Origin:
    """Where an imported name comes from; without a symbol it is the module itself."""

    module: str
    symbol: str | None = None


@dataclass(frozen=True)
class Module:
    """A module's top-level definitions, and where its imported names come from."""

    name: str
    package: str
    defined: dict[str, list[ast.stmt]] = field(default_factory=dict)
    imported: dict[str, Origin] = field(default_factory=dict)


@cache
def source_of(module: str) -> Path | None:
    """The file of a module, found without importing anything."""
    top, *rest = module.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    if not rest:
        return Path(spec.origin) if spec.origin and spec.origin.endswith(".py") else None
    for folder in spec.submodule_search_locations or ():
        place = Path(folder, *rest)
        for path in (place.with_name(f"{place.name}.py"), place / "__init__.py"):
            if path.is_file():
                return path
    return None


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def module_of(name: str) -> Module | None:
    path = source_of(name)
    if path is None:
        return None
    found = Module(name, name if path.name == "__init__.py" else name.rpartition(".")[0])
    for statement in _statements(tree_of(path).body):
        if isinstance(statement, ast.Import | ast.ImportFrom):
            for local, origin in _imports(statement, found.package):
                found.imported.setdefault(local, origin)
        for defined in _names(statement) or _run_at_import(statement):
            found.defined.setdefault(defined, []).append(statement)
    for defined in found.defined:
        found.imported.pop(defined, None)
    return found


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Top-level statements, those under an ``if`` or ``try`` too."""
    for statement in body:
        if isinstance(statement, ast.If | ast.Try):
            yield from _statements(statement.body)
            yield from _statements(statement.orelse)
            for handler in getattr(statement, "handlers", ()):
                yield from _statements(handler.body)
        else:
            yield statement


def _names(statement: ast.stmt) -> list[str]:
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [statement.name]
    targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
    within = [n for t in targets if t is not None for n in ast.walk(t)]
    return [n.id for n in within if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)]


def _run_at_import(statement: ast.stmt) -> list[str]:
    """Whether a statement acts when its module is imported and defines nothing."""
    if isinstance(statement, ast.Import | ast.ImportFrom | ast.Pass):
        return []
    words = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    return [] if words else [RUN_AT_IMPORT]


def _imports(node: ast.Import | ast.ImportFrom, package: str) -> Iterator[tuple[str, Origin]]:
    """(local name, where it comes from)."""
    if isinstance(node, ast.ImportFrom):
        parents = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
        module = ".".join([*parents, *([node.module] if node.module else [])])
        for alias in node.names:
            yield alias.asname or alias.name, Origin(module, alias.name)
        return
    for alias in node.names:
        yield (
            alias.asname or alias.name.partition(".")[0],
            Origin(alias.name if alias.asname else alias.name.partition(".")[0]),
        )


@cache
def read(module: str, name: str) -> tuple[str, tuple[tuple[Origin, tuple[str, ...]], ...]]:
    """A definition's code as text, and what it mentions: each an origin with the attributes behind it."""
    known = module_of(module)
    assert known is not None
    texts: list[str] = []
    found: dict[tuple[Origin, tuple[str, ...]], None] = {}
    for node in known.defined[name]:
        text, chains, imports, named = flat(node)
        texts.append(text)
        inside = {local: o for i in imports for local, o in _imports(i, known.package)}
        for first, *rest in chains:
            if first in inside:
                found[inside[first], tuple(rest)] = None
            elif first in known.defined:
                found[Origin(module, first), ()] = None
            elif first in known.imported:
                found[known.imported[first], tuple(rest)] = None
        for reference in named:
            found[Origin(reference.partition(":")[0], reference.partition(":")[2] or None), ()] = None
    return "".join(texts), tuple(found)


def flat(
    node: ast.AST,
) -> tuple[str, set[tuple[str, ...]], list[ast.Import | ast.ImportFrom], set[str]]:
    """A node's code as text without docstrings; the dotted names, imports and modules in text that stand in it."""
    text: list[str] = []
    chains: set[tuple[str, ...]] = set()
    imports: list[ast.Import | ast.ImportFrom] = []
    named: set[str] = set()

    def visit(part: Any) -> None:
        if isinstance(part, list):
            text.append("[")
            for one in part:
                visit(one)
            text.append("]")
            return
        if not isinstance(part, ast.AST):
            text.append(repr(part))
            return
        kind = type(part)
        text.append(kind.__name__)
        if kind is ast.Name:
            text.append(part.id)  # type: ignore[attr-defined]
            chains.add((part.id,))  # type: ignore[attr-defined]
            return
        if kind is ast.Attribute and (chain := _chain(part)):
            text.append(".".join(chain))
            chains.add(chain)
            return
        if kind is ast.Import or kind is ast.ImportFrom:
            imports.append(part)  # type: ignore[arg-type]
        if kind is ast.Constant and isinstance(part.value, str) and NAMED.fullmatch(part.value):  # type: ignore[attr-defined]
            named.add(part.value)  # type: ignore[attr-defined]
        for name in kind._fields:
            if name == "ctx":
                continue
            value = getattr(part, name, None)
            if name == "body" and isinstance(value, list) and _is_docstring(kind, value):
                value = value[1:] or [ast.Pass()]
            if value is not None and value != []:
                text.append(name)
                visit(value)
        text.append(";")

    visit(node)
    return "\x1f".join(text), chains, imports, named


def _chain(node: Any) -> tuple[str, ...]:
    """``a.b.c`` as its names; empty where it begins with anything but a name."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return (node.id, *reversed(names)) if isinstance(node, ast.Name) else ()


def _is_docstring(kind: type, body: list[Any]) -> bool:
    first = body[0] if body else None
    return (
        kind in (ast.Module, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
        and isinstance(first, ast.Expr)
        and isinstance(first.value, ast.Constant)
        and isinstance(first.value.value, str)
    )
