"""Labeling: claim an item, renew its lease, save a draft, submit, edit, skip."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from sqlalchemy import select
from sqlalchemy.orm import Session as Db

from plaudit.errors import Problem
from plaudit.feedback.sanitize import mended
from plaudit.feedback.store import submission
from plaudit.feedback.store.claiming import Nothing, claim
from plaudit.feedback.store.errors import Invalid
from plaudit.feedback.store.exposure import seen_by
from plaudit.feedback.store.judgement_form import JudgementForm, Plain
from plaudit.feedback.store.leases import done
from plaudit.feedback.store.schema import Assignment, Member, Project
from plaudit.feedback.store.settings import Settings
from plaudit.web.access import Access, Asker
from plaudit.web.request_body import Guarded
from plaudit.web.task_view import LabelerProgress, Sheet, StoredDraft, Task, progress_of, sheet_of

router = APIRouter(prefix="/api/projects/{project}", tags=["labeling"], route_class=Guarded)
Labeler = Annotated[Asker, Depends(Access("labeler", "label"))]
Key = Annotated[str, Header(alias="Idempotency-Key", min_length=8, max_length=80, pattern=r"^[\x21-\x7e]+$")]


class Claimed(BaseModel):
    """An item, or why there is none: ``done``, or ``wait`` for what others hold."""

    task: Task | None
    why: str | None = None
    seconds: float | None = None
    progress: LabelerProgress


class Beat(BaseModel):
    active_ms: int = Field(0, ge=0, le=10**9)


class Held(BaseModel):
    state: str
    seconds_left: float


class DraftIn(BaseModel):
    """Unfinished work is kept whatever was typed: what no database holds is mended, not refused."""

    rev: int = Field(ge=0)
    payload: dict[Any, Any]


class SkipIn(BaseModel):
    reason: str
    note: Plain = Field("", max_length=1000)


class Stopped(BaseModel):
    max_sensitivity: int


class Done(BaseModel):
    """The receipt: the judgement is on disk. ``again``: it was there before, under the same key."""

    judgement: str
    revision: int
    surplus: bool
    again: bool
    feedback: dict[str, Any] | None
    progress: LabelerProgress


class Past(BaseModel):
    assignment: str
    excerpt: str
    answers: int
    when: float
    training: bool
    editable: bool


@router.post("/claim")
def claim_item(asker: Labeler) -> Claimed:
    """The labeler's current item, or the next one, leased for a while."""
    now = asker.now

    def work(db: Db) -> Claimed | Sheet:
        found = claim(db, asker.the_member().id, now=now)
        member = db.get_one(Member, asker.the_member().id)
        project = db.get_one(Project, asker.the_project().id)
        if isinstance(found, Nothing):
            seconds = max(1.0, found.seconds - now) if found.why == "wait" else None
            progress = progress_of(db, project, member, now=now)
            return Claimed(task=None, why=found.why, seconds=seconds, progress=progress)
        return sheet_of(db, project, member, found, now=now)

    made = asker.server.database.write(work)
    return Claimed(task=made.drawn(), progress=made.progress) if isinstance(made, Sheet) else made


@router.get("/assignments/{assignment}")
def get_assignment(assignment: str, asker: Labeler) -> Task:
    """One of the labeler's own items, as it was shown."""

    def work(db: Db) -> Sheet:
        found = submission.own(db, assignment, asker.the_member())
        return sheet_of(db, asker.the_project(), asker.the_member(), found, now=asker.now)

    return asker.server.database.read(work).drawn()


@router.post("/assignments/{assignment}/heartbeat")
def post_heartbeat(assignment: str, beat: Beat, asker: Labeler) -> Held:
    """Hold the item for another while."""
    now = asker.now

    def work(db: Db) -> Held:
        found = submission.heartbeat(db, asker.the_member(), assignment, active_ms=beat.active_ms, now=now)
        return Held(state=found.state, seconds_left=max(0.0, found.expires_at - now))

    return asker.server.database.write(work)


