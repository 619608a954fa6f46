"""Tables of the License Manager's journal: readable columns, so that people can ask them with plain SQL.

`journal` is the record of all that happened, `holdings` what it adds up to, `license` the text in force,
`fence` the token. All four change in the same transactions.
"""

from __future__ import annotations

import sqlalchemy as sa

from confkit.fence_sql import define_fence

SCHEMA_VERSION = "1"
SCHEMA_LOCK = 0x6C69636D
"""Any number on which all License Managers agree."""

METADATA = sa.MetaData()

define_fence(METADATA)


def _what() -> list[sa.Column[object]]:
    return [
        sa.Column("feature", sa.Text, nullable=False),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("count", sa.BigInteger, nullable=False),
        sa.Column("user", sa.Text, nullable=False),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("display", sa.Text, nullable=False),
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("pool_id", sa.Text, nullable=False),
        sa.Column("is_counted", sa.Boolean, nullable=False),
        sa.Column("is_overdraft", sa.Boolean, nullable=False),
        sa.Column("granted_ms", sa.BigInteger, nullable=False),
    ]


_NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")

HOLDINGS = sa.Table(
    "holdings",
    METADATA,
    sa.Column("owner", sa.Text, primary_key=True),
    sa.Column("handle", sa.Text, primary_key=True),
    sa.Column("number", _NUMBER, nullable=False, unique=True, comment="of the record in the journal"),
    *_what(),
)

JOURNAL = sa.Table(
    "journal",
    METADATA,
    sa.Column("number", _NUMBER, primary_key=True, autoincrement=False),
    sa.Column("kind", sa.Text, nullable=False, comment="OUT, IN or LICENSE"),
    sa.Column("at_ms", sa.BigInteger, nullable=False),
    sa.Column("reason", sa.Text, nullable=False, comment="of an IN: CHECKED_IN or HEARTBEAT_MISSED"),
    sa.Column("generation", sa.BigInteger, nullable=False),
    sa.Column("mod_revision", sa.BigInteger, nullable=False),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("handle", sa.Text, nullable=False),
    sa.Column("license_revision", sa.BigInteger, nullable=False),
    *_what(),
)

LICENSE = sa.Table(
    "license",
    METADATA,
    sa.Column("id", sa.Integer, sa.CheckConstraint("id = 1"), primary_key=True, autoincrement=False),
    sa.Column("revision", sa.BigInteger, nullable=False),
    sa.Column("sha256", sa.Text, nullable=False),
    sa.Column("text", sa.LargeBinary, nullable=False),
)
