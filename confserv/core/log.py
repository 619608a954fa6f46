"""The change log's words: what one committed transaction is, and what reading the log says.

One transaction is one revision, contiguous, without holes (`ha.md`, The change log). Nothing here is written
or read; the store's adapters do that.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from confkit.election.types import Epoch
from confserv.core.objects import Key, Record


class RequestKey(NamedTuple):
    """A request id in the scope of its principal."""

    actor: str
    request_id: str


@dataclass(frozen=True, slots=True)
class Change:
    """One object in a transaction: `before` is None when it was created, `after` when it was deleted."""

    before: Record | None
    after: Record | None

    @property
    def key(self) -> Key:
        """The object's key."""
        record = self.after or self.before
        assert record is not None, "a change has a before or an after"
        return record.key


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One committed transaction: one revision.

    `time_ms` is wall time in milliseconds and never decreases along the log. `results` holds, for each
    operation, the serialized object as the first answer gave it.
    """

    revision: int
    epoch: Epoch
    time_ms: int
    actor: str
    request_id: str
    content_hash: bytes
    reason: str
    changes: tuple[Change, ...]
    results: tuple[bytes, ...] = ()

    @property
    def request(self) -> RequestKey:
        """The request that made it."""
        return RequestKey(self.actor, self.request_id)

    @property
    def identity(self) -> EntryIdentity:
        """What tells it from another entry of the same revision."""
        return EntryIdentity(self.revision, self.epoch, self.request)


class EntryIdentity(NamedTuple):
    """What tells an entry of the log from another one at the same revision, in a history that went back."""

    revision: int
    epoch: Epoch
    request: RequestKey


@dataclass(frozen=True, slots=True)
class Tail:
    """The log behind a revision, read in one snapshot with the fence row.

    `holder` is the token in the fence row and `history_id` its history, None and "" when it never had one;
    `at_start` is the entry at the revision that was asked behind, None when there is none; `complete` is
    false when there is more to read behind the last of `entries`.
    """

    history_id: str
    holder: Epoch | None
    last_revision: int
    at_start: EntryIdentity | None
    entries: tuple[LogEntry, ...]
    complete: bool = True
    compacted_revision: int = 0


@dataclass(frozen=True, slots=True)
class Found:
    """What the log says of some request ids, read in one snapshot with the token in the fence row."""

    holder: Epoch | None
    entries: Mapping[RequestKey, LogEntry] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """Whole transactions, oldest first. `through_revision` is the revision up to which the page is complete."""

    history_id: str
    compacted_revision: int
    through_revision: int
    entries: tuple[LogEntry, ...]


def pack_results(changes: Sequence[Change], results: Sequence[bytes]) -> bytes:
    """Write results short: mostly each is the before or after of a change of the same entry."""
    places = {
        id(r.data): [i, s] for i, c in enumerate(changes) for s, r in ((0, c.before), (1, c.after)) if r
    }
    packed = [places.get(id(data)) or base64.b64encode(data).decode() for data in results]
    return json.dumps(packed, separators=(",", ":")).encode()


def unpack_results(changes: Sequence[Change], packed: bytes) -> tuple[bytes, ...]:
    """Read what `pack_results` wrote. Raises ValueError when it does not fit `changes`."""
    return tuple(_unpack(changes, item) for item in json.loads(packed or b"[]"))


def _unpack(changes: Sequence[Change], item: str | Sequence[int]) -> bytes:
    if isinstance(item, str):
        return base64.b64decode(item)
    position, side = item
    change = changes[position]
    record = change.after if side else change.before
    if record is None:
        raise ValueError(f"result {item} names no object of its transaction")
    return record.data
