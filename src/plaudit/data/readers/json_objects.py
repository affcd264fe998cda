"""Decodes JSON objects so that no value of theirs is lost in silence."""

from __future__ import annotations

import json
from typing import Any


def holds(text: str, at: int, rows: list[Any]) -> bool:
    """Whether the array at a place of a text is these rows, not one of the same name inside another object."""
    try:
        return bool(json.JSONDecoder().raw_decode(text, at)[0] == rows)
    except json.JSONDecodeError:
        return False


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object of these keys; an error if a key has two different values, of which one would be lost."""
    found = dict(pairs)
    if len(found) < len(pairs) and (twice := next((k for k, v in pairs if found[k] != v), None)) is not None:
        raise json.JSONDecodeError(f"the key {twice!r} has two values", "", 0)
    return found
