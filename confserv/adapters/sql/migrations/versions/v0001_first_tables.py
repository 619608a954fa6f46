"""Make the first tables: a new deployment, which needs a license to start and an LRM to become
operational."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
NEW_DEPLOYMENT = True


def upgrade() -> None:
    """Make all tables."""
    _create_fence()
    _create_deployment()
    _create_sessions()
    _create_log()
    _create_objects()


def _create_fence() -> None:
    op.create_table(
        "fence",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("generation", sa.BigInteger, nullable=False),
        sa.Column("mod_revision", sa.BigInteger, nullable=False),
        sa.Column("granted_ttl_s", sa.Double, nullable=False),
        sa.Column("etcd_identity", sa.Text, nullable=False),
        sa.Column("etcd_revision", sa.BigInteger, nullable=False),
        sa.Column("instance", sa.Text, nullable=False),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("pid", sa.BigInteger, nullable=False),
        sa.Column("process_start_ticks", sa.BigInteger, nullable=False),
        sa.Column("boot_id", sa.Text, nullable=False),
        sa.Column("failsafe", sa.Boolean, nullable=False),
        sa.Column("history_id", sa.Text, nullable=False),
        sa.Column("raised_generation_ms", sa.BigInteger, nullable=False),
        sa.CheckConstraint("id = 1"),
    )


def _create_deployment() -> None:
    op.create_table(
        "deployment",
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
    op.create_table(
        "licenses",
        sa.Column("revision", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("sha256", sa.Text, nullable=False),
        sa.Column("text", sa.LargeBinary, nullable=False),
        sa.Column("stored_ms", sa.BigInteger, nullable=False),
        sa.Column("stored_by", sa.Text, nullable=False),
    )


def _create_sessions() -> None:
    op.create_table(
        "sessions",
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
    op.create_index(
        "ix_sessions_exclusive",
        "sessions",
        ["application"],
        unique=True,
        sqlite_where=sa.text("exclusive IS 1"),
        postgresql_where=sa.text("exclusive IS true"),
    )


def _create_log() -> None:
    op.create_table(
        "changes",
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
    op.create_index("ix_changes_request", "changes", ["actor", "request_id"], unique=True)
    op.create_table(
        "change_objects",
        sa.Column("revision", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("dbid", sa.BigInteger, nullable=False),
        sa.Column("before", sa.LargeBinary),
        sa.Column("after", sa.LargeBinary),
    )
    op.create_index("ix_change_objects_key", "change_objects", ["type", "dbid", "revision"])


def _create_objects() -> None:
    op.create_table(
        "objects",
        sa.Column("type", sa.Text, primary_key=True),
        sa.Column("dbid", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("tenant", sa.BigInteger, nullable=False),
        sa.Column("folder", sa.BigInteger, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "dbids",
        sa.Column("type", sa.Text, primary_key=True),
        sa.Column("next", sa.BigInteger, nullable=False),
    )
