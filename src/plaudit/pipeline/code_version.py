"""Which code computes a step's numbers, as one hash: no docstrings, no comments, nothing that the step does not reach.

From the functions that a kind of step names, every function, class and constant that they mention is followed through
the packages that compute numbers, modules that are named in text too (``"plaudit.kernels.token_logprob"``). A class
counts as a whole. Not followed: how files are read (``data/readers``), and what is reached only through an object whose
class no code on the way names; a kind of step names such code in ``code``.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

OWN = "plaudit"
# Packages and modules of plaudit that decide numbers; a change elsewhere (printing, recording) makes no other weights.
COMPUTES = tuple(
    f"{OWN}.{name}"
    for name in (
        "objectives",
        "methods",
        "training",
        "models",
        "kernels",
        "rollout",
        "rewards",
        "judges",
        "generation",
        "evaluation",
        "feedback.simulated",
        "data.tokens",
        "data.rendering",
        "data.records",
        "data.splits",
        "data.mixture",
        "pipeline.context",
        "pipeline.datasets",
        "pipeline.steps",
    )
)
DESCRIPTIONS = "descriptors"
EVERYTHING = "*"
RUN_AT_IMPORT = ""  # statements of a module that define nothing, such as a registration
NAMED = re.compile(rf"{OWN}(?:\.[a-z_][a-z0-9_]*)+(?::[A-Za-z_]\w*)?")

Definition = tuple[str, str]  # module, name


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


def code_version(roots: Iterable[Any]) -> str:
    """The hash of all code that ``module:name`` references reach."""
    digest = hashlib.blake2b(digest_size=8)
    for key in sorted(reached(roots)):
        digest.update(repr((key, _read(*key)[0])).encode())
    return digest.hexdigest()


def reached(roots: Iterable[Any]) -> set[Definition]:
    """Every definition, as (module, name), that ``module:name`` references lead to."""
    waiting = [_definition(text) for root in roots if (text := _as_text(root))]
    places = (*COMPUTES, *{_owner(module) for module, _ in waiting})
    counts = cache(lambda module: _counts(module, places))
    found: set[Definition] = set()
    seen: set[Definition] = set()
    while waiting:
        here = waiting.pop()
        module, name = here
        if here in seen or not counts(module):
            continue
        seen.add(here)
        known = _module(module)
        if known is None:
            continue
        if name == EVERYTHING:
            waiting += [(module, own) for own in known.defined]
        elif name in known.defined:
            found.add(here)
            waiting += [(module, RUN_AT_IMPORT)] if RUN_AT_IMPORT in known.defined else []
            for origin, chain in _read(module, name)[1]:
                if counts(origin.module):
                    waiting.append(_followed(origin, chain))
        elif name in known.imported:
            waiting.append(_followed(known.imported[name], ()))
    return found


def source_hash(reference: str) -> str:
    """The hash of a user's own module behind ``module:name``, without importing it; its name where it has no source.

    A module that is no Python has none either: whoever imports it says what is wrong.
    """
    path = _source(reference.partition(":")[0])
    if path is None:
        return reference
    try:
        text = _flat(_tree(path))[0]
    except (SyntaxError, UnicodeDecodeError):
        return reference
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _as_text(reference: Any) -> str:
    if isinstance(reference, str):
        return reference
    module, name = getattr(reference, "__module__", ""), getattr(reference, "__qualname__", "")
    return f"{module}:{name}" if module and name else ""


def _definition(text: str) -> Definition:
    module, _, name = text.partition(":")
    return module, name.partition(".")[0] or EVERYTHING


def _owner(module: str) -> str:
    """Whose code counts beside plaudit's computing packages: all of a user's package, of ours the module's own."""
    top = module.partition(".")[0]
    return module.rpartition(".")[0] if top == OWN else top


def _counts(module: str, places: tuple[str, ...]) -> bool:
    """Whether a module is in one of these places, or a package on the way to one."""
    if module.rpartition(".")[2] == DESCRIPTIONS:
        return False
    return any(
        module == place or module.startswith(f"{place}.") or place.startswith(f"{module}.")
        for place in places
    )


@cache
def _followed(origin: Origin, chain: tuple[str, ...]) -> Definition:
    """What ``origin.chain`` names: an attribute of a module, however deep, or a whole module that is handed on."""
    parts = [*([origin.symbol] if origin.symbol else []), *chain]
    module = origin.module
    while parts:
        known = _module(module)
        if known is None or parts[0] in known.defined or parts[0] in known.imported:
            break
        if _source(f"{module}.{parts[0]}") is None:
            break
        module = f"{module}.{parts.pop(0)}"
    return module, parts[0] if parts else EVERYTHING


@cache
def _source(module: str) -> Path | None:
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
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def _module(name: str) -> Module | None:
    path = _source(name)
    if path is None:
        return None
    found = Module(name, name if path.name == "__init__.py" else name.rpartition(".")[0])
    for statement in _statements(_tree(path).body):
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
def _read(module: str, name: str) -> tuple[str, tuple[tuple[Origin, tuple[str, ...]], ...]]:
    """A definition's code as text, and what it mentions: each an origin with the attributes behind it."""
    known = _module(module)
    assert known is not None
    texts: list[str] = []
    found: dict[tuple[Origin, tuple[str, ...]], None] = {}
    for node in known.defined[name]:
        text, chains, imports, named = _flat(node)
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


def _flat(
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
