"""Authentication: sign-in and sign-out, invitations, passwords, sessions."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, Field
from sqlalchemy import select
from sqlalchemy.orm import Session as Db
from starlette.concurrency import run_in_threadpool

from plaudit.feedback.store.account_tables import Link, User
from plaudit.feedback.store.errors import Forbidden, Invalid, SignInNeeded
from plaudit.feedback.store.judgement_form import Plain
from plaudit.feedback.store.passwords import hash_password, password_matches, require_long
from plaudit.feedback.store.people import (
    SESSION_SECONDS,
    add_member,
    add_user,
    name_key,
    note,
    revoke_links,
    revoke_sessions,
    user_by_name,
)
from plaudit.feedback.store.schema import Member, Project
from plaudit.web.access import Access, Asker
from plaudit.web.app_state import AppState, place_of
from plaudit.web.request_body import Guarded

router = APIRouter(prefix="/api", tags=["signing in"], route_class=Guarded)
Anyone = Annotated[Asker, Depends(Access(None, None))]
Password = Annotated[str, Field(max_length=200)]
Token = Annotated[str, Field(max_length=200)]


class SignIn(BaseModel):
    name: Plain = Field(max_length=200)
    password: Password = Field(repr=False)


class LinkIn(BaseModel):
    token: Token = Field(repr=False)


class Join(BaseModel):
    token: Token = Field(repr=False)
    name: Plain = Field(max_length=200)
    password: Password | None = Field(None, repr=False)


class Landing(BaseModel):
    """What a link leads to, before it is used."""

    kind: str
    name: str | None = None
    project: str | None = None
    role: str | None = None


class Me(BaseModel):
    name: str
    has_password: bool
    csrf: str
    projects: list[MyProject]


class MyProject(BaseModel):
    slug: str
    title: str
    role: str
    state: str
    max_sensitivity: int


class NewPassword(BaseModel):
    password: Password = Field(repr=False)
    old: Password | None = Field(None, repr=False)


def _server(request: Request) -> AppState:
    found: AppState = request.app.state.server
    return found


def _place(request: Request) -> str:
    return place_of(request.client.host if request.client else "")


@router.post("/sign-in")
async def sign_in(body: SignIn, request: Request, response: Response) -> Me:
    """Sign in with a name and a password. Tries of a name, or from an address, slow down the next.

    503 with Retry-After while too many others sign in.
    """
    server = _server(request)
    now = server.clock()
    # One name, however it is spelt.
    name, address = f"name:{name_key(body.name)}", f"address:{_place(request)}"
    async with server.hashing.place(address) as hashed:
        # Counted before it is tested: of many at once only as many are tested as are free.
        await run_in_threadpool(server.database.write, server.people.reserve, {name: 1, address: 10}, now=now)
        user = await run_in_threadpool(server.database.read, user_by_name, body.name)
        stored = user.password_hash if user else None
        if not await hashed(password_matches, stored, body.password) or user is None:
            raise SignInNeeded("wrong_password", "the name or the password is wrong")

    def work(db: Db) -> tuple[str, Me]:
        server.people.forgive(db, name, address)
        found = db.get_one(User, user.id)
        token = server.people.start_session(db, found, now=now)
        return token, _me(db, found, server.people.csrf(token))

    token, me = await run_in_threadpool(server.database.write, work)
    return await run_in_threadpool(_signed_in, server, request, response, token, me)


@router.post("/links/look")
def look_at_link(body: LinkIn, request: Request) -> Landing:
    """What a link leads to. Looking does not use it up."""
    server = _server(request)

    def work(db: Db) -> Landing:
        link = server.people.look_at_link(db, body.token, now=server.clock())
        user = db.get(User, link.user_id) if link.user_id else None
        project = db.get(Project, link.project_id) if link.project_id else None
        return Landing(
            kind=link.kind,
            name=user.name if user else None,
            project=project.title if project else None,
            role=link.role,
        )

    return server.database.read(work)


@router.post("/links/enter")
def enter_by_link(body: LinkIn, request: Request, response: Response) -> Me:
    """Sign in with a one-time link."""
    server = _server(request)
    now = server.clock()
    # A wrong link costs a look, and not a transaction for which others wait.
    server.database.read(server.people.look_at_link, body.token, now=now)

    def work(db: Db) -> tuple[str, Me]:
        link = server.people.use_link(db, body.token, now=now)
        if link.kind != "login":
            raise Invalid("invitation", "this link is an invitation: join with it")
        user = db.get_one(User, link.user_id)
        token = server.people.start_session(db, user, now=now)
        note(db, "signed in by link", now=now, by=user)
        return token, _me(db, user, server.people.csrf(token))

    return _signed_in(server, request, response, *server.database.write(work))


@router.post("/links/join", status_code=201)
async def join_by_link(body: Join, request: Request, response: Response) -> Me:
    """Join a project with an invitation, under a new name."""
    server = _server(request)
    now = server.clock()
    await run_in_threadpool(server.database.read, server.people.look_at_link, body.token, now=now)
    stored = None
    if body.password:
        async with server.hashing.place(f"address:{_place(request)}") as hashed:
            stored = await hashed(hash_password, body.password)

    def work(db: Db) -> tuple[str, Me]:
        link = server.people.use_link(db, body.token, now=now)
        if link.kind != "invite" or link.project_id is None or link.role is None:
            raise Invalid("no_invitation", "this link is no invitation")
        project = db.get_one(Project, link.project_id)
        user = add_user(db, body.name, now=now, password_hash=stored)
        add_member(db, project, user, link.role, now=now)
        note(db, "joined", now=now, by=user, project=project, target=user.name, role=link.role)
        token = server.people.start_session(db, user, now=now)
        return token, _me(db, user, server.people.csrf(token))

    token, me = await run_in_threadpool(server.database.write, work)
    return await run_in_threadpool(_signed_in, server, request, response, token, me)


@router.post("/links/accept")
def accept_invitation(body: LinkIn, asker: Anyone) -> Me:
    """Join another project with an invitation, as who one is.

    From here on one has a part that the owner of an earlier project should not come by: other sessions, and sign-in
    links that were made before, end.
    """
    server, now = asker.server, asker.now
    session = asker.who.session

    def work(db: Db) -> Me:
        link = server.people.use_link(db, body.token, now=now)
        if link.kind != "invite" or link.project_id is None or link.role is None:
            raise Invalid("no_invitation", "this link is no invitation")
        project, user = db.get_one(Project, link.project_id), db.get_one(User, asker.user.id)
        add_member(db, project, user, link.role, now=now)
        revoke_links(db, Link.user_id == user.id, now=now)
        revoke_sessions(db, user.id, now=now, but=session.id if session else None)
        note(db, "joined", now=now, by=user, project=project, target=user.name, role=link.role)
        return _me(db, user, asker.csrf)

    return server.database.write(work)


@router.post("/sign-out", status_code=204)
def sign_out(asker: Anyone, response: Response, everywhere: bool = False) -> None:
    """End this session, or all of one's sessions."""
    session, now = asker.who.session, asker.now
    assert session is not None

    def work(db: Db) -> None:
        if everywhere:
            revoke_sessions(db, asker.user.id, now=now)
        else:
            db.get_one(type(session), session.id).revoked_at = now

    asker.server.database.write(work)
    response.delete_cookie(asker.server.cookie, path="/", secure=asker.server.secure, httponly=True)


