"""A pair of Message Servers on a real etcd and one SQLite file, over TLS: publish, query, follow, switch over."""

from __future__ import annotations

import asyncio
import functools
import signal
import uuid
from typing import Any

import pytest

from confapi.ha.v1 import ha_pb2
from confapi.message.v1 import message_pb2
from confclient.channel import ServiceChannel
from confclient.errors import (
    ConfservError,
    InvalidError,
    LicenseRequiredError,
    NoPrimaryError,
    NotPrimaryError,
    PermissionDeniedError,
)
from confclient.outcomes import ConnectionBrokenError
from confclient.rpcs import GET_STATUS, PUBLISH_EVENTS, QUERY_EVENTS, SUBSCRIBE_EVENTS, SWITCH_OVER
from confcluster.ports import free_ports
from message_server.app import serve
from message_server.settings import MessageServerSettings
from tests.support.elected import WITHOUT_HA, Surroundings, around, authority, etcd, eventually
from tests.support.licenses import LICENSE

__all__ = ["around", "authority", "etcd"]

pytestmark = pytest.mark.etcd


class Pair:
    """Two Message Servers on one log database, and clients of them."""

    def __init__(self, around: Surroundings) -> None:
        self.around, self.stub = around, around.stub
        self.endpoints = [f"127.0.0.1:{port}" for port in free_ports(2)]

    def start(self, number: int, *, take_over: bool = False) -> None:
        taking_over = functools.partial(serve, take_over=take_over)
        self.around.run(MessageServerSettings, taking_over, **self.settings(number))

    def settings(self, number: int) -> dict[str, Any]:
        return {
            "name": f"message-server-{number}",
            "role": "message-server",
            "listen": self.endpoints[number - 1],
            "message_servers": self.endpoints,
            "database": f"sqlite:///{self.around.directory}/log.sqlite",
        }

    async def stop(self, name: str) -> int:
        return await self.around.stop(name)

    def channel(self, role: str = "administrator", name: str = "ann") -> ServiceChannel:
        return self.around.channel(self.endpoints, role=role, name=name)

    async def publish(
        self, channel: ServiceChannel, *events: message_pb2.LogEvent, sequence: int = 1
    ) -> None:
        """Publish one batch, and again until it is stored, as the client library does."""
        while True:
            try:
                async with await channel.bidi_stream(PUBLISH_EVENTS) as stream:
                    await stream.write(message_pb2.PublishEventsRequest(sequence=sequence, events=events))
                    answer = await asyncio.wait_for(stream.read(), 2)
                    assert answer is not None
                    assert sequence == answer.sequence
                    return
            except TimeoutError:
                channel.suspect(stream.endpoint)
            except ConfservError as error:
                await channel.recover(error, tries=0)

    async def texts(self, channel: ServiceChannel, application: str = "billing") -> list[str]:
        request = message_pb2.QueryEventsRequest(limit=1000)
        request.filter.application = application
        answer = await channel.unary(QUERY_EVENTS, request)
        return [stored.event.text for stored in answer.events]

    async def follow(self, channel: ServiceChannel, count: int, application: str = "billing") -> list[str]:
        """Subscribe from the first event on, and again after the last position, until `count` were told."""
        request = message_pb2.SubscribeEventsRequest()
        request.filter.application = application
        told: list[str] = []
        while len(told) < count:
            try:
                async with await channel.server_stream(SUBSCRIBE_EVENTS, request) as stream:
                    async for message in stream:
                        told += [stored.event.text for stored in message.events]
                        request.after_position = message.events[-1].position
                        if len(told) >= count:
                            break
            except ConfservError as error:
                await channel.recover(error, tries=0)
        return told

    async def primary(self, channel: ServiceChannel) -> str:
        return (await channel.unary(GET_STATUS, ha_pb2.GetStatusRequest())).self.instance


@pytest.fixture
def pair(around: Surroundings) -> Pair:
    return Pair(around)


def event(text: str, *, application: str = "billing", uid: str | None = None) -> message_pb2.LogEvent:
    return message_pb2.LogEvent(
        event_uid=uid or str(uuid.uuid4()), event_id="99-00001", level=message_pb2.LEVEL_STANDARD,
        severity=message_pb2.SEVERITY_INFO, text=text, time_ms=1_764_000_000_000, application=application,
        attributes={"tenant": "acme"},
    )  # fmt: skip


async def test_events_are_published_queried_and_followed_across_a_planned_switchover(
    pair: Pair,
) -> None:  # B-51, B-52
    pair.start(1)
    people, application = pair.channel(), pair.channel("application", "billing")
    await pair.publish(application, event("one"), event("two"))
    assert ["one", "two"] == await pair.texts(people)
    pair.start(2)

    async def switched_over() -> bool:
        try:
            answer = await people.unary(SWITCH_OVER, ha_pb2.SwitchOverRequest(reason="test"))
        except ConfservError:
            return False
        return "message-server-2" == answer.primary

    await eventually(switched_over)
    await pair.publish(application, event("three"), sequence=2)
    following = asyncio.create_task(pair.follow(people, 4))
    await pair.publish(application, event("four"), sequence=3)
    seen = await asyncio.wait_for(following, 15)
    assert ["one", "two", "three", "four"] == seen
    assert "message-server-2" == await pair.primary(people)


