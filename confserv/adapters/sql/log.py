"""Reads the change log and the fence row, in a transaction that the caller has opened."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa

from confkit.election.types import Epoch
from confserv.adapters.sql.schema import CHANGE_OBJECTS, CHANGES, DEPLOYMENT, FENCE
from confserv.core.log import (
    Change,
    EntryIdentity,
    Found,
    HistoryPage,
    LogEntry,
    RequestKey,
    Tail,
    unpack_results,
)
from confserv.core.objects import Codec, Key

_LAST = sa.select(sa.func.max(CHANGES.c.revision))
_FENCE = sa.select(FENCE.c.generation, FENCE.c.mod_revision, FENCE.c.history_id)
_MOST_PARAMETERS = 400  # of one statement, twice: SQLite takes 999 in old builds


def last_revision(conn: sa.Connection) -> int:
    """Give the last revision, 0 for an empty log."""
    return conn.execute(_LAST).scalar() or 0


def fence_of(conn: sa.Connection) -> tuple[Epoch | None, str]:
    """Give token and history id of the fence row; None and "" when there is none yet."""
    row = conn.execute(_FENCE).first()
    return (None, "") if row is None else (Epoch(row.generation, row.mod_revision), row.history_id)


def identity_at(conn: sa.Connection, revision: int) -> EntryIdentity | None:
    """Give what tells the entry at `revision` from another, None when there is none."""
    row = conn.execute(sa.select(CHANGES).where(CHANGES.c.revision == revision)).first()
    return None if row is None else _identity(row)


def read_entries(conn: sa.Connection, codec: Codec, *, after: int, limit: int) -> tuple[LogEntry, ...]:
    """Read at most `limit` entries behind `after`, oldest first."""
    rows = conn.execute(
        sa.select(CHANGES).where(CHANGES.c.revision > after).order_by(CHANGES.c.revision).limit(limit)
    ).all()
    return _with_objects(conn, codec, rows)


def read_tail(conn: sa.Connection, codec: Codec, *, after_revision: int, limit: int) -> Tail:
    """Read the log behind `after_revision`, with the fence row."""
    holder, history_id = fence_of(conn)
    last = last_revision(conn)
    entries = read_entries(conn, codec, after=after_revision, limit=limit) if last > after_revision else ()
    return Tail(
        history_id=history_id,
        holder=holder,
        last_revision=last,
        at_start=identity_at(conn, after_revision),
        entries=entries,
        complete=not entries or entries[-1].revision == last,
        compacted_revision=_compacted(conn),
    )


def find_requests(conn: sa.Connection, codec: Codec, requests: Sequence[RequestKey]) -> Found:
    """Read the entries of some request ids, with the token of the fence row."""
    holder, _ = fence_of(conn)
    entries: dict[RequestKey, LogEntry] = {}
    for start in range(0, len(requests), _MOST_PARAMETERS):
        some = requests[start : start + _MOST_PARAMETERS]
        wanted = sa.tuple_(CHANGES.c.actor, CHANGES.c.request_id).in_(some)
        rows = conn.execute(sa.select(CHANGES).where(wanted)).all()
        entries |= {entry.request: entry for entry in _with_objects(conn, codec, rows)}
    return Found(holder, entries)


def read_history(
    conn: sa.Connection, codec: Codec, *, key: Key | None, after_revision: int, limit: int
) -> HistoryPage:
    """Read whole transactions behind `after_revision` until there are `limit` changes, of one object or of
    all."""
    of_key = CHANGE_OBJECTS.c.revision > after_revision
    if key is not None:
        of_key = sa.and_(of_key, CHANGE_OBJECTS.c.type == key.type, CHANGE_OBJECTS.c.dbid == key.dbid)
    found = (
        sa.select(CHANGE_OBJECTS.c.revision).where(of_key).order_by(CHANGE_OBJECTS.c.revision).limit(limit)
    )
    revisions = conn.execute(found).scalars().all()
    through = revisions[-1] if len(revisions) == limit else last_revision(conn)
    rows = conn.execute(
        sa.select(CHANGES).where(CHANGES.c.revision.in_(sorted(set(revisions)))).order_by(CHANGES.c.revision)
    ).all()
    return HistoryPage(fence_of(conn)[1], _compacted(conn), through, _with_objects(conn, codec, rows))


def _compacted(conn: sa.Connection) -> int:
    return conn.execute(sa.select(DEPLOYMENT.c.compacted_revision)).scalar() or 0


def _with_objects(conn: sa.Connection, codec: Codec, rows: Sequence[Any]) -> tuple[LogEntry, ...]:
    if not rows:
        return ()
    revisions = [row.revision for row in rows]
    changes: dict[int, list[Change]] = {}
    for row in _object_rows(conn, revisions):
        before = None if row.before is None else codec.index(row.before)
        after = None if row.after is None else codec.index(row.after)
        changes.setdefault(row.revision, []).append(Change(before, after))
    return tuple(_entry(row, tuple(changes.get(row.revision, ()))) for row in rows)


def _object_rows(conn: sa.Connection, revisions: Sequence[int]) -> Iterable[Any]:
    table = CHANGE_OBJECTS
    ordered = sa.select(table).order_by(table.c.revision, table.c.position)
    if max(revisions) - min(revisions) + 1 == len(revisions):
        return conn.execute(ordered.where(table.c.revision.between(min(revisions), max(revisions))))
    return conn.execute(ordered.where(table.c.revision.in_(revisions)))


def _identity(row: Any) -> EntryIdentity:
    return EntryIdentity(
        row.revision, Epoch(row.generation, row.mod_revision), RequestKey(row.actor, row.request_id)
    )


def _entry(row: Any, changes: tuple[Change, ...]) -> LogEntry:
    return LogEntry(
        revision=row.revision,
        epoch=Epoch(row.generation, row.mod_revision),
        time_ms=row.time_ms,
        actor=row.actor,
        request_id=row.request_id,
        content_hash=bytes(row.content_hash),
        reason=row.reason,
        changes=changes,
        results=unpack_results(changes, bytes(row.response)),
    )
