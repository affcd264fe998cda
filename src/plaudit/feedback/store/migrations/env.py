"""Alembic's entry point: runs the migrations on the connection that `migrate.upgrade` passes."""

from __future__ import annotations

from alembic import context

from plaudit.feedback.store.schema import TableBase

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=TableBase.metadata,
    transaction_per_migration=False,
)
context.run_migrations()
