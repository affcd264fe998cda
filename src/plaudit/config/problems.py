"""Converts pydantic's validation errors into problems that a user can fix."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from plaudit.errors import Problem, suggest


def problems_of(
    error: ValidationError, origin: str, place: str, model: type[BaseModel], *, also: Iterable[str] = ()
) -> Iterator[Problem]:
    """Every problem with its place (``place`` is where ``model`` stands) and the likeliest key meant.

    ``also`` are keys that stand beside those of the model.
    """
    for item in error.errors():
        # The tags of unions are pydantic's, not the user's: they appear in no recipe.
        inner = [str(p) for p in item["loc"] if p not in ("scratch", "pretrained") and "[" not in str(p)]
        where = ".".join(filter(None, [place, *inner])) or None
        remedy = None
        if item["type"] == "extra_forbidden":
            message = f"unknown key {inner[-1]!r}"
            known = _fields_at(inner[:-1], model) | (set(also) if len(inner) == 1 else set())
            remedy = suggest(inner[-1], known) or f"known keys: {', '.join(sorted(known))}"
        else:
            message = item["msg"].removeprefix("Value error, ")
            if "input" in item and not isinstance(item["input"], Mapping):
                message += f" (got {item['input']!r})"
        yield Problem(message, file=origin, field=where, remedy=remedy)


def _fields_at(place: Sequence[str], model: type[BaseModel]) -> set[str]:
    """Keys known to the sections that may stand at this place."""
    sections: set[type[BaseModel]] = {model}
    for key in place:
        inner: set[type[BaseModel]] = set()
        for section in sections:
            if key.isdigit():
                inner.add(section)
            elif key in section.model_fields:
                inner |= set(_sections_in(section.model_fields[key].annotation))
        sections = inner
    return {name for section in sections for name in section.model_fields}


def _sections_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in getattr(annotation, "__args__", ()):
        yield from _sections_in(argument)
