"""Queries of the stored log, and subscriptions that go from the stored part to the live flow.

Reads go to threads of their own, so that they never wait for a commit. The rules are in `core.following`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Executor

from confclient.errors import CompactedError, DatabaseUnavailableError
from confkit.election.ports import StoreUnreachable
from message_server.core.events import EventFilter, Position, StoredRecord
from message_server.core.following import ReadStored, UnknownPosition, next_read, starting_position
from message_server.fanout import MAX_MESSAGE_EVENTS, Fanout
from message_server.journal import Journal
from message_server.ports import EventStore


class LogReader:
    """Reads the log on the primary. `lagged` is called when a subscriber did not keep up."""

    def __init__(
        self,
        *,
        store: EventStore,
        readers: Executor,
        journal: Journal,
        fanout: Fanout,
        lagged: Callable[[], object] = lambda: None,
    ) -> None:
        self._store = store
        self._readers = readers
        self._journal = journal
        self._fanout = fanout
        self._lagged = lagged

    async def query(
        self, wanted: EventFilter, *, after: Position, limit: int, newest_first: bool
    ) -> tuple[Sequence[StoredRecord], bool]:
        """Give a page of stored events, and whether there are more.

        With `newest_first`, `after` is an upper bound that is left out, 0 for none. Raises DatabaseUnavailableError.
        """
        await self._journal.current()
        head = self._journal.head
        until = head
        if newest_first:
            after, until = Position(0), Position(after - 1) if after else head
        found = await self._read(wanted, after, until, limit + 1, newest_first=newest_first)
        return found[:limit], len(found) > limit

    async def follow(
        self, wanted: EventFilter, *, after: Position, from_now: bool
    ) -> AsyncIterator[Sequence[StoredRecord]]:
        """Give stored events after a position, then live ones, each once and in order.

        Raises CompactedError for a position beyond the log, LaggedError, DatabaseUnavailableError, and the
        primary's refusal when the role moves.
        """
        await self._journal.current()
        try:
            cursor = starting_position(after=after, from_now=from_now, head=self._journal.head)
        except UnknownPosition as error:
            raise CompactedError(f"{error}: it went back; subscribe from its beginning") from error
        while True:
            step = next_read(after=cursor, head=self._journal.head)
            if step.then_live:
                break
            async for page in self._pages(wanted, step):
                yield page
            cursor = step.until
            await self._journal.current()
        subscriber = self._fanout.join(wanted)  # at the head that `step` ends with: nothing was awaited since
        try:
            async for page in self._pages(wanted, step):
                yield page
            while True:
                yield await subscriber.next_events()
        finally:
            self._fanout.leave(subscriber)
            if subscriber.lagged:
                self._lagged()

    async def _pages(self, wanted: EventFilter, step: ReadStored) -> AsyncIterator[Sequence[StoredRecord]]:
        after = step.after
        while after < step.until:
            page = await self._read(wanted, after, step.until, MAX_MESSAGE_EVENTS, newest_first=False)
            if page:
                yield page
            if len(page) < MAX_MESSAGE_EVENTS:
                return
            after = page[-1].position

    async def _read(
        self, wanted: EventFilter, after: Position, until: Position, limit: int, *, newest_first: bool
    ) -> tuple[StoredRecord, ...]:
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._readers,
                lambda: self._store.read(
                    wanted, after=after, until=until, limit=limit, newest_first=newest_first
                ),
            )
        except StoreUnreachable as error:
            raise DatabaseUnavailableError(
                f"the log database cannot be reached: {error}; try again"
            ) from error
