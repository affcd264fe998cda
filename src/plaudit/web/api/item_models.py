"""What the API of items takes and returns."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

from plaudit.feedback.store.judgement_form import Plain
from plaudit.web.json_rows import MOST_ROWS
from plaudit.web.rendering import Blank

Purpose = Literal["work", "gold", "calibration"]


class ItemLine(BaseModel):
    id: str
    position: int
    excerpt: str
    answers: int
    purpose: str
    state: str
    sensitivity: int
    overlap: int
    taken: int = Field(description="judgements and live leases that count toward the overlap")


class ItemPage(BaseModel):
    total: int
    items: list[ItemLine]


class FullAnswer(BaseModel):
    position: int
    text: str
    html: str
    blank: Blank | None
    finished: bool
    model: str | None


class ItemJudgement(BaseModel):
    """A judgement of this item; positions, not the letters that its labeler saw."""

    labeler: str
    purpose: str
    revision: int
    groups: list[list[int]]
    order: list[int]
    strength: int | None
    all_bad: bool
    not_rankable: bool
    untouched: bool
    surplus: bool
    confidence: int | None
    rationale: str
    attributes: dict[str, dict[str, int]]
    active_seconds: float
    guideline: int
    created: float


class Skipped(BaseModel):
    labeler: str
    reason: str
    note: str
    created: float


class FullItem(ItemLine):
    prompt: list[dict[str, str]]
    full_answers: list[FullAnswer]
    source: str
    round: dict[str, Any] | None = Field(description="which models answered in this round, and how")
    info: dict[str, Any]
    accepted: list[list[list[int]]]
    rationale: str
    judgements: list[ItemJudgement]
    skips: list[Skipped]


class Import(BaseModel):
    """Rows as in a file: ``{"prompt": …, "responses": [{"text": …, "model": …}, …]}`` and the other shapes."""

    # What each row holds is asked where it is read, off the event loop.
    items: list[Any] = Field(
        min_length=1,
        max_length=MOST_ROWS,
        json_schema_extra={"items": {"type": "object", "additionalProperties": True}},
    )
    purpose: Purpose = "work"
    source: Plain = Field("", max_length=200)


class ImportDone(BaseModel):
    added: int
    known: int = Field(description="items that were there already")
    notes: list[str]


class ItemChange(BaseModel):
    state: Literal["open", "retired"] | None = None
    sensitivity: int | None = Field(None, ge=0, le=3)
    accepted: list[list[list[int]]] | None = None
    rationale: Plain | None = Field(None, max_length=5000)
