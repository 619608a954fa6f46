"""The store's blocking calls, each in a thread: one for commits, so that two never run at once, others for reads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from confserv.core.effects import Commit
from confserv.core.log import Found, HistoryPage, RequestKey, Tail
from confserv.core.objects import Key
from confserv.ports import CommitResult, ConfigurationStore, Loaded

T = TypeVar("T")

PAGE = 1000
"""Most log entries of one read."""


class StoreThreads:
    """A `ConfigurationStore` for an event loop. All but `commit` raise StoreUnreachable."""

    def __init__(self, store: ConfigurationStore) -> None:
        """Start no thread before the first call."""
        self._store = store
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="commit")
        self._readers = ThreadPoolExecutor(2, thread_name_prefix="read")

    async def load(self, *, recent: int) -> Loaded:
        """Read everything, and the newest `recent` log entries."""
        return await self._read(lambda: self._store.load(recent=recent))

    async def commit(self, commit: Commit, *, may_commit: Callable[[], bool]) -> CommitResult:
        """Write a group as one transaction, behind all commits that were asked for before; `may_commit` is asked in
        the thread.
        """
        return await asyncio.get_running_loop().run_in_executor(
            self._writer,
            lambda: self._store.commit(
                commit.group, epoch=commit.epoch, history_id=commit.history_id, may_commit=may_commit
            ),
        )

    async def tail(self, *, after_revision: int) -> Tail:
        """Read a page of the log behind `after_revision`, with the fence row."""
        return await self._read(lambda: self._store.tail(after_revision=after_revision, limit=PAGE))

    async def find(self, requests: Sequence[RequestKey]) -> Found:
        """Read the log entries of some request ids, with the fence row."""
        return await self._read(lambda: self._store.find(requests))

    async def history(self, *, key: Key | None, after_revision: int, limit: int) -> HistoryPage:
        """Read whole transactions, of one object or of all."""
        return await self._read(
            lambda: self._store.history(key=key, after_revision=after_revision, limit=limit)
        )

    async def stop(self) -> None:
        """End the threads once they are done."""
        await asyncio.to_thread(self._writer.shutdown)
        await asyncio.to_thread(self._readers.shutdown)

    async def _read(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._readers, work)
