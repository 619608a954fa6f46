"""The Message Server as a member of its pair: what promotion, suspension and demotion mean for the log.

Promotion raises the token in the log database first, checking the HA feature and the instance on record in that
same transaction (B-40), then reads where positions go on, then opens. Blocking calls go to the store's own thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from typing import TypeVar

from confclient.errors import ConfservError, LicenseRequiredError

from confkit.election.ports import StoreUnreachable
from confkit.election.types import (
    Confirmation,
    Epoch,
    EtcdIdentity,
    GenerationRaise,
    Grounds,
    History,
    LeaderRecord,
    Member,
    MemberState,
    Permission,
    ProcessFacts,
    Promotion,
    PromotionResult,
    View,
)
from confkit.events import EventLog
from confkit.fence import FenceRow, RaiseCheck, may_take_role
from confkit.fence_sql import Raise
from message_server.core.continuity import continuity
from message_server.fanout import Fanout
from message_server.journal import Journal
from message_server.ports import LogStore

T = TypeVar("T")


class MessageServer:
    """Implements the election's `Component`. `ha_licensed` says whether the license, as known now, allows switchover;
    `refusal` is what subscribers get when the role moves; `wall_ms` is the wall clock; `take_over` is an operator's
    order for the first promotion.
    """

    def __init__(
        self,
        *,
        store: LogStore,
        writer: Executor,
        journal: Journal,
        fanout: Fanout,
        facts: Callable[[], ProcessFacts],
        ha_licensed: Callable[[], bool],
        refusal: Callable[[], ConfservError],
        wall_ms: Callable[[], int],
        events: EventLog,
        take_over: bool = False,
    ) -> None:
        self._store = store
        self._writer = writer
        self._journal = journal
        self._fanout = fanout
        self._facts = facts
        self._ha_licensed = ha_licensed
        self._refusal = refusal
        self._wall_ms = wall_ms
        self._events = events
        self._history_id = ""
        self._take_over = take_over
        self._was_refused = False

    async def read_fence(self) -> FenceRow | None:
        """Read the fence row. Raises StoreUnreachable."""
        return await self._run(self._store.read_fence)

    def may_campaign(self, row: FenceRow | None, view: View) -> Permission:
        """Apply B-40; a refusal is logged once."""
        permission = self._permit(row)
        if not permission.allowed and not self._was_refused:
            self._events.emit("00-25012", detail=permission.detail)
        self._was_refused = not permission.allowed
        return permission

    async def raise_generation(
        self, expected: FenceRow, *, identity: EtcdIdentity, revision: int
    ) -> GenerationRaise:
        """Record a rebuilt etcd."""
        return await self._run(
            lambda: self._store.raise_generation(
                expected, identity=identity, revision=revision, now_ms=self._wall_ms()
            )
        )

    async def promote(self, epoch: Epoch, grounds: Grounds) -> Promotion:
        """Raise the token, find the last position, open."""
        try:
            raised = await self._run(
                lambda: self._store.raise_fence(
                    epoch,
                    grounds,
                    facts=self._facts(),
                    permit=self._permit,
                )
            )
            if not raised.raised:
                return _refused(raised)
            assert raised.row is not None, "a raised token stands in a row"
            head = await self._run(self._store.head)
        except StoreUnreachable as error:
            return Promotion(PromotionResult.UNREACHABLE, str(error))
        self._history_id = raised.row.history_id
        goes_on = continuity(head=head, history_id=self._history_id, known=grounds.view.history)
        if goes_on.missing_after is not None:
            self._events.emit("42-25010", head=goes_on.missing_after, expected=goes_on.expected)
        if self._take_over:
            self._events.emit("00-25022", detail="--take-over")
        self._take_over = False
        self._journal.open(history_id=self._history_id, head=goes_on.head)
        return Promotion.opened()

    async def suspend(self, reason: str) -> None:
        """Let batches and queries wait."""
        self._journal.suspend()

    async def confirm(self, epoch: Epoch) -> Confirmation:
        """Say whether the row still holds `epoch`."""
        return await self._run(lambda: self._store.confirm(epoch))

    async def resume(self, epoch: Epoch) -> None:
        """Go on."""
        self._journal.resume()

    async def prepare_handover(self, successor: Member, timeout_s: float) -> bool:
        """Stop admitting and finish the transaction in flight."""
        if not successor.state.promotable:
            return False
        self._journal.suspend()
        try:
            await asyncio.wait_for(self._journal.settle(), timeout_s)
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
            "ha_licensed": str(self._ha_licensed()).lower(),
        }

    def refuse_switchover(self) -> ConfservError | None:
        """Refuse a planned switchover without the HA feature (B-40)."""
        if self._ha_licensed():
            return None
        self._events.emit("00-25012", detail="planned switchover")
        return LicenseRequiredError(
            "the license lacks ha_redundancy: load one that has it", feature="ha_redundancy"
        )

    def _permit(self, row: FenceRow | None) -> Permission:
        return may_take_role(
            row, instance=self._facts().instance, ha_licensed=self._ha_licensed(), take_over=self._take_over
        )

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._writer, work)


def _refused(raised: Raise) -> Promotion:
    row = raised.row
    if raised.check is RaiseCheck.FENCED:
        return Promotion(PromotionResult.FENCED, held=row.token if row else None)
    if raised.check is RaiseCheck.MUST_WAIT:
        return Promotion(PromotionResult.MUST_WAIT, wait_s=row.granted_ttl_s if row else 0.0)
    return Promotion(PromotionResult.NOT_ALLOWED, raised.permission.detail)
