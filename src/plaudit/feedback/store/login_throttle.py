"""Throttle sign-in attempts: attempts are counted by name and by address before the password is checked."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import case, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session as Db

from plaudit.feedback.store.account_tables import Attempt
from plaudit.feedback.store.errors import TooMany
from plaudit.feedback.store.ids import keyed_hash

DAY = 86_400
FREE_TRIES, FORGET = 5, DAY
FIRST_WAIT, LONGEST_WAIT = 30.0, 900.0  # seconds after as many tries; twice as long after each further one


class Guessing:
    """Counts attempts under keyed hashes, so that no name or address is stored."""

    def __init__(self, secret: bytes) -> None:
        self.secret = secret

    def reserve(self, db: Db, keys: Mapping[str, int], *, now: float) -> None:
        """Count a try that is about to be made. ``keys``: with how much patience for each.

        TooMany, and nothing counted, where a name or an address has failed too often lately. Of many tries at once
        each sees those before it: the rows are locked until the transaction ends.
        """
        for key in sorted(keys):
            self._ensure(db, key, now)
            self._check(db, key, keys[key], now)
        self._count(db, sorted(keys), now=now)

    def _ensure(self, db: Db, key: str, now: float) -> None:
        """A row to lock: what is not there cannot be, and the first tries at once would all see nothing counted."""
        insert = postgresql.insert if db.get_bind().dialect.name == "postgresql" else sqlite.insert
        row = insert(Attempt).values(key=self._key(key), count=0, last=now)
        db.execute(row.on_conflict_do_nothing())

    def _check(self, db: Db, key: str, patience: int, now: float) -> None:
        found = db.get(Attempt, self._key(key), with_for_update=True, populate_existing=True)
        if found and found.count >= FREE_TRIES * patience:
            over = found.count - FREE_TRIES * patience
            until = found.last + min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(over, 20))
            if until > now:
                raise TooMany(until - now)

    def _count(self, db: Db, keys: list[str], *, now: float) -> None:
        for key in keys:
            hashed = self._key(key)
            # Counted by the database: of many tries at once, each counts.
            db.execute(
                update(Attempt)
                .where(Attempt.key == hashed)
                .values(count=case((Attempt.last < now - FORGET, 1), else_=Attempt.count + 1), last=now)
                .execution_options(synchronize_session=False)
            )

    def forgive(self, db: Db, name: str, address: str | None = None) -> None:
        """Someone came in: their own tries are forgotten, for the address too, but not those on other names."""
        mine = db.get(Attempt, self._key(name))
        theirs = db.get(Attempt, self._key(address)) if address else None
        if mine is not None:
            if theirs is not None:
                theirs.count = max(0, theirs.count - mine.count)
            db.delete(mine)

    def _key(self, name: str) -> str:
        return keyed_hash(self.secret, "try", name)
