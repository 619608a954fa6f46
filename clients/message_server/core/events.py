"""The words of the central log: events, levels, filters.

Why it exists: admission, store, queries and subscriptions speak of the same few things. An event is what a
process said at its own time; a stored event has a position, and positions only grow. It does not promise that
times grow along positions: senders spool while the Message Server is away.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NewType

EventUid = NewType("EventUid", str)
"""A UUID made by the sender; a repeated event carries the same one and is stored once."""

Position = NewType("Position", int)
"""Place in the log database; 0 is before the first event."""


class Level(IntEnum):
    """How much an event matters; the numbers are those on the wire and in the database."""

    DEBUG = 1
    TRACE = 2
    INTERACTION = 3
    STANDARD = 4
    ALARM = 5


class Severity(IntEnum):
    """How bad it is."""

    INFO = 1
    WARNING = 2
    ERROR = 3


@dataclass(frozen=True, slots=True)
class LogRecord:
    """One event as its sender made it; `time_ms` is the sender's wall clock, in milliseconds since 1970 UTC."""

    uid: EventUid
    event_id: str
    level: int
    severity: int
    text: str
    time_ms: int
    application: str
    component: str = ""
    host: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """An event with its position; `stored_ms` is the Message Server's wall clock, in milliseconds."""

    position: Position
    record: LogRecord
    stored_ms: int


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events somebody asks for; the defaults let everything pass.

    `event_ids` empty and `application` empty mean all. `from_ms` is included, `until_ms` is not; 0 means no
    end.
    """

    event_ids: frozenset[str] = frozenset()
    application: str = ""
    minimum_level: int = 0
    from_ms: int = 0
    until_ms: int = 0

    def matches(self, record: LogRecord) -> bool:
        """Say whether the event passes."""
        return (
            record.level >= self.minimum_level
            and (not self.event_ids or record.event_id in self.event_ids)
            and (not self.application or record.application == self.application)
            and record.time_ms >= self.from_ms
            and (not self.until_ms or record.time_ms < self.until_ms)
        )
