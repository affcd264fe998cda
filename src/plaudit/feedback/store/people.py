"""People: sign-in, credentials, roles.

Every secret (session, link, API token) is 256 random bits, shown once and kept only as a keyed hash; passwords
are kept with argon2id. There is no default account, no default password and no open registration.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.orm import Session as Db

from plaudit.feedback.store.account_tables import ApiToken, Link, Session, User
from plaudit.feedback.store.confusables import UNSEEN, is_like_pseudonym, mixed_scripts, skeleton
from plaudit.feedback.store.errors import Forbidden, Invalid, NotFound, Refused, SignInNeeded
from plaudit.feedback.store.ids import keyed_hash, new_token
from plaudit.feedback.store.locks import lock_names, lock_project
from plaudit.feedback.store.login_throttle import DAY, Guessing
from plaudit.feedback.store.schema import Audit, Member, Project

ROLES = ("owner", "reviewer", "labeler")
SCOPES = ("label", "review", "export", "manage")
SESSION_SECONDS = 14 * DAY
SEEN_EVERY = 300  # how precisely the time of a session's last request is kept, in seconds
LONGEST_KEY = 160
RESERVED = {skeleton("the server")}  # who acts where nobody has signed in, in the log of changes


@dataclass(frozen=True)
class Who:
    """Who makes a request: a user, by a browser session or by a token of some scopes."""

    user: User
    session: Session | None = None
    token: ApiToken | None = None

    @property
    def scopes(self) -> frozenset[str]:
        return frozenset(SCOPES if self.token is None else self.token.scopes)


class People(Guessing):
    """The functions that need the server's secret."""

    def _hash(self, token: str) -> str:
        return keyed_hash(self.secret, "token", token)

    def start_session(self, db: Db, user: User, *, now: float) -> str:
        """A new session's token. Never reuses one that the browser brought (session fixation)."""
        _require_enabled(user)
        token = new_token("s")
        db.add(
            Session(
                token_hash=self._hash(token),
                user_id=user.id,
                created=now,
                last_seen=now,
                expires=now + SESSION_SECONDS,
            )
        )
        return token

    def end_session(self, db: Db, token: str, *, now: float) -> None:
        """End the session of that token, if there is one."""
        db.execute(update(Session).where(Session.token_hash == self._hash(token)).values(revoked_at=now))

    def by_session(self, db: Db, token: str, *, now: float) -> Who:
        found = db.scalar(select(Session).where(Session.token_hash == self._hash(token)))
        if found is None or found.revoked_at is not None or found.expires < now:
            raise SignInNeeded("signed_out", "sign in first")
        user = db.get_one(User, found.user_id)
        _require_enabled(user)
        return Who(user, session=found)

    def by_token(self, db: Db, token: str, *, now: float) -> Who:
        found = db.scalar(select(ApiToken).where(ApiToken.token_hash == self._hash(token)))
        if (
            found is None
            or found.revoked_at is not None
            or (found.expires is not None and found.expires < now)
        ):
            raise SignInNeeded("bad_token", "the token is unknown, revoked or expired")
        user = db.get_one(User, found.user_id)
        _require_enabled(user)
        return Who(user, token=found)

    def csrf(self, session_token: str) -> str:
        """The token that a page of this session must send back with every change."""
        return keyed_hash(self.secret, "csrf", session_token)

    def make_link(
        self,
        db: Db,
        *,
        now: float,
        user: User | None = None,
        project: Project | None = None,
        role: str | None = None,
        days: float = 7,
        max_uses: int = 1,
        note: str = "",
        by: User | None = None,
    ) -> tuple[Link, str]:
        """A link's token: of ``user`` to sign in, or of ``project`` and ``role`` to join."""
        if role is not None and role not in ROLES:
            raise Invalid("unknown_role", f"roles are {', '.join(ROLES)}")
        token = new_token("l")
        link = Link(
            token_hash=self._hash(token),
            kind="login" if user else "invite",
            user_id=user.id if user else None,
            project_id=project.id if project else None,
            role=role,
            note=note,
            created_by=by.id if by else None,
            created=now,
            expires=now + days * DAY,
            max_uses=max_uses,
        )
        db.add(link)
        db.flush()
        return link, token

    def look_at_link(self, db: Db, token: str, *, now: float) -> Link:
        """The link, unused. NotFound where it is unknown, used up, revoked or too old."""
        link = db.scalar(select(Link).where(Link.token_hash == self._hash(token)))
        if link is None or link.revoked_at is not None or link.expires < now or link.uses >= link.max_uses:
            raise NotFound("link, or it was used before or is too old: ask for a new one")
        return link

    def use_link(self, db: Db, token: str, *, now: float) -> Link:
        """Use a link once: one guarded update, so that of two at a time only as many succeed as it has uses."""
        link = self.look_at_link(db, token, now=now)
        used: Any = db.execute(
            update(Link)
            .where(Link.id == link.id, Link.uses < Link.max_uses, Link.revoked_at.is_(None))
            .values(uses=Link.uses + 1)
        )
        if not used.rowcount:
            raise NotFound("link, or it was used before or is too old: ask for a new one")
        return link

    def make_token(
        self, db: Db, user: User, *, name: str, scopes: list[str], now: float, days: float | None = 90
    ) -> tuple[ApiToken, str]:
        if not scopes or set(scopes) - set(SCOPES):
            raise Invalid("unknown_scope", f"scopes are {', '.join(SCOPES)}")
        token = new_token("t")
        made = ApiToken(
            token_hash=self._hash(token),
            user_id=user.id,
            name=clean_name(name),
            scopes=sorted(set(scopes)),
            last4=token[-4:],
            created=now,
            expires=None if days is None else now + days * DAY,
        )
        db.add(made)
        db.flush()
        return made, token


