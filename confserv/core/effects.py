"""What the pipeline of writes asks of its caller, and the outcomes that a store may report."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import NewType, TypeAlias

from confkit.election.types import Epoch
from confserv.core.log import LogEntry, RequestKey
from confserv.core.refusals import Refused

Ticket = NewType("Ticket", int)
"""One waiting caller."""


class Outcome(Enum):
    """What became of a group of transactions; all of it or nothing of it."""

    COMMITTED = "committed"
    FENCED = "fenced"
    """Nothing was written: the fence row holds another token."""
    WENT_BACK = "went_back"
    """Nothing was written: the database is not the one it was (21-25126)."""
    MISPLACED = "misplaced"
    """Nothing was written: the last revision is not the one before the first of the group. Read the tail."""
    REJECTED = "rejected"
    """Nothing was written: the database refuses what one of them holds. Take the group apart."""
    UNREACHABLE = "unreachable"
    """Nothing was written: the connection failed before the commit."""
    LATE = "late"
    """Nothing was written: the lease guard ran out before the commit."""
    UNKNOWN = "unknown"
    """The connection failed during the commit, which may still take place. Read the tail."""


@dataclass(frozen=True, slots=True)
class Commit:
    """Write this group; report to `committed`."""

    group: tuple[LogEntry, ...]
    epoch: Epoch
    history_id: str


@dataclass(frozen=True, slots=True)
class Answer:
    """Tell the caller that its transaction is committed as `entry`."""

    ticket: Ticket
    entry: LogEntry


@dataclass(frozen=True, slots=True)
class Refuse:
    """Tell the caller why not."""

    ticket: Ticket
    refusal: Refused


@dataclass(frozen=True, slots=True)
class Applied:
    """Memory has these transactions now: tell the watchers."""

    entries: tuple[LogEntry, ...]


@dataclass(frozen=True, slots=True)
class ReadTail:
    """Read the log behind the last applied revision; report to `tail_read`. It is not known what was
    committed."""


@dataclass(frozen=True, slots=True)
class LookUp:
    """Look request ids up in the log; report to `looked_up`."""

    requests: tuple[RequestKey, ...]


@dataclass(frozen=True, slots=True)
class RetryLater:
    """The database did not answer: call `pump` after a pause."""

    detail: str


@dataclass(frozen=True, slots=True)
class StepDown:
    """This server is no longer primary, or (`went_back`) its database is not the one it was (21-25122,
    21-25126)."""

    went_back: bool
    detail: str


Effect: TypeAlias = Commit | Answer | Refuse | Applied | ReadTail | LookUp | RetryLater | StepDown
