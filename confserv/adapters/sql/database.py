"""Opens the Configuration Database, and makes its schema when it is empty.

What every store needs of a database (engines, timeouts, TLS) is `confkit.database`; here is what only this
one has: its schema, and the rows that it begins with.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from confkit.database import Database, DatabaseRefused, DatabaseTls, reachable, shown
from confkit.database import open_database as _open_database
from confserv.adapters.sql.schema import DEPLOYMENT

__all__ = ["Database", "DatabaseRefused", "DatabaseTls", "open_database", "prepare_schema", "reachable"]

SCHEMA_VERSION = "0001"
"""The migration that this program works with."""

_SCHEMA_LOCK = 0x636F6E66  # any number that every confserv agrees on


def open_database(url: str, *, ttl_s: float = 5.0, tls: DatabaseTls | None = None) -> Database:
    """Open the Configuration Database at `url`: see `confkit.database.open_database`."""
    return _open_database(url, program="confserv", ttl_s=ttl_s, tls=tls)


def prepare_schema(database: Database, *, now_ms: int) -> bool:
    """Make the schema in an empty database; give whether it was made now. A schema that exists is never
    changed (B-2).

    `now_ms` is wall time in milliseconds. Raises DatabaseRefused when the database is of another version or
    is another program's, StoreUnreachable when it does not answer.
    """
    try:
        with database.write() as conn:
            _lock_schema(conn)
            tables = set(sa.inspect(conn).get_table_names())
            if tables:
                _check_version(conn, tables)
                return False
            _create(conn, now_ms=now_ms)
            return True
    except sa.exc.DatabaseError as error:
        raise DatabaseRefused(f"database {shown(database)}: {error.orig}") from error


def _create(conn: sa.Connection, *, now_ms: int) -> None:
    config = Config()
    config.set_main_option("script_location", "confserv:adapters/sql/migrations")
    config.attributes["connection"] = conn
    command.upgrade(config, "head")
    conn.execute(
        DEPLOYMENT.insert().values(
            id=1, stage="FIRST_STARTUP", new_deployment=True, highest_clock_ms=now_ms, compacted_revision=0
        )
    )


def _check_version(conn: sa.Connection, tables: set[str]) -> None:
    if "alembic_version" not in tables:
        raise DatabaseRefused(
            f"database {conn.engine.url!r} holds tables of another program, such as {min(tables)}; "
            "give confserv an empty one"
        )
    found = conn.execute(sa.text("SELECT version_num FROM alembic_version")).scalar_one_or_none()
    if found != SCHEMA_VERSION:
        raise DatabaseRefused(
            f"database {conn.engine.url!r} has schema {found}, this program needs {SCHEMA_VERSION}; "
            "stop every server, then run confserv -upgrade"
        )


def _lock_schema(conn: sa.Connection) -> None:
    if conn.dialect.name == "postgresql":
        conn.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": _SCHEMA_LOCK})
