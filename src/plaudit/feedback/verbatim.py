"""Answers of a row, byte for byte: readers for training normalize white space, a labeling project must not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from plaudit.data.readers.coerce import ROLE_NAMES, answer_text, conversed, transcript, whole_text
from plaudit.data.readers.columns import View

TEXTS = ("text", "content", "response", "answer", "value")


def exact_answer(value: Any, field: str) -> str:
    """An answer, which may be empty: text, an object that holds it, or one assistant message. Raises ``Fault``."""
    value = conversed(value)
    if isinstance(value, dict):
        value = next((value[key] for key in TEXTS if key in value), None)
    if isinstance(value, list):
        content = _only_turn(value)
        # What is no single turn of an assistant is refused in the words of all readers.
        return answer_text(value, field) if content is None else whole_text(content, field)
    return whole_text(value, field)


def exact_pair(view: View) -> tuple[str, str] | None:
    """Chosen and rejected where both are plain text beside a prompt; None where one may be a whole conversation."""
    (chosen, name), (rejected, other) = view.take("chosen"), view.take("rejected")
    chosen, rejected = conversed(chosen), conversed(rejected)
    if view.column("prompt") is None or not (isinstance(chosen, str) and isinstance(rejected, str)):
        return None
    if transcript(chosen) or transcript(rejected):
        return None
    if chosen == rejected:
        return None
    return whole_text(chosen, name), whole_text(rejected, other)


def as_given(value: Any, tidied: str) -> str:
    """The original text of a value that a reader normalized, with its white space where it can be recovered."""
    value = conversed(value)
    if isinstance(value, list) and value:
        value = _content(value[-1])
    return value if isinstance(value, str) and value.strip() == tidied else tidied


def _only_turn(turns: Sequence[Any]) -> str | None:
    if len(turns) != 1 or not isinstance(turns[0], dict):
        return None
    name = turns[0].get("role", turns[0].get("from"))
    role = ROLE_NAMES.get(name.lower()) if isinstance(name, str) else None
    content = _content(turns[0])
    return content if role == "assistant" and isinstance(content, str) else None


def _content(turn: Any) -> Any:
    return turn.get("content", turn.get("value")) if isinstance(turn, dict) else None
