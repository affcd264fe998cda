"""Progress counts of a project."""

from __future__ import annotations

from pydantic import BaseModel, Field
from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from plaudit.feedback.store.schema import Assignment, Item, Judgement, Project, Skip


class ProjectProgress(BaseModel):
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


def project_progress(db: Session, project_id: str) -> ProjectProgress:
    """The counts of a project."""
    project = db.get_one(Project, project_id)
    open_items = (Item.project_id == project_id) & (Item.state == "open")
    work = open_items & (Item.purpose == "work")
    states = select(Assignment.state, func.count()).where(Assignment.project_id == project_id)
    counts = dict(_pairs(db, states.group_by(Assignment.state)))
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
    return ProjectProgress(
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
        skip_reasons=dict(_pairs(db, reasons)),
        labelers=db.scalar(active.where(Assignment.project_id == project_id)) or 0,
        by_purpose=dict(_pairs(db, purposes)),
    )


def _pairs(db: Session, query: Select[str, int]) -> list[tuple[str, int]]:
    return [(name, count) for name, count in db.execute(query)]
