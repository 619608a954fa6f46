"""How a subscriber gets from a position in the past to the live flow, without gap or repetition.

The stored part is read in pages up to a head that is fixed before each page. Once the rest is small enough to
wait in the subscriber's bounded queue, the subscriber joins the live flow *at* a head and reads the stored
events up to it; the live flow brings what lies behind it. A subscriber whose queue is full has lagged, and is
told so. What this module does not promise: that a slow reader ever gets live; it is told LAGGED then, and goes
on from its last position.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from message_server.core.events import Position, StoredRecord

QUEUE_EVENTS = 10_000
"""Events that may wait for one subscriber; a constant, so that a hundred slow readers cannot fill the memory."""


@dataclass(frozen=True, slots=True)
class ReadStored:
    """Read stored events in (after, until]; `then_live` when the live flow was joined at `until`."""

    after: Position
    until: Position
    then_live: bool


class UnknownPosition(ValueError):
    """The subscriber has seen more than there is: the log database went back. It has to start over."""


def starting_position(*, after: Position, from_now: bool, head: Position) -> Position:
    """Give the position after which a subscription starts. Raises UnknownPosition beyond `head`."""
    if from_now and after == 0:
        return head
    if after < 0 or after > head:
        raise UnknownPosition(f"position {after} is not in this log, which ends at {head}")
    return after


def next_read(*, after: Position, head: Position, near_events: int = QUEUE_EVENTS // 2) -> ReadStored:
    """Say what to read next: all up to `head` and join there, when at most `near_events` lie between."""
    return ReadStored(after, head, then_live=head - after <= near_events)


class Backlog:
    """What waits for one live subscriber. At most `limit` events; one more, and it has lagged for good."""

    def __init__(self, limit: int = QUEUE_EVENTS) -> None:
        self._limit = limit
        self._waiting: deque[StoredRecord] = deque()
        self.lagged = False

    def __len__(self) -> int:
        return len(self._waiting)

    def offer(self, events: Sequence[StoredRecord]) -> None:
        """Put events behind those that wait; what would not fit marks the subscriber as lagged, and is left out."""
        if self.lagged or len(self._waiting) + len(events) > self._limit:
            self.lagged = True
            return
        self._waiting.extend(events)

    def take(self, limit: int) -> tuple[StoredRecord, ...]:
        """Take at most `limit` events, oldest first."""
        return tuple(self._waiting.popleft() for _ in range(min(limit, len(self._waiting))))
