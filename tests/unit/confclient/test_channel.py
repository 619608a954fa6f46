"""The channel against small real servers: hints, retries, loss, silence, old epochs."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from confapi.config.v1 import config_pb2, config_pb2_grpc
from confapi.ha.v1 import ha_pb2
from confapi.license.v1 import checkout_pb2, checkout_pb2_grpc
from confclient.channel import ServiceChannel
from confclient.credentials import TlsFiles
from confclient.errors import (
    NoPrimaryError,
    NotFoundError,
    NotPrimaryError,
    OutcomeUnknownError,
    StaleRevisionError,
)
from confclient.rpcs import CHECK_IN, DELETE_OBJECT, GET_OBJECT, SWITCH_OVER, WATCH
from confkit.server import GrpcServer
from tests.support.members import Member, Pair, until
from tests.unit.confclient.conftest import MakePair

GET = config_pb2.GetObjectRequest()


class Objects(config_pb2_grpc.ConfigServiceServicer, checkout_pb2_grpc.CheckoutServiceServicer):
    """Answers with the epoch as revision; keeps what it was asked."""

    def __init__(self, member: Member) -> None:
        self.member = member
        self.asked: list[Any] = []
        self.silent = False
        self.refusals: list[Exception] = []
        self.answer_epoch: int | None = None
        member.objects = self  # type: ignore[attr-defined]

    async def GetObject(self, request: Any, context: Any) -> config_pb2.GetObjectResponse:
        self.asked.append(request)
        if self.silent:
            await asyncio.Event().wait()
        self.member.check()
        if self.refusals:
            raise self.refusals.pop(0)
        return config_pb2.GetObjectResponse(revision=self.member.pair.epoch)

    async def DeleteObject(self, request: Any, context: Any) -> config_pb2.DeleteObjectResponse:
        self.asked.append(request)
        if self.refusals:
            raise self.refusals.pop(0)
        self.member.check()
        epoch = ha_pb2.Epoch(generation=1, mod_revision=3)
        return config_pb2.DeleteObjectResponse(commit=config_pb2.Commit(revision=7, epoch=epoch))

    async def CheckIn(self, request: Any, context: Any) -> checkout_pb2.CheckInResponse:
        self.member.check()
        epoch = self.answer_epoch or self.member.pair.epoch
        return checkout_pb2.CheckInResponse(epoch=ha_pb2.Epoch(generation=1, mod_revision=epoch))

    async def Watch(self, request: Any, context: Any) -> Any:
        self.member.check()
        yield config_pb2.WatchResponse(resume=config_pb2.ResumeToken(revision=1))
        await until(lambda: not self.member.primary and not self.silent, timeout_s=30)
        self.member.check()


def add(server: GrpcServer, member: Member) -> None:
    objects = Objects(member)
    server.add(
        config_pb2_grpc.add_ConfigServiceServicer_to_server, objects, "confapi.config.v1.ConfigService"
    )
    server.add(
        checkout_pb2_grpc.add_CheckoutServiceServicer_to_server, objects, "confapi.license.v1.CheckoutService"
    )


async def pair_of(make_pair: MakePair, *names: str) -> Pair:
    pair = make_pair(add)
    for name in names:
        await pair.start(name)
    pair.promote(names[0])
    return pair


def endpoints(pair: Pair) -> list[str]:
    return [member.endpoint for member in pair.members.values()]


async def test_follows_a_hint_to_a_server_that_it_was_never_told_of(
    make_pair: MakePair, tls: TlsFiles
) -> None:
    # B-20
    pair = await pair_of(make_pair, "one", "two")
    channel = ServiceChannel([pair.members["two"].endpoint], tls)
    assert pair.epoch == (await channel.unary(GET_OBJECT, GET)).revision
    assert set(endpoints(pair)) == set(channel.view.endpoints)
    await channel.close()


async def test_a_planned_switchover_is_a_slower_call(make_pair: MakePair, tls: TlsFiles) -> None:
    # B-53
    pair = await pair_of(make_pair, "one", "two")
    channel = ServiceChannel(endpoints(pair), tls)
    await channel.unary(GET_OBJECT, GET)
    pair.promote("two")
    assert pair.epoch == (await channel.unary(GET_OBJECT, GET)).revision
    assert pair.members["two"].endpoint == channel.view.primary
    await channel.close()


async def test_the_loss_of_the_primary_is_a_slower_call(make_pair: MakePair, tls: TlsFiles) -> None:
    # B-53
    pair = await pair_of(make_pair, "one", "two")
    channel = ServiceChannel(endpoints(pair), tls)
    await channel.unary(GET_OBJECT, GET)
    pair.members["one"].objects.silent = True  # type: ignore[attr-defined]
    waiting = asyncio.create_task(channel.unary(GET_OBJECT, GET))
    await until(lambda: len(pair.members["one"].objects.asked) == 2)  # type: ignore[attr-defined]
    pair.promote(None)
    await pair.members["one"].stop()
    pair.promote("two")
    promoted = time.monotonic()
    assert pair.epoch == (await waiting).revision
    assert time.monotonic() - promoted < 0.3
    await channel.close()


async def test_a_call_to_a_silent_server_is_called_back_when_another_takes_over(
    make_pair: MakePair, tls: TlsFiles
) -> None:
    # B-53: a paused primary keeps its connections
    pair = await pair_of(make_pair, "one", "two")
    channel = ServiceChannel(endpoints(pair), tls)
    await channel.unary(GET_OBJECT, GET)
    one = pair.members["one"]
    one.objects.silent = True  # type: ignore[attr-defined]
    one.hang.clear()
    pair.promote("two")
    assert pair.epoch == (await channel.unary(GET_OBJECT, GET, timeout_s=5)).revision
    one.hang.set()
    await channel.close()


async def test_repeats_an_unknown_outcome_with_the_same_request(make_pair: MakePair, tls: TlsFiles) -> None:
    # B-51
    pair = await pair_of(make_pair, "one")
    channel = ServiceChannel(endpoints(pair), tls)
    objects = pair.members["one"].objects  # type: ignore[attr-defined]
    objects.refusals = [OutcomeUnknownError("unknown"), NoPrimaryError("not yet")]
    request = config_pb2.DeleteObjectRequest(context=config_pb2.WriteContext(request_id="x"))
    answer = await channel.unary(DELETE_OBJECT, request)
    assert (7, [request] * 3) == (answer.commit.revision, objects.asked)
    await channel.close()


async def test_a_commit_of_an_earlier_tenure_is_an_answer(make_pair: MakePair, tls: TlsFiles) -> None:
    # B-51: a repeated write gets its first answer, whoever committed it
    pair = await pair_of(make_pair, "one")
    channel = ServiceChannel(endpoints(pair), tls)
    await channel.unary(CHECK_IN, checkout_pb2.CheckInRequest())
    answer = await channel.unary(DELETE_OBJECT, config_pb2.DeleteObjectRequest())
    assert 3 == answer.commit.epoch.mod_revision
    assert channel.highest_epoch is not None
    assert pair.epoch == channel.highest_epoch.mod_revision
    await channel.close()


async def test_refusals_go_to_the_caller(make_pair: MakePair, tls: TlsFiles) -> None:
    # B-60
    pair = await pair_of(make_pair, "one")
    channel = ServiceChannel(endpoints(pair), tls)
    objects = pair.members["one"].objects  # type: ignore[attr-defined]
    objects.refusals = [NotFoundError("no such"), StaleRevisionError("stale", expected=1, actual=2)]
    with pytest.raises(NotFoundError, match="no such"):
        await channel.unary(GET_OBJECT, GET)
    with pytest.raises(StaleRevisionError) as refusal:
        await channel.unary(GET_OBJECT, GET)
    assert {"expected": "1", "actual": "2"} == refusal.value.metadata
    await channel.close()


async def test_an_answer_under_a_lower_epoch_is_dropped_and_asked_again(
    make_pair: MakePair, tls: TlsFiles
) -> None:
    # I-7
    pair = await pair_of(make_pair, "one")
    channel = ServiceChannel(endpoints(pair), tls)
    await channel.unary(CHECK_IN, checkout_pb2.CheckInRequest())
    objects = pair.members["one"].objects  # type: ignore[attr-defined]
    objects.answer_epoch = 1
    asking = asyncio.create_task(channel.unary(CHECK_IN, checkout_pb2.CheckInRequest()))
    assert not (await asyncio.wait({asking}, timeout=0.1))[0]
    objects.answer_epoch = None
    assert pair.epoch == (await asking).epoch.mod_revision
    await channel.close()


async def test_says_which_addresses_it_has_asked_when_nobody_is_primary(
    make_pair: MakePair, tls: TlsFiles
) -> None:
    # B-60
    pair = await pair_of(make_pair, "one")
    pair.promote(None)
    channel = ServiceChannel(endpoints(pair), tls, component="Configuration Server")
    with pytest.raises(NoPrimaryError, match="no primary Configuration Server") as refusal:
        await channel.unary(GET_OBJECT, GET, timeout_s=0.2)
    assert pair.members["one"].endpoint in refusal.value.message
    await channel.close()


async def test_what_must_not_be_done_twice_is_not_repeated_after_a_lost_answer(
    make_pair: MakePair, tls: TlsFiles
) -> None:
    pair = await pair_of(make_pair, "one", "two")
    channel = ServiceChannel(endpoints(pair), tls)
    objects = pair.members["one"].objects  # type: ignore[attr-defined]
    objects.silent = True
    calling = asyncio.create_task(channel.unary(GET_OBJECT, GET, repeatable=False))
    await until(lambda: bool(objects.asked))
    await pair.members["one"].stop()
    with pytest.raises(OutcomeUnknownError, match="before you do it again"):
        await calling
    pair.promote("two")
    answer = await channel.unary(SWITCH_OVER, ha_pb2.SwitchOverRequest())
    assert "two" == answer.primary
    await channel.close()


async def test_a_stream_ends_with_a_hint_and_is_opened_at_the_successor(
    make_pair: MakePair, tls: TlsFiles
) -> None:
    # B-52
    pair = await pair_of(make_pair, "one", "two")
    channel = ServiceChannel(endpoints(pair), tls)
    async with await channel.server_stream(WATCH, config_pb2.WatchRequest()) as stream:
        assert 1 == (await anext(stream)).resume.revision
        pair.promote("two")
        with pytest.raises(NotPrimaryError) as ended:
            await anext(stream)
    await channel.recover(ended.value, tries=0)
    async with await channel.server_stream(WATCH, config_pb2.WatchRequest()) as stream:
        assert pair.members["two"].endpoint == stream.endpoint
    await channel.close()


async def test_a_stream_of_a_silent_server_is_called_back_when_another_takes_over(
    make_pair: MakePair, tls: TlsFiles
) -> None:
    # B-52
    pair = await pair_of(make_pair, "one", "two")
    channel = ServiceChannel(endpoints(pair), tls)
    one = pair.members["one"]
    async with await channel.server_stream(WATCH, config_pb2.WatchRequest()) as stream:
        await anext(stream)
        one.objects.silent = True  # type: ignore[attr-defined]
        pair.promote("two")
        channel.suspect(one.endpoint)
        await channel.unary(GET_OBJECT, GET)
        with pytest.raises(NotPrimaryError, match="has taken over"):
            await anext(stream)
    await channel.close()


async def test_a_cancelled_call_is_cancelled_and_nothing_else(make_pair: MakePair, tls: TlsFiles) -> None:
    pair = await pair_of(make_pair, "one")
    channel = ServiceChannel(endpoints(pair), tls)
    objects = pair.members["one"].objects  # type: ignore[attr-defined]
    objects.silent = True
    calling = asyncio.create_task(channel.unary(GET_OBJECT, GET))
    await until(lambda: bool(objects.asked))
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    objects.silent = False
    assert pair.epoch == (await channel.unary(GET_OBJECT, GET)).revision
    await channel.close()
