"""A pretend world for elections: servers with clocks that drift, an etcd, a database, and everything that can
go wrong between.

The cores are the real ones; time is a heap of events. After every event the promises of `ha.md` are checked:
never two that serve (lease guard), tokens in the log never decrease (I-1), a current read misses no
acknowledged write (I-5), no change of role without the feature (I-6). One seed gives one execution, always
the same.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from confkit.election import messages as msg
from confkit.election.core import ElectionCore
from confkit.election.flapping import Flapping
from confkit.election.machine import Phase
from confkit.election.memory import MemoryEtcd
from confkit.election.timing import Timing
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
    Pause,
    Permission,
    ProcessFacts,
    Promotion,
    PromotionResult,
    Refusal,
    WriteResult,
    Written,
)
from tests.sim.election.store import Store

TIMING = Timing(lease_ttl_s=2)


class Broken(AssertionError):
    """A promise that was broken, by its name."""


@dataclass(slots=True)
class Network:
    """How calls fare: delays in seconds, and the chances that a message is lost or comes very late."""

    delay_s: float = 0.002
    loss: float = 0.0
    late: float = 0.0
    late_s: float = 3.0


class Fate(Enum):
    """What may happen to one call, when it is chosen and not drawn."""

    LOST = "lost"
    """It never reaches etcd."""
    UNANSWERED = "unanswered"
    """It is applied, and the answer is lost."""
    LATE = "late"
    """It is applied long after its sender has given up."""
    STOPPED = "stopped"
    """Its sender is stopped for longer than its lease while the call is under way."""


LATE_S = 1.0
STOPPED_S = 3.0


@dataclass(slots=True)
class Server:
    """One process: its core, its clock, what its component has open, and the faults it suffers."""

    name: InstanceName
    rate: float = 1.0
    offset_s: float = 0.0
    core: ElectionCore | None = None
    life: int = 0
    paused: bool = False
    backlog: list[Callable[[], None]] = field(default_factory=list)
    cut_out: bool = False
    cut_in: bool = False
    database_cut: bool = False
    tick_at_s: float = float("inf")
    open_epoch: Epoch | None = None
    holding: bool = False
    applied: int = 0
    writing: int = 0
    orders: list[msg.Effect] = field(default_factory=list)
    serving_order: bool = False
    refuses_handover: bool = False
    history_id: str = ""

    def local_s(self, now_s: float) -> float:
        """The server's own clock."""
        return self.offset_s + self.rate * now_s