async def test_the_backup_takes_over_when_the_primary_leaves_and_nothing_is_lost(pair: Pair) -> None:  # B-51
    pair.start(1)
    people, application = pair.channel(), pair.channel("application", "billing")
    repeated = event("one")
    await pair.publish(application, repeated)
    pair.start(2)
    status = await people.unary(GET_STATUS, ha_pb2.GetStatusRequest())
    assert "true" == status.attributes["ha_licensed"]
    await pair.stop("message-server-1")
    await pair.publish(application, repeated, event("two"))
    assert ["one", "two"] == await pair.texts(people)


async def test_a_primary_that_was_stopped_beyond_its_lease_stores_nothing_more(
    pair: Pair,
) -> None:  # B-50, B-51
    first = pair.around.spawn("message_server", **pair.settings(1))
    people, application = pair.channel(), pair.channel("application", "billing")
    await pair.publish(application, event("one"))
    pair.start(2)

    async def warm() -> bool:
        members = (await people.unary(GET_STATUS, ha_pb2.GetStatusRequest())).members
        return {"message-server-1", "message-server-2"} == {member.instance for member in members}

    await eventually(warm)
    stopped = pair.around.channel([pair.endpoints[0]], role="application", name="late")
    async with await stopped.bidi_stream(PUBLISH_EVENTS) as stream:
        first.send_signal(signal.SIGSTOP)
        late = event("too late", application="late")
        await stream.write(message_pb2.PublishEventsRequest(sequence=1, events=[late]))
        await pair.publish(application, event("two"), sequence=2)
        assert "message-server-2" == await pair.primary(people)
        first.send_signal(signal.SIGCONT)
        with pytest.raises((NotPrimaryError, NoPrimaryError, ConnectionBrokenError)):
            await asyncio.wait_for(stream.read(), 20)
    assert (["one", "two"], []) == (await pair.texts(people), await pair.texts(people, "late"))


async def test_without_the_feature_no_switchover_and_with_it_at_once(pair: Pair) -> None:  # B-40
    pair.stub.license_text = WITHOUT_HA
    pair.start(1)
    people = pair.channel()
    assert "message-server-1" == await pair.primary(people)
    pair.start(2)

    async def refused() -> bool:
        try:
            await people.unary(SWITCH_OVER, ha_pb2.SwitchOverRequest(to="message-server-2"))
        except LicenseRequiredError:
            return True
        except ConfservError:
            return False
        raise AssertionError("switched over without the feature")

    await eventually(refused)
    await pair.stop("message-server-1")
    with pytest.raises(NoPrimaryError):
        await people.unary(GET_STATUS, ha_pb2.GetStatusRequest(), timeout_s=3)
    pair.start(1)
    assert "message-server-1" == await pair.primary(people)

    async def logged() -> bool:
        request = message_pb2.QueryEventsRequest(filter=message_pb2.EventFilter(event_ids=["00-25012"]))
        events = (await people.unary(QUERY_EVENTS, request)).events
        return {"message-server-1", "message-server-2"} == {stored.event.application for stored in events}

    await eventually(logged)
    pair.stub.load(LICENSE)

    async def switched_over() -> bool:
        try:
            await people.unary(SWITCH_OVER, ha_pb2.SwitchOverRequest(to="message-server-2"))
        except ConfservError:
            return "message-server-2" == await pair.primary(people)
        return True

    await eventually(switched_over)


async def test_an_operator_can_order_the_other_to_take_over_without_the_feature(pair: Pair) -> None:  # B-40
    pair.stub.license_text = WITHOUT_HA
    pair.start(1)
    people = pair.channel()
    assert "message-server-1" == await pair.primary(people)
    await pair.stop("message-server-1")
    pair.start(2, take_over=True)
    assert "message-server-2" == await pair.primary(people)

    async def logged() -> bool:
        request = message_pb2.QueryEventsRequest(filter=message_pb2.EventFilter(event_ids=["00-25022"]))
        return bool((await people.unary(QUERY_EVENTS, request)).events)

    await eventually(logged)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        pytest.param(event("x", application="lrm-1"), "not the name", id="an event under another's name"),
        pytest.param(event("x", uid="7"), "UUID", id="an event without a proper uid"),
    ],
)
async def test_a_wrong_batch_is_refused_and_the_server_goes_on(  # B-60
    pair: Pair, wrong: message_pb2.LogEvent, says: str
) -> None:
    pair.start(1)
    application = pair.channel("application", "billing")
    with pytest.raises(InvalidError, match=says):
        await pair.publish(application, event("good"), wrong)
    await pair.publish(application, event("later"))
    assert ["later"] == await pair.texts(pair.channel())


async def test_an_application_may_not_read_the_log(pair: Pair) -> None:  # B-60
    pair.start(1)
    with pytest.raises(PermissionDeniedError):
        await pair.texts(pair.channel("application", "billing"))
