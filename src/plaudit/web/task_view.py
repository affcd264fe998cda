"""An assignment as sent to the labeler's page: blind, in the stored order, rendered safely."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, Field
from sqlalchemy import func, select
from sqlalchemy.orm import Session as Db

from plaudit.feedback.store.claiming import eligible
from plaudit.feedback.store.exposure import has_seen
from plaudit.feedback.store.judgement_form import LETTERS, to_letters
from plaudit.feedback.store.leases import done, live
from plaudit.feedback.store.schema import Assignment, Draft, Judgement, Member, Project
from plaudit.feedback.store.settings import RatedAttribute, Settings
from plaudit.feedback.store.submission import editable, latest
from plaudit.registry import TASKS
from plaudit.web.rendering import Blank, blank_of, to_html

HEARTBEATS = 4  # a lease
DAY = 86_400
MOST_LEFT = 500


class Turn(BaseModel):
    role: Literal["system", "user", "assistant"]
    html: str


class ShownAnswer(BaseModel):
    """An answer under the letter of its position. Nothing but its text distinguishes it from the others."""

    key: str
    html: str
    blank: Blank | None = Field(description="why nothing of it is to be seen, where that is so")
    finished: bool = Field(description="False where a length limit cut the answer")


class Form(BaseModel):
    """What the project asks."""

    kind: str = Field(description="kind of task: pair, ranking")
    title: str = Field(description="what is asked, as the page's heading")
    strength: bool
    ties: bool
    all_bad: bool
    not_rankable: bool
    attributes: tuple[RatedAttribute, ...]
    rationale: Literal["off", "optional", "required"]
    confidence: bool


class Stored(BaseModel):
    """The judgement that holds, in the letters of this page."""

    revision: int
    groups: list[list[str]]
    strength: int | None
    all_bad: bool
    not_rankable: bool
    untouched: bool
    confidence: int | None
    rationale: str
    attributes: dict[str, dict[str, int]]
    created: float


class StoredDraft(BaseModel):
    """A draft: whatever the page put there, and its revision."""

    rev: int
    payload: dict[str, Any]


class LabelerProgress(BaseModel):
    today: int
    total: int
    left: int = Field(description="items that this labeler could still get, this one included; at most 500")


class Task(BaseModel):
    assignment: str
    state: str
    training: bool = Field(description="an item with known answers, which are shown after the judgement")
    seconds_left: float
    heartbeat_seconds: float
    prompt: list[Turn]
    answers: list[ShownAnswer]
    sensitivity: int
    hidden: bool = Field(description="not to be shown before the labeler asks for it")
    form: Form
    guideline_version: int
    draft: StoredDraft | None
    judgement: Stored | None
    editable: bool
    progress: LabelerProgress


@dataclass(frozen=True)
class Sheet:
    """An assignment as it was read, with texts that are yet to be drawn: others wait while a transaction is open."""

    prompt: list[dict[str, str]]
    answers: list[tuple[str, str, bool]]  # key, text, finished
    rest: dict[str, Any]

    @property
    def progress(self) -> LabelerProgress:
        found: LabelerProgress = self.rest["progress"]
        return found

    def drawn(self) -> Task:
        """The page's view, to be made when the transaction has ended."""
        return Task(
            prompt=[
                Turn.model_validate({"role": m["role"], "html": to_html(m["content"])}) for m in self.prompt
            ],
            answers=[_shown(key, text, finished) for key, text, finished in self.answers],
            **self.rest,
        )


def sheet_of(db: Db, project: Project, member: Member, assignment: Assignment, *, now: float) -> Sheet:
    """All that the page needs of an assignment."""
    settings = Settings.model_validate(project.settings)
    item = assignment.item
    by_position = {a.position: a for a in item.answers}
    draft = db.get(Draft, assignment.id)
    judged = latest(db, assignment.id) if assignment.state == "submitted" else None
    rest = {
        "assignment": assignment.id,
        "state": assignment.state,
        "training": assignment.purpose == "calibration",
        "seconds_left": max(0.0, assignment.expires_at - now),
        "heartbeat_seconds": settings.lease_seconds / HEARTBEATS,
        "sensitivity": item.sensitivity,
        "hidden": item.sensitivity >= settings.blur_from and assignment.revealed_at is None,
        "form": _form(settings, len(assignment.order)),
        "guideline_version": project.guideline_version,
        "draft": StoredDraft(rev=draft.rev, payload=draft.payload) if draft else None,
        "judgement": stored(judged, assignment.order) if judged else None,
        "editable": editable(assignment, settings, now) and not has_seen(db, member.id, item.id),
        "progress": progress_of(db, project, member, now=now),
    }
    shown = [by_position[p] for p in assignment.order]
    answers = [(LETTERS[i], a.text, a.finished) for i, a in enumerate(shown)]
    return Sheet(list(item.prompt), answers, rest)


def progress_of(db: Db, project: Project, member: Member, *, now: float) -> LabelerProgress:
    """What this labeler has done and has left, in one question to the database: it is asked with every answer."""
    mine = select(func.count()).select_from(Assignment).where(Assignment.member_id == member.id, done())
    held = select(Assignment.purpose).where(Assignment.member_id == member.id, live())

    def some(purpose: str) -> Any:
        those = eligible(project.id, member, purpose).limit(MOST_LEFT).subquery()
        return select(func.count()).select_from(those).scalar_subquery()

    today, total, holds, work, gold = db.execute(
        select(
            mine.where(Assignment.closed_at > now - DAY).scalar_subquery(),
            mine.scalar_subquery(),
            held.scalar_subquery(),
            some("work"),
            some("gold"),
        )
    ).one()
    # Gold counts as work does, held, judged or to come: otherwise the number would tell which is which. It is given
    # among work only, and a repeat comes on top of what was to be done.
    left = 0 if not work and holds is None else work + gold + (holds not in (None, "repeat"))
    return LabelerProgress(today=today, total=total, left=min(MOST_LEFT, left))


def stored(judgement: Judgement, order: list[int]) -> Stored:
    letter = {str(position): LETTERS[i] for i, position in enumerate(order)} | {"*": "*"}
    return Stored(
        revision=judgement.revision,
        groups=to_letters(judgement.groups, order),
        strength=judgement.strength,
        all_bad=judgement.all_bad,
        not_rankable=judgement.not_rankable,
        untouched=judgement.untouched,
        confidence=judgement.confidence,
        rationale=judgement.rationale,
        attributes={
            name: {letter[key]: value for key, value in values.items()}
            for name, values in judgement.attributes.items()
        },
        created=judgement.created,
    )


def _shown(key: str, text: str, finished: bool) -> ShownAnswer:
    html = to_html(text)
    return ShownAnswer(key=key, html=html, blank=blank_of(text, html), finished=finished)


def _form(settings: Settings, count: int) -> Form:
    kind = next(task for task in TASKS.values() if task.least <= count <= task.most)
    return Form(
        kind=kind.name,
        title=kind.title,
        strength=settings.strength and kind.strength,
        ties=settings.ties,
        all_bad=settings.all_bad,
        not_rankable=settings.not_rankable,
        attributes=settings.attributes,
        rationale=settings.rationale,
        confidence=settings.confidence,
    )
