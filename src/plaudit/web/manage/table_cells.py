"""Tables of statistics as a page shows them: an estimate and its interval share a cell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from plaudit.display.units import Value, interval_text, value_text
from plaudit.feedback.quality.tables import Table, TableColumn


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of a table. ``sort`` is None for a missing value, which sorts last."""

    text: str
    beside: str = ""
    sort: Any = None
    raw: Value = None


@dataclass(frozen=True, slots=True)
class ShownTable:
    """A table of statistics as a page shows it: an estimate and its interval share a cell."""

    name: str
    columns: tuple[TableColumn, ...]
    rows: tuple[dict[str, Cell], ...]

    def numeric(self, column: TableColumn) -> bool:
        return column.unit not in ("text", "flag")


def shown_table(table: Table, *names: str) -> ShownTable:
    """The columns of those names, as far as the table has them."""
    known = {c.name: c for c in table.columns}
    columns = tuple(known[n] for n in names if n in known)
    return ShownTable(
        table.name, columns, tuple({c.name: _cell(row, c) for c in columns} for row in table.rows)
    )


def _cell(row: dict[str, Value], column: TableColumn) -> Cell:
    value = row[column.name]
    beside = interval_text(row.get(f"{column.name}_low"), row.get(f"{column.name}_high"), column.unit)
    return Cell(value_text(value, column.unit), beside if value is not None else "", value, value)
