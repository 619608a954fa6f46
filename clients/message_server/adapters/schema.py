"""Tables of the log database: readable columns, so that people can ask them with plain SQL."""

from __future__ import annotations

import sqlalchemy as sa

from confkit.fence_sql import define_fence

SCHEMA_VERSION = "1"
SCHEMA_LOCK = 0x6D736773
"""Any number on which all Message Servers agree."""

METADATA = sa.MetaData()

define_fence(METADATA)

EVENTS = sa.Table(
    "events",
    METADATA,
    sa.Column(
        "position",
        sa.BigInteger().with_variant(sa.Integer, "sqlite"),
        primary_key=True,
        autoincrement=False,
    ),
    sa.Column("event_uid", sa.String(36), nullable=False, unique=True),
    sa.Column("event_id", sa.Text, nullable=False),
    sa.Column("level", sa.SmallInteger, nullable=False),
    sa.Column("severity", sa.SmallInteger, nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("time_ms", sa.BigInteger, nullable=False),
    sa.Column("application", sa.Text, nullable=False),
    sa.Column("component", sa.Text, nullable=False),
    sa.Column("host", sa.Text, nullable=False),
    sa.Column("attributes", sa.Text, nullable=False, comment="a JSON object of texts"),
    sa.Column("stored_ms", sa.BigInteger, nullable=False),
    sa.Index("events_event_id", "event_id", "position"),
    sa.Index("events_application", "application", "position"),
)
