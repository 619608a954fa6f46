"""Watch and cache against small real servers with one change log: no gap, no repetition, across switchovers."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any

import pytest

from confapi.config.v1 import config_pb2, config_pb2_grpc, objects_pb2
from confclient.cache import Cache
from confclient.channel import ServiceChannel
from confclient.credentials import TlsFiles
from confclient.errors import CompactedError, LaggedError, PermissionDeniedError
from confclient.watch import Changed, ReadAgain, Snapshot, watch
from confkit.server import GrpcServer
from tests.support.members import Member, Pair, until
from tests.unit.confclient.conftest import MakePair


class Log:
    """The change log that the servers of a pair share, and the objects it leads to."""

    def __init__(self) -> None:
        self.history_id = "h1"
        self.transactions: list[config_pb2.Transaction] = []
        self.objects: dict[int, objects_pb2.ConfigObject] = {}
        self.more = asyncio.Condition()
        self.refusals: list[Exception] = []

    @property
    def revision(self) -> int:
        return len(self.transactions)

    async def write(self, dbid: int, value: str | None) -> int:
        item = objects_pb2.ConfigObject(
            type="Application", dbid=dbid, name=f"app-{dbid}", revision=self.revision + 1
        )
        kind = config_pb2.CHANGE_KIND_CHANGED if dbid in self.objects else config_pb2.CHANGE_KIND_ADDED
        if value is None:
            kind = config_pb2.CHANGE_KIND_REMOVED
            del self.objects[dbid]
        else:
            item.options.sections["main"].options["value"] = value
            self.objects[dbid] = item
        change = config_pb2.Change(kind=kind, object=item)
        self.transactions.append(config_pb2.Transaction(revision=self.revision + 1, changes=[change]))
        async with self.more:
            self.more.notify_all()
        return self.revision


class Configuration(config_pb2_grpc.ConfigServiceServicer):
    """Serves a watch; repeats the last transaction before the resume revision, as a careless server might."""

    def __init__(self, member: Member) -> None:
        self.member = member
        pair: Any = member.pair
        if not hasattr(pair, "log"):
            pair.log = Log()
        self.log: Log = pair.log

    def token(self, revision: int) -> config_pb2.ResumeToken:
        return config_pb2.ResumeToken(history_id=self.log.history_id, revision=revision)

    async def Watch(self, request: Any, context: Any) -> Any:
        self.member.check()
        if self.log.refusals:
            raise self.log.refusals.pop(0)
        at = max(0, request.resume.revision - 1)
        if not request.HasField("resume"):
            at = self.log.revision
            for item in list(self.log.objects.values()):
                yield config_pb2.WatchResponse(snapshot=config_pb2.SnapshotPart(objects=[item]))
            part = config_pb2.SnapshotPart(complete=True)
            yield config_pb2.WatchResponse(snapshot=part, resume=self.token(at))
        elif request.resume.history_id != self.log.history_id:
            raise CompactedError("this is another history")
        while True:
            self.member.check()
            if self.log.refusals:
                raise self.log.refusals.pop(0)
            for transaction in self.log.transactions[at:]:
                at = transaction.revision
                yield config_pb2.WatchResponse(transaction=transaction, resume=self.token(at))
            async with self.log.more:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self.log.more.wait(), 0.02)


def add(server: GrpcServer, member: Member) -> None:
    server.add(
        config_pb2_grpc.add_ConfigServiceServicer_to_server,
        Configuration(member),
        "confapi.config.v1.ConfigService",
    )


async def pair_of(make_pair: MakePair) -> tuple[Pair, Log]:
    pair: Any = make_pair(add)
    await pair.start("one")
    await pair.start("two")
    pair.promote("one")
    return pair, pair.log


def values(log: Log) -> dict[int, str]:
    return {dbid: item.options.sections["main"].options["value"] for dbid, item in log.objects.items()}


async def test_sees_each_transaction_once_and_in_order_across_switchovers(
    make_pair: MakePair, tls: TlsFiles
) -> None:
    # B-52, I-4
    pair, log = await pair_of(make_pair)
    await log.write(1, "before")
    channel = ServiceChannel([pair.members["one"].endpoint], tls)
    seen: list[int] = []

    async def follow() -> None:
        async with contextlib.aclosing(watch(channel)) as events:
            async for event in events:
                assert isinstance(event, Snapshot if not seen else Changed)
                seen.append(event.resume.revision)
                if event.resume.revision == 62:
                    return

    following = asyncio.create_task(follow())
    await until(lambda: seen)
    for number in range(60):
        await log.write(number % 7, str(number))
        if number in (10, 30, 45):
            pair.promote("two" if pair.primary is pair.members["one"] else "one")
        if number == 45:
            await pair.members["one"].stop()
        await asyncio.sleep(0.002)
    await log.write(1, "last")
    await asyncio.wait_for(following, 10)
    assert list(range(1, 63)) == seen
    await channel.close()


async def test_resumes_where_it_was_told_to(make_pair: MakePair, tls: TlsFiles) -> None:
    # B-52
    pair, log = await pair_of(make_pair)
    for number in range(5):
        await log.write(number, "x")
    channel = ServiceChannel([pair.members["one"].endpoint], tls)
    token = config_pb2.ResumeToken(history_id="h1", revision=3)
    async with contextlib.aclosing(watch(channel, resume=token)) as events:
        assert [4, 5] == [(await anext(events)).resume.revision for _ in range(2)]  # type: ignore[union-attr]
    await channel.close()


async def test_says_when_everything_has_to_be_read_again(make_pair: MakePair, tls: TlsFiles) -> None:
    # B-52: a restored database has another history
    pair, log = await pair_of(make_pair)
    await log.write(1, "x")
    channel = ServiceChannel([pair.members["one"].endpoint], tls)
    async with contextlib.aclosing(watch(channel)) as events:
        assert isinstance(await anext(events), Snapshot)
        log.history_id = "h2"
        pair.promote("two")
        again = await anext(events)
        assert isinstance(again, ReadAgain)
        snapshot = await anext(events)
        assert isinstance(snapshot, Snapshot)
        assert ("h2", 1) == (snapshot.resume.history_id, len(snapshot.objects))
    await channel.close()


async def test_a_watcher_that_fell_behind_goes_on_where_it_was(make_pair: MakePair, tls: TlsFiles) -> None:
    # B-52
    pair, log = await pair_of(make_pair)
    channel = ServiceChannel([pair.members["one"].endpoint], tls)
    async with contextlib.aclosing(watch(channel)) as events:
        assert isinstance(await anext(events), Snapshot)
        log.refusals = [LaggedError("too slow", revision=0)]
        await log.write(1, "x")
        await log.write(2, "y")
        assert [1, 2] == [(await anext(events)).resume.revision for _ in range(2)]  # type: ignore[union-attr]
    await channel.close()


async def test_tells_a_refusal(make_pair: MakePair, tls: TlsFiles) -> None:
    # B-60
    pair, log = await pair_of(make_pair)
    log.refusals = [PermissionDeniedError("not you")]
    channel = ServiceChannel([pair.members["one"].endpoint], tls)
    with pytest.raises(PermissionDeniedError, match="not you"):
        await Cache(channel).start()
    await channel.close()


async def test_the_cache_follows_and_reads_on_while_nobody_is_there(
    make_pair: MakePair, tls: TlsFiles
) -> None:
    # ha.md, When etcd itself is away; P-4
    pair, log = await pair_of(make_pair)
    await log.write(1, "first")
    await log.write(2, "gone soon")
    channel = ServiceChannel([pair.members["one"].endpoint], tls)
    cache = Cache(channel)
    heard: list[Any] = []
    stop_listening = cache.listen(heard.append)
    await cache.start(timeout_s=5)
    assert ("first", 2, True) == (cache.option("app-1", "main", "value"), len(cache), cache.connected)
    await log.write(1, "second")
    await cache.wait_revision(await log.write(2, None), timeout_s=5)
    assert ("second", None) == (cache.option("app-1", "main", "value"), cache.find("Application", "app-2"))
    assert [Snapshot, Changed, Changed] == [type(event) for event in heard]
    stop_listening()
    pair.promote(None)
    await pair.stop()
    await until(lambda: not cache.connected)
    assert ("second", 4) == (cache.option("app-1", "main", "value"), cache.revision)
    assert "none" == cache.option("app-1", "main", "missing", "none")
    assert {"main": {"value": "second"}} == cache.options("app-1")
    await cache.close()
    await channel.close()


async def test_the_cache_replaces_everything_when_the_history_is_another(
    make_pair: MakePair, tls: TlsFiles
) -> None:
    # B-52
    pair, log = await pair_of(make_pair)
    await log.write(1, "old")
    await log.write(2, "old")
    channel = ServiceChannel([pair.members["one"].endpoint], tls)
    cache = Cache(channel)
    await cache.start(timeout_s=5)
    log.history_id = "h2"
    del log.objects[2], log.transactions[1]
    log.objects[1].options.sections["main"].options["value"] = "restored"
    pair.promote("two")
    await until(lambda: cache.revision == 1)
    assert ({1: "restored"}, None) == (values(log), cache.get("Application", 2))
    assert "restored" == cache.option("app-1", "main", "value")
    await cache.close()
    await channel.close()


async def test_reads_from_the_cache_cost_no_call(make_pair: MakePair, tls: TlsFiles) -> None:
    # P-4: the benchmark measures it; here only that it is no matter of milliseconds
    pair, log = await pair_of(make_pair)
    await log.write(1, "x")
    channel = ServiceChannel([pair.members["one"].endpoint], tls)
    cache = Cache(channel)
    await cache.start(timeout_s=5)
    started = time.perf_counter()
    for _ in range(10_000):
        cache.option("app-1", "main", "value")
    assert time.perf_counter() - started < 0.5
    await cache.close()
    await channel.close()
