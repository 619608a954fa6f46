"""Usage, log events and check-outs against small real servers that go away, come back and lose answers."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from confapi.message.v1 import message_pb2
from confapi.usage.v1 import usage_pb2
from confclient.channel import ServiceChannel
from confclient.credentials import TlsFiles
from confclient.licenses import CheckoutDeniedError, Held, Licenses
from confclient.log import LogPublisher
from confclient.shipping import Shipper
from confclient.usage import UsageReporter
from tests.support.members import Pair, until
from tests.support.receivers import Kept, add_receivers, kept
from tests.unit.confclient.conftest import MakePair


async def pair_of(make_pair: MakePair) -> tuple[Pair, Kept]:
    pair = make_pair(add_receivers)
    await pair.start("one")
    await pair.start("two")
    pair.promote("one")
    return pair, kept(pair.members["one"])


def endpoints(pair: Pair) -> list[str]:
    return [member.endpoint for member in pair.members.values()]


def event(number: int) -> message_pb2.LogEvent:
    return message_pb2.LogEvent(event_uid=f"uid-{number}", event_id="00-25000", text=str(number))


def statements(kept: Kept) -> list[tuple[str, int, int]]:
    return [
        (session.item, session.version, session.end_ms)
        for batch in kept.batches
        for session in batch.sessions
    ]


def reporter(channel: ServiceChannel, directory: Path | None, **more: Any) -> UsageReporter:
    return UsageReporter(channel, source="billing", spool_dir=directory, now_ms=lambda: 1_000, **more)


async def test_usage_is_reported_from_start_to_end(make_pair: MakePair, tls: TlsFiles) -> None:
    # usage.md, Inputs
    pair, kept = await pair_of(make_pair)
    channel = ServiceChannel(endpoints(pair), tls)
    usage = reporter(channel, None)
    usage.start_delivery()
    with usage.start(tenant="acme", item="voice", place="p1", user="u", attributes={"k": "v"}):
        assert await usage.flush(timeout_s=5)
    assert await usage.flush(timeout_s=5)
    assert [("voice", 1, 0), ("voice", 2, 1_000)] == statements(kept)
    first = kept.batches[0].sessions[0]
    assert ("acme", "p1", "u", {"k": "v"}) == (first.tenant, first.place, first.user, dict(first.attributes))
    await usage.close()
    await channel.close()


async def test_usage_is_taken_exactly_once_when_answers_are_lost(
    make_pair: MakePair, tls: TlsFiles, tmp_path: Path
) -> None:
    # B-51 for usage: batches are recognized by their sequence
    pair, kept = await pair_of(make_pair)
    channel = ServiceChannel(endpoints(pair), tls)
    usage = reporter(channel, tmp_path / "usage")
    usage.start_delivery()
    for number in range(12):
        usage.start(tenant="acme", item=f"item-{number}")
        if number % 3 == 0:
            kept.lose_answers = 1
        assert await usage.flush(timeout_s=5)
    assert [f"item-{number}" for number in range(12)] == [item for item, _, _ in statements(kept)]
    assert list(range(1, 13)) == [batch.sequence for batch in kept.batches]
    await usage.close()
    await channel.close()


async def test_usage_waits_on_disk_while_lrm_is_away_and_outlives_the_process(
    make_pair: MakePair, tls: TlsFiles, tmp_path: Path
) -> None:
    # B-24; usage.md, Inputs
    pair, kept = await pair_of(make_pair)
    pair.promote(None)
    channel = ServiceChannel(endpoints(pair), tls, timeout_s=0.2)
    usage = reporter(channel, tmp_path / "usage")
    usage.start_delivery()
    usage.start(tenant="acme", item="voice").end()
    assert not await usage.flush(timeout_s=0.2)
    await usage.close(flush_s=0)
    pair.promote("two")
    again = reporter(channel, tmp_path / "usage")
    again.start_delivery()
    assert await again.flush(timeout_s=5)
    assert [("voice", 1, 0), ("voice", 2, 1_000)] == statements(kept)
    await again.close()
    await channel.close()


async def test_a_source_whose_spool_was_lost_goes_on_after_the_numbers_that_lrm_has(
    make_pair: MakePair, tls: TlsFiles, tmp_path: Path
) -> None:
    # otherwise its first batches would be taken for repetitions, and lost
    pair, kept = await pair_of(make_pair)
    kept.sequences["billing"] = 41
    channel = ServiceChannel(endpoints(pair), tls)
    usage = reporter(channel, tmp_path / "usage")
    usage.start_delivery()
    usage.start(tenant="acme", item="voice")
    assert await usage.flush(timeout_s=5)
    await usage.close()
    assert [42, 43] == [batch.sequence for batch in kept.batches]
    again = reporter(channel, tmp_path / "usage")
    again.start_delivery()
    again.record(usage_pb2.UsageSession(id="x", item="later", version=1))
    assert await again.flush(timeout_s=5)
    assert 44 == kept.batches[-1].sequence
    await again.close()
    await channel.close()


async def test_usage_that_does_not_fit_is_counted(make_pair: MakePair, tls: TlsFiles, tmp_path: Path) -> None:
    # B-60
    pair, kept = await pair_of(make_pair)
    pair.promote(None)
    channel = ServiceChannel(endpoints(pair), tls, timeout_s=0.2)
    usage = reporter(channel, tmp_path / "usage", max_bytes=100)
    usage.start_delivery()
    for number in range(5):
        usage.start(tenant="acme", item=f"item-{number}")
        await usage.flush(timeout_s=0.01)
    assert 4 == usage.refused
    pair.promote("one")
    assert await usage.flush(timeout_s=5)
    assert [("item-0", 1, 0)] == statements(kept)
    await usage.close(flush_s=0)
    await channel.close()


async def test_log_events_are_stored_once_and_in_order_whatever_is_lost(
    make_pair: MakePair, tls: TlsFiles, tmp_path: Path
) -> None:
    pair, kept = await pair_of(make_pair)
    async with LogPublisher(endpoints(pair), tls, tmp_path / "log") as log:
        for number in range(200):
            log.put(event(number))
            if number % 50 == 0:
                kept.lose_answers = 1
                assert await log.flush(timeout_s=5)
        assert await log.flush(timeout_s=5)
    assert [f"uid-{number}" for number in range(200)] == list(kept.events)


async def test_log_events_wait_on_disk_while_the_message_server_is_away(
    make_pair: MakePair, tls: TlsFiles, tmp_path: Path
) -> None:
    pair, kept = await pair_of(make_pair)
    pair.promote(None)
    log = LogPublisher(lambda: endpoints(pair), tls, tmp_path / "log")
    log.put(event(0))
    await log.start()
    log.put(event(1))
    await log.close(flush_s=0.05)
    assert {} == kept.events
    pair.promote("one")
    async with LogPublisher(endpoints(pair), tls, tmp_path / "log") as again:
        again.put(event(2))
        assert await again.flush(timeout_s=5)
    assert ["uid-0", "uid-1", "uid-2"] == list(kept.events)


async def test_log_events_go_to_the_successor_of_a_server_that_keeps_silent(
    make_pair: MakePair, tls: TlsFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    # ha.md, Clients: a primary that was stopped keeps its connections
    monkeypatch.setattr(Shipper.__init__, "__kwdefaults__", {"patience_s": 0.2})
    pair, kept = await pair_of(make_pair)
    async with LogPublisher(endpoints(pair), tls) as log:
        log.put(event(0))
        assert await log.flush(timeout_s=5)
        kept.silent = "one"
        log.put(event(1))
        pair.promote("two")
        for number in range(2, 12):  # a busy sender must notice it too
            log.put(event(number))
            await asyncio.sleep(0.05)
        assert await log.flush(timeout_s=5)
    assert [f"uid-{number}" for number in range(12)] == list(kept.events)


async def test_log_events_can_be_put_from_any_thread(make_pair: MakePair, tls: TlsFiles) -> None:
    pair, kept = await pair_of(make_pair)
    async with LogPublisher(endpoints(pair), tls) as log:

        def put(first: int) -> None:
            for number in range(first, first + 500):
                log.put(event(number))

        threads = [threading.Thread(target=put, args=(first,)) for first in (0, 1000, 2000)]
        for thread in threads:
            thread.start()
        await asyncio.gather(*(asyncio.to_thread(thread.join) for thread in threads))
        assert await log.flush(timeout_s=5)
    assert 1500 == len(kept.events)


async def test_an_event_that_the_message_server_never_takes_does_not_block_the_others(
    make_pair: MakePair, tls: TlsFiles
) -> None:
    # B-60
    pair, kept = await pair_of(make_pair)
    kept.poison = {"uid-3"}
    async with LogPublisher(endpoints(pair), tls) as log:
        for number in range(6):
            log.put(event(number))
        assert await log.flush(timeout_s=10)
        assert 1 == log.dropped
        log.put(event(6))
        assert await log.flush(timeout_s=5)
    assert {f"uid-{number}" for number in (0, 1, 2, 4, 5, 6)} == set(kept.events)
    assert "1" == kept.events["uid-6"].attributes["dropped_before"]


async def test_a_license_is_held_for_the_time_of_the_block(make_pair: MakePair, tls: TlsFiles) -> None:
    # B-42
    pair, kept = await pair_of(make_pair)
    channel = ServiceChannel(endpoints(pair), tls)
    licenses = Licenses(channel)
    async with licenses.checkout("recorder", user="u") as held:
        assert [held.holding.handle] == list(kept.held)
        with pytest.raises(CheckoutDeniedError, match="all are in use") as denied:
            async with licenses.checkout("recorder"):
                pass
        assert ("ALL_IN_USE", -4) == (denied.value.metadata["denial"], denied.value.denial.number)
    assert {} == kept.held
    await licenses.close()
    await channel.close()


async def test_licenses_are_re_attached_after_a_fail_over_and_consume_nothing_more(
    make_pair: MakePair, tls: TlsFiles
) -> None:
    # B-42
    pair, kept = await pair_of(make_pair)
    kept.issued = 2
    channel = ServiceChannel(endpoints(pair), tls)
    licenses = Licenses(channel)
    async with licenses.checkout("recorder") as one, licenses.checkout("recorder") as two:
        both = {one.holding.handle, two.holding.handle}
        await until(lambda: any(both == set(handles) for handles in kept.beats))
        kept.beats.clear()
        pair.promote("two")
        await pair.members["one"].stop()
        await until(lambda: any(both == set(handles) for handles in kept.beats))
        kept.held.clear()
        await until(lambda: both == set(kept.held))
        assert not one.lost.is_set()
    await licenses.close()
    await channel.close()


async def test_a_holder_is_told_when_its_license_is_gone_for_good(make_pair: MakePair, tls: TlsFiles) -> None:
    # B-42
    pair, kept = await pair_of(make_pair)
    lost: list[Held] = []
    channel = ServiceChannel(endpoints(pair), tls)
    licenses = Licenses(channel, on_lost=lost.append)
    async with licenses.checkout("recorder") as held:
        kept.issued = 0
        kept.held.clear()
        await asyncio.wait_for(held.lost.wait(), 5)
    assert [held] == lost
    await licenses.close()
    await channel.close()
