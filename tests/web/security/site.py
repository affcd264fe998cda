"""A labeling site to attack: a migrated database, a clock that stands still, people of every kind, and browsers."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import select, update
from starlette.testclient import TestClient

from plaudit.feedback.store.account_tables import User
from plaudit.feedback.store.database import Database
from plaudit.feedback.store.people import add_member, add_user
from plaudit.feedback.store.projects import NewAnswer, NewItem, add_items, create_project, publish
from plaudit.feedback.store.schema import Answer, Item, Member, Project, TableBase
from plaudit.feedback.store.settings import Settings
from plaudit.web.app import create_app
from plaudit.web.app_state import AppState

HOST = "127.0.0.1:8642"
HERE = f"http://{HOST}"
SECRET = b"a secret of the tests, 32 bytes."
NOW = 1_800_000_000.0
# Where neither gold nor repeats come in between, what is claimed is a work item.
PLAIN_RULES: dict[str, Any] = {"gold_share": 0.0, "repeat_share": 0.0, "require_reading": False}


@dataclass(frozen=True)
class Visitor:
    """Who asks: a browser with a session's cookie, a program with a token, or nobody."""

    site: Site
    cookie: str = ""
    csrf: str = ""
    token: str = ""

    def ask(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        """A request as this visitor's honest browser or program sends it; ``headers`` add to it or, None, remove."""
        headers: dict[str, Any] = {}
        if self.token:
            headers["authorization"] = f"Bearer {self.token}"
        else:
            if self.cookie:
                headers["cookie"] = f"{self.site.server.cookie}={self.cookie}"
            if method not in ("GET", "HEAD", "OPTIONS"):
                headers |= {"origin": self.site.origin, "sec-fetch-site": "same-origin"}
                if self.csrf:
                    headers["x-csrf-token"] = self.csrf
        if body is not None:
            more["json"] = body
        headers |= more.pop("headers", {})
        headers = {name: value for name, value in headers.items() if value is not None}
        try:
            return self.site.client.request(method, path, headers=headers, follow_redirects=False, **more)
        finally:
            self.site.client.cookies.clear()

    def get(self, path: str, **more: Any) -> Any:
        return self.ask("GET", path, **more)

    def post(self, path: str, body: Any = None, **more: Any) -> Any:
        return self.ask("POST", path, body, **more)

    def put(self, path: str, body: Any = None, **more: Any) -> Any:
        return self.ask("PUT", path, body, **more)

    def patch(self, path: str, body: Any = None, **more: Any) -> Any:
        return self.ask("PATCH", path, body, **more)

    def delete(self, path: str, **more: Any) -> Any:
        return self.ask("DELETE", path, **more)


@dataclass
class Site:
    """The application on a database. ``now`` is its clock."""

    database: Database
    client: TestClient
    server: AppState
    origin: str
    now: float = NOW
    users: dict[str, str] = field(default_factory=dict)

    @property
    def nobody(self) -> Visitor:
        return Visitor(self)

    # People and projects, made without asking the site

    def user(self, name: str) -> str:
        """The id of the person of that name, made if they are new."""
        if name not in self.users:
            self.users[name] = self.database.write(add_user, name, now=self.now).id
        return self.users[name]

    def project(self, slug: str, **rules: Any) -> str:
        settings = Settings.model_validate(PLAIN_RULES | rules)
        title = slug.capitalize()
        return self.database.write(create_project, slug, title=title, settings=settings, now=self.now).id

    def member(self, slug: str, name: str, role: str) -> str:
        """Give someone a part in a project: the member's id."""
        user = self.user(name)

        def work(db: Any) -> str:
            project = db.scalars(select(Project).where(Project.slug == slug)).one()
            return add_member(db, project, db.get_one(User, user), role, now=self.now).id

        return self.database.write(work)

    def items(self, slug: str, items: list[NewItem]) -> list[str]:
        """Add items: their ids, in order."""

        def work(db: Any) -> list[str]:
            project = db.scalars(select(Project).where(Project.slug == slug)).one()
            add_items(db, project, items, now=self.now)
            mine = select(Item.id).where(Item.project_id == project.id).order_by(Item.position)
            return list(db.scalars(mine))[-len(items) :]

        return self.database.write(work)

    def guideline(self, slug: str, markdown: str) -> None:
        def work(db: Any) -> None:
            project = db.scalars(select(Project).where(Project.slug == slug)).one()
            publish(db, project, markdown, by=None, now=self.now)

        self.database.write(work)

    def link(self, **what: Any) -> str:
        """The token of a link: ``user=NAME`` to sign in, or ``project=SLUG`` and ``role`` to join."""

        user = self.user(what["user"]) if "user" in what else None

        def work(db: Any) -> str:
            if user is not None:
                what["user"] = db.get_one(User, user)
            if "project" in what:
                what["project"] = db.scalars(select(Project).where(Project.slug == what["project"])).one()
            return self.server.people.make_link(db, now=self.now, **what)[1]

        return self.database.write(work)

    def disable_member(self, member: str) -> None:
        self.database.write(
            lambda db: db.execute(update(Member).where(Member.id == member).values(disabled_at=self.now))
        )

    def disable_user(self, name: str) -> None:
        mine = update(User).where(User.id == self.user(name)).values(disabled_at=self.now)
        self.database.write(lambda db: db.execute(mine))

    # Visitors

    def browser(self, name: str) -> Visitor:
        """A browser in which that person has signed in."""
        user = self.user(name)

        def work(db: Any) -> str:
            return self.server.people.start_session(db, db.get_one(User, user), now=self.now)

        return self.with_cookie(self.database.write(work))

    def with_cookie(self, cookie: str) -> Visitor:
        return Visitor(self, cookie=cookie, csrf=self.server.people.csrf(cookie))

    def program(self, name: str, *scopes: str, days: float | None = 90) -> Visitor:
        """A program with an API token of that person."""
        user = self.user(name)

        def work(db: Any) -> str:
            asker = db.get_one(User, user)
            return self.server.people.make_token(
                db, asker, name="program", scopes=list(scopes), now=self.now, days=days
            )[1]

        return Visitor(self, token=self.database.write(work))

    # What the database holds

    def rows(self, *, but: tuple[str, ...] = ()) -> dict[str, list[dict[str, Any]]]:
        """Every row of every table, without the stamps of who was seen when."""

        def work(db: Any) -> dict[str, list[dict[str, Any]]]:
            found = {}
            for table in TableBase.metadata.sorted_tables:
                if table.name not in but:
                    keys = list(table.primary_key)
                    rows = db.execute(select(table).order_by(*keys)).mappings()
                    found[table.name] = [
                        {k: v for k, v in row.items() if k not in ("last_seen", "last_used")} for row in rows
                    ]
            return found

        return self.database.read(work)

    def answers_of(self, item: str) -> list[str]:
        mine = select(Answer.text).where(Answer.item_id == item).order_by(Answer.position)
        return self.database.read(lambda db: list(db.scalars(mine)))


class Snapshot:
    """The content of an SQLite database at one moment, to which it can go back."""

    def __init__(self, path: Path) -> None:
        self._live = sqlite3.connect(path, isolation_level=None)
        self._kept = sqlite3.connect(":memory:")
        self._live.backup(self._kept)

        self._version = self._at()

    def restore(self) -> None:
        if self.is_changed():
            self._kept.backup(self._live)
            self._version = self._at()

    def is_changed(self) -> bool:
        """Whether anyone has written since, be it only a stamp."""
        return self._at() != self._version

    def _at(self) -> int:
        return int(self._live.execute("PRAGMA data_version").fetchone()[0])

    def close(self) -> None:
        self._live.close()
        self._kept.close()


@contextmanager
def serving(database: Database, *, origin: str | None = None) -> Iterator[Site]:
    """The site, as it would answer real requests: errors become answers."""
    clock = {"site": None}
    server = AppState(database, SECRET, origin=origin, port=8642, clock=lambda: clock["site"].now)
    base = origin or HERE
    with TestClient(create_app(server), base_url=base, raise_server_exceptions=False) as client:
        client.headers.clear()
        site = Site(database, client, server, base)
        clock["site"] = site
        yield site


def pair(prompt: str, first: str, second: str, **more: Any) -> NewItem:
    """An item of two answers by models m1 and m2."""
    answers = (NewAnswer(first, model="m1"), NewAnswer(second, model="m2"))
    return NewItem(({"role": "user", "content": prompt},), answers, **more)


def verdict(task: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A verdict that ranks a task's answers as they stand."""
    groups = [[a["key"]] for a in task["answers"]]
    said: dict[str, Any] = {"groups": groups, "guideline_version": 0, "active_ms": 1000}
    if len(groups) == 2 and task["form"]["strength"]:
        said["strength"] = 2
    return said | more


def judge(visitor: Visitor, slug: str, key: str = "key-00000001", **more: Any) -> dict[str, Any]:
    """Claim an item and judge it: its task."""
    task = visitor.post(f"/api/projects/{slug}/claim").json()["task"]
    done = visitor.post(
        f"/api/projects/{slug}/assignments/{task['assignment']}/submit",
        verdict(task, **more),
        headers={"idempotency-key": key},
    )
    assert done.status_code == 201, done.text
    return task
