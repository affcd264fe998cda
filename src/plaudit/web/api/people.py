"""The people of a project: members and their roles, invitations, sign-in links."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import func, select
from sqlalchemy.orm import Session as Db

from plaudit.feedback.store.account_tables import Link, User
from plaudit.feedback.store.errors import Forbidden, NotFound, Refused
from plaudit.feedback.store.judgement_form import Plain
from plaudit.feedback.store.people import revoke_links, revoke_sessions
from plaudit.feedback.store.schema import Assignment, Member
from plaudit.web.access import Access, Asker
from plaudit.web.request_body import Guarded

router = APIRouter(prefix="/api/projects/{project}", tags=["people"], route_class=Guarded)
Owner = Annotated[Asker, Depends(Access("owner", "manage"))]
# Whoever can make a link could sign in by it: a program with a token must not become a person.
InPerson = Annotated[Asker, Depends(Access("owner", None))]
Role = Literal["owner", "reviewer", "labeler"]


class Person(BaseModel):
    id: str
    name: str
    pseudonym: str
    role: str
    joined: float
    disabled: bool
    judgements: int
    active_hours: float
    max_sensitivity: int
    guideline_seen: int


class PersonIn(BaseModel):
    role: Role | None = None
    disabled: bool | None = None


class InvitationIn(BaseModel):
    role: Role = "labeler"
    max_uses: int = Field(1, ge=1, le=1000)
    days: float = Field(7, gt=0, le=365)
    note: Plain = Field("", max_length=200)


class Invitation(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: str
    role: str
    note: str
    created: float
    expires: float
    max_uses: int
    uses: int
    path: str | None = Field(None, description="shown once, when it is made; the token stands behind #")


class SignInLink(BaseModel):
    path: str
    expires: float


@router.get("/people")
def get_people(asker: Owner) -> list[Person]:
    """The members, with what they have done."""
    return asker.server.database.read(people_of, asker.the_project().id)


def people_of(db: Db, project_id: str) -> list[Person]:
    done = (
        select(
            Assignment.member_id,
            func.count().label("judgements"),
            func.coalesce(func.sum(Assignment.active_ms), 0).label("active"),
        )
        .where(Assignment.project_id == project_id, Assignment.state == "submitted")
        .group_by(Assignment.member_id)
        .subquery()
    )
    rows = db.execute(
        select(Member, User, done.c.judgements, done.c.active)
        .join(User, User.id == Member.user_id)
        .join(done, done.c.member_id == Member.id, isouter=True)
        .where(Member.project_id == project_id)
        .order_by(Member.joined, Member.pseudonym)
    )
    return [_person(member, user, judgements or 0, active or 0) for member, user, judgements, active in rows]


@router.patch("/people/{person}")
def patch_person(person: str, body: PersonIn, asker: Owner) -> Person:
    """Change someone's role, or end their part. What they judged stays."""

    def work(db: Db) -> Person:
        member = _member(db, asker, person)
        owners = (
            select(Member)
            .where(
                Member.project_id == member.project_id, Member.role == "owner", Member.disabled_at.is_(None)
            )
            .with_for_update()
        )
        was_owner = _is_owner(member)
        leaves = (
            member.role == "owner"
            and member.disabled_at is None
            and (body.role not in (None, "owner") or body.disabled)
        )
        if leaves and len(list(db.scalars(owners))) == 1:
            raise Refused("last_owner", "a project keeps at least one owner: make someone else one first")
        if leaves:
            # Their invitations would bring them back, under another name.
            revoke_links(
                db,
                Link.created_by == member.user_id,
                (Link.project_id == member.project_id) | (Link.kind == "login"),
                now=asker.now,
            )
        if body.role is not None:
            member.role = body.role
        if body.disabled is not None:
            member.disabled_at = asker.now if body.disabled else None
        if asker.who.token is not None and _is_owner(member) and not was_owner:
            # Whoever it makes an owner can make links, by which one becomes a person.
            raise Forbidden("browser_only", "a token cannot make owners: sign in with a browser")
        asker.note(db, "changed person", target=member.pseudonym, **body.model_dump(exclude_none=True))
        db.flush()
        return next(p for p in people_of(db, member.project_id) if p.id == member.id)

    return asker.server.database.write(work)


