"""A project's rules and state, for those who run it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field
from sqlalchemy import select
from sqlalchemy.orm import Session as Db

from plaudit.errors import Problem
from plaudit.feedback.project_progress import ProjectProgress, project_progress
from plaudit.feedback.store.account_tables import User
from plaudit.feedback.store.errors import Invalid
from plaudit.feedback.store.judgement_form import Plain
from plaudit.feedback.store.locks import lock_project
from plaudit.feedback.store.projects import change_settings, set_state
from plaudit.feedback.store.schema import Audit, Member
from plaudit.feedback.store.settings import Settings
from plaudit.web.access import Access, Asker
from plaudit.web.request_body import Guarded

router = APIRouter(prefix="/api/projects/{project}", tags=["project"], route_class=Guarded)
Labeler = Annotated[Asker, Depends(Access("labeler", "label"))]
Reviewer = Annotated[Asker, Depends(Access("reviewer", "review"))]
Owner = Annotated[Asker, Depends(Access("owner", "manage"))]


class StateIn(BaseModel):
    state: Literal["open", "paused", "closed"]


class TitleIn(BaseModel):
    title: Plain = Field(min_length=1, max_length=200)


class Level(BaseModel):
    level: int = Field(ge=0, le=3)


class AuditEntry(BaseModel):
    when: float
    who: str | None
    action: str
    target: str
    detail: dict[str, Any]


@router.get("/status")
def get_status(asker: Reviewer) -> ProjectProgress:
    """How far the work is."""
    return asker.server.database.read(project_progress, asker.the_project().id)


@router.get("/settings")
def get_settings(asker: Reviewer) -> Settings:
    """The project's rules."""
    return Settings.model_validate(asker.the_project().settings)


@router.patch("/settings")
def patch_settings(changes: dict[Plain, Any], asker: Owner) -> Settings:
    """Change some of the rules. What was judged stays as it is; an overlap never falls below what an item has."""

    def work(db: Db) -> Settings:
        project = lock_project(db, asker.the_project().id)
        made = change_settings(db, project, changes)
        asker.note(db, "changed settings", changes=changes)
        return made

    return asker.server.database.write(work)


@router.patch("", status_code=204)
def patch_project(body: TitleIn, asker: Owner) -> None:
    """Give the project another title. Its name in addresses stays."""
    title = " ".join(body.title.split())
    if not title:
        raise Invalid("no_title", "a project has a title", problems=[Problem("write a title", field="title")])

    def work(db: Db) -> None:
        project = lock_project(db, asker.the_project().id)
        project.title = title
        asker.note(db, "changed title", title=title)

    asker.server.database.write(work)


@router.post("/state", status_code=204)
def post_state(body: StateIn, asker: Owner) -> None:
    """Open, pause or close the project. Judgements of items already assigned are still accepted."""

    def work(db: Db) -> None:
        project = lock_project(db, asker.the_project().id)
        set_state(project, body.state)
        asker.note(db, "changed state", target=body.state)

    asker.server.database.write(work)


@router.post("/my/sensitivity")
def post_sensitivity(body: Level, asker: Labeler) -> Level:
    """Choose the most sensitive level that one is willing to see: 0 to 3."""

    def work(db: Db) -> Level:
        member = db.get_one(Member, asker.the_member().id)
        member.max_sensitivity = body.level
        return body

    return asker.server.database.write(work)


@router.get("/audit")
def get_audit(asker: Owner, limit: int = 200, before: str | None = None) -> list[AuditEntry]:
    """Who changed what, newest first."""

    return asker.server.database.read(audit_of, asker.the_project().id, limit=limit, before=before)


def audit_of(db: Db, project_id: str, *, limit: int, before: str | None = None) -> list[AuditEntry]:
    mine = select(Audit, User.name).join(User, User.id == Audit.user_id, isouter=True)
    mine = mine.where(Audit.project_id == project_id)
    if before is not None:
        mine = mine.where(Audit.id < before)
    rows = db.execute(mine.order_by(Audit.id.desc()).limit(max(1, min(limit, 1000))))
    return [
        AuditEntry(when=a.created, who=name, action=a.action, target=a.target, detail=a.detail)
        for a, name in rows
    ]
