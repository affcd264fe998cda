"""Real sockets at a real server: what is slow to ask, to send or to read is ended, and others are served meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import uvicorn

from plaudit.web.app_state import Addresses
from plaudit.web.connections import Connection, Limits, Open

NOBODY = Addresses(())
SHORT = Limits(header_seconds=0.25, body_seconds=0.25, least_rate=50, stuck_seconds=0.4, shared=NOBODY)
HEAD = b"POST /%s HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n"
GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"


@dataclass
class Running:
    port: int
    protocol: type[Connection]
    asked: list[str]

    def connect(self, sent: bytes = b"") -> socket.socket:
        made = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        made.sendall(sent)
        return made

    def ask(self) -> bytes:
        with self.connect(GET) as line:
            return line.recv(1000)


@contextlib.contextmanager
def running(limits: Limits) -> Iterator[Running]:
    """uvicorn with the limits, and an application that reads, or refuses, or answers at length."""
    held, asked = limits, []

    class Limited(Connection):
        limits = held
        open = Open()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        asked.append(scope["path"])
        if scope["path"] == "/read":
            while (message := await receive())["type"] == "http.request" and message["more_body"]:
                pass
            if message["type"] == "http.disconnect":
                asked.append("broke off")
                return
        size = 2**24 if scope["path"] == "/long" else 2
        headers = [(b"content-length", str(size).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for i in range(0, size, 2**16):
            await send(
                {"type": "http.response.body", "body": b"x" * min(size, 2**16), "more_body": i + 2**16 < size}
            )

    config = uvicorn.Config(
        app, http=Limited, ws="none", loop="asyncio", lifespan="off", log_level="critical"
    )
    server = uvicorn.Server(config)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(200)
        thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listening])))
        thread.start()
        try:
            yield Running(listening.getsockname()[1], Limited, asked)
        finally:
            server.should_exit = True
            thread.join(20)


@pytest.fixture(scope="module")
def short() -> Iterator[Running]:
    with running(SHORT) as made:
        yield made


@pytest.fixture(scope="module")
def usual() -> Iterator[Running]:
    """With limits that no test reaches, however slow the machine is."""
    with running(Limits(shared=NOBODY)) as made:
        yield made


def answer(line: socket.socket) -> bytes:
    """A whole short answer, in however many pieces it comes."""
    found = b""
    while not found.endswith(b"xx") and (more := line.recv(1000)):
        found += more
    return found


def ends(line: socket.socket) -> bool:
    """Whether the server has closed it: nothing more comes."""
    with contextlib.suppress(ConnectionError):
        while line.recv(2**16):
            pass
    return True


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET / HT",
        b"GET / HTTP/1.1\r\nhost: x\r\nx-slow: ",
        GET + b"GET / HT",  # the second request of a connection that was served
        HEAD % (b"read", 100),
        HEAD % (b"read", 100) + b"half",
        HEAD % (b"refuse", 10_000) + b"half",  # answered at once; what follows never comes
        b"POST /read HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n5\r\nab",
    ],
)  # fmt: skip
def test_a_request_that_stops_half_way_is_ended(short: Running, sent: bytes) -> None:
    with short.connect(sent) as line:
        assert short.ask().startswith(b"HTTP/1.1 200"), "others are served"
        assert ends(line)


def test_a_request_that_comes_drop_by_drop_is_ended(short: Running) -> None:
    """It is the whole that has to come in time: a byte now and then helps nobody."""
    for sent, drop in ((b"GET / HTTP/1.1\r\n", b"x: y\r\n"), (HEAD % (b"read", 10**6), b"z")):
        with short.connect(sent) as line, contextlib.suppress(ConnectionError):
            for _ in range(200):
                line.sendall(drop)
                threading.Event().wait(0.05)
            pytest.fail("nobody ended it")


def test_a_long_body_that_comes_fast_enough_is_taken(short: Running) -> None:
    with short.connect(HEAD % (b"read", 100 * 60)) as line:
        for _ in range(60):  # for 0.6 seconds, at 10,000 bytes a second
            line.sendall(b"z" * 100)
            threading.Event().wait(0.01)
        assert line.recv(100).startswith(b"HTTP/1.1 200")


def test_an_answer_that_nobody_reads_is_ended(short: Running) -> None:
    with socket.socket() as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        line.connect(("127.0.0.1", short.port))
        line.sendall(b"GET /long HTTP/1.1\r\nhost: x\r\n\r\n")
        until = threading.Event()
        for _ in range(500):
            if not short.protocol.open.count:
                break
            until.wait(0.02)
        assert not short.protocol.open.count


def test_of_a_body_that_was_refused_the_rest_is_read_so_that_the_answer_arrives(usual: Running) -> None:
    with usual.connect(HEAD % (b"refuse", 2**22)) as line:
        line.sendall(b"z" * 2**22)
        assert answer(line).startswith(b"HTTP/1.1 200")
        line.sendall(GET)
        assert answer(line).startswith(b"HTTP/1.1 200"), "and the connection goes on"


def test_what_surrounds_a_request_has_a_limit(short: Running) -> None:
    """Headers without end, and chunks or trailers without a body in them."""
    endless = b"a" * 2**16
    chunked = b"POST /read HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
    for sent in (b"GET / HTTP/1.1\r\nx: ", b"GET /", chunked + b"1;", chunked + b"0\r\nx: "):
        with short.connect(sent) as line, contextlib.suppress(ConnectionError):
            line.sendall(endless)
            line.sendall(endless)
            answer = line.recv(1000)
            assert answer == b"" or answer.startswith(b"HTTP/1.1 400")


def test_a_kept_connection_is_not_a_slow_one(usual: Running) -> None:
    """Nothing but uvicorn's own timeout ends a connection between two requests."""
    with usual.connect() as line:
        for _ in range(3):
            line.sendall(GET)
            assert answer(line).startswith(b"HTTP/1.1 200")
            until = threading.Event()
            while not (kept := list(usual.protocol.open.waiting)) or kept[-1]._timer is not None:
                until.wait(0.01)


