"""Prepare a project for serving: its folder, database, items, and a sign-in link for its owner."""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from plaudit.errors import UserError
from plaudit.feedback.importing import Imported
from plaudit.feedback.project_location import DATABASE, FOLDER, known_folders
from plaudit.feedback.store.account_tables import Link, User
from plaudit.feedback.store.confusables import skeleton
from plaudit.feedback.store.database import Database
from plaudit.feedback.store.people import People, add_member, add_user, note
from plaudit.feedback.store.projects import add_items, change_settings, create_project, publish, slug_of
from plaudit.feedback.store.schema import Guideline, Member, Project
from plaudit.feedback.store.settings import Settings

OWNER = "owner"
LINK_NOTE = "made when the server started"
LINK_DAYS = 1.0


@dataclass
class ProjectRequest:
    """What a start asks for, beyond what is there."""

    slug: str
    title: str = ""
    items: list[Imported] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)
    guidelines: str | None = None


def folder_of(given: Path | None, source: Path | None) -> Path:
    """The project's folder: as given, named after the file that its items come from, or the only one there is."""
    if given is not None:
        return given
    if source is not None:
        return FOLDER / slug_of(source.name.partition(".")[0])
    known = known_folders()
    if len(known) == 1:
        return known[0]
    if known:
        raise UserError("say which project", remedy=f"--project {' | '.join(map(str, known))}")
    raise UserError(
        "there is nothing to judge",
        remedy="plaudit collect --responses FILE (ready answers), or --prompts FILE --model RUN",
    )


def database_url(folder: Path, given: str | None) -> str:
    return given or f"sqlite:///{folder / DATABASE}"


def only_project(session: Session) -> str | None:
    """The name of the project, where there is exactly one."""
    slugs = list(session.scalars(select(Project.slug).limit(2)))
    return slugs[0] if len(slugs) == 1 else None


def prepare(database: Database, wanted: ProjectRequest) -> tuple[Project, int]:
    """Create the project if it is new, change what was asked to be changed, add items: the project, and how many."""

    def work(session: Session) -> tuple[Project, int]:
        now = time.time()
        project = session.scalar(select(Project).where(Project.slug == wanted.slug))
        if project is None:
            title = wanted.title or wanted.slug.replace("-", " ").capitalize()
            settings = Settings.model_validate(wanted.settings)
            project = create_project(session, wanted.slug, title=title, settings=settings, now=now)
            note(session, "created project", now=now, by=None, project=project)
        elif wanted.settings:
            change_settings(session, project, wanted.settings)
            note(session, "changed settings", now=now, by=None, project=project, changes=wanted.settings)
        if wanted.title:
            project.title = wanted.title
        if wanted.guidelines is not None and wanted.guidelines != _current(session, project):
            publish(session, project, wanted.guidelines, by=None, now=now)
        added = sum(
            add_items(session, project, made.items, now=now, round_=made.round) for made in wanted.items
        )
        return project, added

    return database.write(work)


def owner_link(database: Database, people: People, slug: str, name: str = OWNER) -> tuple[str, str]:
    """Whom it signs in, and the token of a new one-time link. Unused links of earlier starts end."""

    def work(session: Session) -> tuple[str, str]:
        now = time.time()
        project = session.scalars(select(Project).where(Project.slug == slug)).one()
        owner = session.scalar(
            select(User)
            .join(Member, Member.user_id == User.id)
            .where(Member.project_id == project.id, Member.role == "owner", Member.disabled_at.is_(None))
            .where(User.disabled_at.is_(None))
            .order_by(Member.joined, Member.pseudonym)
            .limit(1)
        )
        if owner is None:
            owner = _owner_of_others(session) or add_user(session, _free_name(session, name), now=now)
            add_member(session, project, owner, "owner", now=now)
        old = update(Link).where(Link.user_id == owner.id, Link.note == LINK_NOTE, Link.uses == 0)
        session.execute(old.values(revoked_at=now))
        _, token = people.make_link(session, now=now, user=owner, days=LINK_DAYS, note=LINK_NOTE)
        return owner.name, token

    return database.write(work)


def _current(session: Session, project: Project) -> str | None:
    found = session.get(Guideline, (project.id, project.guideline_version))
    return found.markdown if found else None


def _owner_of_others(session: Session) -> User | None:
    """Who owns the other projects of this database, where that is one person."""
    owning = (Member.role == "owner", Member.disabled_at.is_(None), User.disabled_at.is_(None))
    owners = list(
        session.scalars(select(User).join(Member, Member.user_id == User.id).where(*owning).distinct())
    )
    return owners[0] if len(owners) == 1 else None


def _free_name(session: Session, name: str) -> str:
    """The name, or with a number behind it: someone who is called that already gets no project by it."""
    taken = set(map(skeleton, session.scalars(select(User.name))))
    numbered = (name if i == 1 else f"{name} {i}" for i in itertools.count(1))
    return next(n for n in numbered if skeleton(n) not in taken)
