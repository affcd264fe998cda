"""Names of the classes that Hugging Face ``datasets`` saves beside a column of numbers (``ClassLabel``)."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

Names = Mapping[str, Sequence[str]]


def class_names(metadata: Mapping[bytes, bytes] | None) -> dict[str, list[str]]:
    """The names of each column of classes, from the metadata of a table's schema."""
    with contextlib.suppress(ValueError, KeyError, AttributeError, TypeError):
        features = json.loads((metadata or {})[b"huggingface"])["info"]["features"]
        return {
            column: feature["names"]
            for column, feature in features.items()
            if isinstance(feature, dict) and feature.get("_type") == "ClassLabel" and feature.get("names")
        }
    return {}


def with_names(row: dict[str, Any], names: Names) -> dict[str, Any]:
    """The row with names instead of numbers; -1 stands for no class, another number is left as it is."""
    for column, known in names.items():
        value = row.get(column)
        if type(value) is int and -1 <= value < len(known):
            row[column] = known[value] if value >= 0 else None
    return row
