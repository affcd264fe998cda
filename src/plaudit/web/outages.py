"""Database outages that ended by themselves, for the log and for the project's owner."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field

from plaudit.feedback.store.errors import Away

DAY = 86_400
EVERY = 60.0  # seconds between two lines of the log
WORDS = {
    "disk_full": "The server's disk was full",
    "database_away": "The database could not be reached",
    "database_busy": "The database was too busy",
}

log = logging.getLogger("plaudit.web")


@dataclass
class Trouble:
    """Requests of the last day that were answered with 503, of one kind."""

    words: str
    count: int
    first: float
    last: float


@dataclass
class Outages:
    """Of one process, since it began."""

    _kinds: dict[str, Trouble] = field(default_factory=dict)
    _logged: dict[str, float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, away: Away, now: float) -> None:
        """Count it, and write it to the log, unless that was done a moment ago."""
        with self._lock:
            found = self._kinds.get(away.code)
            if found is None or now - found.last > DAY:
                found = self._kinds[away.code] = Trouble(WORDS.get(away.code, away.message), 0, now, now)
            found.count, found.last = found.count + 1, now
            if now - self._logged.get(away.code, -EVERY) < EVERY:
                return
            self._logged[away.code] = now
        log.error(
            "%s: %s. Requests get 503 until it is over; pages wait and send again.", away.code, away.cause
        )

    def lately(self, now: float) -> list[Trouble]:
        """What was within the last day, newest first."""
        with self._lock:
            found = [t for t in self._kinds.values() if now - t.last <= DAY]
        return sorted(found, key=lambda t: -t.last)
