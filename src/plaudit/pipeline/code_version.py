"""Which code computes a step's numbers, as one hash: no docstrings, no comments, nothing that the step does not reach.

From the functions that a kind of step names, every function, class and constant that they mention is followed through
the packages that compute numbers, modules that are named in text too (``"plaudit.kernels.token_logprob"``). A class
counts as a whole. Not followed: how files are read (``data/readers``), and what is reached only through an object whose
class no code on the way names; a kind of step names such code in ``code``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import cache
from typing import Any

from plaudit.pipeline import source_tree
from plaudit.pipeline.source_tree import OWN, RUN_AT_IMPORT, Origin

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

Definition = tuple[str, str]  # module, name


def code_version(roots: Iterable[Any]) -> str:
    """The hash of all code that ``module:name`` references reach."""
    return _version(tuple(dict.fromkeys(text for root in roots if (text := _as_text(root)))))


@cache
def _version(roots: tuple[str, ...]) -> str:
    digest = hashlib.blake2b(digest_size=8)
    for key in sorted(reached(roots)):
        digest.update(repr((key, source_tree.read(*key)[0])).encode())
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
        known = source_tree.module_of(module)
        if known is None:
            continue
        if name == EVERYTHING:
            waiting += [(module, own) for own in known.defined]
        elif name in known.defined:
            found.add(here)
            waiting += [(module, RUN_AT_IMPORT)] if RUN_AT_IMPORT in known.defined else []
            for origin, chain in source_tree.read(module, name)[1]:
                if counts(origin.module):
                    waiting.append(_followed(origin, chain))
        elif name in known.imported:
            waiting.append(_followed(known.imported[name], ()))
    return found


def source_hash(reference: str) -> str:
    """The hash of a user's own module behind ``module:name``, without importing it; its name where it has no source.

    A module that is no Python has none either: whoever imports it says what is wrong.
    """
    path = source_tree.source_of(reference.partition(":")[0])
    if path is None:
        return reference
    try:
        text = source_tree.flat(source_tree.tree_of(path))[0]
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
        known = source_tree.module_of(module)
        if known is None or parts[0] in known.defined or parts[0] in known.imported:
            break
        if source_tree.source_of(f"{module}.{parts[0]}") is None:
            break
        module = f"{module}.{parts.pop(0)}"
    return module, parts[0] if parts else EVERYTHING
