"""The former primary that keeps the database from its successor: stopped inside a transaction, on one host.

PostgreSQL ends such a transaction itself; SQLite cannot. The agent of the host is asked to kill exactly the process on
record; without one the promotion waits, and says so (`ha.md`, Fencing in the database).
"""

from __future__ import annotations

from collections.abc import Callable

from confkit.election.ports import StoreUnreachable
from confkit.election.types import ProcessFacts
from confkit.events import EventLog
from confkit.fence import FenceRow
from confserv.role_ports import Fence, FormerHolder

KEPT_EVENT = "21-25133"


def stands_in_the_way(row: FenceRow | None, own: ProcessFacts) -> bool:
    """Say whether the row names another process of this very host and boot, so that its number means something."""
    return (
        row is not None
        and row.pid > 0
        and (row.host, row.boot_id) == (own.host, own.boot_id)
        and (row.pid, row.process_start_ticks) != (own.pid, own.process_start_ticks)
    )


class FormerPrimary:
    """Ends the process on record when a promotion cannot reach the database. `holder` is None without an agent."""

    def __init__(
        self,
        *,
        fence: Fence,
        holder: FormerHolder | None,
        facts: Callable[[], ProcessFacts],
        events: EventLog,
    ) -> None:
        """Ask `holder`, and log to `events`."""
        self._fence = fence
        self._holder = holder
        self._facts = facts
        self._events = events
        self._told: FenceRow | None = None

    async def unblock(self) -> bool:
        """Do what can be done; true when the process on record is gone and asking again is worth it."""
        try:
            row = await self._fence.read()
        except StoreUnreachable:
            return False
        if row is None or not stands_in_the_way(row, self._facts()):
            return False
        gone = self._holder is not None and await self._holder.end(
            row, reason="it keeps the Configuration Database from its successor"
        )
        if self._told != row:
            self._told = row
            self._events.emit(KEPT_EVENT, detail=_detail(row, gone=gone), pid=row.pid, instance=row.instance)
        return gone


def _detail(row: FenceRow, *, gone: bool) -> str:
    who = f"process {row.pid} of {row.instance}"
    if gone:
        return f"{who} was killed by the agent"
    return f"{who} is waited for; end it (kill -9 {row.pid}), or let it go on (kill -CONT {row.pid})"
