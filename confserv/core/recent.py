"""The newest part of the change log, kept in memory: for repeated requests, and for watchers that resume."""

from __future__ import annotations

from collections import deque
from itertools import islice

from confserv.core.log import LogEntry, RequestKey

CAPACITY = 10_000
CAPACITY_BYTES = 67_108_864
AT_START = 1_000
"""So many entries are read when a server starts; older ones are looked up in the store when they are asked for."""


class RecentLog:
    """At most `capacity` entries whose objects have `capacity_bytes` in all, contiguous, the newest last."""

    def __init__(self, capacity: int = CAPACITY, *, capacity_bytes: int = CAPACITY_BYTES) -> None:
        """Begin empty; the newest entry is kept, however large."""
        self._capacity = capacity
        self._capacity_bytes = capacity_bytes
        self._bytes = 0
        self._entries: deque[LogEntry] = deque()
        self._by_request: dict[RequestKey, LogEntry] = {}

    def add(self, entry: LogEntry) -> None:
        """Keep the entry behind the last one; the oldest is forgotten when there are too many."""
        assert not self._entries or entry.revision == self._entries[-1].revision + 1, "the log has no holes"
        self._entries.append(entry)
        self._by_request[entry.request] = entry
        self._bytes += _size(entry)
        while len(self._entries) > 1 and (
            len(self._entries) > self._capacity or self._bytes > self._capacity_bytes
        ):
            oldest = self._entries.popleft()
            self._by_request.pop(oldest.request, None)
            self._bytes -= _size(oldest)

    def find(self, request: RequestKey) -> LogEntry | None:
        """Give the entry that a request made; None when it is not here, though the log may have it."""
        return self._by_request.get(request)

    def after(self, revision: int) -> tuple[LogEntry, ...] | None:
        """Give all entries behind `revision`, None when some of them are no longer here."""
        if not self._entries:
            return None
        first = self._entries[0].revision
        if revision < first - 1:
            return None
        return tuple(islice(self._entries, revision - first + 1, None))


def _size(entry: LogEntry) -> int:
    return sum(len(r.data) for change in entry.changes for r in (change.before, change.after) if r)
