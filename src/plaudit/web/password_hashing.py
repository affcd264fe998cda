"""Hash passwords in a few threads of their own with a short queue: many sign-ins at once do not slow other requests."""

from __future__ import annotations

import asyncio
import os
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from typing import Any, ParamSpec, TypeVar

from plaudit.feedback.store.errors import Busy

P = ParamSpec("P")
R = TypeVar("R")

HASHERS = 2  # at a time: each takes 64 MiB and a tenth of a second
PLACES, PLACES_OF_ONE = 20, 10  # hashed and waiting, of all and of one address
WAIT = 2.0  # seconds after which the queue has moved on
NICENESS = 10


class Hashing:
    """A queue before a few threads. Used from one event loop, which alone counts the places."""

    def __init__(
        self, hashers: int = HASHERS, places: int = PLACES, places_of_one: int = PLACES_OF_ONE
    ) -> None:
        self._pool = ThreadPoolExecutor(hashers, "hashing", initializer=_yield_to_others)
        self._places, self._places_of_one = places, places_of_one
        self._held: Counter[str] = Counter()

    @asynccontextmanager
    async def place(self, address: str) -> AsyncIterator[Hash]:
        """A place in the queue, to be had before anything is asked of the database. Busy where there is none."""
        if self._held.total() >= self._places or self._held[address] >= self._places_of_one:
            raise Busy("busy", "many people are signing in at this moment", WAIT)
        self._held[address] += 1
        try:
            yield Hash(self._pool)
        finally:
            self._held[address] -= 1
            self._held += Counter()  # forgets those who hold none


class Hash:
    """Runs functions that hash."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self._pool = pool

    async def __call__(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        def work() -> R:
            return function(*args, **kwargs)

        return await asyncio.get_running_loop().run_in_executor(self._pool, work)


def _yield_to_others() -> Any:
    """Where the system can: this thread, and those that it starts, compute when no other wants to."""
    with suppress(OSError, AttributeError):
        mine = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, mine, os.getpriority(os.PRIO_PROCESS, mine) + NICENESS)
