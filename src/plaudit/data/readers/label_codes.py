"""The option ``labels``: meanings of the codes of a label or preference, ``{0: first, 1: second, 2: tie}``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from plaudit.config import Meaning
from plaudit.errors import Problem, UserError, suggest

# YAML reads these words as truth values, also if a recipe writes them as codes.
TRUTHS = {"yes": "true", "no": "false", "on": "true", "off": "false"}
MEANINGS: tuple[str, ...] = get_args(Meaning)


def code(value: Any) -> str:
    """A normalized code: ``1``, ``1.0`` and ``"1.0"`` are equal; so are ``True``, ``true`` and ``Yes``."""
    text = str(value).strip().lower()
    try:
        # A judge model may answer [[1]] or "1".
        number = float(text.strip("[]()\"'` "))
    except ValueError:
        return TRUTHS.get(text, text)
    return str(int(number)) if number.is_integer() else str(number)


def known_labels(labels: Mapping[Any, str] | None) -> dict[str, str]:
    """The meanings by normalized code. Raises ``UserError`` for an unknown meaning."""
    problems = [
        Problem(
            f"{meaning!r} is not a meaning of a label",
            field=f"labels.{key}",
            remedy=suggest(str(meaning), MEANINGS) or f"meanings: {', '.join(MEANINGS)}",
        )
        for key, meaning in (labels or {}).items()
        if meaning not in MEANINGS
    ]
    if problems:
        raise UserError("labels has problems", problems=problems)
    return {code(key): meaning for key, meaning in (labels or {}).items()}
