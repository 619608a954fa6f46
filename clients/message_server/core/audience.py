"""Who is told of which event: an index over the filters of live subscriptions.

Why it exists: with a hundred subscribers that each want one event of a hundred, asking every filter about
every event would be most of the work. Subscriptions are found by the most selective thing that they name. It
keeps no events and promises nothing about time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from typing import Generic, TypeVar

from message_server.core.events import EventFilter, LogRecord, StoredRecord

K = TypeVar("K", bound=Hashable)


class Audience(Generic[K]):
    """Live subscriptions by key, each with its filter."""

    def __init__(self) -> None:
        self._filters: dict[K, EventFilter] = {}
        self._by_event_id: defaultdict[str, dict[K, EventFilter]] = defaultdict(dict)
        self._by_application: defaultdict[str, dict[K, EventFilter]] = defaultdict(dict)
        self._others: dict[K, EventFilter] = {}

    def __len__(self) -> int:
        return len(self._filters)

    def join(self, key: K, wanted: EventFilter) -> None:
        """Add a subscription; `key` must be new."""
        assert key not in self._filters, "a subscription joins once"
        self._filters[key] = wanted
        for shelf in self._shelves(wanted):
            shelf[key] = wanted

    def leave(self, key: K) -> None:
        """Remove a subscription; an unknown one is gone already."""
        wanted = self._filters.pop(key, None)
        if wanted is None:
            return
        for shelf in self._shelves(wanted):
            del shelf[key]
        for event_id in wanted.event_ids:
            if not self._by_event_id[event_id]:
                del self._by_event_id[event_id]
        if wanted.application in self._by_application and not self._by_application[wanted.application]:
            del self._by_application[wanted.application]

    def route(self, events: Sequence[StoredRecord]) -> dict[K, list[StoredRecord]]:
        """Give each subscription the events that pass its filter, in their order; who gets none is left out."""
        told: dict[K, list[StoredRecord]] = {}
        for event in events:
            for shelf in self._candidates(event.record):
                for key, wanted in shelf.items():
                    if wanted.matches(event.record):
                        told.setdefault(key, []).append(event)
        return told

    def _candidates(self, record: LogRecord) -> Iterable[dict[K, EventFilter]]:
        by_event_id = self._by_event_id.get(record.event_id)
        if by_event_id:
            yield by_event_id
        by_application = self._by_application.get(record.application)
        if by_application:
            yield by_application
        if self._others:
            yield self._others

    def _shelves(self, wanted: EventFilter) -> Sequence[dict[K, EventFilter]]:
        if wanted.event_ids:
            return [self._by_event_id[event_id] for event_id in wanted.event_ids]
        if wanted.application:
            return [self._by_application[wanted.application]]
        return [self._others]
