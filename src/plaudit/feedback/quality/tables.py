"""Tables of plain values, for the dashboard, CSV and JSON alike."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from plaudit.display.units import Value

if TYPE_CHECKING:  # pages import this module, and should not wait for NumPy
    from plaudit.feedback.quality.bootstrap import Estimate

Unit = Literal["text", "count", "share", "difference", "score", "log odds", "seconds", "per minute", "flag"]


@dataclass(frozen=True, slots=True)
class TableColumn:
    """What a column holds. ``of`` names the estimate that this column is a bound or the count of."""

    name: str
    title: str
    unit: Unit
    help: str = ""
    of: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of plain values by column name; None where a value is not defined."""

    name: str
    title: str
    columns: tuple[TableColumn, ...]
    rows: tuple[dict[str, Value], ...]


def estimate_columns(name: str, title: str, unit: Unit, help: str = "") -> tuple[TableColumn, ...]:
    """An estimate takes four columns: name, name_low, name_high, name_n."""
    return (
        TableColumn(name, title, unit, help),
        TableColumn(f"{name}_low", f"{title}, from", unit, "Lower end of the 95 % interval.", of=name),
        TableColumn(f"{name}_high", f"{title}, to", unit, "Upper end of the 95 % interval.", of=name),
        TableColumn(f"{name}_n", f"{title}, items", "count", "How many items it rests on.", of=name),
    )


def estimate_values(name: str, found: Estimate) -> dict[str, Value]:
    """The four values of an estimate."""
    return {
        name: plain(found.value),
        f"{name}_low": plain(found.low),
        f"{name}_high": plain(found.high),
        f"{name}_n": found.n,
    }


def plain(value: float | None) -> float | None:
    """A number that JSON can hold: None for NaN and infinity."""
    return None if value is None or not math.isfinite(value) else float(value)


def table(name: str, title: str, columns: Iterable[TableColumn], rows: Iterable[dict[str, Value]]) -> Table:
    """A table whose rows have exactly its columns, in their order; what a row lacks is None.

    Raises ValueError where a row has a value without a column.
    """
    laid = tuple(columns)
    names = [c.name for c in laid]
    kept = []
    for row in rows:
        if extra := row.keys() - set(names):
            raise ValueError(f"table {name} has no column {sorted(extra)[0]!r}")
        kept.append({n: row.get(n) for n in names})
    return Table(name, title, laid, tuple(kept))