@router.post("/people/{person}/sign-in-link", status_code=201)
def post_sign_in_link(person: str, asker: InPerson) -> SignInLink:
    """A one-time link with which a member signs in; their sessions and older links end.

    Refused for people who have a part elsewhere too: it would open the other projects to whoever makes the link.
    """

    def work(db: Db) -> SignInLink:
        member = _member(db, asker, person)
        user = db.get_one(User, member.user_id)
        elsewhere = select(Member.id).where(Member.user_id == user.id, Member.project_id != member.project_id)
        if user.id != asker.user.id and (member.role == "owner" or db.scalar(elsewhere.limit(1)) is not None):
            raise Forbidden(
                "not_yours",
                "owners, and people with a part in another project, keep their own way to sign in",
            )
        revoke_links(db, Link.user_id == user.id, now=asker.now)
        session = asker.who.session
        revoke_sessions(db, user.id, now=asker.now, but=session.id if session else None)
        link, token = asker.server.people.make_link(db, now=asker.now, user=user, days=2, by=asker.user)
        asker.note(db, "made sign-in link", target=member.pseudonym)
        return SignInLink(path=f"/enter#{token}", expires=link.expires)

    return asker.server.database.write(work)


@router.get("/invitations")
def get_invitations(asker: Owner) -> list[Invitation]:
    """Invitations that can still be used."""
    return asker.server.database.read(invitations_of, asker.the_project().id, asker.now)


def invitations_of(db: Db, project_id: str, now: float) -> list[Invitation]:
    live = select(Link).where(
        Link.project_id == project_id,
        Link.revoked_at.is_(None),
        Link.expires > now,
        Link.uses < Link.max_uses,
    )
    return [_invitation(link) for link in db.scalars(live.order_by(Link.created.desc(), Link.id.desc()))]


@router.post("/invitations", status_code=201)
def post_invitation(body: InvitationIn, asker: InPerson) -> Invitation:
    """A link by which people join in a role, under a name that they choose."""

    def work(db: Db) -> Invitation:
        project = asker.the_project()
        link, token = asker.server.people.make_link(
            db,
            now=asker.now,
            project=project,
            role=body.role,
            days=body.days,
            max_uses=body.max_uses,
            note=body.note,
            by=asker.user,
        )
        asker.note(db, "invited", target=body.role, uses=body.max_uses)
        return _invitation(link, f"/enter#{token}")

    return asker.server.database.write(work)


@router.delete("/invitations/{invitation}", status_code=204)
def delete_invitation(invitation: str, asker: Owner) -> None:
    """End an invitation at once."""

    def work(db: Db) -> None:
        link = db.get(Link, invitation)
        if link is None or link.project_id != asker.the_project().id:
            raise NotFound("invitation")
        link.revoked_at = link.revoked_at or asker.now
        asker.note(db, "ended invitation", target=link.role or "")

    asker.server.database.write(work)


def _is_owner(member: Member) -> bool:
    return member.role == "owner" and member.disabled_at is None


def _member(db: Db, asker: Asker, member_id: str) -> Member:
    found = db.scalar(
        select(Member)
        .where(Member.id == member_id, Member.project_id == asker.the_project().id)
        .with_for_update()
    )
    if found is None:
        raise NotFound("person")
    return found


def _person(member: Member, user: User, judgements: int, active_ms: int) -> Person:
    return Person(
        id=member.id,
        name=user.name,
        pseudonym=member.pseudonym,
        role=member.role,
        joined=member.joined,
        disabled=member.disabled_at is not None,
        judgements=judgements,
        active_hours=active_ms / 3_600_000,
        max_sensitivity=member.max_sensitivity,
        guideline_seen=member.guideline_seen,
    )


def _invitation(link: Link, path: str | None = None) -> Invitation:
    return Invitation.model_validate(link).model_copy(update={"path": path})
