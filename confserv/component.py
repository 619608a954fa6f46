"""The Configuration Server as a component of the election: promotion in the order of `ha.md`, and its opposite.

Raise the token; in snapshots begun after that, read the change log's tail, stage, license and sessions; only then
open. Nothing is served before the last step. What it does not promise: that the election hears of a refused write at
once; the gate is closed at once all the same.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from confclient.errors import ConfservError, LicenseRequiredError
from confkit.clock import Clock
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
    Refusal,
    View,
)
from confkit.events import EventLog
from confkit.fence import FenceCheck, FenceRow, RaiseCheck, may_take_role
from confkit.fence_sql import Raise
from confserv.core.bootstrap import first_objects
from confserv.core.effects import StepDown
from confserv.core.refusals import Refused
from confserv.role_ports import Fence, StateStore, Successors
from confserv.service.bindings import LrmBindings
from confserv.service.catch_up import elsewhere, whole_tail
from confserv.service.engine import ConfigurationEngine, WentBack
from confserv.service.former import FormerPrimary
from confserv.service.gate import Gate
from confserv.service.licensing import Licensing
from confserv.service.sessions import SessionKeeper
from confserv.state_ports import (
    DeploymentChange,
    Fenced,
    Tenure,
)

HA_FEATURE = "ha_redundancy"
_FOLLOW_S = 1.0
_STUCK_S = 10.0


@dataclass(frozen=True)
class Parts:
    """What the component switches on and off."""

    gate: Gate
    engine: ConfigurationEngine
    sessions: SessionKeeper
    bindings: LrmBindings
    licensing: Licensing
    fence: Fence
    state: StateStore
    successors: Successors
    former: FormerPrimary


class ConfigurationServer:
    """Implements `confkit.elected.ElectedComponent`.

    `facts` tells who this process is, once the address is bound; `ended` is called when the process must end, with
    the reason (21-25126: an operator decides).
    """

    def __init__(
        self,
        parts: Parts,
        *,
        facts: Callable[[], ProcessFacts],
        events: EventLog,
        clock: Clock,
        trust_sha256: str,
        take_over: bool,
        ended: Callable[[str], None],
    ) -> None:
        """Begin as a follower."""
        self._parts = parts
        self._facts = facts
        self._events = events
        self._clock = clock
        self._trust = trust_sha256
        self._take_over = take_over
        self._ended = ended
        self._tenure: Tenure | None = None
        self._closed_at_s: float | None = None
        self._went_back = ""
        self._refused_under: int | None = None

    # --- Component

    async def read_fence(self) -> FenceRow | None:
        """Read the fence row."""
        return await self._parts.fence.read()

    def may_campaign(self, row: FenceRow | None, view: View) -> Permission:
        """B-40, database known reachable, memory filled, history not gone back."""
        gone_back = self._went_back or self._parts.engine.went_back
        if gone_back:
            return Permission(Refusal.WENT_BACK, gone_back)
        if not self._reachable:
            return Permission(Refusal.DATABASE_UNREACHABLE, "the Configuration Database does not answer")
        allowed = may_take_role(
            row,
            instance=self._facts().instance,
            ha_licensed=self._parts.licensing.has_ha(),
            take_over=self._take_over,
        )
        if not allowed.allowed:
            self._log_refusal(allowed.detail)
        return allowed

    async def raise_generation(
        self, expected: FenceRow, *, identity: EtcdIdentity, revision: int
    ) -> GenerationRaise:
        """Record a rebuilt etcd."""
        try:
            outcome = await self._parts.fence.raise_generation(
                expected, identity=identity, revision=revision, now_ms=self._clock.wall_ms()
            )
        except StoreUnreachable:
            return GenerationRaise.UNREACHABLE
        if outcome is GenerationRaise.RAISED:
            self._events.emit("21-25125", generation=expected.token.generation + 1, identity=identity)
        return outcome

    async def promote(self, epoch: Epoch, grounds: Grounds) -> Promotion:
        """Raise the fence row, catch up in snapshots begun after that, open (`ha.md`, Fencing in the database)."""
        outcome = await self._promote(epoch, grounds)
        if outcome.result is PromotionResult.UNREACHABLE and await self._parts.former.unblock():
            outcome = await self._promote(epoch, grounds)
        return outcome

    async def _promote(self, epoch: Epoch, grounds: Grounds) -> Promotion:
        try:
            raised = await self._parts.fence.raise_token(
                epoch,
                grounds,
                facts=self._facts(),
                history_id=str(uuid.uuid4()),
                now=datetime.fromtimestamp(self._clock.wall_ms() / 1000, UTC),
            )
            refused = self._refused_raise(raised, epoch)
            if refused is not None:
                return refused
            assert raised.row is not None, "a raised row is there"
            if raised.was_failsafe:
                await asyncio.sleep(grounds.granted_ttl_s * (1 / 3 + 0.1) + 0.1)
            await self._open(Tenure(epoch, raised.row.history_id), grounds)
        except StoreUnreachable as error:
            return Promotion(PromotionResult.UNREACHABLE, str(error))
        except WentBack as error:
            self._went_back = str(error)
            return Promotion(PromotionResult.WENT_BACK, str(error))
        except Refused as error:  # the first objects met a higher token
            return Promotion(PromotionResult.FENCED, str(error))
        return Promotion.opened()

    async def suspend(self, reason: str) -> None:
        """Admit no write and no current read: they wait."""
        self._parts.gate.suspend()
        self._parts.engine.suspend()

    async def confirm(self, epoch: Epoch) -> Confirmation:
        """Ask the fence row whether this tenure still holds."""
        if self._tenure is None or self._tenure.epoch != epoch:
            return Confirmation.FENCED
        try:
            check = await self._parts.fence.check(self._tenure)
        except StoreUnreachable:
            return Confirmation.UNREACHABLE
        return _CONFIRMATIONS[check]

    async def resume(self, epoch: Epoch) -> None:
        """Serve again what waited."""
        if self._tenure is None or self._tenure.epoch != epoch:
            return
        self._parts.sessions.resumed()
        self._parts.gate.open(self._tenure)
        self._parts.engine.resume()

    async def prepare_handover(self, successor: Member, timeout_s: float) -> bool:
        """Ask the successor, stop admitting, finish the commit in flight (B-40, B-53)."""
        if not self._parts.licensing.has_ha():
            self._log_refusal(f"{successor.instance} may not take over")
            return False
        try:
            async with asyncio.timeout(timeout_s):
                if not await self._parts.successors.is_ready(successor, timeout_s=timeout_s):
                    return False
                self._parts.gate.suspend()
                return await self._parts.engine.drain(timeout_s=timeout_s)
        except TimeoutError:
            return False

    async def demote(self, reason: str, successor: LeaderRecord | None) -> None:
        """Stop being primary: whoever waits is sent to the successor."""
        self._tenure = self._closed_at_s = None
        self._parts.gate.close()
        self._parts.bindings.demoted()
        self._parts.licensing.demoted()
        self._parts.sessions.demoted()
        await self._parts.engine.demote()

    def member(self) -> MemberState:
        """Say how this server stands."""
        engine, why_not = self._parts.engine, self._why_not()
        return MemberState(
            applied_revision=engine.revision,
            promotable=not why_not,
            database_reachable=self._reachable,
            history=History(engine.history_id, engine.revision) if engine.history_id else None,
            extra={"trust": self._trust, "not_promotable": why_not},
        )

    # --- Served

    def attributes(self) -> Mapping[str, str]:
        """Stage, compliance and LRM, as every display shows them (B-24, B-33)."""
        bindings, licensing = self._parts.bindings, self._parts.licensing
        current = licensing.current
        return {
            "stage": bindings.stage.value,
            "compliance": licensing.assessment().compliance.value,
            "lrm": ",".join(bindings.instances),
            "lrm_away_since_ms": str(bindings.away_since_ms),
            "license_revision": "0" if current is None else str(current.stored.revision),
            "trust": self._trust,
        }

    def refuse_switchover(self) -> ConfservError | None:
        """B-40: without the HA feature no planned switchover either, and the log says why."""
        if self._parts.licensing.has_ha():
            return None
        self._events.emit("21-25123", detail="a planned switchover was asked for")
        return LicenseRequiredError(
            f"the license lacks {HA_FEATURE}: load one that has it, or take over by hand with --take-over",
            feature=HA_FEATURE,
        )

    async def run(self) -> None:
        """Show what the database says of the deployment while another server is primary, for ever (B-10)."""
        while True:
            if self._parts.gate.is_closed:
                await self._follow()
            if self._closed_at_s is not None and self._clock.boottime_s() - self._closed_at_s >= _STUCK_S:
                self._ended("fenced, and the leader key is still this server's: start over")
            await asyncio.sleep(_FOLLOW_S)

    # --- what others tell it

    def trusts(self, trust_sha256: str) -> None:
        """Publish the hash of another set of trusted keys (B-32)."""
        self._trust = trust_sha256

    def fenced(self, fenced: Fenced) -> None:
        """A write was refused by the fence row."""
        went_back = fenced.check is FenceCheck.WENT_BACK
        detail = (
            "the fence row has another history id: the database was restored" if went_back else str(fenced)
        )
        self.step_down(StepDown(went_back, detail))

    def step_down(self, step: StepDown) -> None:
        """Stop at once: another server holds a higher token, or the database went back, which an operator has to
        look at (B-50, B-51). The election finds out by itself; when it does not, the process ends (`run`).
        """
        if step.went_back:
            self._went_back = step.detail
            self._events.emit("21-25126", detail=step.detail)
            if self._tenure is not None:
                self._ended(step.detail)
        elif not self._parts.gate.is_closed:
            own = self._tenure.epoch if self._tenure else "none"
            self._events.emit("21-25122", token=own, held="another", detail=step.detail)
            self._closed_at_s = self._clock.boottime_s()
        self._parts.gate.close()

    async def _follow(self) -> None:
        try:
            deployment = await self._parts.state.deployment()
        except StoreUnreachable:
            return
        self._parts.bindings.followed(deployment)
        self._parts.licensing.followed(deployment)

    async def _open(self, tenure: Tenure, grounds: Grounds) -> None:
        parts = self._parts
        seen = await parts.engine.prepare_promotion()
        try:
            tail, deployment, sessions, _ = await asyncio.gather(
                whole_tail(parts.engine, after_revision=seen.revision),
                parts.state.deployment(),
                parts.state.sessions(),
                parts.licensing.refresh(),
            )
            revision, history_id = elsewhere(grounds.view, history_id=tenure.history_id)
            await parts.engine.open(
                tenure.epoch,
                history_id=tenure.history_id,
                tail=tail,
                elsewhere=revision,
                history_id_elsewhere=history_id,
                first_objects=first_objects(server=self._facts().instance),
                actor=f"confserv/{self._facts().instance}",
            )
            if deployment.new_deployment:
                await self._served(tenure)
        except BaseException:
            await parts.engine.demote()
            raise
        self._tenure = tenure
        parts.sessions.promoted(sessions)
        parts.gate.open(tenure)
        parts.bindings.promoted(tenure, deployment)
        parts.licensing.promoted(tenure, deployment)

    async def _served(self, tenure: Tenure) -> None:
        try:
            await self._parts.state.change_deployment(
                tenure, DeploymentChange(served_ms=self._clock.wall_ms())
            )
        except Fenced as fenced:
            raise StoreUnreachable(f"fenced while opening: {fenced}") from None

    def _refused_raise(self, raised: Raise, epoch: Epoch) -> Promotion | None:
        if raised.raised or self._is_ours(raised.row, epoch):
            return None
        if raised.check is RaiseCheck.FENCED:
            return Promotion(PromotionResult.FENCED, held=raised.row.token if raised.row else None)
        if raised.check is RaiseCheck.MUST_WAIT:
            assert raised.row is not None, "a row says how long"
            return Promotion(PromotionResult.MUST_WAIT, wait_s=raised.row.granted_ttl_s)
        self._log_refusal(raised.permission.detail)
        return Promotion(PromotionResult.NOT_ALLOWED, raised.permission.detail)

    def _is_ours(self, row: FenceRow | None, epoch: Epoch) -> bool:
        # a promotion that raised the row and then lost the database is asked again under the same token
        facts = self._facts()
        return (
            row is not None
            and row.token == epoch
            and (row.instance, row.boot_id, row.pid, row.process_start_ticks)
            == (facts.instance, facts.boot_id, facts.pid, facts.process_start_ticks)
        )

    @property
    def _reachable(self) -> bool:
        return self._parts.licensing.reachable and self._parts.engine.database_reachable

    def _why_not(self) -> str:
        gone_back = self._went_back or self._parts.engine.went_back
        if gone_back:
            return gone_back
        if not self._reachable:
            return "the Configuration Database does not answer"
        may_succeed = self._tenure is not None or self._take_over or self._parts.licensing.has_ha()
        return "" if may_succeed else f"the license lacks {HA_FEATURE}"

    def _log_refusal(self, detail: str) -> None:
        current = self._parts.licensing.current
        revision = 0 if current is None else current.stored.revision
        if self._refused_under != revision:
            self._refused_under = revision
            self._events.emit("21-25123", detail=detail, license_revision=revision)


_CONFIRMATIONS = {
    FenceCheck.HOLDS: Confirmation.HOLDS,
    FenceCheck.FENCED: Confirmation.FENCED,
    FenceCheck.WENT_BACK: Confirmation.WENT_BACK,
}