def clean_name(name: str) -> str:
    """A name as it is shown: one line, no control or direction marks. Invalid where nothing is left."""
    kept = "".join(c for c in unicodedata.normalize("NFC", name) if unicodedata.category(c)[0] != "C")
    kept = UNSEEN.sub("", kept)
    kept = " ".join(kept.split())
    if not 1 <= len(kept) <= 80:
        raise Invalid("bad_name", "a name has 1 to 80 characters")
    return kept


def add_user(db: Db, name: str, *, now: float, password_hash: str | None = None) -> User:
    """Create a user. Refused if the name is taken (case-insensitive) or confusable with another."""
    name = clean_name(name)
    key = name_key(name)
    if len(key) > LONGEST_KEY:
        raise Invalid("bad_name", "a name has 1 to 80 characters: these stand for too many")
    if db.scalar(select(User.id).where(User.name_key == key)):
        raise Refused("name_taken", "that name is taken: choose another, or sign in")
    require_own_look(db, name)
    user = User(name=name, name_key=key, password_hash=password_hash, created=now)
    db.add(user)
    db.flush()
    return user


def require_own_look(db: Db, name: str) -> None:
    """Refuse a name that is confusable with another user's or with a pseudonym."""
    if scripts := mixed_scripts(name):
        raise Refused(
            "mixed_scripts",
            f"a word of the name mixes {scripts[0]} and {scripts[1]} letters: write it in one script",
        )
    if is_like_pseudonym(name) or skeleton(name) in RESERVED:
        raise Refused("reserved_name", "that name looks like one that this site gives out: choose another")
    lock_names(db)
    looks = skeleton(name)
    if any(skeleton(other) == looks for other in db.scalars(select(User.name))):
        raise Refused("name_taken", "that name looks like someone else's here: choose another, or sign in")


def name_key(name: str) -> str:
    """What all spellings of a name have in common."""
    return unicodedata.normalize("NFKC", " ".join(name.split())).casefold()


def user_by_name(db: Db, name: str) -> User | None:
    return db.scalar(select(User).where(User.name_key == name_key(name)))


def add_member(db: Db, project: Project, user: User, role: str, *, now: float) -> Member:
    """Give a person a part in a project; someone who has one keeps the higher of the two roles."""
    # Pseudonyms are numbered: one after the other.
    project = lock_project(db, project.id)
    member = db.scalar(select(Member).where(Member.project_id == project.id, Member.user_id == user.id))
    if member is None:
        count = (
            db.scalar(select(func.count()).select_from(Member).where(Member.project_id == project.id)) or 0
        )
        member = Member(
            project_id=project.id,
            user_id=user.id,
            role=role,
            pseudonym=f"labeler-{count + 1:03d}",
            joined=now,
        )
        db.add(member)
        db.flush()
    elif member.disabled_at is not None:
        raise Forbidden("disabled", "your part in this project has ended")
    elif ROLES.index(role) < ROLES.index(member.role):
        member.role = role
    return member


def revoke_sessions(db: Db, user_id: str, *, now: float, but: str | None = None) -> None:
    """Sign a person out everywhere, except in the session ``but``."""
    query = update(Session).where(Session.user_id == user_id, Session.revoked_at.is_(None))
    db.execute((query.where(Session.id != but) if but else query).values(revoked_at=now))


def revoke_links(db: Db, *which: ColumnElement[bool], now: float) -> None:
    """End the links of which all of ``which`` holds."""
    db.execute(update(Link).where(Link.revoked_at.is_(None), *which).values(revoked_at=now))


def note(
    db: Db,
    action: str,
    *,
    now: float,
    by: User | None,
    project: Project | None = None,
    target: str = "",
    **detail: Any,
) -> None:
    """A line in the audit log."""
    db.add(
        Audit(
            project_id=project.id if project else None,
            user_id=by.id if by else None,
            action=action,
            target=target,
            detail=detail,
            created=now,
        )
    )


def _require_enabled(user: User) -> None:
    if user.disabled_at is not None:
        raise SignInNeeded("disabled", "this account has been closed")
