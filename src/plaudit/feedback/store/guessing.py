"""Guessing a password gets slow: failures are counted by name and by address."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import case, update
from sqlalchemy.orm import Session as Db

from plaudit.feedback.store.errors import TooMany
from plaudit.feedback.store.ids import keyed_hash
from plaudit.feedback.store.schema import Attempt

DAY = 86_400
FREE_TRIES, LONGEST_WAIT, FORGET = 5, 900, DAY


class Guessing:
    """Counts failures under keyed hashes: what is kept names nobody."""

    def __init__(self, secret: bytes) -> None:
        self.secret = secret

    def check_tries(self, db: Db, keys: Mapping[str, int], *, now: float) -> None:
        """TooMany while a name or an address has failed too often lately. ``keys``: with how much patience for each."""
        for key, patience in keys.items():
            found = db.get(Attempt, self._key(key))
            if found and found.count >= FREE_TRIES * patience:
                over = found.count - FREE_TRIES * patience
                until = found.last + min(LONGEST_WAIT, 2.0 ** min(over + 1, 20))
                if until > now:
                    raise TooMany(until - now)

    def count_try(self, db: Db, keys: list[str], *, now: float) -> None:
        for key in keys:
            hashed = self._key(key)
            # Counted by the database: of many tries at once, each counts.
            counted: Any = db.execute(
                update(Attempt)
                .where(Attempt.key == hashed)
                .values(count=case((Attempt.last < now - FORGET, 1), else_=Attempt.count + 1), last=now)
                .execution_options(synchronize_session=False)
            )
            if not counted.rowcount:
                db.add(Attempt(key=hashed, count=1, last=now))
                db.flush()

    def forgive(self, db: Db, name: str, address: str) -> None:
        """Someone came in: their own failures are forgotten, for the address too, but not those on other names."""
        mine, theirs = db.get(Attempt, self._key(name)), db.get(Attempt, self._key(address))
        if mine is not None:
            if theirs is not None:
                theirs.count = max(0, theirs.count - mine.count)
            db.delete(mine)

    def _key(self, name: str) -> str:
        return keyed_hash(self.secret, "try", name)
