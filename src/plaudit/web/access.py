"""Authorization: the one dependency that every route but a few public ones declares."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from sqlalchemy import select, update
from sqlalchemy.orm import Session as Db

from plaudit.feedback.store.account_tables import ApiToken, Session, User
from plaudit.feedback.store.errors import Forbidden, NotFound, SignInNeeded
from plaudit.feedback.store.people import ROLES, SEEN_EVERY, Who, note
from plaudit.feedback.store.schema import Member, Project
from plaudit.web.app_state import SAFE, AppState

KEPT = "plaudit.asker"  # where a request's scope holds who was found to be asking


@dataclass(frozen=True)
class Asker:
    """The person behind a request, and their part in the project it is about."""

    server: AppState
    who: Who
    csrf: str = ""
    project: Project | None = None
    member: Member | None = None

    @property
    def user(self) -> User:
        return self.who.user

    @property
    def now(self) -> float:
        return self.server.clock()

    def the_project(self) -> Project:
        assert self.project is not None
        return self.project

    def the_member(self) -> Member:
        assert self.member is not None
        return self.member

    def note(self, db: Db, action: str, **detail: Any) -> None:
        """A line in the audit log: this person did it now, in the project that the request is about."""
        note(db, action, now=self.now, by=self.user, project=self.project, **detail)

    def is_at_least(self, role: str) -> bool:
        return self.member is not None and ROLES.index(self.member.role) <= ROLES.index(role)


class Access:
    """A FastAPI dependency. ``role``: the least role in the path's project; None asks for a user only.

    ``scope`` is what an API token must have been given for this; None: no token may do it, only a person in a
    browser. Someone without a part in the project is told that there is no such project.
    """

    def __init__(self, role: str | None, scope: str | None) -> None:
        assert role is None or role in ROLES
        self.role = role
        self.scope = scope

    def __call__(self, request: Request) -> Asker:
        # Asked twice: before the body is read, and by FastAPI, which reads a body before it asks anything.
        kept: tuple[Access, Asker] | None = request.scope.get(KEPT)
        if kept is None or kept[0] is not self:
            kept = request.scope[KEPT] = self, self._ask(request)
        return kept[1]

    def _ask(self, request: Request) -> Asker:
        server: AppState = request.app.state.server
        slug = request.path_params.get("project")
        asker = server.database.read(self._find, server, request, slug)
        # After the reading transaction: no request holds one connection while it waits for another.
        _touch(server, asker.who.session or asker.who.token, asker.now)
        return asker

    def _find(self, db: Db, server: AppState, request: Request, slug: str | None) -> Asker:
        who, csrf = self._who(db, server, request)
        if slug is None:
            return Asker(server, who, csrf)
        found = db.execute(
            select(Project, Member)
            .join(Member, Member.project_id == Project.id)
            .where(Project.slug == slug, Member.user_id == who.user.id, Member.disabled_at.is_(None))
        ).first()
        if found is None:
            raise NotFound("project")
        project, member = found
        asker = Asker(server, who, csrf, project, member)
        if self.role is not None and not asker.is_at_least(self.role):
            raise Forbidden("role", f"this needs the role {self.role}")
        return asker

    def _who(self, db: Db, server: AppState, request: Request) -> tuple[Who, str]:
        who = _who(db, server, request)
        if who.token is not None:
            if self.scope is None:
                raise Forbidden("browser_only", "a token cannot do this: sign in with a browser")
            if self.scope not in who.scopes:
                raise Forbidden("scope", f"the token lacks the scope {self.scope}")
            return who, ""
        csrf = server.people.csrf(request.cookies[server.cookie])
        if request.method not in SAFE and not hmac.compare_digest(
            request.headers.get("x-csrf-token", "").encode(), csrf.encode()
        ):
            raise Forbidden("csrf", "the page is out of date: reload it")
        return who, csrf


def _who(db: Db, server: AppState, request: Request) -> Who:
    now = server.clock()
    bearer = request.headers.get("authorization", "")
    if bearer:
        kind, _, token = bearer.partition(" ")
        if kind.lower() != "bearer":
            raise SignInNeeded("bad_token", "send the token as: Authorization: Bearer …")
        return server.people.by_token(db, token.strip(), now=now)
    token = request.cookies.get(server.cookie, "")
    if not token:
        raise SignInNeeded("signed_out", "sign in first")
    return server.people.by_session(db, token, now=now)


def _touch(server: AppState, credential: Any, now: float) -> None:
    """Note when a session or token was last used, to a few minutes."""
    column = "last_seen" if isinstance(credential, Session) else "last_used"
    if now - (getattr(credential, column) or 0) < SEEN_EVERY:
        return
    table = Session if isinstance(credential, Session) else ApiToken
    server.database.write(
        lambda db: db.execute(update(table).where(table.id == credential.id).values({column: now}))
    )
