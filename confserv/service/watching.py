"""One watch, from its beginning: a snapshot or what was missed, then every transaction as it is committed.

Joins are without gap or repetition, because memory, the recent log and the queue are looked at in one go of
the event loop. What is behind the recent log is read from the store by pages. B-52, I-4 of `ha.md`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Protocol

from confserv.core.listing import parts, snapshot
from confserv.core.log import LogEntry
from confserv.core.objects import Record
from confserv.core.refusals import Reason, Refused
from confserv.core.watch import Filter, Selected, select
from confserv.service.engine import ConfigurationEngine
from confserv.service.watchers import Watcher

BOOKMARK_S = 5.0
"""A watcher that is told nothing gets a bookmark so often, in seconds, if the log has gone on."""


class Messages(Protocol):
    """Makes the messages of a watch, serialized."""

    def snapshot(self, records: Iterable[Record], *, complete: bool, history_id: str, revision: int) -> bytes:
        """Give the message of a part of the snapshot."""

    def transaction(self, entry: LogEntry, selected: tuple[Selected, ...], history_id: str) -> bytes:
        """Give the message of a transaction."""

    def bookmark(self, *, history_id: str, revision: int) -> bytes:
        """Give the message that nothing passed the filter up to `revision`."""


class Watching:
    """One watcher's view of the configuration, through `chosen`."""

    def __init__(
        self,
        engine: ConfigurationEngine,
        messages: Messages,
        chosen: Filter,
        *,
        bookmark_s: float = BOOKMARK_S,
    ) -> None:
        """Nothing happens before one of the two iterators is used."""
        self._engine = engine
        self._messages = messages
        self._chosen = chosen
        self._bookmark_s = bookmark_s

    async def from_snapshot(self) -> AsyncIterator[bytes]:
        """Give all objects as of now, then what follows."""
        engine = self._engine
        revision, history_id = engine.revision, engine.history_id
        records = snapshot(engine.configuration, self._chosen)
        watcher = engine.hub.subscribe(self._chosen, revision=revision)
        try:
            for part, complete in parts(records):
                yield self._messages.snapshot(
                    part, complete=complete, history_id=history_id, revision=revision
                )
            async for message in self._live(watcher):
                yield message
        finally:
            engine.hub.unsubscribe(self._chosen, watcher)

    async def resumed(self, *, history_id: str, revision: int) -> AsyncIterator[bytes]:
        """Give what follows `revision` of that history. Raises Refused (COMPACTED) when that cannot be
        told any more."""
        engine = self._engine
        if history_id != engine.history_id or revision < 0:
            raise _compacted(
                f"this database has history {engine.history_id}, not {history_id or 'none'}",
                engine.history_id,
            )
        await engine.reached(revision)
        while (missed := engine.recent_after(revision)) is None:
            for entry in await self._stored(revision):
                revision = entry.revision
                if message := self._message(entry):
                    yield message
        watcher = engine.hub.subscribe(self._chosen, revision=engine.revision)
        try:
            for entry in missed:
                if message := self._message(entry):
                    yield message
            async for message in self._live(watcher):
                yield message
        finally:
            engine.hub.unsubscribe(self._chosen, watcher)

    async def _live(self, watcher: Watcher) -> AsyncIterator[bytes]:
        marked = watcher.seen
        while True:
            messages = await watcher.messages(wait_s=self._bookmark_s)
            for message in messages:
                yield message
            if messages:
                marked = watcher.delivered
            elif watcher.seen > marked:
                marked = watcher.seen
                yield self._messages.bookmark(history_id=self._engine.history_id, revision=marked)

    async def _stored(self, revision: int) -> tuple[LogEntry, ...]:
        tail = await self._engine.read_log(after_revision=revision)
        if revision < tail.compacted_revision or not tail.entries:
            raise _compacted(f"the log begins behind revision {tail.compacted_revision}", tail.history_id)
        return tail.entries

    def _message(self, entry: LogEntry) -> bytes | None:
        selected = select(entry, self._chosen)
        if not selected:
            return None
        return self._messages.transaction(entry, selected, self._engine.history_id)


def _compacted(why: str, history_id: str) -> Refused:
    return Refused(Reason.COMPACTED, f"{why}; read everything again", history_id=history_id)
