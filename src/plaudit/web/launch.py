"""Start the server: on loopback unless another address is safe; one process on SQLite, several on PostgreSQL."""

from __future__ import annotations

import ipaddress
import os
import re
import signal
import socket
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from plaudit.errors import Problem, UserError
from plaudit.feedback.store.database import Database
from plaudit.web.app_state import Addresses, AppState, host_in, is_loopback

PORT = 8642
TRIED = 20  # ports after the first, where that one is taken and none was asked for
# How the workers of one server hear of it; the database's password and the secret stay out of the process list.
VARIABLES = tuple(f"PLAUDIT_SERVE_{name}" for name in ("DATABASE", "SECRET", "ORIGIN", "PORT", "PROXIES"))


@dataclass(frozen=True)
class Listening:
    """How to listen. ``origin`` is the address that people type, where a proxy in front speaks TLS.

    ``proxies``: addresses or networks whose X-Forwarded-For is believed; nobody else's is.
    """

    host: str = "127.0.0.1"
    port: int | None = None
    origin: str | None = None
    certificate: Path | None = None
    key: Path | None = None
    workers: int = 1
    proxies: tuple[str, ...] = ()
    own_secret: bool = field(default=False, kw_only=True)  # whether the secret was given rather than made

    def check(self, database_url: str) -> None:
        """UserError with all that is wrong: beyond loopback only with TLS and a secret of one's own."""
        problems = []
        if bool(self.certificate) != bool(self.key):
            problems.append(Problem("a certificate needs its key", field="--tls-cert", remedy="give both"))
        for path in (self.certificate, self.key):
            if path and not path.is_file():
                problems.append(Problem(f"there is no file {path}", field="--tls-cert"))
        if self.origin:
            problems += _origin_problems(self.origin)
        problems += [p for proxy in self.proxies for p in _proxy_problems(proxy)]
        if not is_loopback(self.host):
            if not self.certificate and not (self.origin or "").startswith("https://"):
                problems.append(
                    Problem(
                        f"listening on {self.host} without TLS would send passwords and answers in the clear",
                        field="--host",
                        remedy="add --tls-cert and --tls-key, or --origin https://NAME where a proxy speaks TLS",
                    )
                )
            if not self.own_secret:
                problems.append(
                    Problem(
                        "beyond this machine the secret must be yours to keep and to change",
                        field="--secret-file",
                        remedy="openssl rand -hex 32 > FILE, then --secret-file FILE",
                    )
                )
            if not self.origin:
                problems.append(
                    Problem(
                        "the address by which people reach it must be known: others are refused",
                        field="--origin",
                        remedy="add --origin https://NAME",
                    )
                )
        if self.workers > 1 and database_url.startswith("sqlite"):
            problems.append(
                Problem(
                    "SQLite lets one process write at a time: more of them would only wait for each other",
                    field="--workers",
                    remedy="use --database postgresql://…, or one worker, which serves 50 labelers",
                )
            )
        if problems:
            raise UserError("the server cannot listen like this", problems=problems)

    def warnings(self) -> list[str]:
        """Warnings about the chosen address and options."""
        if self.origin and not self.certificate and not self.proxies:
            return [
                "everyone seems to come from the proxy's address: too many wrong passwords of one keep all others out; "
                "name the proxy with --proxy (such as --proxy 127.0.0.1) if it sets X-Forwarded-For"
            ]
        return []

    def address(self, port: int) -> str:
        """What to type into a browser."""
        if self.origin:
            return self.origin
        scheme = "https" if self.certificate else "http"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{host}:{port}"


def bind(listening: Listening) -> socket.socket:
    """A socket on the requested port, or on the first free one from ``PORT`` on."""
    first = PORT if listening.port is None else listening.port
    last = first + TRIED if listening.port is None else first
    family = socket.AF_INET6 if _is_v6(listening.host) else socket.AF_INET
    for port in range(first, last + 1):
        made = socket.socket(family, socket.SOCK_STREAM)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            made.bind((listening.host, port))
            # Not until it listens is the port surely its own.
            made.listen(2048)
        except OSError as error:
            made.close()
            if port == last:
                raise UserError(
                    f"{listening.host}:{port} cannot be listened on: {error.strerror or error}",
                    remedy="name another with --port",
                ) from None
        else:
            made.set_inheritable(True)
            return made
    raise AssertionError("unreachable")


def serve(database: Database, secret: bytes, listening: Listening, sock: socket.socket) -> None:
    """Serve until interrupted."""
    import uvicorn

    from plaudit.web.connections import Connection, configure

    port = sock.getsockname()[1]
    options: dict[str, Any] = {
        "log_level": "warning",
        "server_header": False,
        "access_log": False,
        "http": Connection,
        "ws": "none",
        "loop": "asyncio",
        "proxy_headers": bool(listening.proxies),
        "forwarded_allow_ips": list(listening.proxies),
        "lifespan": "off",
        "timeout_graceful_shutdown": 5,
        "timeout_keep_alive": 75,
        "ssl_certfile": listening.certificate,
        "ssl_keyfile": listening.key,
    }
    if listening.workers == 1:
        configure(listening.proxies)
        app = application(database, secret, listening.origin or _own(listening, port), port)
        uvicorn.Server(uvicorn.Config(app, **options)).run(sockets=[sock])
        return
    from uvicorn.supervisors import Multiprocess

    origin = listening.origin or _own(listening, port) or ""
    values = (database.url, secret.hex(), origin, str(port), ",".join(listening.proxies))
    os.environ.update(zip(VARIABLES, values))
    database.close()
    config = uvicorn.Config("plaudit.web.launch:worker", factory=True, workers=listening.workers, **options)
    Multiprocess(config, sockets=[sock]).run()


def application(database: Database, secret: bytes, origin: str | None, port: int) -> FastAPI:
    from plaudit.web.app import create_app

    return create_app(AppState(database, secret, origin=origin, port=port))


def worker() -> FastAPI:
    """The application of one of several processes, which ends with the process that started it."""
    from plaudit.web.connections import configure

    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    url, secret, origin, port, proxies = (os.environ[name] for name in VARIABLES)
    configure([p for p in proxies.split(",") if p])
    return application(Database(url), bytes.fromhex(secret), origin or None, int(port))


def _end_with(parent: int) -> None:
    """A worker whose parent was killed would keep the port, and answer, for ever."""
    while os.getppid() == parent:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)


def _own(listening: Listening, port: int) -> str | None:
    """The origin of a server with its own certificate; None without one: then any loopback name is accepted."""
    return listening.address(port) if listening.certificate else None


def _origin_problems(origin: str) -> list[Problem]:
    # As browsers send it, letter by letter: they are told apart by it.
    found = re.fullmatch(r"(https?)://([^\s/?#@\\]+)", origin)
    host = host_in(origin)
    if found is None or not host:
        return [Problem(f"{origin!r} is no origin", field="--origin", remedy="write https://NAME[:PORT]")]
    if found[1] == "http" and not is_loopback(host):
        return [
            Problem(
                f"{origin} would send passwords and answers in the clear",
                field="--origin",
                remedy="put it behind TLS and write https://",
            )
        ]
    return []


def _proxy_problems(proxy: str) -> list[Problem]:
    try:
        Addresses([proxy])
    except ValueError:
        remedy = "write the address from which it connects, such as 127.0.0.1 or 10.0.0.0/8"
        return [Problem(f"{proxy!r} is no address", field="--proxy", remedy=remedy)]
    return []


def _is_v6(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).version == 6
    except ValueError:
        return False
