"""The tables. Times are Unix seconds; what people judged is append-only, which triggers enforce.

A judgement speaks of answers by their ``position`` within the item. What a labeler saw is the
assignment's ``order``: the positions as they stood on the page. Pairs, soft labels and rewards are made at export,
never stored.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column, relationship
from sqlalchemy.types import BigInteger, String, Text

from plaudit.feedback.store.account_tables import Id as Id, TableBase as TableBase, User
from plaudit.feedback.store.ids import new_id

# Conditions of partial indexes. A query that is to use one must say the same in the same words.
LIVE = "state = 'leased'"
DONE = "state = 'submitted'"
OPEN_WORK = "purpose = 'work' AND state = 'open' AND taken < overlap"
KNOWN = "purpose <> 'work'"


def only(condition: str) -> dict[str, Any]:
    """The arguments that make an index partial."""
    return {"sqlite_where": text(condition), "postgresql_where": text(condition)}


class Project(TableBase):
    """A body of items to be judged under one set of rules."""

    __tablename__ = "projects"
    id: Mapped[str] = mapped_column(Id, primary_key=True, default=new_id)
    slug: Mapped[str] = mapped_column(String(60), unique=True)
    title: Mapped[str] = mapped_column(String(200))
    settings: Mapped[dict[str, Any]]
    # Keys the orders and the pseudonyms; it never leaves the server.
    secret: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(10), default="open")  # open | paused | closed
    guideline_version: Mapped[int] = mapped_column(default=0)
    created: Mapped[float]


class Member(TableBase):
    """A person's part in a project."""

    __tablename__ = "members"
    __table_args__ = (UniqueConstraint("project_id", "user_id"), UniqueConstraint("project_id", "pseudonym"))
    id: Mapped[str] = mapped_column(Id, primary_key=True, default=new_id)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"))
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"), index=True)
    role: Mapped[str] = mapped_column(String(10))  # owner | reviewer | labeler
    pseudonym: Mapped[str] = mapped_column(String(40))
    # The most sensitive level this person chose to see; nothing above 0 without asking.
    max_sensitivity: Mapped[int] = mapped_column(default=0)
    guideline_seen: Mapped[int] = mapped_column(default=0)
    joined: Mapped[float]
    disabled_at: Mapped[float | None]
    user: Mapped[User] = relationship()


class Guideline(TableBase):
    """One published version of the guidelines; a change is a new version."""

    __tablename__ = "guidelines"
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    markdown: Mapped[str] = mapped_column(Text)
    note: Mapped[str] = mapped_column(String(500), default="")  # what changed
    published: Mapped[float]
    published_by: Mapped[str | None] = mapped_column(ForeignKey("users.id"))


class Round(TableBase):
    """What the items of one round have in common: the models that answered, and how their answers were drawn."""

    __tablename__ = "rounds"
    __table_args__ = (UniqueConstraint("project_id", "number"), UniqueConstraint("project_id", "key"))
    id: Mapped[str] = mapped_column(Id, primary_key=True, default=new_id)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"))
    number: Mapped[int]  # from 1, in the order in which rounds began
    key: Mapped[str] = mapped_column(String(64))
    source: Mapped[str] = mapped_column(String(200), default="")
    models: Mapped[list[Any]]  # objects with a name each
    drawing: Mapped[dict[str, Any]] = mapped_column(default=dict)
    created: Mapped[float]


class Item(TableBase):
    """A prompt with the answers to be ranked. ``taken`` counts live leases and submitted judgements."""

    __tablename__ = "items"
    __table_args__ = (
        UniqueConstraint("project_id", "key"),
        # The last line of defence: whatever the code does, no item rises above its overlap.
        CheckConstraint("taken >= 0 AND (purpose <> 'work' OR taken <= overlap)", name="within_overlap"),
        CheckConstraint("sensitivity BETWEEN 0 AND 3", name="sensitivity_level"),
        Index("items_open", "project_id", "lot", **only(OPEN_WORK)),
        Index("items_known", "project_id", "purpose", "lot", **only(KNOWN)),
    )
    id: Mapped[str] = mapped_column(Id, primary_key=True, default=new_id)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"))
    key: Mapped[str] = mapped_column(String(32))  # hash of prompt and answers: importing twice adds nothing
    position: Mapped[int]
    lot: Mapped[int] = mapped_column(BigInteger)  # a random place on a ring, from which items are drawn
    prompt: Mapped[list[Any]]  # chat messages
    purpose: Mapped[str] = mapped_column(String(12), default="work")  # work | gold | calibration
    overlap: Mapped[int]
    taken: Mapped[int] = mapped_column(default=0)
    state: Mapped[str] = mapped_column(String(8), default="open")  # open | retired
    sensitivity: Mapped[int] = mapped_column(default=0)
    source: Mapped[str] = mapped_column(String(200), default="")
    info: Mapped[dict[str, Any]] = mapped_column(default=dict)
    created: Mapped[float]
    # None: a probe, or an item from before rounds were recorded.
    round_id: Mapped[str | None] = mapped_column(ForeignKey("rounds.id"), index=True)
    answers: Mapped[list[Answer]] = relationship(order_by="Answer.position", lazy="selectin")


class Answer(TableBase):
    """One answer. ``model`` is for the owner's eyes: it is in nothing that a labeler is sent."""

    __tablename__ = "answers"
    __table_args__ = (UniqueConstraint("item_id", "position"),)
    id: Mapped[str] = mapped_column(Id, primary_key=True, default=new_id)
    item_id: Mapped[str] = mapped_column(ForeignKey("items.id"))
    position: Mapped[int]
    text: Mapped[str] = mapped_column(Text)
    finished: Mapped[bool] = mapped_column(default=True)
    model: Mapped[str | None] = mapped_column(String(300))
    info: Mapped[dict[str, Any]] = mapped_column(default=dict)


