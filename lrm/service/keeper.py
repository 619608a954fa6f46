"""The usage store in the hands of one process: opened at a promotion, closed whenever the role is in doubt.

Why: a DuckDB file belongs to one process at a time, so whoever is suspended, hands over or is demoted
releases it, and a promoter that finds it held by a process that should have let go has the agent of the
host end that process (`ha.md`, Fencing in the database). Everything that writes goes through one thread;
reports have threads of their own.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from confkit.election.types import ProcessFacts
from confkit.events import EventLog
from confkit.fence import FenceRow
from lrm.ports import FormerHolder, StoreFenced, StoreLocked, StoreWentBack, UsageStore, UsageVault

T = TypeVar("T")

LOCK_POLL_S: Final = 0.02
"""How often a promoter tries to open a file that another process still has open, in seconds."""

PATIENCE_S: Final = 0.2
"""How long it waits before it has that process ended, in seconds."""


class StoreKeeper:
    """Opens, lends and closes the store.

    Args:
        vault: where the store is.
        facts: this process.
        events: for the log.
        former: ends a process that keeps the store from its successor; None without an agent.
    """

    def __init__(
        self, vault: UsageVault, *, facts: ProcessFacts, events: EventLog, former: FormerHolder | None
    ) -> None:
        self._vault = vault
        self._facts = facts
        self._events = events
        self._former = former
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="usage-writer")
        self._readers = ThreadPoolExecutor(max_workers=2, thread_name_prefix="usage-reader")
        self.store: UsageStore | None = None
        self.row: FenceRow | None = None
        """The row under which this process has or had the store open."""

    async def read_fence(self) -> FenceRow | None:
        """The fence row as published. Raises StoreUnreachable."""
        return await asyncio.to_thread(self._vault.read_fence)

    async def replace_fence(self, expected: FenceRow, replacement: FenceRow) -> bool:
        """Compare and set the row. Raises StoreLocked, StoreUnreachable."""
        return await self.writing(lambda: self._vault.replace_fence(expected, replacement))

    async def open(self, next_row: Callable[[FenceRow | None], FenceRow], *, patience_s: float) -> UsageStore:
        """Open the store, waiting up to `patience_s` seconds for a former holder, and having it ended
        meanwhile.

        Raises what `next_row` raises, StoreLocked, StoreUnreachable.
        """
        began_s = time.monotonic()
        asked = False
        while True:
            try:
                return await self._open(next_row)
            except StoreLocked as error:
                waited_s = time.monotonic() - began_s
                if waited_s > patience_s:
                    raise
                if waited_s > PATIENCE_S and not asked:
                    asked = True
                    await self._end_former_holder(error)
                await asyncio.sleep(LOCK_POLL_S)

    async def reopen(self) -> UsageStore:
        """Open the store again as it was left.

        Raises StoreFenced, StoreWentBack, StoreLocked, StoreUnreachable.
        """
        return self.store if self.store is not None else await self._open(self._unchanged)

    async def close(self) -> None:
        """Release the store; nothing happens when it is closed."""
        store, self.store = self.store, None
        if store is not None:
            await self.writing(store.close)

    def forget(self) -> None:
        """Give the token up: the store cannot be opened again under it."""
        self.row = None

    async def writing(self, work: Callable[[], T]) -> T:
        """Do something in the one thread that writes."""
        return await asyncio.get_running_loop().run_in_executor(self._writer, work)

    async def reading(self, work: Callable[[], T]) -> T:
        """Do something in a thread that reads."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, work)

    def stop(self) -> None:
        """End the threads."""
        self._writer.shutdown()
        self._readers.shutdown()

    async def _open(self, next_row: Callable[[FenceRow | None], FenceRow]) -> UsageStore:
        raised: list[FenceRow] = []

        def remembered(found: FenceRow | None) -> FenceRow:
            raised.append(next_row(found))
            return raised[-1]

        self.store = await self.writing(lambda: self._vault.open(remembered))
        self.row = raised[-1]
        return self.store

    def _unchanged(self, found: FenceRow | None) -> FenceRow:
        row = self.row
        if row is None or found is None or found.token != row.token:
            raise StoreFenced(f"the usage store is held under {found.token if found else 'no token'}")
        if found.history_id != row.history_id:
            raise StoreWentBack("the usage store has another history")
        return found

    async def _end_former_holder(self, locked: StoreLocked) -> None:
        row = await self.read_fence()
        ours = row is not None and row.host == self._facts.host and locked.holder_pid in (None, row.pid)
        if self._former is None or row is None or not ours:
            self._events.emit("66-25211", detail=str(locked))
            return
        self._events.emit("66-25210", pid=row.pid, client=row.instance)
        await self._former.end(row, reason=f"it keeps the usage store, {self._facts.instance} is promoted")
