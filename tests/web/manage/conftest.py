"""A server with three projects (worked on, without items, with items that nobody has judged), made once."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from chromium import CHROMIUM
from fastapi.testclient import TestClient
from web.manage.labeled_project import DAY, build, items

from plaudit.feedback.store import migrate
from plaudit.feedback.store.database import Database
from plaudit.feedback.store.people import add_member
from plaudit.feedback.store.projects import add_items, create_project
from plaudit.feedback.store.settings import Settings
from plaudit.web.app import create_app
from plaudit.web.app_state import AppState

NOW = 1_790_000_000.0
ORIGIN = "http://localhost"
SECRET = b"a secret of the tests, 32 bytes."


@dataclass
class Site:
    """A served database and how to sign in to it. ``server`` has a clock that tests may set."""

    server: AppState
    links: dict[str, str]
    app: Any
    now: float = NOW

    def client(self, name: str) -> TestClient:
        """A browser in which that person is signed in; it sends what a page would send with a change."""
        made = TestClient(self.app, base_url=ORIGIN, follow_redirects=False)
        me = made.post("/api/links/enter", json={"token": self.links[name]})
        assert me.status_code == 200, me.text
        made.headers["x-csrf-token"] = me.json()["csrf"]
        return made


def _fill(server: AppState, now: float) -> dict[str, str]:
    def work(db: Any) -> dict[str, str]:
        _, people = build(db, slug="full", now=now, count=40, labelers=7)
        for slug, title in (("empty", "Nothing yet"), ("ready", "Ready")):
            project = create_project(db, slug, title=title, settings=Settings(), now=now - DAY)
            for name, role in (("Olga", "owner"), ("Rita", "reviewer"), ("Lea", "labeler")):
                add_member(db, project, people[name], role, now=now - DAY)
            if slug == "ready":
                add_items(db, project, items(4, random.Random(3)), now=now - DAY)
        return {n: server.people.make_link(db, now=now, user=u, max_uses=1000)[1] for n, u in people.items()}

    return server.database.write(work)


@pytest.fixture(scope="session")
def full_site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """For tests that only look."""
    database = Database(f"sqlite:///{tmp_path_factory.mktemp('site')}/collect.db")
    migrate.upgrade(database)
    server = AppState(database, SECRET, clock=lambda: NOW)
    return Site(server, _fill(server, NOW), create_app(server))


@pytest.fixture
def own_site(full_site: Site, tmp_path: Path) -> Iterator[Site]:
    """A copy for a test that changes something."""
    made = copied(full_site, tmp_path / "copy.db")
    yield made
    made.server.database.close()


def copied(site: Site, path: Path, *, port: int = 0) -> Site:
    with site.server.database.engine.connect() as connection:
        connection.exec_driver_sql(f"VACUUM INTO '{path}'")
    made = Site(AppState(Database(f"sqlite:///{path}"), SECRET, port=port), site.links, None)
    made.server = replace(made.server, clock=lambda: made.now)
    made.app = create_app(made.server)
    return made


Sign = Callable[[str], TestClient]


@pytest.fixture(scope="session")
def sign(full_site: Site) -> Sign:
    """Browsers of people by name, signed in once."""
    made: dict[str, TestClient] = {}

    def client(name: str) -> TestClient:
        if name not in made:
            made[name] = full_site.client(name)
        return made[name]

    return client


@pytest.fixture(scope="session")
def chromium() -> str:
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine")
    return CHROMIUM
