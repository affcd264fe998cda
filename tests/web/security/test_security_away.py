"""A database that is away or full: every route says so, asks to be tried again, and nothing is lost."""

from __future__ import annotations

import errno
import logging
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError
from web.security.site import Site, judge, pair, verdict
from web.security.world import TABLE, World

from plaudit.feedback.store.database import Database
from plaudit.feedback.store.errors import Away
from plaudit.web import request_body
from plaudit.web.app_state import DAY, Outages

# What needs no database.
WITHOUT = {
    "GET /api/openapi.json", "GET /static/{_version}/{name:path}", "GET /sign-in", "GET /enter",
}  # fmt: skip


@contextmanager
def away(database: Database, code: int = sqlite3.SQLITE_IOERR) -> Iterator[None]:
    """No transaction begins."""
    cause = sqlite3.OperationalError("disk I/O error in /srv/secret/collect.db")
    cause.sqlite_errorcode = code

    def refuse() -> Any:
        raise OperationalError("BEGIN", {}, cause)

    sessions, database._sessions = database._sessions, refuse
    try:
        yield
    finally:
        database._sessions = sessions


@pytest.mark.parametrize("code, wait", [(sqlite3.SQLITE_IOERR, "5"), (sqlite3.SQLITE_FULL, "30")])
def test_every_route_says_that_it_is_to_be_tried_again(world: World, code: int, wait: str) -> None:
    wrong = []
    with away(world.site.database, code):
        for route in TABLE.keys() - WITHOUT:
            answer = world.ask(route, "owner")
            said = (answer.status_code, answer.headers.get("retry-after"), "secret/collect" in answer.text)
            if said != (503, wait, False):
                wrong.append((route, *said))
            if route.startswith("GET") and "/api/" not in route and answer.headers.get("refresh") != wait:
                wrong.append((route, "does not come again by itself"))
        assert all(world.ask(route, "owner").status_code == 200 for route in WITHOUT)
    assert not wrong
    assert world.ask("GET /api/me", "owner").status_code == 200


def test_what_was_sent_again_after_a_full_disk_is_there_once(site: Site) -> None:
    site.project("demo")
    site.member("demo", "Lena", "labeler")
    site.items("demo", [pair("q", "one", "two")])
    lena = site.browser("Lena")
    task = lena.post("/api/projects/demo/claim").json()["task"]
    path = f"/api/projects/demo/assignments/{task['assignment']}/submit"

    def send() -> int:
        return lena.post(path, verdict(task), headers={"idempotency-key": "key-00000001"}).status_code

    with away(site.database, sqlite3.SQLITE_FULL):
        assert send() == 503
    assert [send(), send()] == [201, 201]
    assert len(site.rows()["judgements"]) == 1


def test_a_body_that_the_disk_has_no_room_for_is_to_be_sent_again(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full(request_body.tempfile.SpooledTemporaryFile):  # type: ignore[type-arg]
        def write(self, _: Any) -> Any:
            raise OSError(errno.ENOSPC, "No space left on device")

    site.project("demo")
    site.member("demo", "Olga", "owner")
    monkeypatch.setattr(request_body.tempfile, "SpooledTemporaryFile", Full)
    answer = site.browser("Olga").post("/api/projects/demo/items", {"items": [{}]})
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "disk_full")


def test_the_owner_and_the_log_get_a_word_and_labelers_do_not(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    site.project("demo")
    for name, role in (("Olga", "owner"), ("Rita", "reviewer")):
        site.member("demo", name, role)
    site.items("demo", [pair("q", "one", "two")])
    olga, rita = site.browser("Olga"), site.browser("Rita")
    judge(olga, "demo")
    assert "could not be reached" not in olga.get("/p/demo/dashboard").text
    with away(site.database), caplog.at_level(logging.ERROR, "plaudit.web"):
        for _ in range(3):
            rita.get("/p/demo/dashboard")
    lines = [r.getMessage() for r in caplog.records if r.name == "plaudit.web"]
    assert len(lines) == 1 and "disk I/O error in /srv/secret" in lines[0]
    assert "could not be reached 3 times, last on 2027-01-15" in olga.get("/p/demo/dashboard").text
    assert "could not be reached" not in rita.get("/p/demo/dashboard").text


def test_troubles_are_told_for_a_day() -> None:
    troubles, gone = Outages(), Away("database_away", "away", 5, "cause")
    for now in (0.0, 10.0, 20.0):
        troubles.note(gone, now)
    troubles.note(Away("disk_full", "full", 5, "cause"), 30.0)
    assert [(t.count, t.first, t.last) for t in troubles.lately(30)] == [(1, 30, 30), (3, 0, 20)]
    assert [t.count for t in troubles.lately(25 + DAY)] == [1]
    troubles.note(gone, 2 * DAY)
    assert [(t.count, t.first) for t in troubles.lately(2 * DAY)] == [(1, 2 * DAY)]


def test_a_fault_of_ours_is_still_a_fault(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.project("demo")
    site.member("demo", "Olga", "owner")

    def fail(run: Callable[..., Any], *_: Any, **__: Any) -> Any:
        cause = sqlite3.OperationalError("no such table: items")
        cause.sqlite_errorcode = sqlite3.SQLITE_ERROR
        raise OperationalError("SELECT", {}, cause)

    olga = site.browser("Olga")
    monkeypatch.setattr(site.database, "read", fail)
    assert olga.get("/api/me").status_code == 500
