"""Results: the statistics, and the judgements themselves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response, StreamingResponse
from sqlalchemy.orm import Session as Db

from plaudit.data.records.native_format import to_row
from plaudit.feedback.exporting import exported
from plaudit.feedback.store.exposure import note_export
from plaudit.feedback.store.people import note
from plaudit.feedback.store.schema import Project
from plaudit.web.access import Access, Asker
from plaudit.web.request_body import Guarded
from plaudit.web.statistics import Statistics, to_csv, to_json

router = APIRouter(prefix="/api/projects/{project}", tags=["results"], route_class=Guarded)
Reviewer = Annotated[Asker, Depends(Access("reviewer", "review"))]
Exporter = Annotated[Asker, Depends(Access("owner", "export"))]
Purpose = Literal["work", "gold", "calibration", "repeat"]


def statistics_of(request: Request) -> Statistics:
    found: Statistics = request.app.state.statistics
    return found


@router.get("/quality")
def get_quality(asker: Reviewer, request: Request) -> dict[str, Any]:
    """Every table of statistics: agreement, labelers, models, items."""
    tables = statistics_of(request).tables(asker.server, asker.the_project().id)
    return {name: to_json(table) for name, table in tables.items()}


@router.get("/quality/{table}.csv")
def get_table_as_csv(table: str, asker: Reviewer, request: Request) -> Response:
    """One table as CSV, safe to open in a spreadsheet."""
    found = statistics_of(request).table(asker.server, asker.the_project().id, table)
    name = f"{asker.the_project().slug}-{found.name}.csv"
    return Response(
        to_csv(found),
        media_type="text/csv; charset=utf-8",
        headers={"content-disposition": f'attachment; filename="{name}"'},
    )


@router.get("/quality/{table}.json")
def get_table_as_json(table: str, asker: Reviewer, request: Request) -> dict[str, Any]:
    """One table as JSON."""
    return to_json(statistics_of(request).table(asker.server, asker.the_project().id, table))


@router.get("/export.jsonl")
def get_export(
    asker: Exporter,
    purpose: Annotated[list[Purpose] | None, Query()] = None,
    not_rankable: bool = False,
) -> StreamingResponse:
    """The judgements as comparison records, one a line, oldest first; `plaudit` trains on them as they are.

    Whoever exports has seen the models and judgements of these items, and is not given them to judge any more.
    """
    project_id, slug = asker.the_project().id, asker.the_project().slug
    purposes = purpose or ["work"]

    items: set[str] = set()

    def work(db: Db) -> list[str]:
        project = db.get_one(Project, project_id)
        lines = []
        for record in exported(db, project, purposes=purposes, not_rankable=not_rankable):
            items.add(record.metadata["item"])
            lines.append(json.dumps(to_row(record), ensure_ascii=False, allow_nan=False) + "\n")
        return lines

    lines = asker.server.database.read(work)

    def keep(db: Db) -> None:
        # Models and verdicts are in it: its owner judges these items no more.
        note_export(db, asker.the_member().id, items, now=asker.now)
        note(
            db, "exported", now=asker.now, by=asker.user, project=asker.the_project(), target=str(len(lines))
        )

    asker.server.database.write(keep)

    def stream() -> Iterator[bytes]:
        for at in range(0, len(lines), 1000):
            yield "".join(lines[at : at + 1000]).encode()

    return StreamingResponse(
        stream(),
        media_type="application/jsonl; charset=utf-8",
        headers={"content-disposition": f'attachment; filename="{slug}.jsonl"'},
    )
