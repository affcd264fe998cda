"""Sanitize untrusted JSON: NUL, lone surrogates, non-finite floats, depth."""

from __future__ import annotations

import math
from typing import Any

DEEPEST = 32  # lists and objects within each other
HALF = "holds half of a character pair (a lone surrogate)"


def problem_of(value: Any, depth: int = 0) -> str | None:
    """Why a JSON value cannot be kept, in words; None where it can."""
    if isinstance(value, str):
        return "holds a NUL character" if "\x00" in value else None if _mended(value) == value else HALF
    if isinstance(value, float) and not math.isfinite(value):
        return "holds a number that is not finite"
    if isinstance(value, dict | list):
        if depth == DEEPEST:
            return f"is nested more than {DEEPEST} levels deep"
        parts = [*value, *value.values()] if isinstance(value, dict) else value
        return next((p for part in parts if (p := problem_of(part, depth + 1))), None)
    return None


def size_of(value: Any) -> int:
    """How many characters a JSON value has, about: its texts and keys, and some for every other value."""
    if isinstance(value, str):
        return len(value) + 2
    if isinstance(value, dict):
        return 2 + sum(len(str(k)) + 4 + size_of(v) for k, v in value.items())
    if isinstance(value, list | tuple):
        return 2 + sum(1 + size_of(v) for v in value)
    return 8


def mended(value: Any) -> Any:
    """The value, its text without what no database holds. ValueError where something else is wrong."""
    problem = problem_of(value)
    if problem is None:
        return value
    made = _texts_mended(value, 0)
    if (problem := problem_of(made)) is not None:
        raise ValueError(problem)
    return made


def _texts_mended(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return _mended(value.replace("\x00", ""))
    if depth == DEEPEST:
        return value
    if isinstance(value, dict):
        return {_texts_mended(k, depth): _texts_mended(v, depth + 1) for k, v in value.items()}
    if isinstance(value, list):
        return [_texts_mended(v, depth + 1) for v in value]
    return value


def _mended(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
