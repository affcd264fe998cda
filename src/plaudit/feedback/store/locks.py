"""Row locks, and the one order in which they are taken, so that no deadlock can occur.

Project before member, member before assignment, assignment before item. Who has locked a project may then lock many
rows of the other kinds; anyone else holds at most one of each. SQLite needs none of this: there, a writer is alone.
"""

from __future__ import annotations

from sqlalchemy import Select, select, text
from sqlalchemy.orm import Session

from plaudit.feedback.store.schema import Member, Project

NAMES = 7_316_220_412  # an advisory lock of PostgreSQL


def lock_project(session: Session, project_id: str) -> Project:
    """The project's current row, locked until the transaction ends."""
    session.flush()
    return session.scalars(_project(project_id).with_for_update(key_share=True)).one()


def try_project(session: Session, project_id: str) -> bool:
    """Lock the project, unless someone else has."""
    return session.scalar(_project(project_id).with_for_update(key_share=True, skip_locked=True)) is not None


def lock_member(session: Session, member_id: str) -> Member:
    """The member's current row, locked: one person's actions are serialized, from whatever tabs they come."""
    session.flush()
    mine = select(Member).where(Member.id == member_id).execution_options(populate_existing=True)
    # NO KEY UPDATE: what refers to the row may be written meanwhile.
    return session.scalars(mine.with_for_update(key_share=True)).one()


def lock_names(session: Session) -> None:
    """Nobody else takes a name until the transaction ends: of two that look alike only one is free."""
    if session.connection().dialect.name == "postgresql":
        session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": NAMES})


def _project(project_id: str) -> Select[Project]:
    return select(Project).where(Project.id == project_id).execution_options(populate_existing=True)
