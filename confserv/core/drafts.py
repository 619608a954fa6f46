"""What waits to be committed: each request drafted behind the one before it, on an overlay of memory.

A request that memory alone would allow, but not what waits before it, is kept until that is settled: nobody
is refused because of a write that never takes place.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from confkit.election.types import Epoch
from confserv.core.configuration import Configuration, Overlay
from confserv.core.effects import Ticket
from confserv.core.log import LogEntry
from confserv.core.operations import WriteRequest
from confserv.core.refusals import Refused
from confserv.core.rules import Rules
from confserv.core.writes import Draft, draft

MAX_GROUP = 1000
"""Most transactions of one group."""

MAX_GROUP_BYTES = 8_388_608
"""A group gets no further transaction when its objects have so many bytes."""


@dataclass(slots=True, eq=False)
class Write:
    """A request on its way, with the callers who wait for it.

    `entry` is set when it is drafted; `refusal` when it is refused unless the log has it; `alone` when it is
    to be committed by itself; `doubtful` when it was handed to the store once and may yet be committed.
    """

    request: WriteRequest
    tickets: list[Ticket]
    reserved_value: str | None = None
    entry: LogEntry | None = None
    refusal: Refused | None = None
    alone: bool = False
    doubtful: bool = False

    @property
    def drafted(self) -> LogEntry:
        """The entry that it is to become."""
        assert self.entry is not None, "what is pending is drafted"
        return self.entry


class Drafts:
    """Pending and kept requests of one server, over its configuration."""

    def __init__(self, rules: Rules, configuration: Configuration) -> None:
        self._rules = rules
        self._configuration = configuration
        self._overlay = Overlay(configuration)
        self._laid = 0
        self.pending: deque[Write] = deque()
        self.kept: list[Write] = []
        self.last_time_ms = 0

    def draft(self, write: Write, *, epoch: Epoch, now_ms: int) -> Refused | None:
        """Draft `write` behind all that waits, or keep it; give the refusal that stands whatever becomes of
        the others.

        `now_ms` is wall time in milliseconds; times of entries never decrease.
        """
        revision = self._configuration.revision + self._laid + 1
        try:
            made = self._draft(write, self._overlay, revision)
        except Refused as refusal:
            return self._refused(write, refusal)
        self.last_time_ms = max(self.last_time_ms, now_ms)
        request = write.request
        write.entry = LogEntry(
            revision=revision,
            epoch=epoch,
            time_ms=self.last_time_ms,
            actor=request.actor,
            request_id=request.request_id,
            content_hash=request.content_hash,
            reason=request.reason,
            changes=made.changes,
            results=made.results,
        )
        self.pending.append(write)
        self._overlay.absorb(made.changes)
        self._laid += 1
        return None

    def take_group(self) -> list[Write]:
        """Give what goes to the store next. It stays on the overlay until `lay_anew`."""
        group: list[Write] = []
        size = 0
        while self.pending and len(group) < MAX_GROUP and size < MAX_GROUP_BYTES:
            if group and (self.pending[0].alone or group[0].alone):
                break
            write = self.pending.popleft()
            group.append(write)
            size += sum(len(data) for data in write.drafted.results)
        return group

    def put_back(self, group: Sequence[Write]) -> None:
        """Take back a group that was not written; it goes first."""
        self.pending.extendleft(reversed(group))

    def lay_anew(self) -> None:
        """After a commit: lay what still waits over memory as it is now; its revisions stay right."""
        self._overlay = Overlay(self._configuration)
        for write in self.pending:
            self._overlay.absorb(write.drafted.changes)
        self._laid = len(self.pending)

    def take_all(self) -> list[Write]:
        """Give all that waits, and hold nothing any more."""
        taken = [*self.pending, *self.kept]
        self.pending.clear()
        self.kept.clear()
        self.lay_anew()
        return taken

    def take_kept(self) -> list[Write]:
        """Give what was kept until others are settled."""
        kept, self.kept = self.kept, []
        return kept

    def discard(self, writes: Iterable[Write]) -> None:
        """Forget some that wait; the caller drafts the rest anew."""
        for write in writes:
            if write in self.pending:
                self.pending.remove(write)

    def _refused(self, write: Write, refusal: Refused) -> Refused | None:
        if not self._laid:
            return refusal
        try:
            self._draft(write, self._configuration, self._configuration.revision + 1)
        except Refused as settled:
            return settled
        self.kept.append(write)
        return None

    def _draft(self, write: Write, view: Overlay | Configuration, revision: int) -> Draft:
        operations = write.request.operations
        return draft(view, self._rules, operations, revision=revision, reserved_value=write.reserved_value)
