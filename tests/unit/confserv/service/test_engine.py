"""The configuration alive, over a database in memory: commits, answers, following, promotion and demotion."""

from __future__ import annotations

import asyncio
import threading

import pytest

from confclient.errors import NoPrimaryError, UnavailableError
from confkit.election.types import Epoch
from confserv.adapters.memory import MemoryDatabase, MemoryStore
from confserv.core.effects import Outcome
from confserv.core.refusals import Reason, Refused
from confserv.ports import CommitResult
from confserv.service.engine import WentBack
from confserv.service.store_threads import StoreThreads
from tests.support.configurations import EPOCH, HISTORY, an_object, create, request, update
from tests.support.engines import Server, a_primary, following
from tests.support.waiting import eventually

LATER = Epoch(1, 20)


@pytest.fixture
def database() -> MemoryDatabase:
    """An empty database."""
    return MemoryDatabase()


async def test_an_empty_database_gets_the_environment_the_server_and_peoples_tools_as_one_revision(
    database: MemoryDatabase,
) -> None:
    async with a_primary(database) as server:
        configuration = server.engine.configuration
        assert 1 == server.engine.revision
        assert [(1, "Environment")] == [(r.key.dbid, r.name) for r in configuration.objects("Tenant")]
        assert [(99, "confserv-1"), (100, "administrator"), (101, "confctl"), (102, "itc")] == [
            (record.key.dbid, record.name) for record in configuration.objects("Application")
        ]


async def test_a_second_promotion_adds_nothing(database: MemoryDatabase) -> None:
    async with a_primary(database) as server:
        await server.engine.demote()
        database.raise_token(LATER)
        await server.promote(LATER)
        assert 1 == server.engine.revision


async def test_many_writers_are_answered_and_each_write_is_in_the_log_once(database: MemoryDatabase) -> None:
    # B-51, I-2, I-3
    async with a_primary(database) as server:
        asked = [request(create("Host", f"h{number}", address="a")) for number in range(200)]
        entries = await asyncio.gather(*(server.engine.submit(one) for one in asked))
        assert sorted(entry.revision for entry in entries) == list(range(2, 202))
        assert [entry.request_id for entry in database.entries[1:]] == [
            entry.request_id for entry in sorted(entries, key=lambda entry: entry.revision)
        ]


async def test_a_backup_follows_and_refuses_writes_and_current_reads(database: MemoryDatabase) -> None:
    # B-54
    async with a_primary(database) as primary, following(Server(MemoryStore(database))) as backup:
        await primary.engine.submit(request(create("Host", "rhea", address="a")))
        await eventually(lambda: backup.engine.revision == 2)
        assert ["rhea"] == [record.name for record in backup.engine.configuration.objects("Host")]
        for attempt in (
            backup.engine.current(),
            backup.engine.submit(request(create("Host", "x", address="a"))),
        ):
            with pytest.raises(Refused) as caught:
                await attempt
            assert Reason.NOT_PRIMARY == caught.value.reason


async def test_a_successor_has_all_that_was_acknowledged_and_answers_a_repeated_request(
    database: MemoryDatabase,
) -> None:
    # B-51
    async with a_primary(database) as primary, following(Server(MemoryStore(database))) as backup:
        asked = request(create("Host", "rhea", address="a"))
        first = await primary.engine.submit(asked)
        database.raise_token(LATER)
        await backup.promote(LATER)
        assert first == await backup.engine.submit(asked)
        after = await backup.engine.submit(request(create("Host", "dione", address="a")))
        assert (3, LATER) == (after.revision, after.epoch)


async def test_a_primary_that_was_overtaken_finds_out_by_its_next_write_and_tells(
    database: MemoryDatabase,
) -> None:
    # B-50
    async with a_primary(database) as server:
        database.raise_token(LATER)
        with pytest.raises(Refused) as caught:
            await server.engine.submit(request(create("Host", "rhea", address="a")))
        assert Reason.NOT_PRIMARY == caught.value.reason
        assert [False] == [step.went_back for step in server.steps]
        assert 1 == len(database.entries)


async def test_writes_and_current_reads_wait_while_suspended(database: MemoryDatabase) -> None:
    # ha.md, SUSPENDED
    async with a_primary(database) as server:
        server.engine.suspend()
        write = asyncio.create_task(server.engine.submit(request(create("Host", "rhea", address="a"))))
        read = asyncio.create_task(server.engine.current())
        assert set() == (await asyncio.wait({write, read}, timeout=0.05))[0]
        server.engine.resume()
        await read
        assert 2 == (await write).revision


async def test_a_write_that_was_not_admitted_in_time_is_refused_for_good(database: MemoryDatabase) -> None:
    async with a_primary(database, patience_s=0.05) as server:
        server.engine.suspend()
        with pytest.raises(NoPrimaryError):
            await server.engine.submit(request(create("Host", "rhea", address="a")))
        server.engine.resume()
        await server.engine.submit(request(create("Host", "dione", address="a")))
        assert ["dione"] == [record.name for record in server.engine.configuration.objects("Host")]


