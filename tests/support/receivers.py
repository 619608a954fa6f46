"""Small real receivers for tests of the client library: usage, log events and check-outs, kept by the pair.

They keep the rules of the protos that a client depends on: sequences per source, uids, handles, answers once kept.
"""

from __future__ import annotations

import asyncio
from typing import Any

from confapi.ha.v1 import ha_pb2
from confapi.license.v1 import checkout_pb2, checkout_pb2_grpc
from confapi.message.v1 import message_pb2, message_pb2_grpc
from confapi.usage.v1 import usage_pb2, usage_pb2_grpc
from confclient.errors import InvalidError, SequenceGapError
from confkit.server import GrpcServer
from tests.support.members import Member


class Kept:
    """What the servers of a pair share, as their database."""

    def __init__(self) -> None:
        self.sequences: dict[str, int] = {}
        self.batches: list[usage_pb2.RecordUsageRequest] = []
        self.events: dict[str, message_pb2.LogEvent] = {}
        self.poison: set[str] = set()
        self.held: dict[str, checkout_pb2.Holding] = {}
        self.issued = 1
        self.beats: list[list[str]] = []
        self.lose_answers = 0
        self.silent = ""
        self.heartbeat_timeout_ms = 150


def kept(member: Member) -> Kept:
    """The shared state of a member's pair."""
    pair: Any = member.pair
    if not hasattr(pair, "kept"):
        pair.kept = Kept()
    return pair.kept  # type: ignore[no-any-return]


class Receiver(
    usage_pb2_grpc.UsageServiceServicer,
    message_pb2_grpc.LogServiceServicer,
    checkout_pb2_grpc.CheckoutServiceServicer,
):
    """All three services in one."""

    def __init__(self, member: Member) -> None:
        self.member = member
        self.kept = kept(member)

    @property
    def epoch(self) -> ha_pb2.Epoch:
        return self.member.epoch

    async def _lose_answer(self, context: Any) -> bool:
        if self.kept.lose_answers:
            self.kept.lose_answers -= 1
            return True
        return False

    async def RecordUsage(self, requests: Any, context: Any) -> Any:
        async for request in requests:
            self.member.check()
            last = self.kept.sequences.get(request.source, 0)
            if request.sequence > last + 1:
                raise SequenceGapError("a batch is missing", expected=last + 1)
            if request.sequence == last + 1:
                self.kept.sequences[request.source] = request.sequence
                self.kept.batches.append(request)
            if await self._lose_answer(context):
                self.member.pair.promote(self.other)
                self.member.check()
            yield usage_pb2.RecordUsageResponse(sequence=request.sequence, epoch=self.epoch)

    async def PublishEvents(self, requests: Any, context: Any) -> Any:
        async for request in requests:
            if self.kept.silent == self.member.name:
                await asyncio.Event().wait()
            self.member.check()
            if self.kept.poison & {event.event_uid for event in request.events}:
                raise InvalidError("an event is poison")
            for event in request.events:
                self.kept.events.setdefault(event.event_uid, event)
            if await self._lose_answer(context):
                self.member.pair.promote(self.other)
                self.member.check()
            yield message_pb2.PublishEventsResponse(sequence=request.sequence, epoch=self.epoch)

    @property
    def other(self) -> str:
        return next(name for name in self.member.pair.members if name != self.member.name)

    async def CheckOut(self, request: Any, context: Any) -> checkout_pb2.CheckOutResponse:
        self.member.check()
        wanted = request.wanted
        used = sum(item.count for item in self.kept.held.values() if item.feature == wanted.feature)
        if wanted.handle not in self.kept.held and used + wanted.count > self.kept.issued:
            denial = checkout_pb2.Denial(reason="ALL_IN_USE", number=-4, message="all are in use")
            return checkout_pb2.CheckOutResponse(outcome=checkout_pb2.CHECK_OUTCOME_DENIED, denial=denial)
        self.kept.held[wanted.handle] = wanted
        return checkout_pb2.CheckOutResponse(
            outcome=checkout_pb2.CHECK_OUTCOME_GRANTED,
            holding=wanted,
            epoch=self.epoch,
            heartbeat_timeout_ms=self.kept.heartbeat_timeout_ms,
        )

    async def CheckIn(self, request: Any, context: Any) -> checkout_pb2.CheckInResponse:
        self.member.check()
        released = [handle for handle in request.handles if self.kept.held.pop(handle, None)]
        return checkout_pb2.CheckInResponse(released=released, epoch=self.epoch)

    async def Heartbeat(self, requests: Any, context: Any) -> Any:
        async for request in requests:
            self.member.check()
            self.kept.beats.append(list(request.handles))
            yield checkout_pb2.HeartbeatResponse(
                lost=[handle for handle in request.handles if handle not in self.kept.held],
                epoch=self.epoch,
                heartbeat_timeout_ms=self.kept.heartbeat_timeout_ms,
            )


def add_receivers(server: GrpcServer, member: Member) -> None:
    """Add the three services to a member."""
    receiver = Receiver(member)
    server.add(usage_pb2_grpc.add_UsageServiceServicer_to_server, receiver, "confapi.usage.v1.UsageService")
    server.add(message_pb2_grpc.add_LogServiceServicer_to_server, receiver, "confapi.message.v1.LogService")
    server.add(
        checkout_pb2_grpc.add_CheckoutServiceServicer_to_server,
        receiver,
        "confapi.license.v1.CheckoutService",
    )
