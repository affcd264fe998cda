"""Connection timeouts: slow requests, slow bodies, slow readers; where there are too many, the longest idle."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from plaudit.web.app_state import LOOPBACK, Addresses, place_of

FILES = 8192  # open files that the process asks for
FILES_OF_OTHERS = 256  # database, assets, and what is just being closed
FULL = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 5\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


@dataclass(frozen=True)
class Limits:
    """Seconds, bytes and counts."""

    header_seconds: float = (
        10  # from the first byte of a request, or from connecting, to the end of its headers
    )
    header_bytes: int = 2**16
    body_seconds: float = 20  # for a body, and as long again as it takes at the least rate
    least_rate: float = 20_000  # bytes a second
    stuck_seconds: float = 30  # that a client may leave what is sent to it unread
    linger_bytes: int = 64 * 2**20  # read and thrown away of a body that nobody wanted: its sender hears why
    total: int = 2000
    of_one: int = 256
    # Those that many people come from, which only the total limits.
    shared: Addresses = field(default_factory=lambda: Addresses(LOOPBACK))


class Open:
    """The connections of one process. Where there are too many, those that wait for a request are closed first."""

    def __init__(self) -> None:
        self.waiting: dict[Connection, str] = {}  # and their places, in the order in which they began to wait
        self.count = 0
        self.of: Counter[str] = Counter()

    def has_room(self, place: str, limits: Limits) -> bool:
        """Whether one more fits, if need be in place of the one that has waited longest."""
        own = bool(place) and self.of[place] >= limits.of_one
        if not own and self.count < limits.total:
            return True
        oldest = next((c for c, at in self.waiting.items() if at == place or not own), None)
        if oldest is not None:
            oldest.drop()
        return oldest is not None


class Connection(HttpToolsProtocol):
    """uvicorn's protocol with limits. The class holds them, for all connections of the process."""

    limits: ClassVar[Limits] = Limits()
    open: ClassVar[Open] = Open()

    _timer: asyncio.TimerHandle | None = None  # ends a request that is slow to come
    _stuck: asyncio.TimerHandle | None = None  # ends an answer that is not read
    _place = ""  # nothing where many people share it
    _asking = False  # a request has begun, and its headers have not ended
    _in_body = False
    _received = 0  # bytes of this request's headers, then of its body
    _raw = 0  # bytes that came while the body was read: with what is around its parts
    _began = 0.0
    _counted = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        host = self.client[0] if self.client else ""
        self._place = "" if host in self.limits.shared else place_of(host)
        if not self.open.has_room(self._place, self.limits):
            transport.write(FULL)
            transport.close()
            self._end_soon()
            return
        self._counted = True
        self.open.count += 1
        self.open.of[self._place] += 1
        self._await_request(self.limits.header_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget()
        super().connection_lost(exc)

    def drop(self) -> None:
        """End it now, whatever is on its way."""
        self._forget()
        self.transport.abort()

    def _forget(self) -> None:
        """It counts no longer."""
        self._stop()
        self._end_stuck()
        self.open.waiting.pop(self, None)
        if self._counted:
            self._counted = False
            self.open.count -= 1
            self.open.of[self._place] -= 1
            if not self.open.of[self._place]:
                del self.open.of[self._place]

    # A request on its way

    def _await_request(self, seconds: float | None) -> None:
        """Nothing is being served: it may be closed for others, and by itself after so many seconds."""
        self._stop()
        self.open.waiting.pop(self, None)
        self.open.waiting[self] = self._place
        if seconds is not None:
            self._timer = self.loop.call_later(seconds, self.drop)

    def data_received(self, data: bytes) -> None:
        if not self._counted:
            return
        if self._in_body:
            self._raw += len(data)
        else:
            self._received += len(data)
            self._expect_headers()
        super().data_received(data)
        if self._in_body:
            # A byte of a body may come with seven around it; and something may follow the last.
            if self._raw > self.limits.header_bytes + 8 * self._received:
                self.drop()
        elif self._received > self.limits.header_bytes and not self.transport.is_closing():
            self.send_400_response("The headers are too long.")

    def _expect_headers(self) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(self.limits.header_seconds, self.drop)

    def on_message_begin(self) -> None:
        # Here too: it may have come in one piece with the end of the request before.
        self._asking = True
        self._expect_headers()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._stop()
        self._asking = False
        self.open.waiting.pop(self, None)
        self._in_body, self._received, self._raw, self._began = True, 0, 0, self.loop.time()
        self._timer = self.loop.call_later(self.limits.body_seconds, self._check_body)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._received += len(body)
        if self.cycle.response_complete and self._received > self.limits.linger_bytes:
            self.drop()
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._stop()
        self._in_body, self._received = False, 0
        super().on_message_complete()
        if self._counted and self.cycle.response_complete:
            self._await_request(self.limits.header_seconds if self._asking else None)

    def _check_body(self) -> None:
        """The body has to come at the least rate; time in which the server itself did not read does not count."""
        if self.flow.read_paused:
            self._began, self._received = self.loop.time(), 0
        allowed = self.limits.body_seconds + self._received / self.limits.least_rate
        left = self._began + allowed - self.loop.time()
        if left <= 0:
            self.drop()
        else:
            self._timer = self.loop.call_later(left, self._check_body)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # An answer on its way

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self._counted:
            return
        if self.transport.is_closing():
            self._end_soon()
        elif self._in_body:
            # What is left of the body is read and thrown away, so that its sender gets to hear the answer.
            self._await_request(self.limits.body_seconds)
        elif self.cycle.response_complete:
            self._await_request(self.limits.header_seconds if self._asking else None)

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self._end_soon()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._end_soon()

    def resume_writing(self) -> None:
        super().resume_writing()
        if not self.transport.is_closing():
            self._end_stuck()

    def _end_soon(self) -> None:
        """What waits to be read has to be read within a while."""
        if self._stuck is None:
            self._stuck = self.loop.call_later(self.limits.stuck_seconds, self.drop)

    def _end_stuck(self) -> None:
        if self._stuck is not None:
            self._stuck.cancel()
            self._stuck = None


def configure(proxies: Sequence[str]) -> None:
    """The limits of this process: as many connections as it may have open files, up to the usual number."""
    total = max(64, min(Limits.total, _more_files() - FILES_OF_OTHERS))
    Connection.limits = Limits(total=total, shared=Addresses((*LOOPBACK, *proxies)))
    Connection.open = Open()


def _more_files() -> int:
    try:
        import resource
    except ModuleNotFoundError:  # Windows counts no open files of a process
        return FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return FILES
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return soft
