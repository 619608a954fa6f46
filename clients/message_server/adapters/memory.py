"""The log database in memory: the slow oracle of the contract suite, and the store of unit tests.

It keeps what it is told for the life of the object, and shares it between the servers that are given it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from confkit.election.ports import StoreUnreachable
from confkit.election.types import (
    Confirmation,
    Epoch,
    EtcdIdentity,
    GenerationRaise,
    Grounds,
    Permission,
    ProcessFacts,
)
from confkit.fence import (
    FenceCheck,
    FenceRow,
    RaiseCheck,
    check_write,
    may_raise,
    may_raise_generation,
    raised,
    raised_generation,
)
from confkit.fence_sql import Raise
from message_server.core.events import EventFilter, LogRecord, Position, StoredRecord
from message_server.ports import Fenced


class MemoryLogStore:
    """Events and fence row in memory; `reachable = False` makes every call fail like a lost database."""

    def __init__(self) -> None:
        self.reachable = True
        self._events: list[StoredRecord] = []
        self._row: FenceRow | None = None

    def head(self) -> Position:
        """Give the last position."""
        self._reach()
        return self._events[-1].position if self._events else Position(0)

    def append(
        self,
        records: Sequence[LogRecord],
        *,
        epoch: Epoch,
        history_id: str,
        first: Position,
        stored_ms: int,
    ) -> tuple[StoredRecord, ...]:
        """Store new events: see the port."""
        self._reach()
        if check_write(self._row, epoch=epoch, history_id=history_id) is not FenceCheck.HOLDS:
            raise Fenced(f"the log database no longer holds token {epoch}")
        known = {event.record.uid for event in self._events}
        stored = []
        for number, record in enumerate(records):
            if record.uid not in known:
                known.add(record.uid)
                stored.append(StoredRecord(Position(first + number), record, stored_ms))
        self._events.extend(stored)
        return tuple(stored)

    def read(
        self, wanted: EventFilter, *, after: Position, until: Position, limit: int, newest_first: bool = False
    ) -> tuple[StoredRecord, ...]:
        """Read stored events: see the port."""
        self._reach()
        found = [e for e in self._events if after < e.position <= until and wanted.matches(e.record)]
        return tuple((found[::-1] if newest_first else found)[:limit])

    def read_fence(self) -> FenceRow | None:
        """Read the fence row."""
        self._reach()
        return self._row

    def raise_fence(
        self,
        epoch: Epoch,
        grounds: Grounds,
        *,
        facts: ProcessFacts,
        permit: Callable[[FenceRow | None], Permission],
    ) -> Raise:
        """Raise the token."""
        self._reach()
        permission = permit(self._row)
        check = may_raise(
            self._row,
            epoch=epoch,
            waited_s=grounds.waited_s,
            identity=grounds.identity,
            prior_revision=grounds.prior_revision,
        )
        if check is not RaiseCheck.MAY or not permission.allowed:
            return Raise(check, permission, self._row)
        self._row = raised(
            self._row,
            epoch=epoch,
            facts=facts,
            granted_ttl_s=grounds.granted_ttl_s,
            identity=grounds.identity,
            etcd_revision=grounds.etcd_revision,
            fresh_history_id="history-1",
        )
        return Raise(check, permission, self._row)

    def confirm(self, epoch: Epoch) -> Confirmation:
        """Say whether the row holds `epoch`."""
        if not self.reachable:
            return Confirmation.UNREACHABLE
        if self._row is None:
            return Confirmation.WENT_BACK
        return Confirmation.HOLDS if self._row.token == epoch else Confirmation.FENCED

    def raise_generation(
        self, expected: FenceRow, *, identity: EtcdIdentity, revision: int, now_ms: int
    ) -> GenerationRaise:
        """Record a rebuilt etcd."""
        if not self.reachable:
            return GenerationRaise.UNREACHABLE
        if self._row != expected:
            return GenerationRaise.LOST
        if not may_raise_generation(expected, now_ms=now_ms):
            return GenerationRaise.TOO_SOON
        self._row = raised_generation(expected, identity=identity, revision=revision, now_ms=now_ms)
        return GenerationRaise.RAISED

    def _reach(self) -> None:
        if not self.reachable:
            raise StoreUnreachable("the store was made unreachable")
