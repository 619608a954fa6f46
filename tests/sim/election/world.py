"""A pretend world for elections: servers with clocks that drift, an etcd, a database, and everything that can
go wrong between.

The cores are the real ones; time is a heap of events. After every event the promises of `ha.md` are checked:
never two that serve (lease guard), tokens in the log never decrease (I-1), a current read misses no
acknowledged write (I-5), no change of role without the feature (I-6). One seed gives one execution, always
the same.
"""

from __future__ import annotations

from confkit.election import messages as msg
from confkit.election.core import ElectionCore
from confkit.election.types import (
    Confirmation,
    Epoch,
    InstanceName,
    Pause,
    ProcessFacts,
)
from tests.sim.election.machinery import Machinery
from tests.sim.election.parts import TIMING, Broken, Fate, Network, Server

__all__ = ["Broken", "Fate", "Network", "Server", "World"]


class World(Machinery):
    """Words for what happens: `cut`, `heal`, `pause`, `resume`, `crash`, `start`, `wipe`, `hand_over`, `run`,
    `primary`.
    """

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
