"""Tells watchers of committed transactions: rendered once for all that share a filter, the same bytes to
each.

Each watcher has a bounded queue; one that does not keep up is told at which revision it was left behind, and
harms nobody else. What it does not promise: that a watcher has seen anything; it says itself where to go on.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable

from confserv.core.log import LogEntry
from confserv.core.refusals import Reason, Refused
from confserv.core.watch import Filter, Selected, select

Render = Callable[[LogEntry, tuple[Selected, ...], str], bytes]
"""Makes the message of a transaction as a filter sees it; the last argument is the id of the history."""

MAX_QUEUED = 10_000
MAX_QUEUED_BYTES = 67_108_864


class Watcher:
    """The queue of one watcher. `seen` is the revision up to which nothing is missing in it."""

    def __init__(self, *, revision: int, max_queued: int = MAX_QUEUED) -> None:
        self.seen = revision
        self._delivered = revision
        self._max_queued = max_queued
        self._queue: deque[tuple[int, bytes]] = deque()
        self._bytes = 0
        self._lagged = False
        self._news = asyncio.Event()

    def tell(self, revision: int, message: bytes | None) -> bool:
        """Queue the message of a transaction, None when the filter lets nothing of it through. False: it lags."""
        if message is None:
            self.seen = revision
            return True
        if len(self._queue) >= self._max_queued or self._bytes + len(message) > MAX_QUEUED_BYTES:
            self._lagged = True
            self._news.set()
            return False
        self.seen = revision
        self._queue.append((revision, message))
        self._bytes += len(message)
        self._news.set()
        return True

    @property
    def delivered(self) -> int:
        """The revision of the last message that was taken out of the queue."""
        return self._delivered

    async def messages(self, *, wait_s: float) -> list[bytes]:
        """Give all that is queued, waiting at most `wait_s` seconds for something. Raises Refused (LAGGED)."""
        if not self._queue and not self._lagged:
            self._news.clear()
            try:
                async with asyncio.timeout(wait_s):
                    await self._news.wait()
            except TimeoutError:
                return []
        if not self._queue and self._lagged:
            raise Refused(
                Reason.LAGGED,
                f"the watcher did not keep up; resume behind revision {self._delivered}",
                revision=self._delivered,
            )
        messages = [message for _, message in self._queue]
        self._delivered = self._queue[-1][0] if self._queue else self._delivered
        self._queue.clear()
        self._bytes = 0
        return messages


class WatchHub:
    """All watchers of a server, by filter."""

    def __init__(self, render: Render, *, max_queued: int = MAX_QUEUED) -> None:
        """Make messages by `render`; each queue takes `max_queued` of them."""
        self._render = render
        self._max_queued = max_queued
        self._watchers: dict[Filter, set[Watcher]] = {}

    def subscribe(self, chosen: Filter, *, revision: int) -> Watcher:
        """Begin to queue what is committed behind `revision`, which is the last that was applied."""
        watcher = Watcher(revision=revision, max_queued=self._max_queued)
        self._watchers.setdefault(chosen, set()).add(watcher)
        return watcher

    def unsubscribe(self, chosen: Filter, watcher: Watcher) -> None:
        """Queue nothing more for a watcher."""
        watchers = self._watchers.get(chosen, set())
        watchers.discard(watcher)
        if not watchers:
            self._watchers.pop(chosen, None)

    def publish(self, entries: Iterable[LogEntry], *, history_id: str) -> None:
        """Tell all watchers of transactions that were applied, in order."""
        for entry in entries:
            for chosen, watchers in list(self._watchers.items()):
                selected = select(entry, chosen)
                message = self._render(entry, selected, history_id) if selected else None
                for watcher in [w for w in watchers if not w.tell(entry.revision, message)]:
                    self.unsubscribe(chosen, watcher)
