"""The Message Server as a member of its pair: what promotion, suspension and demotion mean for the log.

Promotion raises the token in the log database, finds where positions go on, then opens. A log database that went
back is announced, and served: see `core.continuity`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from confclient.errors import ConfservError
from confkit.election.types import (
    Epoch,
    Grounds,
    History,
    LeaderRecord,
    Member,
    MemberState,
    Promotion,
)
from confkit.fence import FenceRow
from confkit.fenced_component import FencedComponent, Setting
from message_server.core.continuity import continuity
from message_server.fanout import Fanout
from message_server.journal import Journal
from message_server.ports import EventStore


class MessageServer(FencedComponent):
    """Implements the election's `Component`. `refusal` is what subscribers get when the role moves."""

    def __init__(
        self,
        setting: Setting,
        *,
        store: EventStore,
        journal: Journal,
        fanout: Fanout,
        refusal: Callable[[], ConfservError],
    ) -> None:
        super().__init__(setting)
        self._store = store
        self._journal = journal
        self._fanout = fanout
        self._refusal = refusal
        self._history_id = ""

    async def open(self, epoch: Epoch, row: FenceRow, grounds: Grounds) -> Promotion:
        """Find the last position and admit batches."""
        head = await self.in_store_thread(self._store.head)
        self._history_id = row.history_id
        goes_on = continuity(head=head, history_id=row.history_id, known=grounds.view.history)
        if goes_on.missing_after is not None:
            self._setting.events.emit("42-25010", head=goes_on.missing_after, expected=goes_on.expected)
        self._journal.open(history_id=row.history_id, head=goes_on.head)
        return Promotion.opened()

    async def suspend(self, reason: str) -> None:
        """Let batches and queries wait."""
        self._journal.suspend()

    async def resume(self, epoch: Epoch) -> None:
        """Go on."""
        self._journal.resume()

    async def prepare_handover(self, successor: Member, timeout_s: float) -> bool:
        """Stop admitting and finish the transaction in flight."""
        if not successor.state.promotable:
            return False
        self._journal.suspend()
        try:
            async with asyncio.timeout(timeout_s):
                await self._journal.settle()
        except TimeoutError:
            return False
        return True

    async def demote(self, reason: str, successor: LeaderRecord | None) -> None:
        """Refuse what waits, end subscriptions."""
        self._journal.close()
        self._fanout.end_all(self._refusal())

    def member(self) -> MemberState:
        """Say how this server stands."""
        history = History(self._history_id, self._journal.head) if self._history_id else None
        return MemberState(
            applied_revision=self._journal.head,
            promotable=self._journal.reachable,
            database_reachable=self._journal.reachable,
            history=history,
        )

    def attributes(self) -> Mapping[str, str]:
        """What status shows besides roles."""
        return {
            "log_position": str(self._journal.head),
            "subscribers": str(len(self._fanout)),
            "ha_licensed": str(self.ha_licensed).lower(),
        }
