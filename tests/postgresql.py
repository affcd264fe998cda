"""A PostgreSQL server of the tests' own, and a migrated database of each kind for every test.

The server speaks through a socket in its own folder, to nobody else, and with its defaults (fsync on: some tests
kill processes). A supervisor ends it and removes the folder when this process is gone, however it went.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from plaudit.feedback.store.database import Database
from plaudit.feedback.store.migrate import upgrade
from plaudit.feedback.store.schema import TableBase

# Reads until the tests' end of the pipe is closed; SIGQUIT is PostgreSQL's immediate shutdown.
SUPERVISE = (
    '"$1" -D "$2/data" -k "$2" -c listen_addresses= >"$2/log" 2>&1 & cat; kill -QUIT $!; wait; rm -rf "$2"'
)


@dataclass(frozen=True)
class Server:
    folder: Path

    def url(self, name: str) -> str:
        return f"postgresql+psycopg://tests@/{name}?host={self.folder}"

    def make(self) -> str:
        """A new, empty database's name."""
        name = f"t{uuid.uuid4().hex}"
        self._do(f"CREATE DATABASE {name} TEMPLATE template0")
        return name

    def wipe(self, name: str) -> None:
        """Leave nothing in the tables: a fraction of the time that a new database takes."""
        engine = create_engine(self.url(name), isolation_level="AUTOCOMMIT")
        others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        with engine.connect() as connection:
            # Of a client that was killed, something may yet be on its way.
            connection.execute(text(f"SELECT pg_terminate_backend(pid) {others}"))
            while connection.scalar(text(f"SELECT count(*) {others}")):
                time.sleep(0.002)
            # Without triggers: neither references nor append-only tables stand in the way.
            tables = "; ".join(f"DELETE FROM {table}" for table in TableBase.metadata.tables)
            connection.execute(text(f"SET session_replication_role = replica; {tables}"))
        engine.dispose()

    def drop(self, name: str) -> None:
        self._do(f"DROP DATABASE {name} WITH (FORCE)")

    def _do(self, statement: str) -> None:
        engine = create_engine(self.url("postgres"), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(statement))
        engine.dispose()


def binary(name: str) -> str | None:
    """A program of the server's package: Debian keeps them out of the PATH."""
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return shutil.which(name, path=os.pathsep.join([*map(str, places), os.environ.get("PATH", "")]))


def is_required() -> bool:
    return bool(os.environ.get("CI") or os.environ.get("PLAUDIT_REQUIRE_POSTGRESQL"))


@contextlib.contextmanager
def running() -> Iterator[Server]:
    """A server in a folder of its own. As root it runs as someone else: PostgreSQL refuses root."""
    folder = Path(tempfile.mkdtemp(prefix="plaudit-pg-"))
    someone = {}
    if os.geteuid() == 0:
        who = _someone()
        os.chown(folder, who.pw_uid, who.pw_gid)
        someone = {"user": who.pw_uid, "group": who.pw_gid, "extra_groups": []}
    initdb = [binary("initdb"), "-D", folder / "data", "-U", "tests", "-A", "trust", "--no-sync"]
    made = subprocess.run(
        [*initdb, "-E", "UTF8", "--locale=C.UTF-8"], cwd=folder, capture_output=True, text=True, **someone
    )
    if made.returncode:
        shutil.rmtree(folder)
        raise RuntimeError(f"initdb failed: {made.stderr}")
    # In a session of its own: Ctrl-C reaches the tests, whose last wish is then the closed pipe.
    supervisor = subprocess.Popen(
        ["sh", "-c", SUPERVISE, "sh", binary("postgres"), folder],
        cwd=folder,
        stdin=subprocess.PIPE,
        start_new_session=True,
        **someone,
    )
    try:
        server = Server(folder)
        _await(server)
        yield server
    finally:
        supervisor.stdin.close()
        supervisor.wait(timeout=300)


def _someone() -> pwd.struct_passwd:
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise RuntimeError("there is neither a user postgres nor a user nobody")


def _await(server: Server) -> None:
    deadline = time.monotonic() + 300
    while True:
        try:
            server._do("SELECT 1")
            return
        except Exception:
            if time.monotonic() > deadline:
                raise RuntimeError((server.folder / "log").read_text()) from None
            time.sleep(0.05)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    """The server. Where there is none, its tests are skipped; where one is required, they fail."""
    missing = [name for name in ("initdb", "postgres") if binary(name) is None]
    if missing:
        why = f"no PostgreSQL server here ({', '.join(missing)} not found)"
        if is_required():
            pytest.fail(why)
        pytest.skip(why)
    with running() as server:
        yield server


@pytest.fixture(scope="session")
def migrated_postgresql(postgresql: Server) -> str:
    """The name of a database with the tables, and nothing in them between tests."""
    name = postgresql.make()
    upgraded(postgresql.url(name))
    return name


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with the tables, to be copied."""
    path = tmp_path_factory.mktemp("sqlite") / "migrated.db"
    upgraded(f"sqlite:///{path}")
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A migrated database with nothing in it, of each kind in turn."""
    if request.param == "sqlite":
        path = tmp_path / "collect.db"
        shutil.copy(request.getfixturevalue("migrated_sqlite"), path)
        database = Database(f"sqlite:///{path}")
        yield database
        database.close()
        return
    server = request.getfixturevalue("postgresql")
    name = request.getfixturevalue("migrated_postgresql")
    database = Database(server.url(name))
    yield database
    database.close()
    server.wipe(name)


def upgraded(url: str) -> None:
    database = Database(url)
    upgrade(database)
    database.close()