@router.get("/me")
def get_me(asker: Annotated[Asker, Depends(Access(None, "label"))]) -> Me:
    """Who one is, and the projects one has a part in."""
    return asker.server.database.read(_me, asker.user, asker.csrf)


@router.post("/me/password", status_code=204)
async def set_password(body: NewPassword, asker: Anyone) -> None:
    """Set or change one's password; all other sessions, and links to sign in, end."""
    database, people, session = asker.server.database, asker.server.people, asker.who.session
    tries = f"change:{asker.user.id}"
    require_long(body.password)
    async with asker.server.hashing.place(tries) as hashed:
        if asker.user.password_hash:
            # Throttled as at sign-in: an open browser must not allow unlimited guesses.
            await run_in_threadpool(database.write, people.reserve, {tries: 1}, now=asker.now)
            if not await hashed(password_matches, asker.user.password_hash, body.old or ""):
                raise Forbidden("wrong_password", "the old password is wrong")
        stored = await hashed(hash_password, body.password)

    def work(db: Db) -> None:
        people.forgive(db, tries)
        db.get_one(User, asker.user.id).password_hash = stored
        revoke_links(db, Link.user_id == asker.user.id, now=asker.now)
        revoke_sessions(db, asker.user.id, now=asker.now, but=session.id if session else None)
        note(db, "changed password", now=asker.now, by=asker.user)

    await run_in_threadpool(database.write, work)


def _me(db: Db, user: User, csrf: str) -> Me:
    rows = db.execute(
        select(Project, Member)
        .join(Member, Member.project_id == Project.id)
        .where(Member.user_id == user.id, Member.disabled_at.is_(None))
        .order_by(Project.created, Project.slug)
    )
    return Me(
        name=user.name,
        has_password=user.password_hash is not None,
        csrf=csrf,
        projects=[
            MyProject(
                slug=p.slug, title=p.title, role=m.role, state=p.state, max_sensitivity=m.max_sensitivity
            )
            for p, m in rows
        ],
    )


def _signed_in(server: AppState, request: Request, response: Response, token: str, me: Me) -> Me:
    """Set the cookie of the new session, and end the one that the browser had."""
    old = request.cookies.get(server.cookie)
    if old:
        server.database.write(server.people.end_session, old, now=server.clock())
    response.set_cookie(
        server.cookie,
        token,
        max_age=SESSION_SECONDS,
        path="/",
        httponly=True,
        samesite="lax",
        secure=server.secure,
    )
    return me
