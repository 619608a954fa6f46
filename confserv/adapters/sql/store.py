"""The configuration's store over SQLAlchemy Core: SQLite and PostgreSQL alike.

A group of transactions is one database transaction: the fence row is checked in it, the last revision too,
then one row of the change log a transaction, its objects before and after, and the objects as they are now.
What it does not promise: that two commits never run at once; its caller has one thread for them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from confkit.election.ports import StoreUnreachable
from confkit.election.types import Epoch
from confkit.fence import FenceCheck
from confkit.fence_sql import check_fence
from confserv.adapters.failpoints import (
    BEFORE_ANSWER,
    BEFORE_BEGIN,
    INSIDE_TRANSACTION,
    Failpoint,
    no_failpoint,
)
from confserv.adapters.sql import log
from confserv.adapters.sql.database import Database, reachable
from confserv.adapters.sql.schema import CHANGE_OBJECTS, CHANGES, DBIDS, OBJECTS
from confserv.core.effects import Outcome
from confserv.core.log import Change, Found, HistoryPage, LogEntry, RequestKey, Tail, pack_results
from confserv.core.objects import Codec, Dbid, Key, TypeName
from confserv.ports import LATE, CommitResult, Loaded


class _Refusal(Exception):
    """Ends a transaction that must not commit."""

    def __init__(self, outcome: Outcome, detail: str) -> None:
        super().__init__(detail)
        self.result = CommitResult(outcome, detail)


class SqlStore:
    """Implements `confserv.ports.ConfigurationStore`."""

    def __init__(self, database: Database, codec: Codec, *, failpoint: Failpoint = no_failpoint) -> None:
        self._database = database
        self._codec = codec
        self._failpoint = failpoint

    def load(self, *, recent: int) -> Loaded:
        """Read everything, and the newest `recent` log entries, in one snapshot."""
        with self._database.snapshot() as conn:
            revision = log.last_revision(conn)
            entries = log.read_entries(conn, self._codec, after=max(0, revision - recent), limit=recent)
            rows = conn.execute(sa.select(OBJECTS.c.data))
            records = [self._codec.index(row.data) for row in rows]
            next_dbids = {TypeName(r.type): Dbid(r.next) for r in conn.execute(sa.select(DBIDS))}
            return Loaded(
                history_id=log.fence_of(conn)[1],
                revision=revision,
                records=records,
                next_dbids=next_dbids,
                last=log.identity_at(conn, revision),
                recent=entries,
            )

    def commit(
        self,
        group: Sequence[LogEntry],
        *,
        epoch: Epoch,
        history_id: str,
        may_commit: Callable[[], bool] = lambda: True,
    ) -> CommitResult:
        """Write a group as one transaction. B-50, B-51."""
        self._failpoint(BEFORE_BEGIN)
        result = self._commit(group, epoch=epoch, history_id=history_id, may_commit=may_commit)
        self._failpoint(BEFORE_ANSWER)
        return result

    def _commit(
        self, group: Sequence[LogEntry], *, epoch: Epoch, history_id: str, may_commit: Callable[[], bool]
    ) -> CommitResult:
        committing = False
        try:
            with reachable(), self._database.writer.connect() as conn, conn.begin() as transaction:
                self._check(conn, group[0].revision, epoch=epoch, history_id=history_id)
                _write(conn, group)
                self._failpoint(INSIDE_TRANSACTION)
                if not may_commit():
                    raise _Refusal(Outcome.LATE, LATE)
                committing = True
                transaction.commit()
        except _Refusal as refusal:
            return refusal.result
        except StoreUnreachable as error:
            return CommitResult(Outcome.UNKNOWN if committing else Outcome.UNREACHABLE, str(error))
        except sa.exc.DatabaseError as error:
            return CommitResult(Outcome.REJECTED, str(error.orig))
        return CommitResult(Outcome.COMMITTED)

    def _check(self, conn: sa.Connection, first: int, *, epoch: Epoch, history_id: str) -> None:
        match check_fence(conn, epoch=epoch, history_id=history_id):
            case FenceCheck.FENCED:
                raise _Refusal(Outcome.FENCED, f"the fence row no longer holds {epoch}")
            case FenceCheck.WENT_BACK:
                raise _Refusal(Outcome.WENT_BACK, f"the database no longer has history {history_id}")
        last = log.last_revision(conn)
        if last != first - 1:
            raise _Refusal(Outcome.MISPLACED, f"the log ends at {last}, not at {first - 1}")

    def tail(self, *, after_revision: int, limit: int) -> Tail:
        """Read the log behind `after_revision`, with the fence row, in one snapshot."""
        with self._database.snapshot() as conn:
            return self.read_tail(conn, after_revision=after_revision, limit=limit)

    def read_tail(self, conn: sa.Connection, *, after_revision: int, limit: int) -> Tail:
        """Read the same in a snapshot that the caller has opened: a promotion reads more in it (B-15)."""
        return log.read_tail(conn, self._codec, after_revision=after_revision, limit=limit)

    def find(self, requests: Sequence[RequestKey]) -> Found:
        """Read the log entries of some request ids, with the fence row, in one snapshot."""
        with self._database.snapshot() as conn:
            return log.find_requests(conn, self._codec, requests)

    def history(self, *, key: Key | None, after_revision: int, limit: int) -> HistoryPage:
        """Read whole transactions behind `after_revision`, of one object or of all."""
        with self._database.snapshot() as conn:
            return log.read_history(conn, self._codec, key=key, after_revision=after_revision, limit=limit)


def _write(conn: sa.Connection, group: Sequence[LogEntry]) -> None:
    conn.execute(CHANGES.insert(), [_change_row(entry) for entry in group])
    rows = [_object_row(entry, i, change) for entry in group for i, change in enumerate(entry.changes)]
    if not rows:
        return
    conn.execute(CHANGE_OBJECTS.insert(), rows)
    net = {change.key: change for entry in group for change in entry.changes}
    gone = [{"t": key.type, "d": key.dbid} for key, change in net.items() if change.after is None]
    if gone:
        by_key = sa.and_(OBJECTS.c.type == sa.bindparam("t"), OBJECTS.c.dbid == sa.bindparam("d"))
        conn.execute(OBJECTS.delete().where(by_key), gone)
    _upsert(conn, OBJECTS, [_current_row(c) for c in net.values() if c.after is not None])
    _upsert(conn, DBIDS, _next_dbids(net))


def _change_row(entry: LogEntry) -> dict[str, Any]:
    return {
        "revision": entry.revision,
        "generation": entry.epoch.generation,
        "mod_revision": entry.epoch.mod_revision,
        "time_ms": entry.time_ms,
        "actor": entry.actor,
        "request_id": entry.request_id,
        "content_hash": entry.content_hash,
        "reason": entry.reason,
        "response": pack_results(entry.changes, entry.results),
    }


def _object_row(entry: LogEntry, position: int, change: Change) -> dict[str, Any]:
    return {
        "revision": entry.revision,
        "position": position,
        "type": change.key.type,
        "dbid": change.key.dbid,
        "before": change.before and change.before.data,
        "after": change.after and change.after.data,
    }


def _current_row(change: Change) -> dict[str, Any]:
    record = change.after
    assert record is not None
    return {
        "type": record.key.type,
        "dbid": record.key.dbid,
        "name": record.name,
        "tenant": record.tenant,
        "folder": record.folder,
        "revision": record.revision,
        "data": record.data,
    }


def _next_dbids(keys: Iterable[Key]) -> list[dict[str, Any]]:
    highest: dict[str, int] = {}
    for key in keys:
        highest[key.type] = max(highest.get(key.type, 0), key.dbid + 1)
    return [{"type": type, "next": number} for type, number in highest.items()]


def _upsert(
    conn: sa.Connection, table: sa.Table, rows: list[Mapping[str, Any]] | list[dict[str, Any]]
) -> None:
    if not rows:
        return
    dialect: Any = postgresql if conn.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(table)
    keys = [column.name for column in table.primary_key]
    changed = {c.name: statement.excluded[c.name] for c in table.columns if c.name not in keys}
    only_upwards = table.c.next < statement.excluded.next if table is DBIDS else None
    conn.execute(statement.on_conflict_do_update(index_elements=keys, set_=changed, where=only_upwards), rows)
