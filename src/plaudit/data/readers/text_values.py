"""Text of a row that any program can hold, or a Fault that says what is wrong with it."""

from __future__ import annotations

import json
from typing import Any

from plaudit.data.readers.read_report import Fault, name_type


def listed(value: Any) -> Any:
    """A list of a CSV file, which holds it as JSON text, as a list."""
    if isinstance(value, str) and value[:1] == "[":
        try:
            return json.loads(value)
        except json.JSONDecodeError:
            return value
    return value


def whole_text(value: Any, field: str) -> str:
    """Text that any program can hold: no number taken for text, no half characters."""
    if value is None:
        raise Fault("missing field", f"{field!r} is missing", field=field, remedy="give every row this field")
    if not isinstance(value, str):
        raise Fault(
            "wrong type",
            f"{field!r} is {name_type(value)}, not text",
            field=field,
            remedy='write it in quotes: "…"',
        )
    try:
        value.encode()
    except UnicodeEncodeError:
        raise Fault(
            "broken characters",
            f"{field!r} holds half of a character pair (a lone surrogate)",
            field=field,
            remedy="export the text again as UTF-8",
        ) from None
    return value


def filled_text(value: Any, field: str, what: str) -> str:
    """Text with the white space around it removed, which must not be empty."""
    text = whole_text(value, field).strip()
    if not text:
        raise Fault(
            f"empty {what}", f"the {what} is empty", field=field, remedy="remove the row, or fill it in"
        )
    return text
