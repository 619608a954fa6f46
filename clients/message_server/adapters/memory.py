"""The log database in memory: the slow oracle of the contract suite, and the store of unit tests.

It keeps what it is told for the life of the object, and shares it between the servers that are given it.
"""

from __future__ import annotations

from collections.abc import Sequence

from confkit.election.types import Epoch
from confkit.fence import FenceCheck, check_write
from confkit.fence_store import MemoryFence
from message_server.core.events import EventFilter, LogRecord, Position, StoredRecord
from message_server.ports import Fenced


class MemoryLogStore(MemoryFence):
    """Events and fence row in memory; `is_reachable = False` makes every call fail like a lost database."""

    def __init__(self) -> None:
        super().__init__()
        self._events: list[StoredRecord] = []

    def head(self) -> Position:
        """Give the last position."""
        self.reach()
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
        self.reach()
        if check_write(self.row, epoch=epoch, history_id=history_id) is not FenceCheck.HOLDS:
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
        self.reach()
        found = [e for e in self._events if after < e.position <= until and wanted.matches(e.record)]
        return tuple((found[::-1] if newest_first else found)[:limit])
