"""Locate a project: a folder with its database and secret, or a database server."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.exc import DBAPIError

from plaudit.errors import UserError, suggest
from plaudit.feedback.store import migrate
from plaudit.feedback.store.database import Database, away_of, shown
from plaudit.feedback.store.errors import Away, Refused

SCHEME = "project://"
FOLDER = Path("projects")
DATABASE, SECRET = "collect.db", "secret.key"
LEAST_SECRET = 32  # bytes


@dataclass(frozen=True)
class Place:
    """A database, and which of its projects is meant; None: the only one."""

    url: str
    slug: str | None = None
    folder: Path | None = None


def place_of(address: str) -> Place:
    """The place that ``project://FOLDER`` or ``project://postgresql://…`` names, with ``#PROJECT`` behind it or not.

    A folder may be named without ``projects/`` in front. UserError where there is no project.
    """
    where, _, slug = address.removeprefix(SCHEME).partition("#")
    if "://" in where:
        return Place(where, slug or None)
    folder = next((f for f in (Path(where), FOLDER / where) if (f / DATABASE).is_file()), None)
    if folder is None:
        known = known_folders()
        close = suggest(where, [*(str(f) for f in known), *(f.name for f in known)])
        raise UserError(
            f"there is no labeling project in {where}",
            remedy=close or "name the folder that `plaudit collect` made, such as project://projects/NAME",
        )
    return Place(f"sqlite:///{folder / DATABASE}", slug or None, folder)


def known_folders() -> list[Path]:
    """The project folders below the place where projects are made."""
    return sorted(p.parent for p in FOLDER.glob(f"*/{DATABASE}")) if FOLDER.is_dir() else []


@contextmanager
def opened(url: str) -> Iterator[Database]:
    """The database, migrated to this version's tables; its refusals become ``UserError``."""
    database = Database(url)
    try:
        _keep_private(database)
        migrate.upgrade(database)
        yield database
    except Refused as error:
        cause = f" ({error.cause.strip()})" if isinstance(error, Away) else ""
        raise UserError(error.message + cause, problems=error.problems) from None
    except DBAPIError as error:
        # Before the first transaction, while the tables are looked at.
        if (away := away_of(error)) is None:
            raise
        raise UserError(f"{shown(url)}: {away.message} ({away.cause.strip()})") from None
    finally:
        database.close()


@contextmanager
def new_folder(folder: Path | None) -> Iterator[None]:
    """The folder for a project; on an error its database and itself are removed again, as far as they were not there.

    None: there is no folder, the project lies on a database server.
    """
    if folder is None:
        yield
        return
    had_folder, had_database = folder.exists(), (folder / DATABASE).exists()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        if not had_database:
            for name in (DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm"):
                (folder / name).unlink(missing_ok=True)
        if not had_folder:
            with suppress(OSError):
                folder.rmdir()
        raise


def _keep_private(database: Database) -> None:
    """A new database file is for this user's eyes only, whatever the folder; SQLite's other files follow it."""
    path = database.engine.url.database
    if database.is_sqlite and path:
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        except OSError:
            return  # it is there, or cannot be made, which SQLite tells better


def secret_in(folder: Path) -> bytes:
    """The folder's secret, created at random on first use and readable by its owner only."""
    path = folder / SECRET
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        if path.stat().st_mode & 0o077:
            raise UserError(
                f"others on this machine can read {path}",
                remedy=f"chmod 600 {path}; if they may have read it, remove it: all sign in anew",
            ) from None
        return read_secret(path)
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_hex(LEAST_SECRET) + "\n")
        file.flush()
        os.fsync(file.fileno())
    return read_secret(path)


def read_secret(path: Path) -> bytes:
    """A secret from a file. UserError where it is missing or too short to be one."""
    try:
        content = path.read_bytes().strip()
    except OSError as error:
        raise UserError(f"the secret {path} cannot be read: {error.strerror or error}") from None
    if len(content) < LEAST_SECRET:
        raise UserError(
            f"the secret in {path} is too short",
            remedy=f"give it at least {LEAST_SECRET} random characters: openssl rand -hex 32 > {path}",
        )
    return content
