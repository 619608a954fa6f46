"""Queries and subscriptions over a store that grows."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from confclient.errors import CompactedError, DatabaseUnavailableError, LaggedError, NotPrimaryError
from confkit.election.types import (
    ALLOWED,
    Epoch,
    EtcdIdentity,
    Grounds,
    InstanceName,
    ProcessFacts,
    View,
)
from message_server.adapters.memory import MemoryLogStore
from message_server.core.events import EventFilter, EventUid, LogRecord, Position
from message_server.core.following import QUEUE_EVENTS
from message_server.fanout import Fanout, Subscriber
from message_server.journal import Journal, Surroundings
from message_server.subscriptions import LogReader

ALL = EventFilter()


class WatchedFanout(Fanout):
    """Says when somebody has joined the live flow."""

    def __init__(self) -> None:
        super().__init__()
        self.joined = asyncio.Event()

    def join(self, wanted: EventFilter) -> Subscriber:
        self.joined.set()
        return super().join(wanted)


class Log:
    """A primary's log with its readers."""

    def __init__(self) -> None:
        self.store, self.fanout, self.lagged = MemoryLogStore(), WatchedFanout(), 0
        self.pool = ThreadPoolExecutor(2)
        self.numbers = 0
        epoch = Epoch(1, 7)
        around = Surroundings(
            epoch_now=lambda: epoch,
            refusal=lambda: NotPrimaryError("moved"),
            wall_ms=lambda: 5,
            tell=self.fanout.tell,
            log=lambda *_, **__: None,
        )
        self.journal = Journal(self.store, self.pool, around)
        grounds = Grounds(EtcdIdentity("e"), 9, 2.0, 0.0, View(9))
        raised = self.store.raise_fence(
            epoch, grounds, facts=ProcessFacts(InstanceName("m1")), permit=lambda _: ALLOWED
        )
        assert raised.row is not None
        self.journal.open(history_id=raised.row.history_id, head=Position(0))
        self.reader = LogReader(
            store=self.store, readers=self.pool, journal=self.journal, fanout=self.fanout, lagged=self.count
        )

    def count(self) -> None:
        self.lagged += 1

    async def add(self, count: int, application: str = "a") -> None:
        numbers = range(self.numbers, self.numbers + count)
        self.numbers += count
        await self.journal.append(
            [
                LogRecord(EventUid(str(uuid.UUID(int=n))), "21-25100", 4, 1, "", 1, application)
                for n in numbers
            ]
        )


@pytest.fixture
async def log() -> AsyncIterator[Log]:
    made = Log()
    task = asyncio.create_task(made.journal.run())
    yield made
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    made.pool.shutdown()


async def follow(
    log: Log, count: int, *, wanted: EventFilter = ALL, after: int = 0, from_now: bool = False
) -> list[int]:
    """Read `count` positions of a subscription, then leave it."""
    seen: list[int] = []
    pages = log.reader.follow(wanted, after=Position(after), from_now=from_now)
    async with asyncio.timeout(10):
        async for page in pages:
            seen += [event.position for event in page]
            if len(seen) >= count:
                break
    await pages.aclose()  # type: ignore[attr-defined]
    return seen


async def test_a_subscriber_is_told_the_stored_events_and_then_the_new_ones(log: Log) -> None:  # B-52
    await log.add(3)
    following = asyncio.create_task(follow(log, 5))
    await log.add(1)
    await log.add(1)
    assert [1, 2, 3, 4, 5] == await following


async def test_a_subscriber_misses_and_doubles_nothing_while_the_log_grows(log: Log) -> None:  # B-52
    await log.add(3_000)
    following = [asyncio.create_task(follow(log, 6_000, after=after)) for after in (0, 0, 0)]
    for _ in range(30):
        await log.add(100)
    assert [list(range(1, 6_001))] * 3 == await asyncio.gather(*following)


async def test_a_subscriber_goes_on_after_its_last_position(log: Log) -> None:  # B-52
    await log.add(9)
    assert [8, 9] == await follow(log, 2, after=7)


async def test_a_subscriber_from_now_is_told_only_what_comes(log: Log) -> None:
    await log.add(9)
    following = asyncio.create_task(follow(log, 1, from_now=True))
    await log.fanout.joined.wait()
    await log.add(1)
    assert [10] == await following


async def test_a_subscriber_is_told_only_what_it_asked_for(log: Log) -> None:
    await log.add(3, "a")
    following = asyncio.create_task(follow(log, 3, wanted=EventFilter(application="b")))
    for application, count in (("b", 2), ("a", 1), ("b", 1)):
        await log.add(count, application)
    assert [4, 5, 7] == await following


async def test_whoever_leaves_is_forgotten(log: Log) -> None:
    await log.add(1)
    await follow(log, 1)
    assert 0 == len(log.fanout)


async def test_a_subscriber_that_does_not_keep_up_is_told_so(log: Log) -> None:  # B-52
    pages = log.reader.follow(ALL, after=Position(0), from_now=False)
    waiting = asyncio.ensure_future(anext(pages))
    await log.fanout.joined.wait()
    await log.add(1)
    await waiting
    for _ in range(QUEUE_EVENTS // 1_000 + 1):
        await log.add(1_000)
    with pytest.raises(LaggedError):
        async for _ in pages:
            pass
    assert 1 == log.lagged


async def test_the_end_of_the_role_ends_the_subscription_with_the_way_to_the_primary(
    log: Log,
) -> None:  # B-52
    following = asyncio.create_task(follow(log, 1))
    await log.fanout.joined.wait()
    log.fanout.end_all(NotPrimaryError("moved"))
    with pytest.raises(NotPrimaryError):
        await following


async def test_a_position_beyond_the_log_is_refused(log: Log) -> None:  # B-51
    with pytest.raises(CompactedError, match="went back"):
        await follow(log, 1, after=1)


@pytest.mark.parametrize(
    ("after", "limit", "newest_first", "expected"),
    [
        pytest.param(0, 3, False, ([1, 2, 3], True), id="a first page"),
        pytest.param(3, 3, False, ([4, 5], False), id="the last page"),
        pytest.param(0, 3, True, ([5, 4, 3], True), id="the newest"),
        pytest.param(3, 3, True, ([2, 1], False), id="those before them"),
        pytest.param(0, 5, False, ([1, 2, 3, 4, 5], False), id="a page that is just full is the last"),
    ],
)
async def test_a_query_gives_a_page_and_whether_there_is_more(
    log: Log, after: int, limit: int, newest_first: bool, expected: tuple[list[int], bool]
) -> None:
    await log.add(5)
    events, more = await log.reader.query(ALL, after=Position(after), limit=limit, newest_first=newest_first)
    assert expected == ([event.position for event in events], more)


async def test_a_query_of_a_server_that_lost_its_role_is_refused(log: Log) -> None:  # B-50
    log.journal.close()
    with pytest.raises(NotPrimaryError):
        await log.reader.query(ALL, after=Position(0), limit=9, newest_first=False)


async def test_a_query_while_the_database_is_away_says_so(log: Log) -> None:  # B-60
    log.store.is_reachable = False
    with pytest.raises(DatabaseUnavailableError):
        await log.reader.query(ALL, after=Position(0), limit=9, newest_first=False)
