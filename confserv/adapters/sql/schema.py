"""The tables of the Configuration Database, the same in SQLite and PostgreSQL.

Why one module for all: a promotion reads several of them in one snapshot, and one migration makes them.
License, stage, sessions and fence lie outside the change log, so that the upload of a license, a second
writer, disturbs nothing (B-2). What it does not promise: that a database has this shape; `database.py` looks
at the version on record and refuses another one.
"""

from __future__ import annotations

import sqlalchemy as sa

from confkit.fence_sql import define_fence

METADATA = sa.MetaData()

FENCE = define_fence(METADATA)
"""One row: who may write, and the id of the history (`confkit.fence_sql`)."""

DEPLOYMENT = sa.Table(
    "deployment",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("stage", sa.Text, nullable=False),
    sa.Column("new_deployment", sa.Boolean, nullable=False),
    sa.Column("first_served_ms", sa.BigInteger),
    sa.Column("first_lrm_ms", sa.BigInteger),
    sa.Column("lrm_away_since_ms", sa.BigInteger),
    sa.Column("announced_revision", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("raised_events", sa.Text, nullable=False, server_default="[]"),
    sa.Column("highest_clock_ms", sa.BigInteger, nullable=False),
    sa.Column("compacted_revision", sa.BigInteger, nullable=False),
    sa.CheckConstraint("id = 1", name="one_row"),
    sa.CheckConstraint("stage IN ('FIRST_STARTUP', 'OPERATIONAL')", name="stage"),
)
"""One row, made with the schema: startup stage (B-10), whether a license is needed to start
(`new_deployment`, B-4), first successful start and first LRM, since when no LRM is bound (B-24), the
highest wall time on record (B-32), and the last revision whose log entry is no longer kept. Times in
milliseconds since 1970 UTC."""

LICENSES = sa.Table(
    "licenses",
    METADATA,
    sa.Column("revision", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("sha256", sa.Text, nullable=False),
    sa.Column("text", sa.LargeBinary, nullable=False),
    sa.Column("stored_ms", sa.BigInteger, nullable=False),
    sa.Column("stored_by", sa.Text, nullable=False),
)
"""Every license text that was ever loaded; the highest revision is the current one (B-1)."""

SESSIONS = sa.Table(
    "sessions",
    METADATA,
    sa.Column("session_id", sa.Text, primary_key=True),
    sa.Column("application", sa.Text, nullable=False),
    sa.Column("application_type", sa.Integer, nullable=False),
    sa.Column("dbid", sa.BigInteger, nullable=False),
    sa.Column("principal", sa.Text, nullable=False),
    sa.Column("exclusive", sa.Boolean, nullable=False),
    sa.Column("host", sa.Text, nullable=False),
    sa.Column("boot_id", sa.Text, nullable=False),
    sa.Column("pid", sa.BigInteger, nullable=False),
    sa.Column("start_time_ticks", sa.BigInteger, nullable=False),
    sa.Column("peer", sa.Text, nullable=False),
    sa.Column("version", sa.Text, nullable=False),
    sa.Column("endpoints", sa.Text, nullable=False),
    sa.Column("opened_ms", sa.BigInteger, nullable=False),
    sa.Column("lease_ttl_ms", sa.BigInteger, nullable=False),
)
"""Open sessions (B-17); `endpoints` is a JSON array, `exclusive` marks a server application's only
session."""

sa.Index(
    "ix_sessions_exclusive",
    SESSIONS.c.application,
    unique=True,
    sqlite_where=SESSIONS.c.exclusive.is_(True),
    postgresql_where=SESSIONS.c.exclusive.is_(True),
)

CHANGES = sa.Table(
    "changes",
    METADATA,
    sa.Column("revision", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("generation", sa.BigInteger, nullable=False),
    sa.Column("mod_revision", sa.BigInteger, nullable=False),
    sa.Column("time_ms", sa.BigInteger, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("request_id", sa.Text, nullable=False),
    sa.Column("content_hash", sa.LargeBinary, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("response", sa.LargeBinary, nullable=False),
)
"""The change log: one row a transaction, one transaction a revision, no holes (`ha.md`, The change log).
`response` says which objects the first answer named, so that a repeated request id gets it again."""

sa.Index("ix_changes_request", CHANGES.c.actor, CHANGES.c.request_id, unique=True)

CHANGE_OBJECTS = sa.Table(
    "change_objects",
    METADATA,
    sa.Column("revision", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("type", sa.Text, nullable=False),
    sa.Column("dbid", sa.BigInteger, nullable=False),
    sa.Column("before", sa.LargeBinary),
    sa.Column("after", sa.LargeBinary),
)
"""The objects of a transaction, before (NULL: created) and after (NULL: deleted), serialized."""

sa.Index("ix_change_objects_key", CHANGE_OBJECTS.c.type, CHANGE_OBJECTS.c.dbid, CHANGE_OBJECTS.c.revision)

OBJECTS = sa.Table(
    "objects",
    METADATA,
    sa.Column("type", sa.Text, primary_key=True),
    sa.Column("dbid", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("tenant", sa.BigInteger, nullable=False),
    sa.Column("folder", sa.BigInteger, nullable=False),
    sa.Column("revision", sa.BigInteger, nullable=False),
    sa.Column("data", sa.LargeBinary, nullable=False),
)
"""Every object as it is now; `data` is the serialized object, the other columns are for people and other
tools."""

DBIDS = sa.Table(
    "dbids",
    METADATA,
    sa.Column("type", sa.Text, primary_key=True),
    sa.Column("next", sa.BigInteger, nullable=False),
)
"""The next dbid of each type, which only grows: a number is never used again."""
