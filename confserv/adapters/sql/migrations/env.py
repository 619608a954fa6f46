"""How Alembic runs the migrations: on the connection, and in the transaction, that the caller has opened."""

from __future__ import annotations

from alembic import context

from confserv.adapters.sql.schema import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA)
context.run_migrations()
