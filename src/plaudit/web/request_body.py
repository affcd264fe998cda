"""Request bodies: read only after authorization, within the route's limit, off the event loop."""

from __future__ import annotations

import errno
import json
import tempfile
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import IO, Any, TypeVar

from fastapi import Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from plaudit.feedback.store.errors import Away, Refused
from plaudit.web.access import Access

MOST_OPEN = 2**14  # of anyone, before they have signed in
MOST_SMALL = 2**16  # of those who have: a judgement with the longest rationale, each character an escape
MOST_BODY = 64 * 2**20  # an import of items, by someone who may
AT_ONCE = 2**20  # bytes that are written to disk in one go

Parser = Callable[[IO[bytes]], Any]
Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])


class TooLarge(Refused):
    status = 413

    def __init__(self, most: int) -> None:
        size = f"{most // 2**20} MiB" if most >= 2**20 else f"{most // 2**10} KiB"
        super().__init__("too_large", f"the request is too large: here it has at most {size}")


@dataclass(frozen=True)
class Bringing:
    """How much a route takes, and how it is read."""

    most: int
    parse: Parser = json.load


def takes(most: int, parse: Parser = json.load) -> Callable[[Endpoint], Endpoint]:
    """Mark an endpoint whose body has another limit than the others', or another parser."""

    def mark(endpoint: Endpoint) -> Endpoint:
        endpoint.__dict__["brings"] = Bringing(most, parse)
        return endpoint

    return mark


class Guarded(APIRoute):
    """A route that asks who it is before it reads what they send."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        access = access_of(self.dependant)
        brings = self.endpoint.__dict__.get("brings") or Bringing(MOST_SMALL if access else MOST_OPEN)

        async def guarded(request: Request) -> Response:
            if access is not None:
                await run_in_threadpool(access, request)
            if self.body_field is not None:
                request = await received(request, brings)
            return await handle(request)

        return guarded


def access_of(dependant: Dependant) -> Access | None:
    """The guard among what a route depends on."""
    return next((d.call for d in dependant.dependencies if isinstance(d.call, Access)), None)


class Received(Request):
    """A request whose body has been read: its value, or why it has none."""

    def __init__(self, request: Request, size: int, value: Any, fault: Exception | None) -> None:
        super().__init__(request.scope, request.receive)
        self._size, self._value, self._fault = size, value, fault

    async def body(self) -> bytes:
        return b"read" if self._size else b""

    async def json(self) -> Any:
        if self._fault is not None:
            raise self._fault
        return self._value


async def received(request: Request, brings: Bringing) -> Received:
    """Read and parse the body. TooLarge beyond the limit; what is stated to be too large is not read at all."""
    if int(request.headers.get("content-length") or 0) > brings.most:
        raise TooLarge(brings.most)
    # Up to the size of the usual requests in memory, a larger one in a file that has no name.
    with tempfile.SpooledTemporaryFile(max_size=MOST_SMALL) as kept:
        size = await _kept(request, kept, brings.most)
        if not size:
            return Received(request, 0, None, None)
        try:
            value = await run_in_threadpool(_parsed, kept, brings.parse)
        except (ValueError, RecursionError) as fault:
            return Received(request, size, None, fault)
        return Received(request, size, value, None)


async def _kept(request: Request, kept: IO[bytes], most: int) -> int:
    size, waiting = 0, bytearray()
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size > most:
                raise TooLarge(most)
            waiting += chunk
            if len(waiting) >= AT_ONCE:
                await run_in_threadpool(kept.write, bytes(waiting))
                waiting.clear()
        await run_in_threadpool(kept.write, bytes(waiting))
    except ClientDisconnect:
        raise HTTPException(400, "the request broke off") from None
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise Away("disk_full", "the disk of the server is full", 30, str(error)) from error
    return size


def _parsed(kept: IO[bytes], parse: Parser) -> Any:
    kept.seek(0)
    return parse(kept)
