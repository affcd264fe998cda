"""Which code computes a step's numbers, as one hash: no docstrings, no comments, nothing that the step does not reach.

From the functions that a kind of step names, every function, class and constant that they mention is followed through
the packages that compute numbers. What a step reaches only through an object it is handed is not seen.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

# Packages of plaudit that decide numbers; a change elsewhere (printing, recording, settings) makes no other weights.
COMPUTES = (
    "plaudit.objectives",
    "plaudit.methods",
    "plaudit.training",
    "plaudit.models",
    "plaudit.kernels",
    "plaudit.rollout",
    "plaudit.rewards",
    "plaudit.judges",
    "plaudit.data.tokens",
    "plaudit.data.items",
    "plaudit.data.layouts",
    "plaudit.data.batching",
    "plaudit.data.rendering",
    "plaudit.data.encoding",
    "plaudit.pipeline.steps",
)
DESCRIPTIONS = "descriptors"


@dataclass(frozen=True)
class Module:
    """A module's top-level definitions, and where its imported names come from."""

    name: str
    defined: dict[str, list[ast.stmt]] = field(default_factory=dict)
    imported: dict[str, tuple[str, str | None]] = field(default_factory=dict)


def code_version(roots: Iterable[Any]) -> str:
    """The hash of all code that ``module:name`` references reach."""
    owners = {r.partition(":")[0].partition(".")[0] for r in map(_as_text, roots) if r} - {"plaudit"}
    texts = {_as_text(r) for r in roots}
    seen: dict[tuple[str, str], str] = {}
    waiting = [(module, name.partition(".")[0]) for module, _, name in (t.partition(":") for t in texts if t)]
    while waiting:
        module, name = waiting.pop()
        if (module, name) in seen or not _counts(module, owners):
            continue
        found = _module(module)
        if found is None:
            continue
        if name in found.imported:
            waiting.append(_target(found.imported[name], name))
            continue
        nodes = found.defined.get(name, [])
        seen[module, name] = "".join(_dump(node) for node in nodes)
        for node in nodes:
            waiting += _mentioned(node, found)
    digest = hashlib.blake2b(digest_size=8)
    for key in sorted(seen):
        digest.update(repr((key, seen[key])).encode())
    return digest.hexdigest()


def source_hash(reference: str) -> str:
    """The hash of a user's own module behind ``module:name``, without importing it; its name where it has no source."""
    path = _source(reference.partition(":")[0])
    if path is None:
        return reference
    return hashlib.blake2b(_dump(_tree(path)).encode(), digest_size=8).hexdigest()


def _as_text(reference: Any) -> str:
    if isinstance(reference, str):
        return reference
    module, name = getattr(reference, "__module__", ""), getattr(reference, "__qualname__", "")
    return f"{module}:{name}" if module and name else ""


def _counts(module: str, owners: set[str]) -> bool:
    if module.rpartition(".")[2] == DESCRIPTIONS:
        return False
    return module.partition(".")[0] in owners or any(
        module == p or module.startswith(f"{p}.") or p.startswith(f"{module}.") for p in COMPUTES
    )


def _target(origin: tuple[str, str | None], name: str) -> tuple[str, str]:
    module, symbol = origin
    return module, symbol if symbol is not None else name


@cache
def _source(module: str) -> Path | None:
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return None
    if spec is None or not spec.origin or not spec.origin.endswith(".py"):
        return None
    return Path(spec.origin)


@cache
def _tree(path: Path) -> ast.Module:
    return _Bare().visit(ast.parse(path.read_text(encoding="utf-8")))


@cache
def _module(name: str) -> Module | None:
    path = _source(name)
    if path is None:
        return None
    found = Module(name)
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(_tree(path)):
        for local, origin in _imports(node, package):
            found.imported.setdefault(local, origin)
    for statement in _statements(_tree(path).body):
        for defined in _names(statement):
            found.defined.setdefault(defined, []).append(statement)
            found.imported.pop(defined, None)
    return found


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Top-level definitions, those under an ``if`` or ``try`` too."""
    for statement in body:
        if isinstance(statement, ast.If | ast.Try):
            yield from _statements(statement.body)
            yield from _statements(statement.orelse)
        else:
            yield statement


def _names(statement: ast.stmt) -> list[str]:
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [statement.name]
    targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
    return [n.id for t in targets if t is not None for n in ast.walk(t) if isinstance(n, ast.Name)]


def _imports(node: ast.AST, package: str) -> Iterator[tuple[str, tuple[str, str | None]]]:
    """(local name, (module, symbol)): the symbol is None where the module itself is imported."""
    if isinstance(node, ast.ImportFrom):
        parents = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
        module = ".".join([*parents, *([node.module] if node.module else [])])
        for alias in node.names:
            whole = f"{module}.{alias.name}"
            origin = (
                (whole, None) if module.startswith("plaudit") and _source(whole) else (module, alias.name)
            )
            yield alias.asname or alias.name, origin
    elif isinstance(node, ast.Import):
        for alias in node.names:
            yield alias.asname or alias.name.partition(".")[0], (alias.name, None)


def _mentioned(node: ast.AST, module: Module) -> Iterator[tuple[str, str]]:
    """The definitions that a piece of code names: its module's own, and what that imported."""
    for part in ast.walk(node):
        if isinstance(part, ast.Attribute) and isinstance(part.value, ast.Name):
            origin = module.imported.get(part.value.id)
            if origin is not None and origin[1] is None:
                yield origin[0], part.attr
        if isinstance(part, ast.Name):
            if part.id in module.defined:
                yield module.name, part.id
            elif (origin := module.imported.get(part.id)) is not None and origin[1] is not None:
                yield origin[0], origin[1]


def _dump(node: ast.AST) -> str:
    return ast.dump(node)


class _Bare(ast.NodeTransformer):
    """Code without docstrings: they compute nothing."""

    def visit_Module(self, node: ast.Module) -> ast.AST:
        return self._without(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return self._without(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        return self._without(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        return self._without(node)

    def _without(self, node: Any) -> ast.AST:
        first = node.body[0] if node.body else None
        if (
            isinstance(first, ast.Expr)
            and isinstance(first.value, ast.Constant)
            and isinstance(first.value.value, str)
        ):
            node.body = node.body[1:] or [ast.Pass()]
        self.generic_visit(node)
        return node
