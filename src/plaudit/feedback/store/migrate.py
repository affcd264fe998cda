"""Migrate a database to this version's tables, once, whichever process starts first."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from plaudit.errors import UserError
from plaudit.feedback.store.database import Database, shown

# The newest migration; a test holds it to the files.
HEAD = "0002"
LOCK = 7_316_220_411  # an advisory lock of PostgreSQL, so that of several workers one migrates


def upgrade(database: Database) -> None:
    """Run the migrations that are missing. UserError where the database is of a newer plaudit."""
    with database.engine.connect() as connection:
        if database.is_sqlite:
            connection.exec_driver_sql("BEGIN")
        if revision_of(connection) == HEAD:
            return
    with database.engine.connect() as connection:
        if database.is_sqlite:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK})
        found = revision_of(connection)
        if found != HEAD:
            _require_known(database, connection, found)
            _run(connection)
        connection.commit()


def revision_of(connection: Connection) -> str | None:
    """The database's current migration; None for an empty database."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.scalar(text("SELECT version_num FROM alembic_version"))


def _run(connection: Connection) -> None:
    # Here, not above: a database that is up to date should not wait for this import.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _require_known(database: Database, connection: Connection, found: str | None) -> None:
    if found is None and inspect(connection).get_table_names():
        raise UserError(
            f"{shown(database.url)} holds tables that are not plaudit's", remedy="name an empty database"
        )
    known = {p.name.partition("_")[0] for p in (Path(__file__).parent / "migrations/versions").glob("0*.py")}
    if found is not None and found not in known:
        raise UserError(
            f"{shown(database.url)} was made by a newer plaudit (revision {found})", remedy="update plaudit"
        )
