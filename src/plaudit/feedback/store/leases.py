"""Leases: an item is assigned to a labeler for a limited time; ``taken`` counts its leases and judgements."""

from __future__ import annotations

from collections import Counter
from typing import Any

from sqlalchemy import ColumnElement, exists, literal_column, select, update
from sqlalchemy.orm import Session

from plaudit.feedback.store.ids import keyed_hash
from plaudit.feedback.store.locks import try_project
from plaudit.feedback.store.schema import Assignment, Item, Member, Project
from plaudit.feedback.store.settings import Settings

SWEEP = 200  # expired leases taken back at a time


def live() -> ColumnElement[bool]:
    """Held now. A literal, not a parameter: only so can the partial indexes serve."""
    return Assignment.state == literal_column("'leased'")


def done() -> ColumnElement[bool]:
    """Judged; a literal too."""
    return Assignment.state == literal_column("'submitted'")


def take_place(session: Session, item_id: str) -> bool:
    """Count one more labeler of a work item, if its overlap allows: one guarded update, safe under any race."""
    taken: Any = session.execute(
        update(Item)
        .where(Item.id == item_id, Item.taken < Item.overlap, Item.state == "open")
        .values(taken=Item.taken + 1)
    )
    return bool(taken.rowcount)


def close(session: Session, assignment: Assignment, state: str, now: float) -> None:
    """End a lease without a judgement and free its place in the item's overlap."""
    if assignment.counted:
        session.execute(update(Item).where(Item.id == assignment.item_id).values(taken=Item.taken - 1))
    assignment.counted = False
    assignment.state = state
    assignment.closed_at = now
    session.flush()


def expire(session: Session, project_id: str, now: float) -> int:
    """Take back leases that ran out; what was drafted stays, and a late answer is still welcome."""
    over = (Assignment.project_id == project_id, live(), Assignment.expires_at < now)
    if not session.scalar(select(exists().where(*over))):
        return 0
    # One at a time, since it changes many items; the others need not wait for it.
    if not try_project(session, project_id):
        return 0
    rows = session.execute(
        select(Assignment.id, Assignment.item_id, Assignment.counted)
        .where(*over)
        .order_by(Assignment.expires_at)
        .limit(SWEEP)
        .with_for_update(skip_locked=True)
    ).all()
    session.execute(
        update(Assignment)
        .where(Assignment.id.in_([row.id for row in rows]))
        .values(state="expired", counted=False, closed_at=now)
        .execution_options(synchronize_session="fetch")
    )
    freed = Counter(row.item_id for row in rows if row.counted)
    for places in set(freed.values()):
        items = [item_id for item_id, count in freed.items() if count == places]
        session.execute(update(Item).where(Item.id.in_(items)).values(taken=Item.taken - places))
    return len(rows)


def lease(
    session: Session,
    project: Project,
    member: Member,
    settings: Settings,
    *,
    now: float,
    item_id: str,
    purpose: str,
    propensity: float,
) -> Assignment:
    """Give the member the item, whose place, if it is work, has been taken."""
    round_ = 1 if purpose == "repeat" else 0
    until, counted = now + settings.lease_seconds, purpose == "work"
    mine = select(Assignment).where(Assignment.item_id == item_id, Assignment.member_id == member.id)
    # Someone whose lease ran out, or who gave it back, sees the item as before, draft and all.
    again = session.scalar(mine.where(Assignment.round == round_).with_for_update())
    if again is not None:
        again.state, again.purpose, again.counted, again.closed_at = "leased", purpose, counted, None
        again.leased_at, again.expires_at, again.propensity = now, until, propensity
        session.flush()
        return again
    item = session.get_one(Item, item_id)
    if purpose == "repeat":
        first = session.scalars(mine.where(Assignment.round == 0)).one()
        order, slot = list(reversed(first.order)), first.slot
    else:
        slot = _free_slot(session, item_id)
        order = display_order(project.secret, item_id, len(item.answers), slot)
    made = Assignment(
        project_id=project.id,
        item=item,
        member_id=member.id,
        round=round_,
        purpose=purpose,
        state="leased",
        order=order,
        slot=slot,
        propensity=propensity,
        counted=counted,
        leased_at=now,
        expires_at=until,
    )
    session.add(made)
    session.flush()
    return made


def _free_slot(session: Session, item_id: str) -> int:
    """The first turn in the item's orders that is nobody's who holds or has judged it, for judgements in balance."""
    used = set(
        session.scalars(
            select(Assignment.slot).where(
                Assignment.item_id == item_id,
                Assignment.round == 0,
                Assignment.state.in_(("leased", "submitted")),
            )
        )
    )
    return next(i for i in range(len(used) + 1) if i not in used)


def display_order(secret: str, item_id: str, count: int, slot: int) -> list[int]:
    """Positions 0..count-1 as the ``slot``-th labeler of an item sees them.

    Each block of ``count`` labelers rotates one permutation, drawn by a keyed hash of item and block, so that every
    answer stands first, and in every other place, equally often (a Latin square); with two answers each second
    labeler sees them reversed. The key never leaves the server: nobody can tell which answer is which.
    """
    block, turn = divmod(slot, count)
    drawn = sorted(
        range(count), key=lambda i: keyed_hash(bytes.fromhex(secret), "order", item_id, str(block), str(i))
    )
    return drawn[turn:] + drawn[:turn]
