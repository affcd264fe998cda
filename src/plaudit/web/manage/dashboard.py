"""Context of the dashboard: progress of the work, and quality of the labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from plaudit.display.bar_chart import bars, shade
from plaudit.display.formatting import number
from plaudit.display.units import Value, interval_text, value_text
from plaudit.feedback.project_progress import project_progress
from plaudit.feedback.quality.references import REFERENCES, Reference
from plaudit.feedback.quality.tables import Table, TableColumn
from plaudit.feedback.store.claiming import left
from plaudit.feedback.store.schema import Assignment, Item, Member, Project
from plaudit.feedback.store.submission import SKIP_REASONS
from plaudit.web.manage.interval_plots import (
    IntervalRows,
    measure_row,
    measure_rows,
    published_rows,
    win_rate_rows,
)
from plaudit.web.manage.summary import summary
from plaudit.web.manage.throughput import day_name, throughput

MOST_DIVIDED = 12
MOST_PAIRED = 40  # labelers that a square table has room for

AGREEMENT = ("agreement", "agreement_with_ties", "kappa", "ac1", "alpha")
KNOWN = ("gold_agreement", "gold_exact", "calibration_agreement", "self_consistency")
BIASES = ("position_bias", "longer_preferred", "length_bias")
WAYS = ("tie_rate", "untouched", "not_rankable", "all_bad", "quick")
SPEED = ("seconds", "words_per_minute")
STRENGTHS = ("strength_1", "strength_2", "strength_3", "strength_4")
COUNTS = ("judgements", "work", "surplus", "labelers", "items", "items_shared")
LABELER = (
    "labeler",
    "judgements",
    "work",
    "agreement",
    "kappa",
    "gold_agreement",
    "self_consistency",
    "position_bias",
    "longer_preferred",
    "tie_rate",
    "seconds",
    "quick",
)


@dataclass(frozen=True, slots=True)
class Grid:
    """A square table: of each two names a value with its text and shade, None where there is none."""

    names: tuple[str, ...]
    cells: tuple[tuple[tuple[str, str, str] | None, ...], ...]


def dashboard(
    db: Session, project: Project, tables: Mapping[str, Table], *, now: float, open_models: bool
) -> dict[str, Any]:
    """The values of the dashboard's template. Without ``open_models`` nothing in them names a model."""
    far = project_progress(db, project.id)
    fast = throughput(db, project.id, now=now)
    measures = {str(r["measure"]): r for r in tables["project"].rows}
    known = {*AGREEMENT, *KNOWN, *BIASES, *WAYS, *SPEED, *STRENGTHS, *COUNTS}
    divided = [r for r in tables["items"].rows if r["agreement"] is not None and float(r["agreement"]) < 1]
    return {
        "standing": far,
        "days_left": fast.days_left(far.wanted - far.given),
        "pace": fast,
        "says": summary(tables, far, fast),
        "per_day": bars(
            [(day_name(at), n) for at, n in fast.days], title="Judgements per day", tone="trained"
        ),
        "day_rows": [(day_name(at), n) for at, n in fast.days],
        "skips": [
            (SKIP_REASONS.get(r, r), n) for r, n in sorted(far.skip_reasons.items(), key=lambda x: -x[1])
        ],
        "agreement": measure_rows(measures, AGREEMENT, low=0.0, high=1.0),
        "published": _published(measures),
        "known": measure_rows(measures, KNOWN, low=0.0, high=1.0),
        "biases": [b for name in BIASES if (b := measure_row(measures, name)) is not None],
        "ways": measure_rows(measures, WAYS, low=0.0, high=1.0),
        "speed": [m for name in SPEED if (m := measure_row(measures, name)) is not None],
        "seconds": bars(fast.seconds, title="Judgements by active time", tone="sft"),
        "strengths": measure_rows(measures, STRENGTHS, low=0.0, high=1.0),
        # What a later version measures is shown too, if plainly.
        "others": [
            m for name in measures if name not in known and (m := measure_row(measures, name)) is not None
        ],
        "models": _models(tables) if open_models else None,
        "model_count": len(tables["models"].rows),
        "labelers": shown_table(tables["labelers"], *LABELER),
        "labeler_order": sorted(range(len(tables["labelers"].rows)), key=_by_name(tables["labelers"].rows)),
        "pairs": _pairs(tables["pairs"].rows),
        "pair_count": len(tables["pairs"].rows),
        "divided": _with_words(db, project.id, divided[:MOST_DIVIDED]),
        "divided_count": len(divided),
        "attributes": shown_table(
            tables["attributes"], "attribute", "ratings", "labelers", "mean", "alpha", "same"
        ),
        "golds": _with_words(db, project.id, tables["golds"].rows),
    }


