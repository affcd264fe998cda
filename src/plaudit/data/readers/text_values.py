"""Reads one value of a row as text, or raises a Fault."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from plaudit.data.readers.read_report import Fault, name_type


def listed(value: Any) -> Any:
    """A list, also from JSON text (a cell of a CSV file); any other value unchanged."""
    if isinstance(value, str) and value[:1] == "[":
        try:
            return json.loads(value)
        except json.JSONDecodeError:
            return value
    return value


def whole_text(value: Any, field: str) -> str:
    """Text that can be encoded. Raises ``Fault`` for other types and for lone surrogates."""
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
    """Text without leading and trailing white space. Raises ``Fault`` if it is empty."""
    # Marks of no width that a table or a web page leaves at the ends are no text.
    text = whole_text(value, field).strip().strip("\u200b\u2060\ufeff").strip()
    if not text:
        raise Fault(
            f"empty {what}", f"the {what} is empty", field=field, remedy="remove the row, or fill it in"
        )
    return text


def is_blank(text: str) -> bool:
    """Whether a text is what programs write into an empty cell."""
    return text.strip().lower() in ("nan", "null", "<na>", "undefined")


def is_no_input(row: Mapping[str, Any]) -> bool:
    """Whether the input of an instruction says that there is none: ``<noinput>`` (Alpaca), ``nan``."""
    given = row.get("input") if row.get("instruction") else None
    if not isinstance(given, str):
        return False
    return given.strip().strip("<>").lower() in ("noinput", "no input", "none", "n/a") or is_blank(given)
