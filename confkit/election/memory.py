"""An etcd in memory, with leases by the caller's time: for the simulator and for tests, deterministic.

It keeps what an election relies on: one revision for all keys, mod_revision and create by key, keys bound to
leases, compared transactions. It also can be wiped and restored, which real clusters must survive. It is not
durable and knows no members of its own.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace

from confkit.election.types import (
    EtcdIdentity,
    Grant,
    Hint,
    History,
    InstanceName,
    LeaderRecord,
    LeaseId,
    Member,
    Pause,
    View,
    WriteResult,
    Written,
)

_REFUSED = WriteResult(Written.REFUSED)


@dataclass(slots=True)
class _Lease:
    ttl_s: float
    expires_s: float


@dataclass(slots=True)
class _State:
    revision: int = 1
    identity: EtcdIdentity | None = None
    leader: LeaderRecord | None = None
    members: dict[InstanceName, Member] = field(default_factory=dict)
    history: History | None = None
    pause: Pause | None = None
    last_tenure: int = 0
    leases: dict[LeaseId, _Lease] = field(default_factory=dict)


class MemoryEtcd:
    """The keys of one component, and the leases. Every call takes the time, in seconds, and first ends leases
    that have run out.
    """

    def __init__(self, *, least_ttl_s: int = 2) -> None:
        self._state = _State()
        self._least_ttl_s = least_ttl_s
        self._next_lease = 1000
        self.listeners: list[Callable[[Hint], None]] = []

    # --- leases

    def grant(self, ttl_s: int, now_s: float) -> Grant:
        """Grant a lease; its number is never used again, also not after a wipe."""
        self.expire(now_s)
        self._next_lease += 1
        lease = LeaseId(self._next_lease)
        granted_s = float(max(ttl_s, self._least_ttl_s))
        self._state.leases[lease] = _Lease(granted_s, now_s + granted_s)
        return Grant(lease, granted_s)

    def renew(self, lease: LeaseId, now_s: float) -> Grant:
        """Renew once; TTL 0 when there is no such lease."""
        self.expire(now_s)
        found = self._state.leases.get(lease)
        if found is None:
            return Grant(lease, 0.0)
        found.expires_s = now_s + found.ttl_s
        return Grant(lease, found.ttl_s)

    def revoke(self, lease: LeaseId, now_s: float) -> None:
        """End a lease and its keys."""
        self.expire(now_s)
        self._end(lease)

    def expire(self, now_s: float) -> None:
        """End the leases that have run out by `now_s`."""
        over = [lease for lease, found in self._state.leases.items() if found.expires_s <= now_s]
        for lease in over:
            self._end(lease)

    def next_expiry_s(self) -> float:
        """Give the time at which the next lease runs out, infinity for none."""
        return min((found.expires_s for found in self._state.leases.values()), default=float("inf"))

    def _end(self, lease: LeaseId) -> None:
        state = self._state
        if state.leases.pop(lease, None) is None:
            return
        gone = [name for name, member in state.members.items() if member.lease == lease]
        for name in gone:
            del state.members[name]
        if gone:
            state.revision += 1
            self._hint(Hint.MEMBERS_CHANGED)
        if state.leader is not None and state.leader.lease == lease:
            state.leader = None
            state.revision += 1
            self._hint(Hint.LEADER_GONE)

    # --- keys

    def view(self, now_s: float) -> View:
        """Read everything at one revision."""
        self.expire(now_s)
        state = self._state
        return View(
            revision=state.revision,
            identity=state.identity,
            leader=state.leader,
            members=tuple(state.members[name] for name in sorted(state.members)),
            history=state.history,
            pause=state.pause,
            last_tenure=state.last_tenure,
        )

    def create_identity(self, identity: EtcdIdentity, now_s: float) -> None:
        """Write the identity if there is none."""
        self.expire(now_s)
        if self._state.identity is None:
            self._state.identity = identity
            self._state.revision += 1

    def put_member(self, member: Member, now_s: float) -> bool:
        """Write a member key on its lease; false when the lease is gone."""
        self.expire(now_s)
        if member.lease not in self._state.leases:
            return False
        self._state.members[member.instance] = member
        self._state.revision += 1
        self._hint(Hint.MEMBERS_CHANGED)
        return True

    def put_history(self, history: History, held: LeaderRecord, now_s: float) -> None:
        """Write the history while the leader key is `held`."""
        self.expire(now_s)
        if self._holds(held):
            self._state.history = history
            self._state.revision += 1

    def put_pause(self, pause: Pause | None, now_s: float) -> None:
        """Write or delete the pause."""
        self.expire(now_s)
        self._state.pause = pause
        self._state.revision += 1
        self._hint(Hint.LEADER_CHANGED)

    def write_leader(
        self, held: LeaderRecord | None, leader: LeaderRecord | None, now_s: float
    ) -> WriteResult:
        """Do one compared transaction: campaign (no `held`), replace (both), give up (no `leader`)."""
        self.expire(now_s)
        state = self._state
        if held is None:
            if leader is None or state.leader is not None or leader.prior != state.last_tenure:
                return _REFUSED
        elif not self._holds(held):
            return _REFUSED
        if leader is None:
            state.leader = None
            state.revision += 1
            self._hint(Hint.LEADER_GONE)
            return WriteResult(Written.APPLIED)
        if leader.identity != state.identity or leader.lease not in state.leases:
            return _REFUSED
        if held is not None and leader.instance != held.instance and not self._is_member(leader):
            return _REFUSED
        state.revision += 1
        state.last_tenure = state.revision
        state.leader = replace(leader, mod_revision=state.revision)
        self._hint(Hint.LEADER_CHANGED)
        return WriteResult(Written.APPLIED, state.revision)

    def _holds(self, held: LeaderRecord) -> bool:
        found = self._state.leader
        return found is not None and (found.mod_revision, found.lease) == (held.mod_revision, held.lease)

    def _is_member(self, leader: LeaderRecord) -> bool:
        member = self._state.members.get(leader.instance)
        return member is not None and member.lease == leader.lease

    def _hint(self, hint: Hint) -> None:
        for listener in list(self.listeners):
            listener(hint)

    # --- disasters

    def wipe(self) -> None:
        """Lose everything; revisions start again."""
        self._state = _State()
        self._hint(Hint.LEADER_GONE)

    def snapshot(self) -> object:
        """Give a copy of everything, for `restore`."""
        return copy.deepcopy(self._state)

    def restore(self, snapshot: object, now_s: float) -> None:
        """Go back to a snapshot; its leases get their full TTL anew, as etcd gives them."""
        assert isinstance(snapshot, _State)
        self._state = copy.deepcopy(snapshot)
        for lease in self._state.leases.values():
            lease.expires_s = now_s + lease.ttl_s
        self._hint(Hint.LEADER_CHANGED)


class MemoryCoordination:
    """The port `Coordination` over a `MemoryEtcd` and a clock; several share one etcd."""

    def __init__(self, etcd: MemoryEtcd, now_s: Callable[[], float]) -> None:
        self._etcd = etcd
        self._now_s = now_s

    async def grant(self, ttl_s: int) -> Grant:
        """See `Coordination`."""
        return self._etcd.grant(ttl_s, self._now_s())

    async def renew(self, lease: LeaseId) -> Grant:
        """See `Coordination`."""
        return self._etcd.renew(lease, self._now_s())

    async def revoke(self, lease: LeaseId) -> None:
        """See `Coordination`."""
        self._etcd.revoke(lease, self._now_s())

    async def view(self) -> View:
        """See `Coordination`."""
        return self._etcd.view(self._now_s())

    async def create_identity(self, identity: EtcdIdentity) -> None:
        """See `Coordination`."""
        self._etcd.create_identity(identity, self._now_s())

    async def put_member(self, member: Member) -> bool:
        """See `Coordination`."""
        return self._etcd.put_member(member, self._now_s())

    async def put_history(self, history: History, *, held: LeaderRecord) -> None:
        """See `Coordination`."""
        self._etcd.put_history(history, held, self._now_s())

    async def put_pause(self, pause: Pause | None) -> None:
        """See `Coordination`."""
        self._etcd.put_pause(pause, self._now_s())

    async def campaign(self, leader: LeaderRecord) -> WriteResult:
        """See `Coordination`."""
        return self._etcd.write_leader(None, leader, self._now_s())

    async def replace(self, held: LeaderRecord, leader: LeaderRecord) -> WriteResult:
        """See `Coordination`."""
        return self._etcd.write_leader(held, leader, self._now_s())

    async def give_up(self, held: LeaderRecord) -> WriteResult:
        """See `Coordination`."""
        return self._etcd.write_leader(held, None, self._now_s())

    async def hints(self) -> AsyncIterator[Hint]:
        """See `Coordination`."""
        queue: asyncio.Queue[Hint] = asyncio.Queue()
        self._etcd.listeners.append(queue.put_nowait)
        try:
            while True:
                yield await queue.get()
        finally:
            self._etcd.listeners.remove(queue.put_nowait)
