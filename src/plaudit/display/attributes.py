"""Attributes of answers besides their score: name, meaning, and whether more is better."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from plaudit.display.formatting import words
from plaudit.registry import WORLDS, resolve

OTHER = "Other"


@dataclass(frozen=True)
class Attribute:
    """A quality: its name in the report, what it means, its group; more is better, worse, or (None) neither."""

    label: str
    meaning: str = ""
    group: str = OTHER
    more_is_better: bool | None = True


@dataclass(frozen=True)
class Vocabulary:
    """The attributes, categories of prompts and groups that a world speaks of."""

    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    categories: Mapping[str, str] = field(default_factory=dict)
    groups: tuple[str, ...] = (OTHER,)

    def describe(self, name: str) -> Attribute:
        """The attribute of that name; one that the world does not define is shown under its own name."""
        return self.attributes.get(name) or Attribute(words(name).capitalize())

    def category(self, name: str) -> str:
        """What a category of prompts is called."""
        return self.categories.get(name) or words(name).capitalize()


def vocabulary(world: Any) -> Vocabulary:
    """What the world of that name speaks of; nothing where there is none."""
    kind = WORLDS.get(world) if isinstance(world, str) else None
    if kind is None or kind.attributes is None:
        return Vocabulary()
    found: Vocabulary = resolve(kind.attributes)
    return found
