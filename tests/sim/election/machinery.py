"""What runs below a simulated election: the heap of events, servers with their clocks, etcd and the
component's work.

`world.py` has the words and the promises. The cores are the real ones; nothing here decides what is right.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable

from confkit.election import messages as msg
from confkit.election.flapping import Flapping
from confkit.election.machine import Phase
from confkit.election.memory import MemoryEtcd
from confkit.election.types import (
    Confirmation,
    Epoch,
    EtcdIdentity,
    GenerationRaise,
    Grounds,
    HandOver,
    Hint,
    InstanceName,
    Member,
    MemberState,
    Permission,
    ProcessFacts,
    Promotion,
    PromotionResult,
    Refusal,
    WriteResult,
    Written,
)
from tests.sim.election.parts import LATE_S, STOPPED_S, TIMING, Broken, Fate, Network, Server
from tests.sim.election.store import Store


class Machinery:
    """Servers, etcd and database of one world, and the time in which they live."""

    def __init__(self, names: str = "ab", *, seed: int = 0, network: Network | None = None) -> None:
        self.random = random.Random(seed)
        self.network = network or Network()
        self.now_s = 0.0
        self.etcd = MemoryEtcd()
        self.etcd_up = True
        self.etcd.listeners.append(self._hint)
        self.store = Store()
        self.servers = {InstanceName(name): Server(InstanceName(name)) for name in names}
        self.acknowledged = 0
        self.handovers: list[HandOver] = []
        self.trace: list[str] = []
        self.deaf = False  # no hint of a watch reaches anybody
        self.calls = 0
        self.fates: dict[int, Fate] = {}
        self.write_fates: dict[str, Fate] = {}
        self.tracing = False
        self.flapping = Flapping(limit=10_000)
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._sequence = 0
        self._uuid = 0

    def at(self, delay_s: float, work: Callable[[], None]) -> None:
        """Do something later."""
        self._sequence += 1
        heapq.heappush(self._heap, (self.now_s + delay_s, self._sequence, work))

    def run(self, seconds: float) -> None:
        """Let time pass."""
        self.run_until(self.now_s + seconds, lambda: False)

    def run_until(self, end_s: float, done: Callable[[], bool]) -> bool:
        """Let time pass until `done`, or until `end_s`."""
        heap = self._heap
        while heap and heap[0][0] <= end_s:
            self.now_s, _, work = heapq.heappop(heap)
            self._expire()
            work()
            self.check()
            if done():
                return True
        self.now_s = max(self.now_s, end_s)
        self._expire()
        return done()

    def check(self) -> None:
        """Look at the promises, after every event."""

    def pause(self, name: str) -> None:
        """Stop a process where it is (SIGSTOP)."""
        server = self.servers[InstanceName(name)]
        if server.core is not None and not server.paused:
            server.paused = True
            self._note(name, "is stopped")

    def resume(self, name: str) -> None:
        """Let it go on (SIGCONT); what waited for it comes in order."""
        server = self.servers[InstanceName(name)]
        if server.paused:
            server.paused = False
            self._note(name, "goes on")
            backlog, server.backlog = server.backlog, []
            for work in backlog:
                self._on_server(server, server.life, work)

    def _gone(self, server: Server) -> None:
        server.core, server.life = None, server.life + 1
        server.backlog, server.orders, server.serving_order = [], [], False
        server.open_epoch, server.holding, server.paused, server.writing = None, False, False, 0

    def _on_server(self, server: Server, life: int, work: Callable[[], None]) -> None:
        if server.life != life or server.core is None:
            return
        if server.paused:
            server.backlog.append(work)
        else:
            work()

    def _step(self, server: Server, event: msg.Event) -> None:
        core = server.core
        if core is None:
            return
        local_s = server.local_s(self.now_s)
        for effect in core.step(event, local_s):
            self._perform(server, effect)
        if core.phase is Phase.LEFT:
            self._note(server.name, "has left")
            self._gone(server)
            return
        wake_s = (core.deadline_s(local_s) - server.offset_s) / server.rate
        if wake_s < float("inf"):
            server.tick_at_s = wake_s = max(wake_s, self.now_s) + 1e-6
            self.at(wake_s - self.now_s, lambda: self._tick(server, server.life, wake_s))

    def _tick(self, server: Server, life: int, due_s: float) -> None:
        if server.life == life and server.tick_at_s == due_s:
            self._on_server(server, life, lambda: self._step(server, msg.Tick()))

    def _perform(self, server: Server, effect: msg.Effect) -> None:
        life = server.life
        match effect:
            case msg.GrantLease(ttl_s):
                self._call(server, lambda: self.etcd.grant(ttl_s, self.now_s), _granted)
            case msg.RenewLease(lease):
                self._call(
                    server,
                    lambda: self.etcd.renew(lease, self.now_s),
                    lambda grant, sent_s: msg.Renewed(lease, grant, sent_s),
                )
            case msg.ReadView(op):
                self._call(
                    server,
                    lambda: self.etcd.view(self.now_s),
                    lambda view, sent_s: msg.ViewRead(op, view, sent_s),
                )
            case msg.CreateIdentity(call):
                self._uuid += 1
                identity = EtcdIdentity(f"i{self._uuid}")
                self._call(
                    server,
                    lambda: self.etcd.create_identity(identity, self.now_s),
                    lambda _, __: msg.IdentityCreated(call),
                )
            case msg.WriteKey(op, held, leader):
                self._call(
                    server,
                    lambda: self.etcd.write_leader(held, leader, self.now_s),
                    lambda result, sent_s: msg.KeyWritten(op, result or WriteResult(Written.UNKNOWN), sent_s),
                    self.write_fates.pop(server.name, None),
                )
            case msg.RefreshMember(lease, role, _):
                state = MemberState(
                    applied_revision=server.applied, database_reachable=not server.database_cut
                )
                member = Member(ProcessFacts(server.name, (f"{server.name}:1",)), role, state, lease)
                self._call(server, lambda: self.etcd.put_member(member, self.now_s), None)
                seen = msg.StoreSeen(state.database_reachable)
                self.at(0, lambda: self._on_server(server, life, lambda: self._step(server, seen)))
            case msg.Announce(notice, detail, epoch):
                self._note(server.name, notice.name, detail, epoch)
            case msg.AnswerHandOver(_, answer):
                self.handovers.append(answer)
                self._note(server.name, f"answers {answer.result.name}")
            case _:
                server.orders.append(effect)
                self._next_order(server)

    def _call(
        self,
        server: Server,
        work: Callable[[], object],
        answer: Callable[[object, float], msg.Event] | None,
        fate: Fate | None = None,
    ) -> None:
        life, sent_s, net, draw = server.life, server.local_s(self.now_s), self.network, self.random
        done = [False]

        def finish(result: object) -> None:
            if not done[0]:
                done[0] = True
                if answer is not None:
                    self._on_server(server, life, lambda: self._step(server, answer(result, sent_s)))

        def arrive() -> None:
            if not self.etcd_up:
                return
            result = work()
            if not (server.cut_in or draw.random() < net.loss):
                self.at(self._delay_s(), lambda: finish(result))

        self.at(TIMING.timeout_s / server.rate, lambda: finish(None))
        self.calls += 1
        fate = fate or self.fates.get(self.calls)
        if fate is Fate.UNANSWERED:
            self.at(self._delay_s(), lambda: work() if self.etcd_up else None)
        elif fate is Fate.LATE:
            self.at(LATE_S, lambda: work() if self.etcd_up else None)
        elif fate is not Fate.LOST and not (server.cut_out or draw.random() < net.loss):
            self.at(self._delay_s(), arrive)
        if fate is Fate.STOPPED:
            self.pause(server.name)
            self.at(STOPPED_S, lambda: self.resume(server.name))

    def _delay_s(self) -> float:
        if self.network.late and self.random.random() < self.network.late:
            return self.random.random() * self.network.late_s
        return self.random.random() * 2 * self.network.delay_s

    def _database_delay_s(self) -> float:
        return self.random.random() * 0.006

    def _hint(self, hint: Hint) -> None:
        if hint is Hint.MEMBERS_CHANGED or self.deaf:
            return
        for server in self.servers.values():
            if server.core is None or server.cut_in or not self.etcd_up:
                continue
            self.at(self._delay_s(), self._hinted(server, server.life, hint))

    def _hinted(self, server: Server, life: int, hint: Hint) -> Callable[[], None]:
        return lambda: self._on_server(server, life, lambda: self._step(server, msg.Hinted(hint)))

    def _expire(self) -> None:
        if self.etcd_up and self.etcd.next_expiry_s() <= self.now_s:
            self.etcd.expire(self.now_s)

    def _next_order(self, server: Server) -> None:
        if server.serving_order or not server.orders:
            return
        server.serving_order = True
        order, life = server.orders.pop(0), server.life

        def finish(event: msg.Event | None) -> None:
            def back() -> None:
                server.serving_order = False
                if event is not None:
                    self._step(server, event)
                self._next_order(server)

            self._on_server(server, life, back)

        if isinstance(order, msg.PrepareHandOver):
            server.holding = True
            self._when_quiet(
                server, life, lambda: finish(msg.HandOverPrepared(order.call, not server.refuses_handover))
            )
            return
        if isinstance(order, msg.Leave):
            if order.lease is not None:
                self._call(server, lambda: self.etcd.revoke(order.lease, self.now_s), None)
            self.at(2 * self.network.delay_s, lambda: finish(msg.Left()))
            return
        delay_s = 0.3 if server.database_cut else self._database_delay_s()
        self.at(
            delay_s, lambda: self._on_server(server, life, lambda: finish(self._carry_out(server, order)))
        )

    def _when_quiet(self, server: Server, life: int, then: Callable[[], None]) -> None:
        if server.life != life:
            return
        if server.writing:
            self.at(0.002, lambda: self._when_quiet(server, life, then))
        else:
            then()

    def _carry_out(self, server: Server, order: msg.Effect) -> msg.Event | None:
        store, cut = self.store, server.database_cut
        match order:
            case msg.ReadFence(call):
                return msg.FenceRead(call, None if cut else store.row, reachable=not cut)
            case msg.AskPermission(call, row, _):
                permission = (
                    Permission(Refusal.DATABASE_UNREACHABLE)
                    if cut
                    else store.permit(row, server.name, server.history_id)
                )
                return msg.PermissionGiven(call, permission)
            case msg.RaiseGeneration(call, expected, identity, revision):
                outcome = GenerationRaise.UNREACHABLE
                if not cut:
                    outcome = store.raise_generation(expected, identity, revision, int(self.now_s * 1000) + 1)
                return msg.GenerationAnswered(call, outcome)
            case msg.Promote(call, epoch, grounds):
                return msg.Promoted(call, self._promote(server, epoch, grounds))
            case msg.Confirm(call, epoch):
                return msg.Confirmed(
                    call, Confirmation.UNREACHABLE if cut else store.confirm(epoch, server.history_id)
                )
        self._obey(server, order)
        return None

    def _promote(self, server: Server, epoch: Epoch, grounds: Grounds) -> Promotion:
        if server.database_cut:
            return Promotion(PromotionResult.UNREACHABLE)
        before = self.store.row
        promotion = self.store.promote(server.name, epoch, grounds)
        if promotion.result is PromotionResult.OPENED:
            if before and before.instance != server.name and not self.store.ha_licensed:
                raise Broken(f"I-6: {server.name} took the role from {before.instance} without the feature")
            server.open_epoch, server.holding = epoch, False
            server.applied = len(self.store.log)
            server.history_id = self.store.row.history_id if self.store.row else ""
        return promotion

    def _obey(self, server: Server, order: msg.Effect) -> None:
        match order:
            case msg.Suspend():
                server.holding = True
            case msg.Resume(epoch):
                server.open_epoch, server.holding = epoch, False
            case msg.Demote():
                server.open_epoch, server.holding = None, False

    def _note(self, who: str, what: str, detail: str = "", epoch: Epoch | None = None) -> None:
        if self.tracing:
            words = (f"{self.now_s:7.3f}", who, what, str(epoch) if epoch else "", detail)
            self.trace.append(" ".join(word for word in words if word))


def _granted(grant: object, sent_s: float) -> msg.Event:
    """A lease was granted, or nothing is known."""
    return msg.Granted(grant, sent_s)  # type: ignore[arg-type]
