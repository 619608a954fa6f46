"""What the Message Server needs from the world: a store of events, and the fence row in that same store.

Both are blocking: they are called from threads of their own, never from the event loop. One writer at a time:
calls of `append` and of the fence come from one thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from confkit.election.types import Epoch
from confkit.fence_store import FenceStore
from message_server.core.events import EventFilter, LogRecord, Position, StoredRecord


class Fenced(Exception):
    """The fence row holds another token or another history: this server may not write any more (B-50)."""


class AppendRefused(Exception):
    """The database refuses these events for good; others may still be stored."""


class EventStore(Protocol):
    """The log database."""

    def head(self) -> Position:
        """Give the last position, 0 when there is none. Raises StoreUnreachable."""

    def append(
        self,
        records: Sequence[LogRecord],
        *,
        epoch: Epoch,
        history_id: str,
        first: Position,
        stored_ms: int,
    ) -> tuple[StoredRecord, ...]:
        """Store events whose uid is new, durably and all or none, at positions from `first` on.

        `stored_ms` is wall time in milliseconds. Gives those that were stored now, by position; positions of
        repeated events stay empty. Raises Fenced, StoreUnreachable (nothing is known), AppendRefused.
        """

    def read(
        self, wanted: EventFilter, *, after: Position, until: Position, limit: int, newest_first: bool = False
    ) -> tuple[StoredRecord, ...]:
        """Give at most `limit` events that pass the filter, with positions in (after, until], oldest first
        unless `newest_first`. Raises StoreUnreachable.
        """


class LogStore(EventStore, FenceStore, Protocol):
    """Events and fence in one database: what an adapter provides."""
