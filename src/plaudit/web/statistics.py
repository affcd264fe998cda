"""Statistics of a project, cached until something new is judged."""

from __future__ import annotations

import csv
import io
import threading
import unicodedata
from typing import TYPE_CHECKING, Any

from sqlalchemy import select
from sqlalchemy.orm import Session as Db

from plaudit.feedback.judgement_query import collected, state_of
from plaudit.feedback.store.errors import NotFound
from plaudit.feedback.store.schema import GoldRanking, Item
from plaudit.web.app_state import AppState

if TYPE_CHECKING:
    from plaudit.feedback.quality.tables import Table

# What a spreadsheet runs as a formula, also behind white space and in the wide letters of East Asia.
FORMULAS = ("=", "+", "-", "@")
INVISIBLE = ("Z", "C")  # categories of white space, control and format characters


class Statistics:
    """The tables of each project, kept under the state of the data that they were made from."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[Any, dict[str, Table]]] = {}
        self._locks: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()

    def tables(self, server: AppState, project_id: str) -> dict[str, Table]:
        """All tables of a project. Of several who ask at once one computes."""
        # Here: NumPy and SciPy take a second to import, which the first item on screen should not wait for.
        from plaudit.feedback.quality.report import quality

        with self._lock:
            lock = self._locks.setdefault(project_id, threading.Lock())
        with lock:
            state = server.database.read(_state, project_id)
            kept = self._kept.get(project_id)
            if kept is None or kept[0] != state:
                data = server.database.read(collected, project_id)
                kept = state, quality(data.judged, data.answers, data.golds).tables()
                self._kept[project_id] = kept
            return kept[1]

    def table(self, server: AppState, project_id: str, name: str) -> Table:
        found = self.tables(server, project_id).get(name)
        if found is None:
            raise NotFound("table")
        return found


def _state(db: Db, project_id: str) -> Any:
    """Cache key of the tables: the judgements and the accepted rankings."""
    golds = select(GoldRanking.item_id, GoldRanking.accepted).join(Item, Item.id == GoldRanking.item_id)
    found = db.execute(golds.where(Item.project_id == project_id).order_by(GoldRanking.item_id))
    return state_of(db, project_id), [(item, accepted) for item, accepted in found]


def to_csv(table: Table) -> str:
    """The table as CSV. Text that a spreadsheet would run as a formula is prefixed with an apostrophe.

    Text stands in quotes: a spreadsheet that parts cells at semicolons must not find one within a text.
    """
    out = io.StringIO()
    writer = csv.writer(out, quoting=csv.QUOTE_NONNUMERIC)
    writer.writerow([c.name for c in table.columns])
    for row in table.rows:
        writer.writerow([_cell(row[c.name]) for c in table.columns])
    return out.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        first = next((c for c in value if unicodedata.category(c)[0] not in INVISIBLE), "")
        hidden = value[:1] in ("\t", "\r", "\n")
        return f"'{value}" if hidden or unicodedata.normalize("NFKC", first).startswith(FORMULAS) else value
    return "" if value is None else value


def to_json(table: Table) -> dict[str, Any]:
    return {
        "name": table.name,
        "title": table.title,
        "columns": [
            {"name": c.name, "title": c.title, "unit": c.unit, "help": c.help} for c in table.columns
        ],
        "rows": list(table.rows),
    }
