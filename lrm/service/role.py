"""What a License Reporting Manager does when the election gives it the role, doubts it, or takes it away.

Why: a backup opens the usage store when it is promoted, and whoever is suspended, hands over or is demoted
closes it after the commit in flight, so that its successor need not have it killed. It does not decide who
is primary.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from confclient.errors import ConfservError, LicenseRequiredError, NoPrimaryError
from confkit.clock import Clock
from confkit.election.ports import Leadership, StoreUnreachable
from confkit.election.types import (
    Confirmation,
    Epoch,
    EtcdIdentity,
    GenerationRaise,
    Grounds,
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
from confkit.fence import (
    FenceRow,
    RaiseCheck,
    may_raise,
    may_raise_generation,
    may_take_role,
    raised,
    raised_generation,
)
from confkit.member_service import not_primary
from lrm.core.continuity import went_back
from lrm.core.entitlement import EntitlementRevision
from lrm.core.ingest import Batch, BatchResult
from lrm.ports import StoreFenced, StoreLocked, StoreWentBack, UsageStore
from lrm.service.keeper import StoreKeeper
from lrm.service.license_book import LicenseBook
from lrm.service.recorder import Recorder

T = TypeVar("T")

HA_FEATURE: Final = "ha_redundancy"


class _Refused(Exception):
    """The fence row does not allow this promotion."""

    def __init__(self, promotion: Promotion) -> None:
        super().__init__(promotion.detail)
        self.promotion = promotion


@dataclass(frozen=True, slots=True)
class RoleTools:
    """What the role works with.

    `leadership` is asked late, because the election is made for this component. `on_lost` is told when the
    store turned out to be another server's, or to have gone back: this process cannot go on as it is.
    """

    keeper: StoreKeeper
    book: LicenseBook
    events: EventLog
    clock: Clock
    facts: ProcessFacts
    leadership: Callable[[], Leadership]
    on_lost: Callable[[str], None]
    take_over: bool = False


class UsageRole:
    """The component that is elected. Its methods are called by the election's runner, one at a time."""

    def __init__(self, tools: RoleTools) -> None:
        self._tools = tools
        self._keeper = tools.keeper
        self._reachable = True
        self._applied = 0
        self._was_refused = False
        self._take_over = tools.take_over
        self._saving: set[asyncio.Task[None]] = set()
        self.recorder = Recorder(commit=self._commit, epoch=self._epoch_now, on_lost=self._lost)
        self.status: Callable[[], Mapping[str, str]] = dict
        tools.book.on_revision = self._keep_revision

    # --- what the election asks

    async def read_fence(self) -> FenceRow | None:
        """Read the row, or its copy while another process has the store open."""
        return await self._keeper.read_fence()

    def may_campaign(self, row: FenceRow | None, view: View) -> Permission:
        """Apply B-40; a refusal is logged once."""
        permission = self._may_take_role(row)
        if not permission.allowed and not self._was_refused:
            self._tools.events.emit("00-25012", detail=permission.detail)
        self._was_refused = not permission.allowed
        return permission

    async def raise_generation(
        self, expected: FenceRow, *, identity: EtcdIdentity, revision: int
    ) -> GenerationRaise:
        """Record a rebuilt etcd."""
        now_ms = self._tools.clock.wall_ms()
        if not may_raise_generation(expected, now_ms=now_ms):
            return GenerationRaise.TOO_SOON
        row = raised_generation(expected, identity=identity, revision=revision, now_ms=now_ms)
        try:
            replaced = await self._keeper.replace_fence(expected, row)
        except (StoreLocked, StoreUnreachable):
            return GenerationRaise.UNREACHABLE
        return GenerationRaise.RAISED if replaced else GenerationRaise.LOST

    async def promote(self, epoch: Epoch, grounds: Grounds) -> Promotion:
        """Open the store under `epoch`, load the entitlement, take what waits."""
        try:
            store = await self._keeper.open(
                lambda found: self._next_row(found, epoch, grounds), patience_s=grounds.granted_ttl_s
            )
            detail = went_back(store.history(), grounds.view)
            if detail is not None and not self._take_over:
                await self._keeper.close()
                return Promotion(PromotionResult.WENT_BACK, detail)
            await self._load(store)
        except _Refused as refused:
            return refused.promotion
        except StoreFenced as error:
            return Promotion(PromotionResult.FENCED, str(error))
        except (StoreLocked, StoreUnreachable, StoreWentBack) as error:
            self._reachable = not isinstance(error, StoreUnreachable)
            await self._keeper.close()
            return Promotion(PromotionResult.UNREACHABLE, str(error))
        self._reachable = True
        if self._take_over:
            self._tools.events.emit("00-25022", detail="--take-over")
            self._take_over = False
        self.recorder.open()
        return Promotion.opened()

    async def suspend(self, reason: str) -> None:
        """Let what comes wait, and release the store."""
        await self.recorder.pause()
        await self._keeper.close()

    async def confirm(self, epoch: Epoch) -> Confirmation:
        """Open the store again if its row is still this server's."""
        try:
            await self._keeper.reopen()
        except StoreFenced:
            return Confirmation.FENCED
        except StoreWentBack:
            return Confirmation.WENT_BACK
        except (StoreLocked, StoreUnreachable):
            return Confirmation.UNREACHABLE
        return Confirmation.HOLDS

    async def resume(self, epoch: Epoch) -> None:
        """Serve again what waited."""
        try:
            await self._keeper.reopen()
        except (StoreFenced, StoreWentBack, StoreLocked, StoreUnreachable) as error:
            self._lost(error)
            return
        self.recorder.open()

    async def prepare_handover(self, successor: Member, timeout_s: float) -> bool:
        """Finish the commit in flight and release the store, so that the successor can open it at once."""
        if not successor.state.promotable:
            return False
        try:
            async with asyncio.timeout(timeout_s):
                await self.suspend("a hand-over is prepared")
        except TimeoutError:
            return False
        return True

    async def demote(self, reason: str, successor: LeaderRecord | None) -> None:
        """Refuse what waits with the successor's endpoints, and release the store."""
        self._keeper.forget()
        await self.recorder.close(self.refusal)
        await self._keeper.close()

    def member(self) -> MemberState:
        """How this server stands. A backup has applied what the primary has: they share the store."""
        store = self._keeper.store
        history = store.history() if store is not None else None
        self._applied = history.revision if history is not None else self._applied_by_primary()
        return MemberState(
            applied_revision=self._applied,
            promotable=True,
            database_reachable=self._reachable,
            history=history,
        )

    # --- what the life of a server asks

    def attributes(self) -> Mapping[str, str]:
        """License revision and SHA-256 that the entitlement is built from, and the state of the bond."""
        current = self._tools.book.current
        return {
            "license_revision": str(current.revision),
            "license_sha256": current.sha256,
            **self.status(),
        }

    def refuse_switchover(self) -> ConfservError | None:
        """Apply B-40 to a planned switchover."""
        if self._tools.book.ha_licensed():
            return None
        self._tools.events.emit("00-25012", detail="planned switchover")
        return LicenseRequiredError(
            f"the license lacks {HA_FEATURE}: load a license that has it", feature=HA_FEATURE
        )

    # --- what the API asks

    def refusal(self) -> ConfservError:
        """Where to go instead of here."""
        return not_primary(self._tools.leadership().primary(), here=self._tools.facts.instance)

    async def read(self, query: Callable[[UsageStore], T]) -> tuple[T, Epoch]:
        """Read from the store as primary, in a thread.

        Raises NOT_PRIMARY or NO_PRIMARY, also when the role was lost meanwhile.
        """
        epoch, store = self._epoch_now(), self._keeper.store
        if epoch is None or store is None:
            raise self.refusal()
        try:
            answer = await self._keeper.reading(lambda: query(store))
        except StoreUnreachable as error:
            raise NoPrimaryError(str(error)) from error
        if self._epoch_now() != epoch:
            raise self.refusal()
        return answer, epoch

    async def close(self) -> None:
        """Release everything; for the end of the process."""
        await self.recorder.close(self.refusal)
        await self._keeper.close()
        self._keeper.stop()

    # --- inside

    def _epoch_now(self) -> Epoch | None:
        return self._tools.leadership().epoch_at(self._tools.clock.boottime_s())

    def _may_take_role(self, row: FenceRow | None) -> Permission:
        return may_take_role(
            row,
            instance=self._tools.facts.instance,
            ha_licensed=self._tools.book.ha_licensed(),
            take_over=self._take_over,
        )

    def _applied_by_primary(self) -> int:
        leadership = self._tools.leadership()
        leader = leadership.primary()
        named = [member for member in leadership.members() if leader and member.instance == leader.instance]
        return max([self._applied, *(member.state.applied_revision for member in named)])

    def _next_row(self, found: FenceRow | None, epoch: Epoch, grounds: Grounds) -> FenceRow:
        check = may_raise(
            found,
            epoch=epoch,
            waited_s=grounds.waited_s,
            identity=grounds.identity,
            prior_revision=grounds.prior_revision,
        )
        if check is RaiseCheck.FENCED and found is not None:
            raise _Refused(
                Promotion(PromotionResult.FENCED, f"the row holds {found.token}", held=found.token)
            )
        if check is RaiseCheck.MUST_WAIT and found is not None:
            raise _Refused(Promotion(PromotionResult.MUST_WAIT, wait_s=found.granted_ttl_s))
        permission = self._may_take_role(found)
        if not permission.allowed:
            raise _Refused(Promotion(PromotionResult.NOT_ALLOWED, permission.detail))
        return raised(
            found,
            epoch=epoch,
            facts=self._tools.facts,
            granted_ttl_s=grounds.granted_ttl_s,
            identity=grounds.identity,
            etcd_revision=grounds.etcd_revision,
            fresh_history_id=str(uuid.uuid4()),
        )

    async def _load(self, store: UsageStore) -> None:
        missing = self._tools.book.merge(await self._keeper.writing(store.entitlement))

        def save_missing() -> None:
            for revision in missing:
                store.save_entitlement(revision)

        await self._keeper.writing(save_missing)

    def _keep_revision(self, revision: EntitlementRevision) -> None:
        store = self._keeper.store
        if store is None:
            return
        task = asyncio.create_task(self._save(store, revision))
        self._saving.add(task)
        task.add_done_callback(self._saving.discard)

    async def _save(self, store: UsageStore, revision: EntitlementRevision) -> None:
        try:
            await self._keeper.writing(lambda: store.save_entitlement(revision))
        except (StoreFenced, StoreWentBack) as error:
            self._lost(error)
        except StoreUnreachable as error:
            # it is written at the next promotion, or when the license is read again
            self._tools.events.emit("66-25212", detail=str(error))

    async def _commit(self, batches: Sequence[Batch]) -> tuple[BatchResult, ...]:
        store = self._keeper.store
        if store is None:
            raise StoreFenced("the usage store is closed")
        received_ms = self._tools.clock.wall_ms()
        return await self._keeper.writing(lambda: store.commit(batches, received_ms=received_ms))

    def _lost(self, error: Exception) -> None:
        self._tools.events.emit("66-25213", detail=str(error))
        self._tools.on_lost(str(error))