class World:
    """Words for what happens: `cut`, `heal`, `pause`, `resume`, `crash`, `start`, `wipe`, `hand_over`, `run`,
    `primary`.
    """

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

    # --- words

    def start(self, *names: str) -> None:
        """Start servers; one that runs is left alone."""
        for name in names or tuple(self.servers):
            server = self.servers[InstanceName(name)]
            if server.core is not None:
                continue
            server.life += 1
            server.core = ElectionCore(
                facts=ProcessFacts(server.name, endpoints=(f"{name}:1",)),
                timing=TIMING,
                flapping=self.flapping,
            )
            self._note(name, "starts")
            self._step(server, msg.Tick())
            self._load(server, server.life)

    def crash(self, name: str, *, agent: bool = False) -> None:
        """Kill a process; with an agent its lease is revoked at once."""
        server = self.servers[InstanceName(name)]
        lease = server.core.lease if server.core else None
        self._gone(server)
        self._note(name, "is killed")
        if agent and lease is not None and self.etcd_up:
            self.etcd.revoke(lease, self.now_s)

    def _gone(self, server: Server) -> None:
        server.core, server.life = None, server.life + 1
        server.backlog, server.orders, server.serving_order = [], [], False
        server.open_epoch, server.holding, server.paused, server.writing = None, False, False, 0

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

    def cut(self, name: str, *, outward: bool = True, inward: bool = True) -> None:
        """Cut a server from etcd, in one direction or both."""
        server = self.servers[InstanceName(name)]
        server.cut_out, server.cut_in = outward, inward
        self._note(name, "is cut from etcd")

    def heal(self, name: str) -> None:
        """Join it again."""
        server = self.servers[InstanceName(name)]
        server.cut_out = server.cut_in = False
        self._note(name, "reaches etcd again")

    def cut_database(self, name: str) -> None:
        """Cut a server from the database."""
        self.servers[InstanceName(name)].database_cut = True
        self._note(name, "is cut from the database")

    def heal_database(self, name: str) -> None:
        """Join it again."""
        self.servers[InstanceName(name)].database_cut = False
        self._note(name, "reaches the database again")

    def wipe(self) -> None:
        """Lose all of etcd's data."""
        self._note("etcd", "is wiped")
        self.etcd.wipe()

    def restore_etcd(self, snapshot: object) -> None:
        """Go back to an earlier state of etcd."""
        self._note("etcd", "goes back to a snapshot")
        self.etcd.restore(snapshot, self.now_s)

    def hand_over(self, name: str, to: str | None = None) -> None:
        """Ask a server to hand over."""
        server = self.servers[InstanceName(name)]
        asked = msg.HandOverAsked(1, InstanceName(to) if to else None, "asked", 1.0)
        if server.core is not None:
            self._note(name, f"is asked to hand over to {to or 'anybody'}")
            self._on_server(server, server.life, lambda: self._step(server, asked))

    def stop(self, name: str, *, hand_over: bool = True) -> None:
        """SIGTERM."""
        server = self.servers[InstanceName(name)]
        if server.core is not None:
            self._note(name, "is asked to leave")
            self._on_server(server, server.life, lambda: self._step(server, msg.StopAsked(hand_over)))

    def fate(self, name: str, fate: str) -> None:
        """Choose what happens to the next transaction of a server on the leader key."""
        self.write_fates[name] = Fate(fate)

    def license(self, state: str) -> None:
        """Give the license the HA feature (`on`), or take it away (`off`)."""
        self.store.ha_licensed = state == "on"
        self._note("license", f"feature {state}")

    def restore_database(self) -> None:
        """Go back to a backup of the database: the log is shorter, and its history is another one."""
        self._note("database", "is restored")
        self.store.restore()
        self.acknowledged = len(self.store.log)

    def pause_failover(self, *, paused: bool) -> None:
        """An operator pauses automatic switchover, or ends the pause."""
        self.etcd.put_pause(Pause("maintenance", "operator") if paused else None, self.now_s)

    def primary(self) -> str | None:
        """The one server that serves as primary now."""
        return next((name for name, server in self.servers.items() if self.serves(server)), None)

    def serves(self, server: Server) -> bool:
        """Whether a server admits writes and current reads now."""
        if server.core is None or server.holding or server.open_epoch is None:
            return False
        return server.core.epoch_at(server.local_s(self.now_s)) == server.open_epoch

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

    def at(self, delay_s: float, work: Callable[[], None]) -> None:
        """Do something later."""
        self._sequence += 1
        heapq.heappush(self._heap, (self.now_s + delay_s, self._sequence, work))

    # --- promises

    def check(self) -> None:
        """Never two that serve at the same time (B-50)."""
        serving = [name for name, server in self.servers.items() if self.serves(server)]
        if len(serving) > 1:
            raise Broken(f"two serve at {self.now_s:.3f} s: {serving}")

    def _written(self, epoch: Epoch) -> None:
        if len(self.store.log) > 1 and self.store.log[-2] > epoch:
            raise Broken(f"I-1: written under {epoch} after {self.store.log[-2]} at {self.now_s:.3f} s")

    def _read(self, server: Server) -> None:
        if self.serves(server) and server.applied < self.acknowledged:
            raise Broken(
                f"I-5: {server.name} gives a current read of {server.applied} when {self.acknowledged} was acknowledged"
            )

    # --- load: one client that writes and reads wherever it is let in

    def _load(self, server: Server, life: int) -> None:
        def again() -> None:
            if server.life != life:
                return
            self._on_server(server, life, lambda: self._act(server, life))
            self.at(0.15, again)

        self.at(0.15, again)

    def _act(self, server: Server, life: int) -> None:
        self._read(server)
        if not self.serves(server) or server.writing or server.database_cut:
            return
        epoch = server.open_epoch
        assert epoch is not None
        server.writing += 1
        self.at(self._database_delay_s(), lambda: self._send_write(server, life, epoch))

    def _send_write(self, server: Server, life: int, epoch: Epoch) -> None:
        def send() -> None:  # a process may stop between its admission and its transaction
            if server.database_cut:
                self.at(0.3, lambda: self._on_server(server, life, lambda: self._acknowledge(server, None)))
            else:
                self.at(self._database_delay_s(), apply)

        def apply() -> None:
            verdict = self.store.write(epoch, server.history_id)
            if verdict is Confirmation.HOLDS:
                self._written(epoch)
            revision = len(self.store.log) if verdict is Confirmation.HOLDS else None

            def back() -> None:
                self._acknowledge(server, revision)
                if verdict is not Confirmation.HOLDS:
                    self._step(server, msg.StoreRefused(epoch, verdict))

            self.at(self._database_delay_s(), lambda: self._on_server(server, life, back))

        self._on_server(server, life, send)

    def _acknowledge(self, server: Server, revision: int | None) -> None:
        server.writing -= 1
        if revision is not None:
            server.applied = max(server.applied, revision)
            self.acknowledged = max(self.acknowledged, revision)

    # --- running a server

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
                self._call(server, lambda: self.etcd.grant(ttl_s, self.now_s), msg_granted)
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

    # --- etcd as a server sees it

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

    # --- the component, one order after the other

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
                server, life, lambda: finish(msg.HandOverPrepared(order.call, self._ready(server)))
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

    def _ready(self, server: Server) -> bool:
        return not server.refuses_handover

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


def msg_granted(grant: object, sent_s: float) -> msg.Event:
    """A lease was granted, or nothing is known."""
    return msg.Granted(grant, sent_s)  # type: ignore[arg-type]
