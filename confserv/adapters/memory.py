"""The configuration's store in memory, for simulators and tests: what it keeps dies with the process.

Several stores may share one `MemoryDatabase`, as servers share a database; `faults` decide what the next commits
meet. It keeps the promises of `confserv.ports.ConfigurationStore`, which the contract suite proves.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from confkit.election.ports import StoreUnreachable
from confkit.election.types import Epoch, EtcdIdentity, InstanceName
from confkit.fence import FenceCheck, FenceRow, check_write
from confserv.core.effects import Outcome
from confserv.core.log import EntryIdentity, Found, HistoryPage, LogEntry, RequestKey, Tail
from confserv.core.objects import Dbid, Key, Record, TypeName
from confserv.ports import LATE, CommitResult, Loaded


@dataclass(slots=True)
class MemoryDatabase:
    """What several servers share. `faults` are outcomes that the next commits get, without being written, but UNKNOWN,
    which is written when `lands` says so; `reachable` false makes every call fail.
    """

    fence: FenceRow | None = None
    entries: list[LogEntry] = field(default_factory=list)
    faults: deque[Outcome] = field(default_factory=deque)
    lands: bool = True
    reachable: bool = True
    rejects: set[str] = field(default_factory=set)
    """Request ids that no commit may hold: what a database refuses."""
    compacted_revision: int = 0
    """The last revision that the log pretends not to keep any more."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def raise_token(self, epoch: Epoch, *, history_id: str = "history-1") -> None:
        """Put a token into the fence row, as a promotion does."""
        base = self.fence or FenceRow(epoch, 5.0, EtcdIdentity("etcd-1"), 1, InstanceName("confserv-1"))
        self.fence = replace(base, token=epoch, history_id=base.history_id or history_id)

    def restore(self, *, revision: int, history_id: str) -> None:
        """Go back to an earlier revision, under another history id, as a restore does."""
        del self.entries[revision:]
        if self.fence is not None:
            self.fence = replace(self.fence, history_id=history_id)


class MemoryStore:
    """Implements `confserv.ports.ConfigurationStore` on a `MemoryDatabase`."""

    def __init__(self, database: MemoryDatabase) -> None:
        self._database = database

    def load(self, *, recent: int) -> Loaded:
        """Read everything, and the newest `recent` log entries."""
        with self._opened() as database:
            records: dict[Key, Record] = {}
            next_dbids: dict[TypeName, Dbid] = {}
            for entry in database.entries:
                _apply(records, next_dbids, entry)
            return Loaded(
                history_id=database.fence.history_id if database.fence else "",
                revision=len(database.entries),
                records=list(records.values()),
                next_dbids=next_dbids,
                last=_identity_at(database, len(database.entries)),
                recent=tuple(database.entries[-recent:]) if recent else (),
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
        database = self._database
        with database.lock:
            fault = database.faults.popleft() if database.faults else None
            if not database.reachable:
                return CommitResult(Outcome.UNREACHABLE, "made unreachable")
            if fault is not None and (fault is not Outcome.UNKNOWN or not database.lands):
                return CommitResult(fault, "made to fail")
            result = _judge(database, group, epoch=epoch, history_id=history_id)
            if result.outcome is Outcome.COMMITTED and not may_commit():
                return CommitResult(Outcome.LATE, LATE)
            if result.outcome is Outcome.COMMITTED:
                database.entries.extend(group)
                return CommitResult(fault or Outcome.COMMITTED)
            return result

    def tail(self, *, after_revision: int, limit: int) -> Tail:
        """Read the log behind `after_revision`, with the fence row."""
        with self._opened() as database:
            entries = tuple(database.entries[after_revision : after_revision + limit])
            return Tail(
                history_id=database.fence.history_id if database.fence else "",
                holder=database.fence.token if database.fence else None,
                last_revision=len(database.entries),
                at_start=_identity_at(database, after_revision),
                entries=entries,
                complete=after_revision + len(entries) >= len(database.entries),
                compacted_revision=database.compacted_revision,
            )

    def find(self, requests: Sequence[RequestKey]) -> Found:
        """Read the log entries of some request ids, with the fence row."""
        with self._opened() as database:
            wanted = set(requests)
            entries = {e.request: e for e in database.entries if e.request in wanted}
            return Found(database.fence.token if database.fence else None, entries)

    def history(self, *, key: Key | None, after_revision: int, limit: int) -> HistoryPage:
        """Read whole transactions behind `after_revision`, of one object or of all."""
        with self._opened() as database:
            found: list[LogEntry] = []
            changes, through = 0, len(database.entries)
            for entry in database.entries[after_revision:]:
                of_key = [change for change in entry.changes if key in (None, change.key)]
                if of_key and changes < limit:
                    found.append(entry)
                    changes += len(of_key)
                    through = entry.revision if changes >= limit else len(database.entries)
            history_id = database.fence.history_id if database.fence else ""
            return HistoryPage(history_id, database.compacted_revision, through, tuple(found))

    def _opened(self) -> _Opened:
        return _Opened(self._database)


class _Opened:
    def __init__(self, database: MemoryDatabase) -> None:
        self._database = database

    def __enter__(self) -> MemoryDatabase:
        if not self._database.reachable:
            raise StoreUnreachable("made unreachable")
        self._database.lock.acquire()
        return self._database

    def __exit__(self, *_: object) -> None:
        self._database.lock.release()


def _judge(
    database: MemoryDatabase, group: Sequence[LogEntry], *, epoch: Epoch, history_id: str
) -> CommitResult:
    match check_write(database.fence, epoch=epoch, history_id=history_id):
        case FenceCheck.FENCED:
            return CommitResult(Outcome.FENCED, f"the fence row no longer holds {epoch}")
        case FenceCheck.WENT_BACK:
            return CommitResult(Outcome.WENT_BACK, f"the database no longer has history {history_id}")
    if len(database.entries) != group[0].revision - 1:
        return CommitResult(Outcome.MISPLACED, f"the log ends at {len(database.entries)}")
    known = {entry.request for entry in database.entries}
    requests = [entry.request for entry in group]
    if known & set(requests) or len(set(requests)) < len(requests):
        return CommitResult(Outcome.REJECTED, "a request id is in the log")
    if any(request.request_id in database.rejects for request in requests):
        return CommitResult(Outcome.REJECTED, "made to be refused")
    return CommitResult(Outcome.COMMITTED)


def _apply(records: dict[Key, Record], next_dbids: dict[TypeName, Dbid], entry: LogEntry) -> None:
    for change in entry.changes:
        if change.after is None:
            records.pop(change.key, None)
        else:
            records[change.key] = change.after
        type, dbid = change.key
        next_dbids[type] = Dbid(max(next_dbids.get(type, 0), dbid + 1))


def _identity_at(database: MemoryDatabase, revision: int) -> EntryIdentity | None:
    return database.entries[revision - 1].identity if 0 < revision <= len(database.entries) else None