async def test_a_flood_of_writes_is_refused_beyond_a_bound(
    database: MemoryDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    # B-60
    monkeypatch.setattr("confserv.service.callers.MAX_WAITING", 2)
    async with a_primary(database) as server:
        server.engine.suspend()
        waiting = [
            asyncio.create_task(server.engine.submit(request(create("Host", f"h{n}", address="a"))))
            for n in range(2)
        ]
        await asyncio.wait(waiting, timeout=0.01)
        with pytest.raises(UnavailableError, match="2 writes wait"):
            await server.engine.submit(request(create("Host", "late", address="a")))
        server.engine.resume()
        assert [2, 3] == sorted(entry.revision for entry in await asyncio.gather(*waiting))


async def test_past_the_lease_guard_a_write_waits_until_the_election_says_otherwise(
    database: MemoryDatabase,
) -> None:
    # ha.md, Coordination: asked before every act
    async with a_primary(database) as server:
        server.epoch = None
        write = asyncio.create_task(server.engine.submit(request(create("Host", "rhea", address="a"))))
        assert set() == (await asyncio.wait({write}, timeout=0.05))[0]
        assert 1 == len(database.entries)
        server.epoch = EPOCH
        server.engine.poke()
        assert 2 == (await write).revision


class SlowStore(MemoryStore):
    """Commits when it is let go."""

    def __init__(self, database: MemoryDatabase) -> None:
        super().__init__(database)
        self.go = threading.Event()
        self.entered = threading.Event()

    def commit(self, *args: object, **kwargs: object) -> CommitResult:
        """Wait, then commit."""
        self.entered.set()
        self.go.wait(10)
        return super().commit(*args, **kwargs)  # type: ignore[arg-type]


async def test_demotion_gives_the_write_under_way_its_true_answer(database: MemoryDatabase) -> None:
    # ha.md, Demotion
    async with a_primary(database) as server:
        slow = SlowStore(database)
        server.engine._store = StoreThreads(slow)
        first = asyncio.create_task(server.engine.submit(request(create("Host", "rhea", address="a"))))
        second = asyncio.create_task(server.engine.submit(request(create("Host", "dione", address="a"))))
        await eventually(slow.entered.is_set)
        demotion = asyncio.create_task(server.engine.demote())
        await asyncio.wait([second])
        slow.go.set()
        await demotion
        assert 2 == (await first).revision
        with pytest.raises(Refused, match="NOT_PRIMARY"):
            await second


async def test_demotion_does_not_wait_for_ever_for_a_commit_that_hangs(database: MemoryDatabase) -> None:
    # ha.md, Demotion: not found counts only under another token
    async with a_primary(database) as server:
        slow = SlowStore(database)
        server.engine._store = StoreThreads(slow)
        write = asyncio.create_task(server.engine.submit(request(create("Host", "rhea", address="a"))))
        await eventually(slow.entered.is_set)
        async with asyncio.timeout(4):
            await server.engine.demote()
        with pytest.raises(Refused) as caught:
            await write
        assert Reason.OUTCOME_UNKNOWN == caught.value.reason
        slow.go.set()
        await eventually(lambda: server.engine.revision == 2)
        assert 2 == len(database.entries)


async def test_draining_finishes_the_commit_under_way(database: MemoryDatabase) -> None:
    # B-53
    async with a_primary(database) as server:
        writes = [
            asyncio.create_task(server.engine.submit(request(create("Host", f"h{n}", address="a"))))
            for n in range(5)
        ]
        await asyncio.sleep(0)
        assert await server.engine.drain(timeout_s=5)
        assert 6 == server.engine.revision
        late = asyncio.create_task(server.engine.submit(request(create("Host", "late", address="a"))))
        await asyncio.gather(*writes)
        server.engine.resume()
        assert 7 == (await late).revision


@pytest.mark.parametrize("lands", [True, False], ids=["landed", "was lost"])
async def test_a_commit_with_unknown_outcome_that(database: MemoryDatabase, lands: bool) -> None:
    # B-51
    async with a_primary(database) as server:
        database.lands = lands
        database.faults.append(Outcome.UNKNOWN)
        entry = await server.engine.submit(request(create("Host", "rhea", address="a")))
        assert (2, 2) == (entry.revision, len(database.entries))
        assert server.engine.database_reachable


async def test_a_database_that_is_away_for_a_while_costs_time_and_nothing_else(
    database: MemoryDatabase,
) -> None:
    # B-51
    async with a_primary(database) as server:
        database.reachable = False
        write = asyncio.create_task(server.engine.submit(request(create("Host", "rhea", address="a"))))
        await eventually(lambda: not server.engine.database_reachable)
        database.reachable = True
        assert 2 == (await write).revision
        assert server.engine.database_reachable


async def test_a_follower_whose_database_went_back_says_so_once_and_applies_nothing(
    database: MemoryDatabase,
) -> None:
    # B-51, 21-25126
    async with a_primary(database) as primary, following(Server(MemoryStore(database))) as backup:
        await primary.engine.submit(request(create("Host", "rhea", address="a")))
        await eventually(lambda: backup.engine.revision == 2)
        database.restore(revision=1, history_id=HISTORY)
        await eventually(lambda: backup.engine.went_back is not None)
        assert [True] == [step.went_back for step in backup.steps]
        assert "ends at revision 1" in backup.steps[0].detail


async def test_a_promotion_on_a_log_that_lacks_what_another_member_has_seen_is_refused(
    database: MemoryDatabase,
) -> None:
    # B-51, ha.md, Promotion
    async with a_primary(database) as server:
        await server.engine.demote()
        database.raise_token(LATER)
        seen = await server.engine.prepare_promotion()
        tail = await server.engine.read_log(after_revision=seen.revision)
        with pytest.raises(WentBack, match="another member has seen 7"):
            await server.engine.open(LATER, history_id=HISTORY, tail=tail, elsewhere=7)


async def test_a_sitting_primary_finds_a_restore_by_its_next_write(database: MemoryDatabase) -> None:
    # ha.md: a restore under a sitting primary
    async with a_primary(database) as server:
        await server.engine.submit(request(create("Host", "rhea", address="a")))
        database.restore(revision=1, history_id="history-2")
        with pytest.raises(Refused, match="OUTCOME_UNKNOWN"):
            await server.engine.submit(
                request(update("Host", "rhea", an_object("Host", address="b"), "body.address"))
            )
        assert [True] == [step.went_back for step in server.steps]