def has_open_work(db: Session, project_id: str, member: Member) -> bool:
    """Whether someone who labels here still has items before them: model names would then unblind them."""
    states = set(db.scalars(select(Assignment.state).where(Assignment.member_id == member.id).distinct()))
    if not states:
        return False
    return bool(states & {"leased", "expired", "released"}) or left(db, project_id, member, most=1) > 0


def _by_name(rows: Sequence[Mapping[str, Value]]) -> Any:
    return lambda i: str(rows[i]["labeler"])


def _published(measures: Mapping[str, Any]) -> tuple[IntervalRows, tuple[Reference, ...]] | None:
    """Our agreement above what others found, each study by itself."""
    ours = measure_row(measures, "agreement")
    return None if ours is None else (published_rows(ours, REFERENCES["agreement"]), REFERENCES["agreement"])


def _models(tables: Mapping[str, Table]) -> dict[str, Any]:
    rows = sorted(tables["models"].rows, key=lambda r: -float(r["win_rate"] or 0))
    names = tuple(str(r["model"]) for r in rows)
    wins = {(str(r["model"]), str(r["against"])): r for r in tables["wins"].rows}
    cells = tuple(tuple(_win(wins.get((a, b))) if a != b else None for b in names) for a in names)
    return {
        "strips": win_rate_rows(rows),
        "groups": len({r["group"] for r in rows}),
        "wins": Grid(names, cells),
    }


def _win(row: Mapping[str, Value] | None) -> tuple[str, str, str] | None:
    if row is None or row["win_rate"] is None:
        return None
    rate = float(row["win_rate"])
    return f"{100 * rate:.0f}", shade(rate), f"{row['comparisons']} comparisons"


def _pairs(rows: Sequence[Mapping[str, Value]]) -> Grid:
    kappas = {frozenset((str(r["labeler"]), str(r["colleague"]))): r for r in rows}
    names = tuple(sorted({n for two in kappas for n in two}))
    if len(names) > MOST_PAIRED:
        names = ()

    def cell(a: str, b: str) -> tuple[str, str, str] | None:
        row = kappas.get(frozenset((a, b)))
        if a == b or row is None or row["kappa"] is None:
            return None
        return number(row["kappa"]), shade(float(row["kappa"])), f"{row['kappa_n']} items"

    return Grid(names, tuple(tuple(cell(a, b) for b in names) for a in names))


def _with_words(db: Session, project_id: str, rows: Sequence[Mapping[str, Value]]) -> list[dict[str, Any]]:
    """The rows with the beginning of their item's prompt."""
    found = select(Item).where(Item.project_id == project_id, Item.id.in_([str(r["item"]) for r in rows]))
    words = {item.id: item.prompt[-1]["content"][:120] for item in db.scalars(found)}
    return [{**row, "excerpt": words.get(str(row["item"]), "")} for row in rows]


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of a table. ``sort`` is None for a missing value, which sorts last."""

    text: str
    beside: str = ""
    sort: Any = None


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
    return Cell(value_text(value, column.unit), beside if value is not None else "", value)
