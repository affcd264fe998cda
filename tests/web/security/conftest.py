"""A site of its own for every test, on SQLite; ``each_database`` runs it on PostgreSQL too."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from postgresql import database as each_database, migrated_postgresql, migrated_sqlite, postgresql
from web.security.site import Site, serving
from web.security.world import World, make_world

from plaudit.feedback.store.database import Database

__all__ = ["each_database", "migrated_postgresql", "migrated_sqlite", "postgresql"]


@pytest.fixture
def file(migrated_sqlite: Path, tmp_path: Path) -> Path:
    """A database file with the tables."""
    path = tmp_path / "site.db"
    shutil.copy(migrated_sqlite, path)
    return path


@pytest.fixture
def site(file: Path) -> Iterator[Site]:
    database = Database(f"sqlite:///{file}")
    with serving(database) as made:
        yield made
    database.close()


@pytest.fixture
def each_site(each_database: Database) -> Iterator[Site]:
    with serving(each_database) as made:
        yield made


@pytest.fixture(scope="session")
def made_world(migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    path = tmp_path_factory.mktemp("routes") / "site.db"
    shutil.copy(migrated_sqlite, path)
    database = Database(f"sqlite:///{path}")
    with serving(database) as site:
        made = make_world(site, path)
        yield made
    made.snapshot.close()
    database.close()


@pytest.fixture
def world(made_world: World) -> World:
    """The one world, as it was made."""
    made_world.snapshot.restore()
    return replace(made_world, ids={who: dict(ids) for who, ids in made_world.ids.items()})
