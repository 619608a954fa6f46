"""A component that keeps its fence row in memory and says what is done to it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from confkit import fence
from confkit.election.ports import StoreUnreachable
from confkit.election.types import (
    ALLOWED,
    Confirmation,
    Epoch,
    EtcdIdentity,
    GenerationRaise,
    Grounds,
    InstanceName,
    LeaderRecord,
    Member,
    MemberState,
    Permission,
    ProcessFacts,
    Promotion,
    PromotionResult,
    View,
)


@dataclass
class SharedRow:
    """The fence row of a store that several components share."""

    row: fence.FenceRow | None = None


@dataclass
class RecordingComponent:
    """Implements the port `Component`; `calls` tells what was asked, `busy` that two calls never overlap."""

    name: InstanceName
    store: SharedRow
    reachable: bool = True
    ready: bool = True
    calls: list[str] = field(default_factory=list)
    busy: bool = False

    async def _called(self, what: str) -> None:
        assert not self.busy, f"{what} while another call is in flight"
        self.busy = True
        self.calls.append(what)
        await asyncio.sleep(0)
        self.busy = False

    async def read_fence(self) -> fence.FenceRow | None:
        """See `Component`."""
        await self._called("read")
        if not self.reachable:
            raise StoreUnreachable
        return self.store.row

    def may_campaign(self, row: fence.FenceRow | None, view: View) -> Permission:
        """See `Component`."""
        return ALLOWED

    async def raise_generation(
        self, expected: fence.FenceRow, *, identity: EtcdIdentity, revision: int
    ) -> GenerationRaise:
        """See `Component`."""
        await self._called("raise generation")
        if self.store.row != expected:
            return GenerationRaise.LOST
        self.store.row = fence.raised_generation(expected, identity=identity, revision=revision, now_ms=1)
        return GenerationRaise.RAISED

    async def promote(self, epoch: Epoch, grounds: Grounds) -> Promotion:
        """See `Component`."""
        await self._called("promote")
        row = self.store.row
        check = fence.may_raise(
            row,
            epoch=epoch,
            waited_s=grounds.waited_s,
            identity=grounds.identity,
            prior_revision=grounds.prior_revision,
        )
        if check is fence.RaiseCheck.FENCED:
            return Promotion(PromotionResult.FENCED)
        if check is fence.RaiseCheck.MUST_WAIT:
            assert row is not None
            return Promotion(PromotionResult.MUST_WAIT, wait_s=row.granted_ttl_s)
        self.store.row = fence.raised(
            row,
            epoch=epoch,
            facts=ProcessFacts(self.name),
            granted_ttl_s=grounds.granted_ttl_s,
            identity=grounds.identity,
            etcd_revision=grounds.etcd_revision,
            fresh_history_id="h",
        )
        return Promotion.opened()

    async def suspend(self, reason: str) -> None:
        """See `Component`."""
        await self._called("suspend")

    async def confirm(self, epoch: Epoch) -> Confirmation:
        """See `Component`."""
        await self._called("confirm")
        return Confirmation(fence.check_write(self.store.row, epoch=epoch, history_id="h").value)

    async def resume(self, epoch: Epoch) -> None:
        """See `Component`."""
        await self._called("resume")

    async def prepare_handover(self, successor: Member, timeout_s: float) -> bool:
        """See `Component`."""
        await self._called("prepare")
        return self.ready

    async def demote(self, reason: str, successor: LeaderRecord | None) -> None:
        """See `Component`."""
        await self._called("demote")

    def member(self) -> MemberState:
        """See `Component`."""
        return MemberState(database_reachable=self.reachable)
