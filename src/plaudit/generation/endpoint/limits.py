"""Token buckets: how many requests and how many tokens a minute a server is sent."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable

MINUTE = 60.0


class TokenBucket:
    """At most ``per_minute`` units a minute, and at most a minute's worth at once; safe between threads.

    level(t) = min(per_minute, level(s) + (t − s) · per_minute / 60). More than a minute's worth waits for a full bucket
    and empties it. None is no limit.
    """

    def __init__(
        self,
        per_minute: float | None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self.per_minute = per_minute
        self.level = per_minute or 0.0
        self.clock, self.sleep = clock, sleep
        self.at = clock()
        self.lock = threading.Lock()

    def take(self, units: float = 1.0) -> None:
        """Wait until so many units are there, and take them."""
        if self.per_minute is None:
            return
        wanted = min(units, self.per_minute)
        while True:
            with self.lock:
                self._fill()
                if self.level >= wanted:
                    self.level -= wanted
                    return
                wait = (wanted - self.level) * MINUTE / self.per_minute
            self.sleep(wait)

    def correct(self, units: float) -> None:
        """Take more (or give back, below 0) once it is known what was really used; never waits."""
        if self.per_minute is not None:
            with self.lock:
                self._fill()
                self.level = min(self.per_minute, self.level - units)

    def _fill(self) -> None:
        now = self.clock()
        assert self.per_minute is not None
        self.level = min(self.per_minute, self.level + (now - self.at) * self.per_minute / MINUTE)
        self.at = now


def backoff(attempt: int, *, base: float = 0.5, most: float = 30.0, rng: random.Random) -> float:
    """Seconds before the retry after the ``attempt``-th failure (from 0): uniform in [0, min(most, base · 2^attempt)].

    "Full jitter": clients that failed together do not come back together.
    """
    return rng.uniform(0, min(most, base * 2**attempt))
