"""A crowd at work while the server is killed again and again: nothing that was acknowledged is lost."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest
from crowd import Log, crowd, faults, prepare
from postgresql import postgresql  # noqa: F401
from serving import Served

from plaudit.feedback.project_location import DATABASE, secret_in
from plaudit.feedback.store.database import Database
from plaudit.feedback.store.migrate import upgrade


def at_work(folder, url, *, workers, people, items, overlap, goal, pace, kills, log, seconds=240):
    """The crowd works to its goal; at each count of judgements in ``kills`` the server dies and is started again."""
    database = Database(url or f"sqlite:///{folder / DATABASE}")
    upgrade(database)
    served = Served(folder, url, workers, extra=["--name", "crowd"])
    hands = prepare(database, secret_in(folder), people=people, items=items, overlap=overlap)
    served.start()
    try:
        over = threading.Event()

        def die():
            for count in kills:
                while len(log.acknowledged) < count and not over.is_set():
                    time.sleep(0.005)
                if not over.is_set():
                    served.kill()
                    served.start()

        killer = threading.Thread(target=die)
        killer.start()
        work = crowd(served.address, served.cookie, hands, seconds=seconds, goal=goal, pace=pace, log=log)
        asyncio.run(work)
        over.set()
        killer.join()
    finally:
        served.stop()
    return database


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def where(request):
    """A database URL, None for SQLite in the project's folder, and how many workers it is served by."""
    if request.param == "sqlite":
        yield None, 1
        return
    server = request.getfixturevalue("postgresql")
    name = server.make()
    yield server.url(name), 2
    server.drop(name)


def test_nothing_acknowledged_is_lost_when_the_server_is_killed(tmp_path, where):
    url, workers = where
    log = Log()
    database = at_work(
        tmp_path,
        url,
        workers=workers,
        people=12,
        items=45,
        overlap=2,
        goal=60,
        pace=(0.2, 0.5),
        kills=(11, 37),
        log=log,
    )
    try:
        assert log.finished == 12
        assert len(log.acknowledged) >= 60, "they did work"
        assert sum(log.troubles.values()) >= 2, "they noticed the kills"
        assert not faults(database, log)
    finally:
        database.close()


@pytest.mark.slow
def test_fifty_labelers_at_their_own_pace(tmp_path, where):
    url, workers = where
    log = Log()
    database = at_work(
        tmp_path,
        url,
        workers=4 if workers > 1 else 1,
        people=50,
        items=1000,
        overlap=2,
        goal=1000,
        pace=(3, 6),
        kills=(150, 300, 450, 600),
        log=log,
    )
    try:
        assert log.finished == 50 and len(log.acknowledged) >= 1000
        assert not faults(database, log)
    finally:
        database.close()