def test_everything_is_forgotten_with_its_connection(short: Running) -> None:
    opened, until = short.protocol.open, threading.Event()
    for _ in range(500):
        if not opened.count:
            break
        until.wait(0.02)
    assert (opened.count, dict(opened.of), opened.waiting) == (0, {}, {})


def test_where_there_are_too_many_the_one_that_waited_longest_makes_room() -> None:
    with running(Limits(total=4, shared=NOBODY)) as made:
        idle = [made.connect(b"GET / HT") for _ in range(4)]
        assert made.ask().startswith(b"HTTP/1.1 200")
        assert ends(idle[0])
        assert made.protocol.open.count <= 4
        busy = [made.connect(HEAD % (b"read", 10)) for _ in range(4)]
        while made.asked.count("/read") < 4:
            threading.Event().wait(0.01)
        assert made.ask().startswith(b"HTTP/1.1 503"), "who is being served is not thrown out"
        for line in (*idle, *busy):
            line.close()


def test_one_address_has_a_limit_of_its_own_unless_many_share_it() -> None:
    with running(Limits(of_one=2, shared=NOBODY)) as made:
        busy = [made.connect(HEAD % (b"read", 10)) for _ in range(2)]
        while made.asked.count("/read") < 2:
            threading.Event().wait(0.01)
        assert made.ask().startswith(b"HTTP/1.1 503")
        for line in busy:
            line.close()
    with running(Limits(of_one=2, shared=Addresses(["127.0.0.0/8"]))) as made:
        busy = [made.connect(HEAD % (b"read", 10)) for _ in range(3)]
        assert made.ask().startswith(b"HTTP/1.1 200")
        for line in busy:
            line.close()
