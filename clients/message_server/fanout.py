"""Live subscriptions: each has a bounded queue, and is told when it has lagged or when the role has moved.

Everything here runs in the event loop. What it does not promise: delivery; a subscriber that lagged reads again
from its last position.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from confclient.errors import ConfservError, LaggedError
from message_server.core.audience import Audience
from message_server.core.events import EventFilter, StoredRecord
from message_server.core.following import Backlog

MAX_MESSAGE_EVENTS = 500
"""Events that go into one message of a stream."""


GATHER_S = 0.02
"""Least time between two messages to one subscriber, in seconds: a busy log then costs a message for many events, and a
quiet one is told at once."""


class Subscriber:
    """One live subscription: iterate over `next_events`."""

    def __init__(self) -> None:
        self._backlog = Backlog()
        self._news = asyncio.Event()
        self._end: ConfservError | None = None
        self._told_s = 0.0
        self.lagged = False

    def offer(self, events: Sequence[StoredRecord]) -> None:
        """Put events into the queue."""
        self._backlog.offer(events)
        self._news.set()

    def end(self, error: ConfservError) -> None:
        """End the subscription with `error`, after what waits."""
        self._end = error
        self._news.set()

    async def next_events(self) -> tuple[StoredRecord, ...]:
        """Wait for events. Raises LaggedError when the queue was full, or what `end` was given."""
        while True:
            self._news.clear()
            if len(self._backlog):
                await self._gather()
                return self._backlog.take(MAX_MESSAGE_EVENTS)
            if self._backlog.lagged:
                self.lagged = True
                raise LaggedError(
                    "the subscriber did not keep up: subscribe again after the last position that it has"
                )
            if self._end is not None:
                raise self._end
            await self._news.wait()

    async def _gather(self) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(max(0.0, self._told_s + GATHER_S - loop.time()))
        self._told_s = loop.time()


class Fanout:
    """All live subscriptions of this server."""

    def __init__(self) -> None:
        self._audience: Audience[Subscriber] = Audience()
        self._subscribers: set[Subscriber] = set()

    def __len__(self) -> int:
        return len(self._subscribers)

    def join(self, wanted: EventFilter) -> Subscriber:
        """Add a subscriber, who is told of every event stored from now on that passes its filter."""
        subscriber = Subscriber()
        self._subscribers.add(subscriber)
        self._audience.join(subscriber, wanted)
        return subscriber

    def leave(self, subscriber: Subscriber) -> None:
        """Remove a subscriber."""
        self._subscribers.discard(subscriber)
        self._audience.leave(subscriber)

    def tell(self, events: Sequence[StoredRecord]) -> None:
        """Tell everybody whom it concerns of events just stored."""
        for subscriber, told in self._audience.route(events).items():
            subscriber.offer(told)

    def end_all(self, error: ConfservError) -> None:
        """End every subscription: the role has moved."""
        for subscriber in tuple(self._subscribers):
            subscriber.end(error)
            self.leave(subscriber)
