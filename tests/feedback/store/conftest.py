"""A migrated database of each kind for every test of the store."""

from postgresql import database, migrated_postgresql, migrated_sqlite, postgresql

__all__ = ["database", "migrated_postgresql", "migrated_sqlite", "postgresql"]
