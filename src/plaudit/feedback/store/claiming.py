"""Giving out work: which item a labeler gets next, leased to them for a while.

Each choice is random, and its probability is stored with it: P(kind of item) · 1 / (items of that kind that
could have been chosen). Everything here runs inside one transaction that has locked the member's row.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Select, exists, func, select, update
from sqlalchemy.orm import Session

from plaudit.feedback.store.errors import Refused
from plaudit.feedback.store.order import display_order
from plaudit.feedback.store.schema import Assignment, Item, Member, Project
from plaudit.feedback.store.settings import Settings

SWEEP = 200  # expired leases taken back per claim
Why = Literal["done", "wait"]


@dataclass(frozen=True)
class Nothing:
    """There is no item now: all is done, or others hold the last ones until ``seconds`` from now."""

    why: Why
    seconds: float = 0.0


def claim(
    session: Session, member_id: str, *, now: float, rng: random.Random | None = None
) -> Assignment | Nothing:
    """The member's current item, or a new one. Refused where the project rests or guidelines are unread."""
    member = session.scalars(select(Member).where(Member.id == member_id).with_for_update()).one()
    project = session.get_one(Project, member.project_id)
    settings = Settings.model_validate(project.settings)
    if project.state != "open":
        raise Refused(f"project_{project.state}", f"the project is {project.state}")
    expire(session, project.id, now)
    held = session.scalar(
        select(Assignment).where(Assignment.member_id == member.id, Assignment.state == "leased")
    )
    if held is not None:
        held.expires_at = now + settings.lease_seconds
        return held
    if settings.require_reading and member.guideline_seen < project.guideline_version:
        raise Refused("guidelines_unread", "read the guidelines first: they are new, or have changed")
    rng = rng or random.SystemRandom()
    found = _choose(session, project, member, settings, now, rng)
    if found is None:
        return _nothing(session, project, member)
    return found


def expire(session: Session, project_id: str, now: float) -> int:
    """Take back leases that ran out; what was drafted stays, and a late answer is still welcome."""
    over = (
        select(Assignment.id)
        .where(Assignment.project_id == project_id, Assignment.state == "leased", Assignment.expires_at < now)
        .order_by(Assignment.item_id)
        .limit(SWEEP)
        .with_for_update(skip_locked=True)
    )
    ids = list(session.scalars(over))
    for assignment in session.scalars(select(Assignment).where(Assignment.id.in_(ids))) if ids else ():
        close(session, assignment, "expired", now)
    return len(ids)


def close(session: Session, assignment: Assignment, state: str, now: float) -> None:
    """End a lease without a judgement and give its place back to the item."""
    if assignment.counted:
        session.execute(update(Item).where(Item.id == assignment.item_id).values(taken=Item.taken - 1))
    assignment.counted = False
    assignment.state = state
    assignment.closed_at = now
    session.flush()


def take_place(session: Session, item_id: str) -> bool:
    """Count one more labeler of a work item, if its overlap allows: one guarded update, safe under any race."""
    taken: Any = session.execute(
        update(Item)
        .where(Item.id == item_id, Item.taken < Item.overlap, Item.state == "open")
        .values(taken=Item.taken + 1)
    )
    return bool(taken.rowcount)


def eligible(project_id: str, member: Member, purpose: str) -> Select[str]:
    """Open items of a purpose that the member may see and has not been given (an expired lease does not count)."""
    given = exists().where(
        Assignment.item_id == Item.id,
        Assignment.member_id == member.id,
        Assignment.round == 0,
        Assignment.state.not_in(("expired", "released")),
    )
    query = select(Item.id).where(
        Item.project_id == project_id,
        Item.purpose == purpose,
        Item.state == "open",
        Item.sensitivity <= member.max_sensitivity,
        ~given,
    )
    return query.where(Item.taken < Item.overlap) if purpose == "work" else query


