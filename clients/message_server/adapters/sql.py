"""The log database in SQLite or PostgreSQL.

Each append is one transaction that checks the fence row first, so that a Message Server that lost its role
can store nothing more (B-50). A repeated event is recognized by the unique index on its uid.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from confkit.database import Database, prepare_tables
from confkit.election.types import Epoch
from confkit.fence import FenceCheck
from confkit.fence_sql import check_fence
from confkit.fence_store import SqlFence
from message_server.adapters.schema import EVENTS, METADATA, SCHEMA_LOCK, SCHEMA_VERSION
from message_server.core.events import EventFilter, EventUid, LogRecord, Position, StoredRecord
from message_server.ports import AppendRefused, Fenced


class SqlLogStore(SqlFence):
    """Events and fence row in one database. Raises DatabaseRefused when the database is another program's."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        prepare_tables(database, METADATA, version=SCHEMA_VERSION, lock=SCHEMA_LOCK)
        dialect: Any = postgresql if database.writer.dialect.name == "postgresql" else sqlite
        self._insert = (
            dialect.insert(EVENTS)
            .on_conflict_do_nothing(index_elements=["event_uid"])
            .returning(EVENTS.c.position)
        )

    def head(self) -> Position:
        """Give the last position."""
        with self._database.snapshot() as conn:
            return Position(conn.execute(sa.select(sa.func.max(EVENTS.c.position))).scalar() or 0)

    def append(
        self,
        records: Sequence[LogRecord],
        *,
        epoch: Epoch,
        history_id: str,
        first: Position,
        stored_ms: int,
    ) -> tuple[StoredRecord, ...]:
        """Store new events durably: see the port."""
        placed = [StoredRecord(Position(first + n), record, stored_ms) for n, record in enumerate(records)]
        rows = [_row(event) for event in placed]
        try:
            with self._database.write() as conn:
                if check_fence(conn, epoch=epoch, history_id=history_id) is not FenceCheck.HOLDS:
                    raise Fenced(f"the log database no longer holds token {epoch}")
                new = set(conn.execute(self._insert, rows).scalars()) if rows else set()
        except sa.exc.DBAPIError as error:
            raise AppendRefused(str(error.orig)) from error
        return tuple(event for event in placed if event.position in new)

    def read(
        self, wanted: EventFilter, *, after: Position, until: Position, limit: int, newest_first: bool = False
    ) -> tuple[StoredRecord, ...]:
        """Read stored events: see the port."""
        order = EVENTS.c.position.desc() if newest_first else EVENTS.c.position
        query = (
            sa.select(EVENTS)
            .where(EVENTS.c.position > after, EVENTS.c.position <= until, *_conditions(wanted))
            .order_by(order)
            .limit(limit)
        )
        with self._database.snapshot() as conn:
            return tuple(_event(row) for row in conn.execute(query))


def _conditions(wanted: EventFilter) -> list[sa.ColumnElement[bool]]:
    conditions: list[sa.ColumnElement[bool]] = []
    if wanted.event_ids:
        conditions.append(EVENTS.c.event_id.in_(sorted(wanted.event_ids)))
    if wanted.application:
        conditions.append(EVENTS.c.application == wanted.application)
    if wanted.minimum_level:
        conditions.append(EVENTS.c.level >= wanted.minimum_level)
    if wanted.from_ms:
        conditions.append(EVENTS.c.time_ms >= wanted.from_ms)
    if wanted.until_ms:
        conditions.append(EVENTS.c.time_ms < wanted.until_ms)
    return conditions


def _row(event: StoredRecord) -> dict[str, Any]:
    record = event.record
    return {
        "position": event.position,
        "event_uid": record.uid,
        "event_id": record.event_id,
        "level": record.level,
        "severity": record.severity,
        "text": record.text,
        "time_ms": record.time_ms,
        "application": record.application,
        "component": record.component,
        "host": record.host,
        "attributes": json.dumps(dict(record.attributes), ensure_ascii=False) if record.attributes else "{}",
        "stored_ms": event.stored_ms,
    }


def _event(row: sa.Row[Any]) -> StoredRecord:
    record = LogRecord(
        uid=EventUid(row.event_uid),
        event_id=row.event_id,
        level=row.level,
        severity=row.severity,
        text=row.text,
        time_ms=row.time_ms,
        application=row.application,
        component=row.component,
        host=row.host,
        attributes=json.loads(row.attributes),
    )
    return StoredRecord(Position(row.position), record, row.stored_ms)
