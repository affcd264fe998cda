from postgresql import database, migrated_postgresql, migrated_sqlite, postgresql

__all__ = ["database", "migrated_postgresql", "migrated_sqlite", "postgresql"]