def _choose(
    session: Session, project: Project, member: Member, settings: Settings, now: float, rng: random.Random
) -> Assignment | None:
    calibration = session.scalar(eligible(project.id, member, "calibration").order_by(Item.position).limit(1))
    if calibration is not None:
        return _give(session, project, member, settings, now, calibration, "calibration", 1.0)
    gold, repeats = eligible(project.id, member, "gold"), _repeatable(member, settings)
    gold_share = settings.gold_share if _count(session, gold) else 0.0
    repeat_share = settings.repeat_share if settings.repeat_share and _count(session, repeats) else 0.0
    # Another labeler may take the place between the choice and the update: then choose anew.
    for _ in range(20):
        work = eligible(project.id, member, "work")
        if not (n := _count(session, work)):
            return None
        draw = rng.random()
        if draw < gold_share + repeat_share:
            purpose, query = ("gold", gold) if draw < gold_share else ("repeat", repeats)
            share = (gold_share if purpose == "gold" else repeat_share) / _count(session, query)
            item_id = _pick(session, query, rng)
            return _give(session, project, member, settings, now, item_id, purpose, share)
        item_id = _pick(session, work, rng, n)
        if take_place(session, item_id):
            share = (1 - gold_share - repeat_share) / n
            return _give(session, project, member, settings, now, item_id, "work", share)
    return None


def _count(session: Session, query: Select[str]) -> int:
    return session.scalar(select(func.count()).select_from(query.subquery())) or 0


def _pick(session: Session, query: Select[str], rng: random.Random, count: int | None = None) -> str:
    """One of the query's items, each with the same probability."""
    n = count if count is not None else _count(session, query)
    # Under PostgreSQL the last of them may have gone since they were counted: then the one that is last now.
    chosen = session.scalar(query.order_by(Item.id).offset(rng.randrange(n)).limit(1))
    return chosen if chosen is not None else session.scalars(query.order_by(Item.id.desc()).limit(1)).one()


def _repeatable(member: Member, settings: Settings) -> Select[str]:
    """Work items that the member judged a while ago and has not repeated."""
    mine = (Assignment.member_id == member.id, Assignment.state == "submitted")
    latest = (
        select(Assignment.item_id)
        .where(*mine)
        .order_by(Assignment.closed_at.desc())
        .limit(settings.repeat_after)
        .subquery()
    )
    again = exists().where(
        Assignment.item_id == Item.id, Assignment.member_id == member.id, Assignment.round == 1
    )
    first = exists().where(
        Assignment.item_id == Item.id, *mine, Assignment.round == 0, Assignment.purpose == "work"
    )
    return select(Item.id).where(
        Item.state == "open",
        Item.sensitivity <= member.max_sensitivity,
        first,
        ~again,
        Item.id.not_in(select(latest.c.item_id)),
    )


def _give(
    session: Session,
    project: Project,
    member: Member,
    settings: Settings,
    now: float,
    item_id: str,
    purpose: str,
    propensity: float,
) -> Assignment:
    round_ = 1 if purpose == "repeat" else 0
    mine = select(Assignment).where(Assignment.item_id == item_id, Assignment.member_id == member.id)
    counted = purpose == "work"
    # Someone whose lease ran out, or who gave it back, sees the item as before, draft and all.
    again = session.scalar(mine.where(Assignment.round == round_))
    if again is not None:
        again.state, again.counted, again.closed_at = "leased", counted, None
        again.leased_at, again.expires_at, again.propensity = now, now + settings.lease_seconds, propensity
        session.flush()
        return again
    if purpose == "repeat":
        first = session.scalars(mine.where(Assignment.round == 0)).one()
        order, slot = list(reversed(first.order)), first.slot
    else:
        slot = (
            session.scalar(
                select(func.count())
                .select_from(Assignment)
                .where(Assignment.item_id == item_id, Assignment.round == 0)
            )
            or 0
        )
        item = session.get_one(Item, item_id)
        order = display_order(project.secret, item_id, len(item.answers), slot)
    made = Assignment(
        project_id=project.id,
        item_id=item_id,
        member_id=member.id,
        round=round_,
        purpose=purpose,
        state="leased",
        order=order,
        slot=slot,
        propensity=propensity,
        counted=counted,
        leased_at=now,
        expires_at=now + settings.lease_seconds,
    )
    session.add(made)
    session.flush()
    return made


def _nothing(session: Session, project: Project, member: Member) -> Nothing:
    """Whether to come back: an item that others hold may yet be given back."""
    mine = select(Assignment.item_id).where(
        Assignment.member_id == member.id, Assignment.state.in_(("submitted", "skipped"))
    )
    soonest = session.scalar(
        select(func.min(Assignment.expires_at)).where(
            Assignment.project_id == project.id,
            Assignment.state == "leased",
            Assignment.purpose == "work",
            Assignment.item_id.not_in(mine),
        )
    )
    return Nothing("done") if soonest is None else Nothing("wait", float(soonest))
