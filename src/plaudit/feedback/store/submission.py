"""From a lease to a judgement: heartbeats, drafts, submitting, editing, skipping.

A judgement is acknowledged only when it is on disk. The same idempotency key always gets the same answer, so
that a client which heard nothing may send again. Work that comes late is kept, as surplus where others have
filled the item meanwhile.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from plaudit.feedback.quality.gold_agreement import gold_score
from plaudit.feedback.store.errors import Invalid, NotFound, Refused
from plaudit.feedback.store.exposure import require_unseen
from plaudit.feedback.store.judgement_form import JudgementForm, problems_of, to_letters, to_positions
from plaudit.feedback.store.leases import close, live, take_place
from plaudit.feedback.store.locks import lock_member
from plaudit.feedback.store.schema import (
    Assignment,
    Draft,
    GoldRanking,
    Item,
    Judgement,
    Member,
    Project,
    Skip,
)
from plaudit.feedback.store.settings import Settings

SKIP_REASONS = {
    "unsure": "I cannot tell which is better",
    "knowledge": "I do not know enough about this",
    "language": "I do not know this language well enough",
    "broken": "Something is wrong with the item",
    "too_long": "It is too long",
    "personal": "I have a personal connection to it",
    "sensitive": "I would rather not read this",
    "other": "Another reason",
}
MOST_MS = 2**31 - 1  # what the column holds: 24 days


@dataclass(frozen=True)
class Receipt:
    """What was stored. ``feedback`` is given on calibration items only."""

    judgement: Judgement
    assignment: Assignment
    feedback: dict[str, Any] | None = None
    again: bool = False


def own(session: Session, assignment_id: str, member: Member, *, lock: bool = False) -> Assignment:
    """The member's assignment. NotFound for anyone else's. ``lock``: the member, then the assignment."""
    query = select(Assignment).where(Assignment.id == assignment_id, Assignment.member_id == member.id)
    if lock:
        lock_member(session, member.id)
        query = query.with_for_update().execution_options(populate_existing=True)
    found = session.scalar(query)
    if found is None:
        raise NotFound("assignment")
    return found


def heartbeat(
    session: Session, member: Member, assignment_id: str, *, active_ms: int, now: float
) -> Assignment:
    """Hold the lease for another while; a lease that ran out is taken up again if the item has room."""
    assignment = own(session, assignment_id, member, lock=True)
    settings = _settings(session, assignment)
    if assignment.state in ("leased", "expired"):
        assignment.active_ms = max(assignment.active_ms, _capped(active_ms, assignment, now))
    if assignment.state == "expired" and not _holds_another(session, assignment):
        if assignment.purpose != "work":
            assignment.state, assignment.closed_at = "leased", None
        elif take_place(session, assignment.item_id):
            assignment.state, assignment.counted, assignment.closed_at = "leased", True, None
    if assignment.state == "leased":
        assignment.expires_at = now + settings.lease_seconds
    return assignment


def save_draft(
    session: Session, member: Member, assignment_id: str, *, payload: dict[str, Any], rev: int, now: float
) -> tuple[Draft, bool]:
    """Keep unfinished work that began from revision ``rev``: the draft kept, and whether it is this one.

    Refused where the draft has meanwhile been submitted: a late copy must not come up again beside the judgement.
    """
    assignment = own(session, assignment_id, member, lock=True)
    draft = session.get(Draft, assignment_id)
    if draft is None and rev and assignment.state == "submitted":
        raise Refused("already_judged", "this draft has been submitted")
    if draft is None:
        draft = Draft(assignment_id=assignment_id, rev=0, payload={}, updated=now)
        session.add(draft)
    elif draft.rev != rev:
        return draft, draft.payload == payload
    draft.rev, draft.payload, draft.updated = draft.rev + 1, payload, now
    return draft, True


def submit(
    session: Session, member: Member, assignment_id: str, *, verdict: JudgementForm, key: str, now: float
) -> Receipt:
    """Store a judgement. Invalid where it does not answer what is asked; Refused where it was answered before."""
    assignment = own(session, assignment_id, member, lock=True)
    before = _by_key(session, member, key, assignment, verdict)
    if before is not None:
        return Receipt(before, assignment, _feedback(session, assignment, before), again=True)
    if assignment.state == "submitted":
        raise Refused(
            "already_judged", "you have judged this item before: open it from your history to change it"
        )
    require_unseen(session, assignment)
    judgement = _store(session, assignment, member, verdict, key, now)
    if assignment.purpose == "work" and not assignment.counted:
        assignment.counted = take_place(session, assignment.item_id)
        assignment.surplus = not assignment.counted
    assignment.state, assignment.closed_at = "submitted", now
    assignment.active_ms = max(assignment.active_ms, judgement.active_ms)
    draft = session.get(Draft, assignment_id)
    if draft is not None:
        session.delete(draft)
    session.flush()
    return Receipt(judgement, assignment, _feedback(session, assignment, judgement))


def revise(
    session: Session, member: Member, assignment_id: str, *, verdict: JudgementForm, key: str, now: float
) -> Receipt:
    """Add a new revision to one's own judgement, as long as it may be edited."""
    assignment = own(session, assignment_id, member, lock=True)
    before = _by_key(session, member, key, assignment, verdict)
    if before is not None:
        return Receipt(before, assignment, _feedback(session, assignment, before), again=True)
    if not editable(assignment, _settings(session, assignment), now):
        raise Refused("too_late", "this judgement can no longer be changed")
    require_unseen(session, assignment)
    judgement = _store(session, assignment, member, verdict, key, now)
    session.flush()
    return Receipt(judgement, assignment, _feedback(session, assignment, judgement))


