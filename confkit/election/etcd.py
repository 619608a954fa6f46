"""The port `Coordination` on etcd.

Every transaction on the leader key compares the identity of etcd's data as well, and the lease beside the
revision, so that one that arrives late, even in a rebuilt etcd, hits nothing but what it was meant for. A view
of an election is one linearizable read.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from aetcd import rpc

from confkit.election.etcd_client import EtcdClient, LeaseNotFound, after
from confkit.election.ports import CoordinationRefused, CoordinationUnavailable
from confkit.election.types import (
    EtcdIdentity,
    Grant,
    Hint,
    History,
    LeaderRecord,
    LeaseId,
    Member,
    Pause,
    View,
    WriteResult,
    Written,
)
from confkit.election.wire import (
    Keys,
    decode_history,
    decode_leader,
    decode_member,
    decode_pause,
    encode_history,
    encode_leader,
    encode_member,
    encode_pause,
)

_Target = rpc.Compare.CompareTarget
_DELETE = rpc.Event.EventType.Value("DELETE")


class EtcdCoordination:
    """etcd for the election of one component of one cluster; see the port for what each call promises."""

    def __init__(self, client: EtcdClient, *, cluster: str, component: str) -> None:
        self._client = client
        self._keys = Keys(cluster, component)

    async def grant(self, ttl_s: int) -> Grant:
        """See `Coordination`."""
        return Grant(*await self._client.grant(ttl_s))

    async def renew(self, lease: LeaseId) -> Grant:
        """See `Coordination`."""
        return Grant(lease, await self._client.renew(lease))

    async def revoke(self, lease: LeaseId) -> None:
        """See `Coordination`."""
        await self._client.revoke(lease)

    async def view(self) -> View:
        """See `Coordination`."""
        keys = self._keys
        identity_key, own = keys.identity.encode(), keys.prefix.encode()
        # one range from the one to the other; what other components have between them is left out
        start, end = min(identity_key, own), max(identity_key + b"\0", after(keys.prefix))
        answer = await self._client.read(start, end)
        identity = [kv for kv in answer.kvs if kv.key == identity_key]
        rest = [kv for kv in answer.kvs if kv.key.startswith(own)]
        try:
            return self._read(answer.header.revision, identity, rest)
        except (KeyError, TypeError, ValueError) as error:
            raise CoordinationRefused(
                f"a value below {keys.prefix} in etcd is not one of ours: {error!r}"
            ) from error

    def _read(self, revision: int, identity: Sequence[rpc.KeyValue], rest: Sequence[rpc.KeyValue]) -> View:
        keys = self._keys
        found = {kv.key.decode(): kv for kv in rest}
        leader, history, pause, tenure = (
            found.get(key) for key in (keys.leader, keys.history, keys.pause, keys.tenure)
        )
        return View(
            revision=revision,
            identity=EtcdIdentity(identity[0].value.decode()) if identity else None,
            leader=decode_leader(leader.value, mod_revision=leader.mod_revision, lease=leader.lease)
            if leader
            else None,
            members=tuple(
                decode_member(kv.value, lease=kv.lease)
                for key, kv in sorted(found.items())
                if key.startswith(keys.members)
            ),
            history=decode_history(history.value) if history else None,
            pause=decode_pause(pause.value) if pause else None,
            last_tenure=tenure.mod_revision if tenure else 0,
        )

    async def create_identity(self, identity: EtcdIdentity) -> None:
        """See `Coordination`."""
        key = self._keys.identity
        await self._client.transact(
            [rpc.Compare(key=key.encode(), target=_Target.Value("CREATE"), create_revision=0)],
            [_put(key, identity.encode())],
            repeatable=True,
        )

    async def put_member(self, member: Member) -> bool:
        """See `Coordination`."""
        put = _put(self._keys.member(member.instance), encode_member(member), lease=member.lease)
        try:
            await self._client.transact([], [put], repeatable=True)
        except LeaseNotFound:
            return False
        return True

    async def put_history(self, history: History, *, held: LeaderRecord) -> None:
        """See `Coordination`."""
        await self._client.transact(
            self._held(held), [_put(self._keys.history, encode_history(history))], repeatable=True
        )

    async def put_pause(self, pause: Pause | None) -> None:
        """See `Coordination`."""
        key = self._keys.pause
        order = _delete(key) if pause is None else _put(key, encode_pause(pause))
        await self._client.transact([], [order], repeatable=True)

    async def campaign(self, leader: LeaderRecord) -> WriteResult:
        """See `Coordination`."""
        key = self._keys.leader.encode()
        free = rpc.Compare(key=key, target=_Target.Value("CREATE"), create_revision=0)
        prior = rpc.Compare(
            key=self._keys.tenure.encode(), target=_Target.Value("MOD"), mod_revision=leader.prior
        )
        return await self._write([free, prior, self._same_identity(leader)], self._put_leader(leader))

    async def replace(self, held: LeaderRecord, leader: LeaderRecord) -> WriteResult:
        """See `Coordination`."""
        compare = [*self._held(held), self._same_identity(leader)]
        if leader.instance != held.instance:
            key = self._keys.member(leader.instance).encode()
            compare.append(rpc.Compare(key=key, target=_Target.Value("LEASE"), lease=leader.lease))
        return await self._write(compare, self._put_leader(leader))

    async def give_up(self, held: LeaderRecord) -> WriteResult:
        """See `Coordination`."""
        return await self._write(self._held(held), [_delete(self._keys.leader)])

    async def hints(self) -> AsyncIterator[Hint]:
        """See `Coordination`."""
        async for events in self._client.watch(self._keys.prefix):
            if not events:
                yield Hint.LEADER_CHANGED  # the watch stands: look what was missed
            for event in events:
                hint = self._hint(event)
                if hint is not None:
                    yield hint

    def _hint(self, event: rpc.Event) -> Hint | None:
        key, gone = event.kv.key.decode(), event.type == _DELETE
        if key == self._keys.leader:
            return Hint.LEADER_GONE if gone else Hint.LEADER_CHANGED
        if key == self._keys.pause:
            return Hint.LEADER_CHANGED
        if key.startswith(self._keys.members) and (gone or event.kv.version == 1):
            return Hint.MEMBERS_CHANGED
        return None

    async def _write(self, compare: Sequence[rpc.Compare], orders: Sequence[rpc.RequestOp]) -> WriteResult:
        try:
            answer = await self._client.transact(compare, orders, repeatable=False)
        except LeaseNotFound:
            return WriteResult(Written.REFUSED)
        except CoordinationUnavailable:
            return WriteResult(Written.UNKNOWN)
        if not answer.succeeded:
            return WriteResult(Written.REFUSED)
        return WriteResult(Written.APPLIED, answer.header.revision)

    def _held(self, held: LeaderRecord) -> list[rpc.Compare]:
        key = self._keys.leader.encode()
        return [
            rpc.Compare(key=key, target=_Target.Value("MOD"), mod_revision=held.mod_revision),
            rpc.Compare(key=key, target=_Target.Value("LEASE"), lease=held.lease),
        ]

    def _same_identity(self, leader: LeaderRecord) -> rpc.Compare:
        return rpc.Compare(
            key=self._keys.identity.encode(), target=_Target.Value("VALUE"), value=leader.identity.encode()
        )

    def _put_leader(self, leader: LeaderRecord) -> list[rpc.RequestOp]:
        return [
            _put(self._keys.leader, encode_leader(leader), lease=leader.lease),
            _put(self._keys.tenure, leader.instance.encode()),
        ]


def _put(key: str, value: bytes, *, lease: int = 0) -> rpc.RequestOp:
    return rpc.RequestOp(request_put=rpc.PutRequest(key=key.encode(), value=value, lease=lease))


def _delete(key: str) -> rpc.RequestOp:
    return rpc.RequestOp(request_delete_range=rpc.DeleteRangeRequest(key=key.encode()))