class GoldRanking(TableBase):
    """The rankings of an item that are accepted as right, and why."""

    __tablename__ = "golds"
    item_id: Mapped[str] = mapped_column(ForeignKey("items.id"), primary_key=True)
    accepted: Mapped[list[Any]]  # rankings, each a list of groups of positions, best first
    rationale: Mapped[str] = mapped_column(Text, default="")
    created: Mapped[float]
    created_by: Mapped[str | None] = mapped_column(ForeignKey("users.id"))


class Assignment(TableBase):
    """An item given to a member, and how it came to be chosen. Round 0 is the first time, 1 the repeat."""

    __tablename__ = "assignments"
    __table_args__ = (
        # The member comes first, and there is no other index on all of a member's assignments: to tell whether an item
        # was given to someone, a planner that knows nothing of the table yet can then go no long way round.
        UniqueConstraint("member_id", "item_id", "round"),
        # One lease a person: two tabs show the same item.
        Index("one_lease", "member_id", unique=True, **only(LIVE)),
        Index("leases", "project_id", "expires_at", **only(LIVE)),
        Index("judged", "member_id", "closed_at", **only(DONE)),
        Index("assignments_of_item", "item_id"),
    )
    id: Mapped[str] = mapped_column(Id, primary_key=True, default=new_id)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"))
    item_id: Mapped[str] = mapped_column(ForeignKey("items.id"))
    member_id: Mapped[str] = mapped_column(ForeignKey("members.id"))
    round: Mapped[int] = mapped_column(default=0)
    purpose: Mapped[str] = mapped_column(String(12))  # work | gold | calibration | repeat
    state: Mapped[str] = mapped_column(String(10))  # leased | submitted | skipped | expired | released
    order: Mapped[list[Any]]
    slot: Mapped[int]
    arm: Mapped[str] = mapped_column(String(20), default="random")
    propensity: Mapped[float]
    score: Mapped[float | None]  # an active rule's score, where one chose
    counted: Mapped[bool]  # whether it holds one of the item's ``taken``
    surplus: Mapped[bool] = mapped_column(default=False)
    leased_at: Mapped[float]
    expires_at: Mapped[float]
    revealed_at: Mapped[float | None]
    closed_at: Mapped[float | None]
    active_ms: Mapped[int] = mapped_column(default=0)
    item: Mapped[Item] = relationship()


class Viewing(TableBase):
    """A member has seen an item's models or its judgements, and is not assigned it any more."""

    __tablename__ = "viewings"
    member_id: Mapped[str] = mapped_column(ForeignKey("members.id"), primary_key=True)
    item_id: Mapped[str] = mapped_column(ForeignKey("items.id"), primary_key=True)
    seen: Mapped[float]


class Judgement(TableBase):
    """A person's judgement of an item. The latest revision counts; none is ever changed or removed."""

    __tablename__ = "judgements"
    __table_args__ = (
        UniqueConstraint("assignment_id", "revision"),
        UniqueConstraint("member_id", "idempotency_key"),
    )
    id: Mapped[str] = mapped_column(Id, primary_key=True, default=new_id)
    assignment_id: Mapped[str] = mapped_column(ForeignKey("assignments.id"))
    member_id: Mapped[str] = mapped_column(ForeignKey("members.id"))
    revision: Mapped[int] = mapped_column(default=1)
    idempotency_key: Mapped[str] = mapped_column(String(80))
    groups: Mapped[list[Any]]  # positions, best first, ties together; empty when not rankable
    strength: Mapped[int | None]
    all_bad: Mapped[bool] = mapped_column(default=False)
    not_rankable: Mapped[bool] = mapped_column(default=False)
    untouched: Mapped[bool] = mapped_column(default=False)
    confidence: Mapped[int | None]
    rationale: Mapped[str] = mapped_column(Text, default="")
    attributes: Mapped[dict[str, Any]] = mapped_column(default=dict)  # name -> position -> value
    active_ms: Mapped[int]
    wall_ms: Mapped[int]
    guideline_version: Mapped[int]
    client: Mapped[dict[str, Any]] = mapped_column(default=dict)
    created: Mapped[float]


class Skip(TableBase):
    """Why a person passed an item by."""

    __tablename__ = "skips"
    id: Mapped[str] = mapped_column(Id, primary_key=True, default=new_id)
    assignment_id: Mapped[str] = mapped_column(ForeignKey("assignments.id"), index=True)
    reason: Mapped[str] = mapped_column(String(20))
    note: Mapped[str] = mapped_column(Text, default="")
    created: Mapped[float]


class Draft(TableBase):
    """Work not yet submitted."""

    __tablename__ = "drafts"
    assignment_id: Mapped[str] = mapped_column(ForeignKey("assignments.id"), primary_key=True)
    rev: Mapped[int]
    payload: Mapped[dict[str, Any]]
    updated: Mapped[float]


class Audit(TableBase):
    """Who changed what about a project or its people."""

    __tablename__ = "audit"
    id: Mapped[str] = mapped_column(Id, primary_key=True, default=new_id)
    project_id: Mapped[str | None] = mapped_column(ForeignKey("projects.id"), index=True)
    user_id: Mapped[str | None] = mapped_column(ForeignKey("users.id"))
    action: Mapped[str] = mapped_column(String(40))
    target: Mapped[str] = mapped_column(String(120), default="")
    detail: Mapped[dict[str, Any]] = mapped_column(default=dict)
    created: Mapped[float]
