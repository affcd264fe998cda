"""Application state: the database, the secret, and the server's own address."""

from __future__ import annotations

import ipaddress
import logging
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

from plaudit.feedback.store.database import Database
from plaudit.feedback.store.errors import Away
from plaudit.feedback.store.people import People
from plaudit.web.password_hashing import Hashing

DAY = 86_400
EVERY = 60.0  # seconds between two lines of the log
WORDS = {
    "disk_full": "The server's disk was full",
    "database_away": "The database could not be reached",
    "database_busy": "The database was too busy",
}

log = logging.getLogger("plaudit.web")

LOOPBACK = ("127.0.0.0/8", "::1")
SAFE = {"GET", "HEAD", "OPTIONS"}  # methods that change nothing


@dataclass(frozen=True)
class AppState:
    """One server. ``origin`` is the address that people type, where it is not the loopback's own."""

    database: Database
    secret: bytes = field(repr=False)
    origin: str | None = None
    port: int = 0
    clock: Callable[[], float] = time.time

    @cached_property
    def people(self) -> People:
        return People(self.secret)

    @cached_property
    def troubles(self) -> Outages:
        return Outages()

    @cached_property
    def hashing(self) -> Hashing:
        return Hashing()

    @property
    def secure(self) -> bool:
        """Whether browsers reach it by TLS, so that cookies may insist on it."""
        return bool(self.origin and self.origin.startswith("https://"))

    @property
    def cookie(self) -> str:
        # Browsers share cookies between ports: two servers on one machine must not sign each other out.
        return "__Host-plaudit" if self.secure else f"plaudit_{self.port}"

    def knows_host(self, host: str) -> bool:
        """Whether a request's Host is this server: a name that someone else points here is not."""
        if self.origin:
            return host.lower() == urlsplit(self.origin).netloc.lower()
        return not set(host) & set("@/?#\\") and is_loopback(host_in(f"//{host}"))

    def is_own_origin(self, origin: str, host: str) -> bool:
        """Whether a page at ``origin``, which sent a request to ``host``, is one of this server's."""
        return origin.lower() == (self.origin or f"http://{host}").lower()


def host_in(address: str) -> str:
    """The host that an address names; nothing where it is no address."""
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""


class Addresses:
    """A set of addresses and networks, such as 10.0.0.0/8. ValueError for what is neither."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._networks = [ipaddress.ip_network(text, strict=False) for text in texts]

    def __contains__(self, host: str) -> bool:
        try:
            address: Any = ipaddress.ip_address(host.partition("%")[0])
        except ValueError:
            return False
        address = getattr(address, "ipv4_mapped", None) or address
        return any(address in network for network in self._networks)


def place_of(host: str) -> str:
    """The network that an address belongs to: for IPv6 its /64 prefix, which one household has to itself."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address):
        mapped = address.ipv4_mapped
        return str(mapped or ipaddress.IPv6Network((address, 64), strict=False))
    return str(address)


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


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
