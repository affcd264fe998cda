"""A migrated database of each kind for every test of the store."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import warm
from postgresql import database, migrated_postgresql, migrated_sqlite, postgresql

from plaudit.feedback.store import database as store_database

__all__ = [
    "conflicts",
    "database",
    "in_threads",
    "migrated_postgresql",
    "migrated_sqlite",
    "postgresql",
    "processes",
]


@pytest.fixture
def in_threads():
    """``in_threads(n, f)``: what f(0) … f(n-1) return, all begun at the same moment."""

    def run(count, function):
        together = threading.Barrier(count)

        def one(i):
            together.wait()
            return function(i)

        with ThreadPoolExecutor(count) as pool:
            return [future.result() for future in [pool.submit(one, i) for i in range(count)]]

    return run


@pytest.fixture(scope="session")
def processes():
    """Started from one that has imported all there is to import, and that holds no connection of ours."""
    return warm.CONTEXT


@pytest.fixture
def conflicts(monkeypatch):
    """The SQLSTATE of every failure that made a transaction begin again, or fail."""
    seen = []
    judge = store_database._worth_another_try

    def noted(error):
        seen.append(getattr(error.orig, "sqlstate", "sqlite"))
        return judge(error)

    monkeypatch.setattr(store_database, "_worth_another_try", noted)
    return seen
