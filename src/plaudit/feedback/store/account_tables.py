"""Tables of accounts: users, sessions, links, API tokens, sign-in attempts. Times are Unix seconds."""

from __future__ import annotations

from typing import Any, ClassVar

from sqlalchemy import ForeignKey
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import JSON, String

from plaudit.feedback.store.ids import new_id

Id = String(26)


class TableBase(DeclarativeBase):
    type_annotation_map: ClassVar = {dict[str, Any]: JSON, list[Any]: JSON}


class User(TableBase):
    """A person. Signs in with a password or with one-time links."""

    __tablename__ = "users"
    id: Mapped[str] = mapped_column(Id, primary_key=True, default=new_id)
    name: Mapped[str] = mapped_column(String(80))
    name_key: Mapped[str] = mapped_column(String(160), unique=True)  # casefolded: "Ann" and "ann" are one
    password_hash: Mapped[str | None] = mapped_column(String(200))
    created: Mapped[float]
    disabled_at: Mapped[float | None]


class Session(TableBase):
    """A browser that is signed in."""

    __tablename__ = "sessions"
    id: Mapped[str] = mapped_column(Id, primary_key=True, default=new_id)
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"), index=True)
    created: Mapped[float]
    last_seen: Mapped[float]
    expires: Mapped[float]
    revoked_at: Mapped[float | None]


class Link(TableBase):
    """A link that signs in (``user_id``) or invites (``project_id``, ``role``), for a few uses and days."""

    __tablename__ = "links"
    id: Mapped[str] = mapped_column(Id, primary_key=True, default=new_id)
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    kind: Mapped[str] = mapped_column(String(10))  # login | invite
    user_id: Mapped[str | None] = mapped_column(ForeignKey("users.id"))
    project_id: Mapped[str | None] = mapped_column(ForeignKey("projects.id"), index=True)
    role: Mapped[str | None] = mapped_column(String(10))
    note: Mapped[str] = mapped_column(String(200), default="")
    created_by: Mapped[str | None] = mapped_column(ForeignKey("users.id"))
    created: Mapped[float]
    expires: Mapped[float]
    max_uses: Mapped[int] = mapped_column(default=1)
    uses: Mapped[int] = mapped_column(default=0)
    revoked_at: Mapped[float | None]


class ApiToken(TableBase):
    """A program's key: what its user may do, narrowed to ``scopes``."""

    __tablename__ = "api_tokens"
    id: Mapped[str] = mapped_column(Id, primary_key=True, default=new_id)
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"), index=True)
    name: Mapped[str] = mapped_column(String(80))
    scopes: Mapped[list[Any]]
    last4: Mapped[str] = mapped_column(String(4))
    created: Mapped[float]
    expires: Mapped[float | None]
    last_used: Mapped[float | None]
    revoked_at: Mapped[float | None]


class Attempt(TableBase):
    """Failed sign-ins by name and by address, so that guessing gets slow."""

    __tablename__ = "attempts"
    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    count: Mapped[int]
    last: Mapped[float]
