"""What travels with a prompt: every column that is no text of the conversation, as plain JSON values."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from plaudit.data.readers.columns import normal


def carried(row: Mapping[str, Any], used: Iterable[str]) -> dict[str, Any]:
    """The columns of a row that are not used, by their own names; what is empty or no JSON value stays behind.

    The right answer of verl's ``reward_model`` is also there by itself, as ``ground_truth``.
    """
    taken = set(used)
    found = {str(k): plain(v) for k, v in row.items() if normal(k) not in taken}
    held = found.get("reward_model")
    if isinstance(held, dict) and "ground_truth" in held:
        found.setdefault("ground_truth", held["ground_truth"])
    return {k: v for k, v in found.items() if v is not None and v != ""}


def plain(value: Any) -> Any:
    """A value as JSON has it: dates as text, numbers that JSON has not and bytes as None."""
    if value is None or isinstance(value, bool | str | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set):
        return [plain(v) for v in value]
    if isinstance(value, bytes | bytearray | memoryview):
        return None
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
