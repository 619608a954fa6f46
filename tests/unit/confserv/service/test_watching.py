"""A watch from its beginning to its end: snapshot, what was missed, what follows, without gap or repetition."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable

import pytest

from confserv.adapters.memory import MemoryDatabase
from confserv.core.log import LogEntry
from confserv.core.objects import Record
from confserv.core.refusals import Reason, Refused
from confserv.core.watch import Filter, Selected
from confserv.service.watching import Watching
from tests.support.configurations import HISTORY, create, request
from tests.support.engines import Server, a_primary
from tests.support.waiting import eventually

HOSTS = Filter(types=frozenset({"Host"}))  # type: ignore[arg-type]


class Words:
    """Messages as words."""

    def snapshot(self, records: Iterable[Record], *, complete: bool, history_id: str, revision: int) -> bytes:
        """Names of a part."""
        return f"snapshot {revision} {' '.join(r.name for r in records)}{'.' if complete else '…'}".encode()

    def transaction(self, entry: LogEntry, selected: tuple[Selected, ...], history_id: str) -> bytes:
        """Names of a transaction."""
        return f"{entry.revision} {' '.join(one.record.name for one in selected)}".encode()

    def bookmark(self, *, history_id: str, revision: int) -> bytes:
        """A revision."""
        return f"bookmark {revision}".encode()


async def write(server: Server, *names: str) -> None:
    """Create hosts, one by one."""
    for name in names:
        await server.engine.submit(request(create("Host", name, address="a")))


async def take(source: AsyncIterator[bytes], count: int) -> list[str]:
    """Take messages, within 5 seconds."""
    async with asyncio.timeout(5):
        return [(await anext(source)).decode() for _ in range(count)]


async def test_what_is_written_while_the_snapshot_is_taken_follows_it_once() -> None:
    # B-52, I-4
    async with a_primary(MemoryDatabase()) as server:
        server.engine.hub._render = Words().transaction
        await write(server, "a", "b")
        source = Watching(server.engine, Words(), HOSTS).from_snapshot()
        assert ["snapshot 3 a b."] == await take(source, 1)
        await write(server, "c", "d")
        assert ["4 c", "5 d"] == await take(source, 2)
        await source.aclose()  # type: ignore[attr-defined]


@pytest.mark.parametrize("recent", [1000, 3, 1], ids=["all in memory", "some in memory", "one in memory"])
async def test_a_resumed_watch_gets_all_it_missed_wherever_it_is_kept(recent: int) -> None:
    # B-52: each change once, in order, with no gap
    async with a_primary(MemoryDatabase(), recent=recent) as server:
        server.engine.hub._render = Words().transaction
        await write(server, *"abcdef")
        source = Watching(server.engine, Words(), HOSTS).resumed(history_id=HISTORY, revision=2)
        first = await take(source, 2)
        await write(server, "g")
        assert ["3 b", "4 c", "5 d", "6 e", "7 f", "8 g"] == first + await take(source, 4)
        await source.aclose()  # type: ignore[attr-defined]


async def test_a_watcher_to_whom_nothing_is_told_gets_a_bookmark_to_resume_from() -> None:
    async with a_primary(MemoryDatabase()) as server:
        chosen = Filter(name_prefix="nobody")
        source = Watching(server.engine, Words(), chosen, bookmark_s=0.05).from_snapshot()
        assert ["snapshot 1 ."] == await take(source, 1)
        marked = asyncio.ensure_future(take(source, 1))
        await asyncio.wait({marked}, timeout=0.1)
        assert not marked.done()
        await write(server, "a", "b")
        assert (await marked)[0] in ("bookmark 2", "bookmark 3")
        await source.aclose()  # type: ignore[attr-defined]


async def test_a_log_that_no_longer_has_what_was_missed_says_to_read_everything_again() -> None:
    # B-52, COMPACTED
    database = MemoryDatabase()
    async with a_primary(database, recent=1) as server:
        await write(server, *"abc")
        database.compacted_revision = 2
        source = Watching(server.engine, Words(), HOSTS).resumed(history_id=HISTORY, revision=1)
        with pytest.raises(Refused) as caught:
            await take(source, 1)
        assert Reason.COMPACTED == caught.value.reason


async def test_who_stops_listening_costs_nothing_more() -> None:
    async with a_primary(MemoryDatabase()) as server:
        source = Watching(server.engine, Words(), HOSTS).from_snapshot()
        await take(source, 1)
        assert 1 == len(server.engine.hub._watchers)
        await source.aclose()  # type: ignore[attr-defined]
        await eventually(lambda: not server.engine.hub._watchers)
