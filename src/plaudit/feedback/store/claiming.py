"""Assign work: select a labeler's next item and lease it to them.

Each choice is random, and its probability is stored with it: P(kind of item) · P(this item among its kind).
Everything here runs inside one transaction that has locked the member's row.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import ColumnElement, Select, func, select, text
from sqlalchemy.orm import Session

from plaudit.feedback.store.errors import Refused
from plaudit.feedback.store.exposure import times_seen
from plaudit.feedback.store.item_sampling import Drawn, draw
from plaudit.feedback.store.leases import done, expire, lease, live, take_place
from plaudit.feedback.store.locks import lock_member
from plaudit.feedback.store.schema import KNOWN, OPEN_WORK, Assignment, Item, Member, Project
from plaudit.feedback.store.settings import Settings

DRAWS = 20  # how often to draw anew where another labeler was faster
Why = Literal["done", "wait"]


@dataclass(frozen=True)
class Nothing:
    """There is no item now: all is done, or others hold the last ones until the time ``seconds``."""

    why: Why
    seconds: float = 0.0


def claim(
    session: Session, member_id: str, *, now: float, rng: random.Random | None = None
) -> Assignment | Nothing:
    """The member's current item, or a new one. A new one is refused where the project rests or guidelines are unread.

    The current item stays theirs even when its lease has run out, as long as nobody else has asked for it.
    """
    member = lock_member(session, member_id)
    project = session.get_one(Project, member.project_id)
    # The session forgets what nobody refers to: kept for whoever reads on in this transaction.
    session.info["claiming"] = member, project
    settings = Settings.model_validate(project.settings)
    held = session.scalar(
        select(Assignment).where(Assignment.member_id == member.id, live()).with_for_update()
    )
    if held is not None:
        held.expires_at = now + settings.lease_seconds
        return held
    if project.state != "open":
        raise Refused(f"project_{project.state}", f"the project is {project.state}")
    if settings.require_reading and member.guideline_seen < project.guideline_version:
        raise Refused("guidelines_unread", "read the guidelines first: they are new, or have changed")
    expire(session, project.id, now)
    rng = rng or random.SystemRandom()
    for _ in range(DRAWS):
        choice = choose(session, project.id, member, settings, rng)
        if choice is None:
            return _nothing(session, project, member)
        purpose, drawn = choice
        # Another labeler may take the last place between the choice and this update: then choose anew.
        if purpose != "work" or take_place(session, drawn.item_id):
            return lease(
                session,
                project,
                member,
                settings,
                now=now,
                item_id=drawn.item_id,
                purpose=purpose,
                propensity=drawn.probability,
            )
    return Nothing("wait", now + 1)


def eligible(project_id: str, member: Member, purpose: str) -> Select[str]:
    """Open items of a purpose that the member may see, was not given (an expired lease does not count) and can judge
    blind.
    """
    query = select(Item.id).where(
        Item.project_id == project_id,
        Item.sensitivity <= member.max_sensitivity,
        _given(member, round_=0) == 0,
        times_seen(member) == 0,
    )
    if purpose == "work":
        return query.where(text(OPEN_WORK))
    return query.where(text(KNOWN), Item.purpose == purpose, Item.state == "open")


def left(session: Session, project_id: str, member: Member, *, most: int = 500) -> int:
    """How many work items the member could still get. It counts no further than ``most``."""
    some = eligible(project_id, member, "work").limit(most).subquery()
    return session.scalar(select(func.count()).select_from(some)) or 0


def repeatable(member: Member, settings: Settings) -> Select[str]:
    """Work items that the member judged a while ago and has not repeated."""
    judged = (Assignment.member_id == member.id, done())
    since = (
        select(Assignment.closed_at)
        .where(*judged)
        .order_by(Assignment.closed_at.desc())
        .offset(settings.repeat_after - 1)
        .limit(1)
        .correlate(None)
        .scalar_subquery()
    )
    return (
        select(Item.id)
        .select_from(Assignment)
        .join(Item, Item.id == Assignment.item_id)
        .where(
            *judged,
            Assignment.round == 0,
            Assignment.purpose == "work",
            Assignment.closed_at < since,
            Item.state == "open",
            Item.sensitivity <= member.max_sensitivity,
            _given(member, round_=1) == 0,
            times_seen(member) == 0,
        )
    )


def _given(member: Member, *, round_: int) -> ColumnElement[int]:
    """How often the member was given the item in that round: 0 or 1.

    A count, since the planner of PostgreSQL turns NOT EXISTS into a join, and takes the long way round while it knows
    nothing of a new table. Counting asks the unique index once an item.
    """
    return (
        select(func.count())
        .where(
            Assignment.item_id == Item.id,
            Assignment.member_id == member.id,
            Assignment.round == round_,
            Assignment.state.not_in(("expired", "released")),
        )
        .correlate(Item)
        .scalar_subquery()
    )


def choose(
    session: Session, project_id: str, member: Member, settings: Settings, rng: random.Random
) -> tuple[str, Drawn] | None:
    """What could be next: calibration in its order, then work, with gold and repeats mixed in. Nothing is taken yet."""
    calibration = eligible(project_id, member, "calibration").order_by(Item.position).limit(1)
    work, gold = eligible(project_id, member, "work"), eligible(project_id, member, "gold")
    again = repeatable(member, settings)
    lesson, has_work, has_gold, has_repeats = session.execute(
        select(calibration.scalar_subquery(), work.exists(), gold.exists(), again.exists())
    ).one()
    if lesson is not None:
        return "calibration", Drawn(lesson, 1.0)
    if not has_work:
        return None
    gold_share = settings.gold_share if has_gold else 0.0
    repeat_share = settings.repeat_share if has_repeats else 0.0
    chance = rng.random()
    if chance < gold_share:
        return _of_kind("gold", gold_share, draw(session, gold, rng))
    if chance < gold_share + repeat_share:
        judged = session.scalars(again).all()
        return "repeat", Drawn(judged[rng.randrange(len(judged))], repeat_share / len(judged))
    return _of_kind("work", 1 - gold_share - repeat_share, draw(session, work, rng))


def _of_kind(purpose: str, share: float, drawn: Drawn | None) -> tuple[str, Drawn] | None:
    return None if drawn is None else (purpose, Drawn(drawn.item_id, share * drawn.probability))


def _nothing(session: Session, project: Project, member: Member) -> Nothing:
    """Whether to come back: an item that others hold may yet be given back."""
    done_with = (
        select(Assignment.item_id)
        .where(Assignment.member_id == member.id, Assignment.state.in_(("submitted", "skipped")))
        .correlate(None)
    )
    soonest = session.scalar(
        select(func.min(Assignment.expires_at))
        .join(Item, Item.id == Assignment.item_id)
        .where(
            Assignment.project_id == project.id,
            live(),
            Assignment.counted,
            Item.state == "open",
            Item.sensitivity <= member.max_sensitivity,
            Item.id.not_in(done_with),
            times_seen(member) == 0,
        )
    )
    return Nothing("done") if soonest is None else Nothing("wait", float(soonest))
