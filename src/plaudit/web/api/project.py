"""A project's rules and state, for those who run it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field
from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session as Db

from plaudit.feedback.store.people import note
from plaudit.feedback.store.projects import change_settings, set_state
from plaudit.feedback.store.schema import Assignment, Audit, Item, Judgement, Member, Project, Skip, User
from plaudit.feedback.store.settings import Settings
from plaudit.feedback.store.verdict import Plain
from plaudit.web.access import Access, Asker

router = APIRouter(prefix="/api/projects/{project}", tags=["project"])
Labeler = Annotated[Asker, Depends(Access("labeler", "label"))]
Reviewer = Annotated[Asker, Depends(Access("reviewer", "review"))]
Owner = Annotated[Asker, Depends(Access("owner", "manage"))]


class Status(BaseModel):
    """How far the work is. ``wanted``: judgements that the overlaps ask for, of which ``given`` are there."""

    state: str
    items: int
    finished: int = Field(description="work items with all their judgements")
    wanted: int
    given: int
    judgements: int = Field(description="of every purpose, surplus included")
    surplus: int
    leased: int
    skipped: int
    skip_reasons: dict[str, int]
    labelers: int
    by_purpose: dict[str, int] = Field(description="open items by purpose")


class StateIn(BaseModel):
    state: Literal["open", "paused", "closed"]


class Level(BaseModel):
    level: int = Field(ge=0, le=3)


class Entry(BaseModel):
    when: float
    who: str | None
    action: str
    target: str
    detail: dict[str, Any]


@router.get("/status")
def get_status(asker: Reviewer) -> Status:
    """How far the work is."""
    return asker.server.database.read(status_of, asker.the_project().id)


def status_of(db: Db, project_id: str) -> Status:
    project = db.get_one(Project, project_id)
    open_items = (Item.project_id == project_id) & (Item.state == "open")
    work = open_items & (Item.purpose == "work")
    states = select(Assignment.state, func.count()).where(Assignment.project_id == project_id)
    counts = dict(pairs(db, states.group_by(Assignment.state)))
    given = select(Assignment.item_id, func.count().label("given")).where(
        Assignment.project_id == project_id, Assignment.purpose == "work", Assignment.state == "submitted"
    )
    per_item = given.group_by(Assignment.item_id).subquery()
    done = select(func.count()).select_from(Item).join(per_item, per_item.c.item_id == Item.id)
    reasons = (
        select(Skip.reason, func.count())
        .join(Assignment, Assignment.id == Skip.assignment_id)
        .where(Assignment.project_id == project_id)
        .group_by(Skip.reason)
    )
    purposes = select(Item.purpose, func.count()).where(open_items).group_by(Item.purpose)
    active = select(func.count(func.distinct(Judgement.member_id))).join(
        Assignment, Assignment.id == Judgement.assignment_id
    )
    surplus = select(func.count()).where(Assignment.project_id == project_id, Assignment.surplus)
    return Status(
        state=project.state,
        items=db.scalar(select(func.count()).where(work)) or 0,
        finished=db.scalar(done.where(work, per_item.c.given >= Item.overlap)) or 0,
        wanted=db.scalar(select(func.coalesce(func.sum(Item.overlap), 0)).where(work)) or 0,
        given=db.scalar(
            select(func.count()).where(
                Assignment.project_id == project_id,
                Assignment.purpose == "work",
                Assignment.state == "submitted",
                Assignment.surplus.is_(False),
            )
        )
        or 0,
        judgements=counts.get("submitted", 0),
        surplus=db.scalar(surplus) or 0,
        leased=counts.get("leased", 0),
        skipped=counts.get("skipped", 0),
        skip_reasons=dict(pairs(db, reasons)),
        labelers=db.scalar(active.where(Assignment.project_id == project_id)) or 0,
        by_purpose=dict(pairs(db, purposes)),
    )


def pairs(db: Db, query: Select[str, int]) -> list[tuple[str, int]]:
    return [(name, count) for name, count in db.execute(query)]


@router.get("/settings")
def get_settings(asker: Reviewer) -> Settings:
    """The project's rules."""
    return Settings.model_validate(asker.the_project().settings)


@router.patch("/settings")
def patch_settings(changes: dict[Plain, Any], asker: Owner) -> Settings:
    """Change some of the rules. What was judged stays as it is; an overlap never falls below what an item has."""

    def work(db: Db) -> Settings:
        project = db.get_one(Project, asker.the_project().id, with_for_update=True)
        made = change_settings(db, project, changes)
        note(db, "changed settings", now=asker.now, by=asker.user, project=project, changes=changes)
        return made

    return asker.server.database.write(work)


@router.post("/state", status_code=204)
def post_state(body: StateIn, asker: Owner) -> None:
    """Open, pause or close the project. Work that is on somebody's screen is welcome all the same."""

    def work(db: Db) -> None:
        project = db.get_one(Project, asker.the_project().id, with_for_update=True)
        set_state(project, body.state)
        note(db, "changed state", now=asker.now, by=asker.user, project=project, target=body.state)

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
def get_audit(asker: Owner, limit: int = 200, before: str | None = None) -> list[Entry]:
    """Who changed what, newest first."""

    def work(db: Db) -> list[Entry]:
        mine = select(Audit, User.name).join(User, User.id == Audit.user_id, isouter=True)
        mine = mine.where(Audit.project_id == asker.the_project().id)
        if before is not None:
            mine = mine.where(Audit.id < before)
        rows = db.execute(mine.order_by(Audit.id.desc()).limit(max(1, min(limit, 1000))))
        return [
            Entry(when=a.created, who=name, action=a.action, target=a.target, detail=a.detail)
            for a, name in rows
        ]

    return asker.server.database.read(work)
