"""What elected servers with a fenced store do alike when roles change; what differs is in four hooks.

Promotion raises the token in the store first, checking the HA feature and the instance on record in that same
transaction (B-40), then opens. Blocking calls go to the store's own thread. Subclasses say what opening,
suspending, resuming and closing mean; nothing here serves anybody.
"""

from __future__ import annotations

import abc
import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TypeVar

from confclient.errors import ConfservError, LicenseRequiredError
from confkit.election.ports import StoreUnreachable
from confkit.election.types import (
    Confirmation,
    Epoch,
    EtcdIdentity,
    GenerationRaise,
    Grounds,
    Permission,
    ProcessFacts,
    Promotion,
    PromotionResult,
    View,
)
from confkit.events import EventLog
from confkit.fence import FenceRow, RaiseCheck, may_take_role
from confkit.fence_sql import Raise
from confkit.fence_store import FenceStore

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Setting:
    """What a component with a fenced store stands on.

    `store_thread` is an executor with one thread; `facts` says who this process is; `ha_licensed` whether the
    license, as known now, allows switchover; `wall_ms` is the wall clock; `take_over` is an operator's order for the
    first promotion.
    """

    fence: FenceStore
    store_thread: Executor
    facts: Callable[[], ProcessFacts]
    ha_licensed: Callable[[], bool]
    wall_ms: Callable[[], int]
    events: EventLog
    take_over: bool = False


class FencedComponent(abc.ABC):
    """The half of an election's `Component` that has to do with the fence row."""

    def __init__(self, setting: Setting) -> None:
        """Begin closed."""
        self._setting = setting
        self._take_over = setting.take_over
        self._was_refused = False

    @property
    def ha_licensed(self) -> bool:
        """Whether the license, as known now, allows switchover (B-40)."""
        return self._setting.ha_licensed()

    async def read_fence(self) -> FenceRow | None:
        """Read the fence row. Raises StoreUnreachable."""
        return await self.in_store_thread(self._setting.fence.read_fence)

    def may_campaign(self, row: FenceRow | None, view: View) -> Permission:
        """Apply B-40; a refusal is logged once."""
        permission = self._permit(row)
        if not permission.allowed and not self._was_refused:
            self._setting.events.emit("00-25012", detail=permission.detail)
        self._was_refused = not permission.allowed
        return permission

    async def raise_generation(
        self, expected: FenceRow, *, identity: EtcdIdentity, revision: int
    ) -> GenerationRaise:
        """Record a rebuilt etcd."""
        return await self.in_store_thread(
            lambda: self._setting.fence.raise_generation(
                expected, identity=identity, revision=revision, now_ms=self._setting.wall_ms()
            )
        )

    async def promote(self, epoch: Epoch, grounds: Grounds) -> Promotion:
        """Raise the token, then open."""
        try:
            raised = await self.in_store_thread(
                lambda: self._setting.fence.raise_fence(
                    epoch,
                    grounds,
                    facts=self._setting.facts(),
                    permit=self._permit,
                )
            )
            if not raised.raised:
                return refused(raised)
            assert raised.row is not None, "a raised token stands in a row"
            if self._take_over:
                self._setting.events.emit("00-25022", detail="--take-over")
            self._take_over = False
            return await self.open(epoch, raised.row, grounds)
        except StoreUnreachable as error:
            return Promotion(PromotionResult.UNREACHABLE, str(error))

    @abc.abstractmethod
    async def open(self, epoch: Epoch, row: FenceRow, grounds: Grounds) -> Promotion:
        """Catch up with the store, whose row is raised, and open for clients. May raise StoreUnreachable."""

    async def confirm(self, epoch: Epoch) -> Confirmation:
        """Say whether the row still holds `epoch`."""
        return await self.in_store_thread(lambda: self._setting.fence.confirm(epoch))

    def refuse_switchover(self) -> ConfservError | None:
        """Refuse a planned switchover without the HA feature (B-40)."""
        if self._setting.ha_licensed():
            return None
        self._setting.events.emit("00-25012", detail="planned switchover")
        return LicenseRequiredError(
            "the license lacks ha_redundancy: load one that has it", feature="ha_redundancy"
        )

    async def in_store_thread(self, work: Callable[[], T]) -> T:
        """Carry out a blocking call in the store's thread."""
        return await asyncio.get_running_loop().run_in_executor(self._setting.store_thread, work)

    def _permit(self, row: FenceRow | None) -> Permission:
        return may_take_role(
            row,
            instance=self._setting.facts().instance,
            ha_licensed=self._setting.ha_licensed(),
            take_over=self._take_over,
        )


def refused(raised: Raise) -> Promotion:
    """Give the answer of a promotion whose token was not put into the row."""
    row = raised.row
    if raised.check is RaiseCheck.FENCED:
        return Promotion(PromotionResult.FENCED, held=row.token if row else None)
    if raised.check is RaiseCheck.MUST_WAIT:
        return Promotion(PromotionResult.MUST_WAIT, wait_s=row.granted_ttl_s if row else 0.0)
    return Promotion(PromotionResult.NOT_ALLOWED, raised.permission.detail)