def skip(
    session: Session, member: Member, assignment_id: str, *, reason: str, note: str, now: float
) -> Assignment:
    """Pass an item by; it goes to someone else. Skipping twice changes nothing."""
    if reason not in SKIP_REASONS:
        raise Invalid("unknown_reason", f"reasons are {', '.join(SKIP_REASONS)}")
    assignment = own(session, assignment_id, member, lock=True)
    if assignment.state == "submitted":
        raise Refused("already_judged", "you have judged this item before")
    if assignment.state != "skipped":
        close(session, assignment, "skipped", now)
        session.add(Skip(assignment_id=assignment.id, reason=reason, note=note.strip(), created=now))
    return assignment


def stop_showing(session: Session, member: Member, assignment_id: str, *, now: float) -> int:
    """Skip, and see no more of this kind: the member's level falls below the item's. Returns the new level."""
    assignment = skip(
        session, member, assignment_id, reason="sensitive", note="stop showing me this", now=now
    )
    level = session.get_one(Item, assignment.item_id).sensitivity
    mine = session.get_one(Member, member.id)
    if level:
        mine.max_sensitivity = min(mine.max_sensitivity, level - 1)
    return mine.max_sensitivity


def release(session: Session, member: Member, assignment_id: str, *, now: float) -> Assignment:
    """Give an item back, draft kept: for a pause, or when signing out."""
    assignment = own(session, assignment_id, member, lock=True)
    if assignment.state == "leased":
        close(session, assignment, "released", now)
    return assignment


def reveal(session: Session, member: Member, assignment_id: str, *, now: float) -> Assignment:
    """Note that a hidden item was looked at."""
    assignment = own(session, assignment_id, member, lock=True)
    assignment.revealed_at = assignment.revealed_at or now
    return assignment


def latest(session: Session, assignment_id: str) -> Judgement | None:
    """The revision that holds."""
    return session.scalar(
        select(Judgement)
        .where(Judgement.assignment_id == assignment_id)
        .order_by(Judgement.revision.desc())
        .limit(1)
    )


def editable(assignment: Assignment, settings: Settings, now: float) -> bool:
    closed = assignment.closed_at
    # A calibration item has shown its answer; it cannot be judged anew.
    return (
        assignment.state == "submitted"
        and assignment.purpose != "calibration"
        and closed is not None
        and now - closed <= 60 * settings.edit_minutes
    )


def _by_key(
    session: Session, member: Member, key: str, assignment: Assignment, verdict: JudgementForm
) -> Judgement | None:
    """The judgement stored under that idempotency key. Invalid if it is of another item or differs."""
    found = session.scalar(
        select(Judgement).where(Judgement.member_id == member.id, Judgement.idempotency_key == key)
    )
    if found is not None and found.assignment_id != assignment.id:
        raise Invalid("key_used", "this idempotency key was used for another item")
    if found is not None and not _same(found, verdict, assignment):
        raise Invalid(
            "key_used",
            "this idempotency key came with another judgement before, which holds: send this one under a new key",
        )
    return found


def _same(stored: Judgement, verdict: JudgementForm, assignment: Assignment) -> bool:
    """Whether the verdict is the one that was stored, to the last field."""
    try:
        said = to_positions(verdict, assignment.order)
    except KeyError:
        return False  # it names answers that there are not
    # What was active longer than the item was theirs was cut to that.
    said["active_ms"] = min(verdict.active_ms, MOST_MS, stored.wall_ms)
    return all(getattr(stored, name) == value for name, value in said.items())


def _store(
    session: Session, assignment: Assignment, member: Member, verdict: JudgementForm, key: str, now: float
) -> Judgement:
    project = session.get_one(Project, assignment.project_id)
    settings = Settings.model_validate(project.settings)
    problems = problems_of(verdict, len(assignment.order), settings)
    if verdict.guideline_version > project.guideline_version:
        raise Invalid("unknown_guideline", "there is no such version of the guidelines")
    if problems:
        raise Invalid("incomplete", "the judgement is not complete", problems=problems)
    before = latest(session, assignment.id)
    judgement = Judgement(
        assignment_id=assignment.id,
        member_id=member.id,
        revision=1 if before is None else before.revision + 1,
        idempotency_key=key,
        active_ms=_capped(verdict.active_ms, assignment, now),
        wall_ms=min(MOST_MS, int(1000 * max(0.0, now - assignment.leased_at))),
        created=now,
        **to_positions(verdict, assignment.order),
    )
    session.add(judgement)
    return judgement


def _capped(active_ms: int, assignment: Assignment, now: float) -> int:
    """Nobody was active for longer than the item was theirs."""
    return min(active_ms, MOST_MS, int(1000 * max(0.0, now - assignment.leased_at)))


def _feedback(session: Session, assignment: Assignment, judgement: Judgement) -> dict[str, Any] | None:
    gold = session.get(GoldRanking, assignment.item_id) if assignment.purpose == "calibration" else None
    if gold is None:
        return None
    score = gold_score(judgement.groups, gold.accepted)
    said = {
        "agreement": score.share if score else None,
        "accepted": [to_letters(ranking, assignment.order) for ranking in gold.accepted],
        "rationale": gold.rationale,
    }
    # Gold that ties all answers decides no pair, and has no share: there the same tie is what was expected.
    return said | {"exact": score.exact} if score and score.share is None else said


def _holds_another(session: Session, assignment: Assignment) -> bool:
    return (
        session.scalar(select(Assignment.id).where(Assignment.member_id == assignment.member_id, live()))
        is not None
    )


def _settings(session: Session, assignment: Assignment) -> Settings:
    return Settings.model_validate(session.get_one(Project, assignment.project_id).settings)
