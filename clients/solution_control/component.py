"""Solution Control as a member of its pair: it keeps nothing, so that a role is all that moves."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from confclient.errors import ConfservError, LicenseRequiredError
from confkit.election.types import (
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
    Promotion,
    PromotionResult,
    View,
)
from confkit.events import EventLog
from confkit.fence import FenceRow
from solution_control.core.record import may_be_primary, record_of


class SolutionControl:
    """Implements the election's `Component`. `ha_licensed` says whether the license, as known now, allows
    switchover; `take_over` is an operator's order for the first promotion.
    """

    def __init__(
        self,
        *,
        instance: InstanceName,
        ha_licensed: Callable[[], bool],
        status: Callable[[], Mapping[str, str]],
        events: EventLog,
        take_over: bool = False,
    ) -> None:
        self._instance = instance
        self._ha_licensed = ha_licensed
        self._status = status
        self._events = events
        self._take_over = take_over
        self._was_refused = False

    async def read_fence(self) -> FenceRow | None:
        """Nothing is kept: there is no row."""
        return None

    def may_campaign(self, row: FenceRow | None, view: View) -> Permission:
        """Apply B-40; a refusal is logged once."""
        permission = self._permit(view)
        if not permission.allowed and not self._was_refused:
            self._events.emit("00-25012", detail=permission.detail)
        self._was_refused = not permission.allowed
        return permission

    async def raise_generation(
        self, expected: FenceRow, *, identity: EtcdIdentity, revision: int
    ) -> GenerationRaise:
        """There is no row to be compared."""
        return GenerationRaise.LOST

    async def promote(self, epoch: Epoch, grounds: Grounds) -> Promotion:
        """Serve, if B-40 still allows it."""
        permission = self._permit(grounds.view)
        if not permission.allowed:
            return Promotion(PromotionResult.NOT_ALLOWED, permission.detail)
        if self._take_over:
            self._events.emit("00-25022", detail="--take-over")
        self._take_over = False
        return Promotion.opened()

    async def suspend(self, reason: str) -> None:
        """Nothing is admitted without a token that is proved at that instant."""

    async def confirm(self, epoch: Epoch) -> Confirmation:
        """The leader key, which the election has confirmed, is the fence."""
        return Confirmation.HOLDS

    async def resume(self, epoch: Epoch) -> None:
        """Nothing waited."""

    async def prepare_handover(self, successor: Member, timeout_s: float) -> bool:
        """Nothing is in flight that a successor would have to wait for."""
        return successor.state.promotable

    async def demote(self, reason: str, successor: LeaderRecord | None) -> None:
        """Nothing waits to be refused."""

    def member(self) -> MemberState:
        """Say how this server stands; whoever is primary is on record with it."""
        return MemberState(history=record_of(self._instance))

    def attributes(self) -> Mapping[str, str]:
        """What status shows besides roles."""
        return {"ha_licensed": str(self._ha_licensed()).lower(), **self._status()}

    def refuse_switchover(self) -> ConfservError | None:
        """Refuse a planned switchover without the HA feature (B-40)."""
        if self._ha_licensed():
            return None
        self._events.emit("00-25012", detail="planned switchover")
        return LicenseRequiredError(
            "the license lacks ha_redundancy: load one that has it", feature="ha_redundancy"
        )

    def _permit(self, view: View) -> Permission:
        return may_be_primary(
            view.history,
            instance=self._instance,
            ha_licensed=self._ha_licensed(),
            take_over=self._take_over,
        )