@router.put("/assignments/{assignment}/draft", responses={409: {"model": StoredDraft}})
def put_draft(assignment: str, draft: DraftIn, asker: Labeler) -> Any:
    """Keep unfinished work. 409 with the draft kept, where another page has written since revision ``rev``."""
    try:
        # Here, in a thread: a large draft takes a while to look through.
        payload = mended(draft.payload)
    except ValueError as error:
        problem = Problem(str(error), field="payload")
        raise Invalid("invalid", "the draft cannot be kept", problems=[problem]) from None

    def work(db: Db) -> tuple[StoredDraft, bool]:
        kept, is_mine = submission.save_draft(
            db, asker.the_member(), assignment, payload=payload, rev=draft.rev, now=asker.now
        )
        return StoredDraft(rev=kept.rev, payload=kept.payload), is_mine

    kept, is_mine = asker.server.database.write(work)
    return kept if is_mine else JSONResponse(kept.model_dump(), 409)


@router.post("/assignments/{assignment}/submit", status_code=201)
def post_judgement(assignment: str, verdict: JudgementForm, key: Key, asker: Labeler) -> Done:
    """Judge an item. Sending the same again under the same key is safe: it gets the same receipt."""
    return asker.server.database.write(_judge, submission.submit, asker, assignment, verdict, key)


@router.post("/assignments/{assignment}/revise", status_code=201)
def post_revision(assignment: str, verdict: JudgementForm, key: Key, asker: Labeler) -> Done:
    """Change one's own judgement, while the project lets one: a new revision beside the old one."""
    return asker.server.database.write(_judge, submission.revise, asker, assignment, verdict, key)


@router.post("/assignments/{assignment}/skip")
def post_skip(assignment: str, skip: SkipIn, asker: Labeler) -> Held:
    """Pass an item by, with a reason; it goes to someone else."""

    def work(db: Db) -> Held:
        found = submission.skip(
            db, asker.the_member(), assignment, reason=skip.reason, note=skip.note, now=asker.now
        )
        return Held(state=found.state, seconds_left=0)

    return asker.server.database.write(work)


@router.post("/assignments/{assignment}/stop-showing")
def post_stop_showing(assignment: str, asker: Labeler) -> Stopped:
    """Skip, and get no more items of this sensitivity. It does not count against the labeler."""
    level = asker.server.database.write(
        submission.stop_showing, asker.the_member(), assignment, now=asker.now
    )
    return Stopped(max_sensitivity=level)


@router.post("/assignments/{assignment}/release")
def post_release(assignment: str, asker: Labeler) -> Held:
    """Give an item back, draft kept."""
    found = asker.server.database.write(submission.release, asker.the_member(), assignment, now=asker.now)
    return Held(state=found.state, seconds_left=0)


@router.post("/assignments/{assignment}/reveal")
def post_reveal(assignment: str, asker: Labeler) -> Held:
    """Note that a hidden item was looked at."""
    now = asker.now
    found = asker.server.database.write(submission.reveal, asker.the_member(), assignment, now=now)
    return Held(state=found.state, seconds_left=max(0.0, found.expires_at - now))


@router.get("/mine")
def get_mine(asker: Labeler, limit: int = 50) -> list[Past]:
    """The labeler's latest judgements, newest first."""

    def work(db: Db) -> list[Past]:
        settings = Settings.model_validate(asker.the_project().settings)
        mine = asker.the_member().id
        found = db.scalars(
            select(Assignment)
            .where(Assignment.member_id == mine, done())
            .order_by(Assignment.closed_at.desc(), Assignment.id.desc())
            .limit(max(1, min(limit, 500)))
        ).all()
        seen = seen_by(db, mine, (a.item_id for a in found))
        return [
            Past(
                assignment=a.id,
                excerpt=a.item.prompt[-1]["content"][:120],
                answers=len(a.order),
                when=a.closed_at or 0.0,
                training=a.purpose == "calibration",
                editable=submission.editable(a, settings, asker.now) and a.item_id not in seen,
            )
            for a in found
        ]

    return asker.server.database.read(work)


@router.get("/skip-reasons")
def get_skip_reasons(asker: Labeler) -> dict[str, str]:
    """Why an item may be skipped, in words."""
    return submission.SKIP_REASONS


def _judge(db: Db, action: Any, asker: Asker, assignment: str, verdict: JudgementForm, key: str) -> Done:
    now = asker.now
    receipt = action(db, asker.the_member(), assignment, verdict=verdict, key=key, now=now)
    return Done(
        judgement=receipt.judgement.id,
        revision=receipt.judgement.revision,
        surplus=receipt.assignment.surplus,
        again=receipt.again,
        feedback=receipt.feedback,
        progress=progress_of(db, asker.the_project(), asker.the_member(), now=now),
    )
