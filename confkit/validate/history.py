"""What was seen of a run, in the words that the validators judge.

Why it exists: the simulator, the tests on real processes and `confctl verify` record the same things, so
that one set of pure functions judges all of them. Times are seconds on one clock of the recorder; a history
that joins recorders with different clocks cannot be judged for order.
"""

from __future__ import annotations

import enum
from collections.abc import Hashable
from dataclasses import dataclass

from confkit.election.types import Epoch

ObjectId = Hashable
"""Names one object; for the Configuration Server (type, dbid)."""


@dataclass(frozen=True, slots=True)
class LogChange:
    """One object in a transaction of the change log; `value` None: deleted."""

    object_id: ObjectId
    value: Hashable | None


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One committed transaction, as the change log has it.

    `request` is principal and request id together: ids are scoped by principal.
    """

    revision: int
    epoch: Epoch
    request: Hashable
    changes: tuple[LogChange, ...] = ()


class Outcome(enum.Enum):
    """How a write ended for its caller."""

    ACKNOWLEDGED = "acknowledged"
    NOT_ADMITTED = "not_admitted"
    """Answered NOT_PRIMARY: it must never take place under that request id unless the client sent it again."""
    REFUSED = "refused"
    """Answered with a refusal that is final, as STALE_REVISION."""
    UNKNOWN = "unknown"
    """No answer, a broken connection, a time-out or OUTCOME_UNKNOWN: maybe applied."""


@dataclass(frozen=True, slots=True)
class WriteAttempt:
    """One write as its caller saw it: all repetitions under one request id are one attempt."""

    request: Hashable
    outcome: Outcome
    revision: int | None = None
    started_s: float = 0.0
    ended_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Seen:
    """One transaction that a watcher was told: its revision and the objects in it."""

    revision: int
    changes: tuple[LogChange, ...]


@dataclass(frozen=True, slots=True)
class WatchHistory:
    """What one watcher was told, in order, since `after_revision`, of the objects that `objects` names.

    `objects` None: all. `through_revision`: the last revision that it has confirmed, by a transaction or a
    bookmark; nothing above it is expected of it.
    """

    watcher: str
    after_revision: int
    seen: tuple[Seen, ...]
    through_revision: int
    objects: frozenset[ObjectId] | None = None


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken promise.

    Attributes:
        promise: its number in ha.md, as I-1.
        text: what was promised and what was found.
    """

    promise: str
    text: str

    def __str__(self) -> str:
        return f"{self.promise}: {self.text}"
