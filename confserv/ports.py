"""What the Configuration Server needs from the world, for its objects: a store that keeps them and their
change log.

Every call blocks and is made by a thread of its own: one for `commit`, others for the rest. A call that
cannot reach the database raises `confkit.election.ports.StoreUnreachable`, but `commit`, which says what it
knows of the outcome.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from confkit.election.types import Epoch
from confserv.core.effects import Outcome
from confserv.core.log import EntryIdentity, Found, HistoryPage, LogEntry, RequestKey, Tail
from confserv.core.objects import Dbid, Key, Record, TypeName

LATE = "the lease guard ran out before the commit"
"""What a store says of a transaction that it took back."""


@dataclass(frozen=True, slots=True)
class CommitResult:
    """The outcome of `commit`; `detail` is for people."""

    outcome: Outcome
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Loaded:
    """All that the database holds, in one snapshot.

    `last` is the newest log entry's identity, None for an empty log; `recent` are the newest entries, oldest
    first.
    """

    history_id: str
    revision: int
    records: Sequence[Record]
    next_dbids: dict[TypeName, Dbid] = field(default_factory=dict)
    last: EntryIdentity | None = None
    recent: tuple[LogEntry, ...] = ()


class ConfigurationStore(Protocol):
    """Keeps objects, and the change log that made them."""

    def load(self, *, recent: int) -> Loaded:
        """Read everything, and the newest `recent` log entries."""

    def commit(
        self,
        group: Sequence[LogEntry],
        *,
        epoch: Epoch,
        history_id: str,
        may_commit: Callable[[], bool] = lambda: True,
    ) -> CommitResult:
        """Write a group of transactions as one, if the fence row holds `epoch` and `history_id` and the last
        revision is the one before the group's first. Raises nothing that a database may cause. B-50, B-51.

        `may_commit` says whether the lease guard still holds; it is asked last, right before the commit, so that a
        process that was stopped inside the transaction takes it back (LATE).
        """

    def tail(self, *, after_revision: int, limit: int) -> Tail:
        """Read at most `limit` log entries behind `after_revision`, with the fence row, in one snapshot."""

    def find(self, requests: Sequence[RequestKey]) -> Found:
        """Read the log entries of some request ids, with the fence row, in one snapshot."""

    def history(self, *, key: Key | None, after_revision: int, limit: int) -> HistoryPage:
        """Read whole transactions behind `after_revision`, of one object or of all, until there are
        `limit` changes."""
