"""Who has seen an item's model names or other labelers' judgements: that person is not assigned the item any more."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import ColumnElement, func, insert, select
from sqlalchemy.orm import Session

from plaudit.feedback.store.errors import Forbidden, Refused
from plaudit.feedback.store.locks import lock_member
from plaudit.feedback.store.schema import Assignment, Item, Member, Viewing

AT_ONCE = 500
UNDECIDED = ("leased", "expired", "released")


def look(session: Session, member_id: str, item_id: str, *, now: float) -> None:
    """Note that the member is about to see all of an item. Forbidden while they have it on their own list to judge."""
    # A claim by the same person waits, or is seen here: never both an open item and a look at it.
    lock_member(session, member_id)
    held = select(Assignment.id).where(
        Assignment.item_id == item_id,
        Assignment.member_id == member_id,
        Assignment.state.in_(UNDECIDED),
    )
    if session.scalar(held.limit(1)) is not None:
        raise Forbidden("blind", "you were given this item to judge: judge or skip it first, then look")
    if not has_seen(session, member_id, item_id):
        session.add(Viewing(member_id=member_id, item_id=item_id, seen=now))
        session.flush()


def note_export(session: Session, member_id: str, item_ids: Iterable[str], *, now: float) -> None:
    """Record that the member received these items with their models and judgements."""
    lock_member(session, member_id)
    known = set(session.scalars(select(Viewing.item_id).where(Viewing.member_id == member_id)))
    rows = [
        {"member_id": member_id, "item_id": i, "seen": now} for i in dict.fromkeys(item_ids) if i not in known
    ]
    for at in range(0, len(rows), AT_ONCE):
        session.execute(insert(Viewing), rows[at : at + AT_ONCE])


def has_seen(session: Session, member_id: str, item_id: str) -> bool:
    return session.get(Viewing, (member_id, item_id)) is not None


def seen_by(session: Session, member_id: str, item_ids: Iterable[str]) -> set[str]:
    """Those of a few items that the member has seen."""
    mine = select(Viewing.item_id).where(Viewing.member_id == member_id)
    return set(session.scalars(mine.where(Viewing.item_id.in_(list(item_ids)))))


def require_unseen(session: Session, assignment: Assignment) -> None:
    """Refused where the member has seen the item: their judgement would not be blind."""
    if has_seen(session, assignment.member_id, assignment.item_id):
        raise Refused(
            "seen",
            "you have seen the models of this item, or what others said of it: it is no longer yours to judge",
        )


def times_seen(member: Member) -> ColumnElement[int]:
    """How often the member has seen an item of the query around it: 0 or 1."""
    return (
        select(func.count())
        .where(Viewing.member_id == member.id, Viewing.item_id == Item.id)
        .correlate(Item)
        .scalar_subquery()
    )
