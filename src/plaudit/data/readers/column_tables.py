"""Converts tables that were saved by column into rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from plaudit.data.readers.file_formats import DataRow


def unstacked(rows: Iterable[DataRow]) -> Iterator[DataRow]:
    """The rows; a row that holds whole columns is replaced by the rows of that table."""
    for row in rows:
        table = _table(row.values)
        if table is None:
            yield row
        else:
            yield from (DataRow(row.line, values, i) for i, values in enumerate(table, 1))


def _table(values: Any) -> list[dict[str, Any]] | None:
    """The rows of an object of equally long columns; None if it is a row itself.

    ``{"prompt": [...], "response": [...]}``, pandas' ``{"prompt": {"0": ...}}`` and its ``split`` format. A list
    of messages is a value, not a column.
    """
    if not isinstance(values, Mapping) or not values:
        return None
    names, data = values.get("columns"), values.get("data")
    if isinstance(names, list) and isinstance(data, list) and set(values) <= {"columns", "data", "index"}:
        return [dict(zip(names, row)) for row in data if isinstance(row, list)]
    columns = list(values.values())
    if all(isinstance(c, Mapping) and c for c in columns):
        keys = list(columns[0])
        if all(list(c) == keys for c in columns) and all(str(k).isdigit() for k in keys):
            return [{name: values[name][key] for name in values} for key in keys]
        return None
    if not all(isinstance(c, list) and len(c) == len(columns[0]) for c in columns) or not columns[0]:
        return None
    if any(_is_message(v) for c in columns for v in c) or (len(columns) == 1 and not _listed(values)):
        return None
    return [dict(zip(values, row)) for row in zip(*columns)]


def _is_message(value: Any) -> bool:
    return isinstance(value, Mapping) and bool({"role", "from"} & set(value))


def _listed(values: Mapping[str, Any]) -> bool:
    """Whether a single column holds one text per row, which its name says: a conversation may be a list of texts."""
    ((name, column),) = values.items()
    texts = len(column) > 1 and all(isinstance(v, str) for v in column)
    return texts and str(name).lower() in ("text", "texts", "prompt", "prompts", "question", "questions")
