"""The shell around the election's core: reads the clock, keeps one inbox, carries out effects.

One loop takes an event, steps the core, and hands effects on: to etcd each in a task of its own, to the
component one after the other in a single worker. What it does not do: decide. A component that raises ends
`run`, and with it the process.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from confkit.clock import Clock, SystemClock
from confkit.election import messages as msg
from confkit.election.core import ElectionCore
from confkit.election.flapping import Flapping
from confkit.election.machine import Phase
from confkit.election.ports import (
    Component,
    Coordination,
    CoordinationRefused,
    CoordinationUnavailable,
    StoreUnreachable,
)
from confkit.election.timing import Timing
from confkit.election.types import (
    Confirmation,
    Epoch,
    EtcdIdentity,
    GenerationRaise,
    HandOver,
    HandOverResult,
    InstanceName,
    LeaderRecord,
    LeaseId,
    Member,
    Pause,
    ProcessFacts,
    Promotion,
    PromotionResult,
    State,
    WriteResult,
    Written,
)

WATCH_RETRY_S = 0.2

T = TypeVar("T")


class Election:
    """One member of an elected pair. Implements the port `Leadership`.

    `coordination` is bound to cluster and component; `announce` is told of every notice for the log, in the
    event loop. `take_over` is an operator's order by hand (B-40). A process that was started beside an etcd
    that is away gives up after `first_contact_s` seconds, None for never; later it waits for as long as it
    must. Raises TimingImpossible when the times cannot work.
    """

    def __init__(
        self,
        *,
        coordination: Coordination,
        component: Component,
        facts: ProcessFacts,
        timing: Timing | None = None,
        flapping: Flapping | None = None,
        take_over: bool = False,
        clock: Clock | None = None,
        announce: Callable[[msg.Announce], None] | None = None,
        first_contact_s: float | None = None,
    ) -> None:
        self._etcd = coordination
        self._component = component
        self._facts = facts
        self._clock: Clock = clock or SystemClock()
        self._announce = announce
        self._first_contact_s = first_contact_s
        self._core = ElectionCore(facts=facts, timing=timing, flapping=flapping, take_over=take_over)
        self._inbox: asyncio.Queue[msg.Event | BaseException] = asyncio.Queue()
        self._orders: asyncio.Queue[msg.Effect] = asyncio.Queue()
        self._refresh_due = asyncio.Event()
        self._refresh: msg.RefreshMember | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._requests: dict[int, asyncio.Future[HandOver]] = {}
        self._subscribers: list[Callable[[], None]] = []
        self._left = asyncio.Event()
        self._last_request = 0
        self.trouble = ""
        """The last answer of etcd that was an error, for status displays."""

    # --- what a component asks (port Leadership)

    @property
    def facts(self) -> ProcessFacts:
        """Who this process is."""
        return self._facts

    @property
    def state(self) -> State:
        """Follower, candidate, leader or suspended."""
        return self._core.state

    @property
    def lease_id(self) -> LeaseId | None:
        """This process's lease, None before it is granted."""
        return self._core.lease

    def epoch_at(self, now_s: float) -> Epoch | None:
        """Give the token under which this server is primary at `now_s` (CLOCK_BOOTTIME). Any thread may ask.
        B-50.
        """
        return self._core.epoch_at(now_s)

    def epoch_now(self) -> Epoch | None:
        """`epoch_at` of the present time."""
        return self._core.epoch_at(self._clock.boottime_s())

    def primary(self) -> LeaderRecord | None:
        """Give the leader key as last read, or as this server holds it."""
        if self._core.tenure is not None:
            return self._core.tenure
        return self._core.view.leader if self._core.view else None

    def members(self) -> tuple[Member, ...]:
        """Give the members as last read."""
        return self._core.view.members if self._core.view else ()

    def paused(self) -> Pause | None:
        """Give the pause of automatic switchover as last read."""
        return self._core.view.pause if self._core.view else None

    async def hand_over(
        self, *, to: InstanceName | None = None, reason: str = "", timeout_s: float = 5.0
    ) -> HandOver:
        """Switch over; `timeout_s` bounds the preparation. See `Leadership`."""
        if self._left.is_set():
            return HandOver(HandOverResult.NOT_PRIMARY)
        self._last_request += 1
        answer: asyncio.Future[HandOver] = asyncio.get_running_loop().create_future()
        self._requests[self._last_request] = answer
        self._inbox.put_nowait(msg.HandOverAsked(self._last_request, to, reason, timeout_s))
        return await answer

    async def pause_failover(self, *, reason: str, by: str) -> None:
        """Stop automatic switchover of the pair. Raises CoordinationUnavailable."""
        await self._etcd.put_pause(Pause(reason, by, self._clock.wall_ms()))

    async def resume_failover(self) -> None:
        """Allow it again. Raises CoordinationUnavailable."""
        await self._etcd.put_pause(None)

    def subscribe(self, on_change: Callable[[], None]) -> Callable[[], None]:
        """See `Leadership`."""
        self._subscribers.append(on_change)
        return lambda: self._subscribers.remove(on_change) if on_change in self._subscribers else None

    def refused(self, epoch: Epoch, confirmation: Confirmation) -> None:
        """Tell that a write under `epoch` was refused by the fence row. See `Leadership`."""
        self._inbox.put_nowait(msg.StoreRefused(epoch, confirmation))

    def refresh(self) -> None:
        """Have the member key written now: the component's `member()` says something new, such as a database
        out of reach.
        """
        if self._refresh is not None:
            self._refresh_due.set()

    async def wait_until(self, condition: Callable[[Election], bool], *, timeout_s: float) -> None:
        """Return when `condition` holds. Raises TimeoutError after `timeout_s` seconds."""
        changed = asyncio.Event()
        unsubscribe = self.subscribe(changed.set)
        try:
            async with asyncio.timeout(timeout_s):
                while not condition(self):
                    changed.clear()
                    await changed.wait()
        finally:
            unsubscribe()

    # --- life

    async def run(self) -> None:
        """Take part until `stop`.

        Raises what the component or the core raised, CoordinationRefused before the first lease, and
        CoordinationUnavailable when etcd did not answer at all within `first_contact_s`.
        """
        self._spawn(self._watch())
        self._spawn(self._serve_component())
        self._spawn(self._refresh_member())
        if self._first_contact_s is not None:
            self._spawn(self._insist_on_contact(self._first_contact_s))
        try:
            self._step(msg.Tick())
            while self._core.phase is not Phase.LEFT:
                event = await self._next_event()
                if isinstance(event, BaseException):
                    raise event
                self._step(event)
        finally:
            self._left.set()
            for request in self._requests.values():
                if not request.done():
                    request.set_result(HandOver(HandOverResult.NOT_PRIMARY, None, "this server has stopped"))
            await self._end_tasks()

    async def stop(self, *, hand_over: bool = True) -> None:
        """Hand over if possible, close the component, revoke the lease; returns when all of it is done."""
        self._inbox.put_nowait(msg.StopAsked(hand_over))
        await self._left.wait()

    async def _next_event(self) -> msg.Event | BaseException:
        with contextlib.suppress(asyncio.QueueEmpty):
            return self._inbox.get_nowait()
        now_s = self._clock.boottime_s()
        wait_s = self._core.deadline_s(now_s) - now_s
        try:
            async with asyncio.timeout(wait_s if wait_s < float("inf") else None):
                return await self._inbox.get()
        except TimeoutError:
            return msg.Tick()

    def _step(self, event: msg.Event) -> None:
        before = self._visible()
        for effect in self._core.step(event, self._clock.boottime_s()):
            self._perform(effect)
        if before != self._visible():
            for subscriber in list(self._subscribers):
                subscriber()

    def _visible(self) -> tuple[object, ...]:
        return self._core.phase, self._core.tenure, self.primary(), self.members(), self._core.lease

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._inbox.put_nowait(error)

    async def _end_tasks(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # --- effects

    def _perform(self, effect: msg.Effect) -> None:
        match effect:
            case msg.RefreshMember():
                self._refresh = effect
                self._refresh_due.set()
            case msg.Announce():
                if self._announce is not None:
                    self._announce(effect)
            case msg.AnswerHandOver(request, answer):
                waiting = self._requests.pop(request, None)
                if waiting is not None and not waiting.done():
                    waiting.set_result(answer)
            case msg.GrantLease() | msg.RenewLease() | msg.ReadView() | msg.CreateIdentity() | msg.WriteKey():
                self._spawn(self._on_etcd(effect))
            case _:
                self._orders.put_nowait(effect)

    async def _on_etcd(
        self, effect: msg.GrantLease | msg.RenewLease | msg.ReadView | msg.CreateIdentity | msg.WriteKey
    ) -> None:
        sent_s = self._clock.boottime_s()
        answer: msg.Event
        match effect:
            case msg.GrantLease(ttl_s):
                answer = msg.Granted(await self._known(self._etcd.grant(ttl_s)), sent_s)
            case msg.RenewLease(lease):
                answer = msg.Renewed(lease, await self._known(self._etcd.renew(lease)), sent_s)
            case msg.ReadView(op):
                answer = msg.ViewRead(op, await self._known(self._etcd.view()), sent_s)
            case msg.CreateIdentity(call):
                await self._known(self._etcd.create_identity(EtcdIdentity(str(uuid.uuid4()))))
                answer = msg.IdentityCreated(call)
            case msg.WriteKey(op, held, leader):
                result = await self._known(self._write(held, leader))
                answer = msg.KeyWritten(op, result or WriteResult(Written.UNKNOWN), sent_s)
        self._inbox.put_nowait(answer)

    async def _write(self, held: LeaderRecord | None, leader: LeaderRecord | None) -> WriteResult:
        if held is None:
            assert leader is not None
            return await self._etcd.campaign(leader)
        if leader is None:
            return await self._etcd.give_up(held)
        return await self._etcd.replace(held, leader)

    async def _known(self, call: Awaitable[T]) -> T | None:
        try:
            answer = await call
        except CoordinationUnavailable as error:
            self.trouble = str(error)
            return None
        except CoordinationRefused as error:
            if self._core.lease is None and self._core.view is None:
                raise
            self.trouble = str(error)
            return None
        self.trouble = ""
        return answer

    async def _insist_on_contact(self, within_s: float) -> None:
        await asyncio.sleep(within_s)
        if self._core.view is None:
            trouble = self.trouble or "no endpoint answered"
            raise CoordinationUnavailable(f"no etcd within {within_s:g} s: {trouble}")

    async def _watch(self) -> None:
        while True:
            with contextlib.suppress(CoordinationUnavailable, CoordinationRefused):
                async for hint in self._etcd.hints():
                    self._inbox.put_nowait(msg.Hinted(hint))
            await asyncio.sleep(WATCH_RETRY_S)

    async def _refresh_member(self) -> None:
        while True:
            await self._refresh_due.wait()
            self._refresh_due.clear()
            due = self._refresh
            assert due is not None
            state = self._component.member()
            self._inbox.put_nowait(msg.StoreSeen(state.database_reachable))
            await self._known(self._etcd.put_member(Member(self._facts, due.role, state, due.lease)))
            if due.held is not None and state.history is not None:
                await self._known(self._etcd.put_history(state.history, held=due.held))

    async def _serve_component(self) -> None:
        while True:
            order = await self._orders.get()
            answer = await self._on_component(order)
            if answer is not None:
                self._inbox.put_nowait(answer)

    async def _on_component(self, order: msg.Effect) -> msg.Event | None:
        component = self._component
        match order:
            case msg.ReadFence(call):
                try:
                    return msg.FenceRead(call, await component.read_fence())
                except StoreUnreachable:
                    return msg.FenceRead(call, None, reachable=False)
            case msg.AskPermission(call, row, view):
                return msg.PermissionGiven(call, component.may_campaign(row, view))
            case msg.RaiseGeneration(call, expected, identity, revision):
                try:
                    outcome = await component.raise_generation(expected, identity=identity, revision=revision)
                except StoreUnreachable:
                    outcome = GenerationRaise.UNREACHABLE
                return msg.GenerationAnswered(call, outcome)
            case msg.Promote(call, epoch, grounds):
                try:
                    return msg.Promoted(call, await component.promote(epoch, grounds))
                except StoreUnreachable as error:
                    return msg.Promoted(call, Promotion(PromotionResult.UNREACHABLE, str(error)))
            case msg.Confirm(call, epoch):
                try:
                    return msg.Confirmed(call, await component.confirm(epoch))
                except StoreUnreachable:
                    return msg.Confirmed(call, Confirmation.UNREACHABLE)
            case msg.PrepareHandOver(call, successor, timeout_s):
                return msg.HandOverPrepared(call, await component.prepare_handover(successor, timeout_s))
        return await self._order_component(order)

    async def _order_component(self, order: msg.Effect) -> msg.Event | None:
        match order:
            case msg.Suspend(reason):
                await self._component.suspend(reason)
            case msg.Resume(epoch):
                await self._component.resume(epoch)
            case msg.Demote(reason, successor):
                await self._component.demote(reason, successor)
            case msg.Leave(lease):
                if lease is not None:
                    await self._known(self._etcd.revoke(lease))
                return msg.Left()
        return None
