"""Recipes as YAML text, read and written."""

from __future__ import annotations

import os
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import yaml


class Loader(yaml.SafeLoader):
    """YAML whose mappings may not hold a key twice, and in which ``on``, ``off``, ``yes`` and ``no`` are words.

    The second of two equal keys would silently replace the first; and ``on`` is a key of steps.
    """

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except ValueError as error:  # what looks like a date or a number, and is none: 2024-13-45
            raise yaml.constructor.ConstructorError(None, None, str(error), node.start_mark) from None


def _mapping(loader: Loader, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
    loader.flatten_mapping(node)
    seen: set[Any] = set()
    for key, _ in node.value:
        name = loader.construct_object(key, deep=True)
        if not isinstance(name, Hashable):
            raise yaml.constructor.ConstructorError(
                None,
                None,
                "a key is itself a mapping or a list: put text that begins with { or [ in quotes",
                key.start_mark,
            )
        if name in seen:
            raise yaml.constructor.ConstructorError(
                None, None, f"two equal keys {name!r}: give one a suffix, such as {name}-2", key.start_mark
            )
        seen.add(name)
    return yaml.SafeLoader.construct_mapping(loader, node, deep)


class Dumper(yaml.SafeDumper):
    """What ``Loader`` reads: ``on`` needs no quotes."""


Loader.yaml_implicit_resolvers = Dumper.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in known if tag != "tag:yaml.org,2002:bool" or first in "tTfF"]
    for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def home(path: str | Path) -> Path:
    """The path with ``~`` as the user's home folder; one of an unknown user stays as it is."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 (Path raises for an unknown user)


def text_of(raw: Mapping[str, Any]) -> str:
    """A recipe as text that ``read_yaml`` reads back."""
    return str(yaml.dump(dict(raw), Dumper=Dumper, sort_keys=False, allow_unicode=True, width=100))
