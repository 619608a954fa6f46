"""The license as a running server knows it: noticed, judged, logged, handed on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest

from confkit.license.trust import TrustSet
from confserv.adapters.memory_state import MemoryState
from confserv.core.compliance import Compliance, ComplianceRules
from confserv.service.licensing import Licensing, Surroundings
from confserv.service.upload import Upload, UploadRefused, load_license
from tests.support.confserv_parts import TENURE, Stage
from tests.support.licenses import NOW, TRUST, signed
from tests.support.members import until


def text(*, expiry: str = "31-dec-2027", issued: str = "15-jan-2026") -> bytes:
    return signed(
        f"VENDOR acmed\nFEATURE config_server acmed 1.0 {expiry} 1 ISSUED={issued}\n"
        f"FEATURE ha_redundancy acmed 1.0 {expiry} uncounted HOSTID=ANY ISSUED={issued}\n"
    )


VALID, EXPIRED = text(), text(expiry="23-nov-2026", issued="16-jan-2026")
NEWER = text(issued="17-jan-2026")


@pytest.fixture
def server() -> Stage:
    return Stage()


@pytest.fixture
def store(server: Stage) -> MemoryState:
    return MemoryState(tenure=TENURE, now_ms=server.clock.now_ms)


@pytest.fixture
async def licensing(server: Stage, store: MemoryState) -> AsyncIterator[Licensing]:
    made = Licensing(
        store=store,
        trust=TRUST,
        rules=ComplianceRules(log_interval_s=60),
        poll_s=0.01,
        gate=server.gate,
        events=server.events,
        clock=server.clock,
        surroundings=Surroundings(lambda: 0, lambda: ()),
        on_fenced=server.fenced.append,
    )
    running = asyncio.create_task(made.run())
    yield made
    running.cancel()


async def promote(server: Stage, store: MemoryState, licensing: Licensing) -> None:
    server.gate.open(TENURE)
    licensing.promoted(TENURE, await store.deployment())


async def upload(store: MemoryState, data: bytes) -> None:
    wanted = Upload(data, "test.lic", "test", accept_expired=True, accept_older=True)
    await load_license(store, wanted, trust=TRUST, now=NOW)


async def test_a_revision_loaded_by_another_process_is_noticed_and_ends_the_messages(
    server: Stage, store: MemoryState, licensing: Licensing
) -> None:
    # B-2, B-30, B-31
    await upload(store, EXPIRED)
    await promote(server, store, licensing)
    await until(lambda: server.numbers == ["21-25110", "21-25111"])
    server.clock.advance(60)
    await until(lambda: server.numbers == ["21-25110", "21-25111", "21-25111"])
    assert Compliance.EXPIRED is licensing.assessment().compliance
    server.logged.clear()
    await upload(store, NEWER)
    await until(lambda: server.numbers == ["21-25110", "21-25112"])
    assert Compliance.OK is licensing.assessment().compliance


async def test_a_backup_follows_and_logs_nothing(
    server: Stage, store: MemoryState, licensing: Licensing
) -> None:
    # B-30
    await upload(store, EXPIRED)
    await until(lambda: licensing.current is not None)
    assert Compliance.EXPIRED is licensing.assessment().compliance
    assert [] == server.numbers


async def test_expiry_takes_no_feature_away(store: MemoryState, licensing: Licensing) -> None:
    # B-30
    await upload(store, EXPIRED)
    await until(licensing.has_ha)
    assert licensing.has_feature("config_server")
    assert not licensing.has_feature("routing")


async def test_what_was_announced_is_kept_for_the_next_primary(
    server: Stage, store: MemoryState, licensing: Licensing
) -> None:
    # B-30
    await upload(store, EXPIRED)
    await promote(server, store, licensing)
    await until(lambda: server.numbers == ["21-25110", "21-25111"])
    for _ in range(5):
        await asyncio.sleep(0)
    announced = (await store.deployment()).announced
    assert (1, {"21-25111"}) == (announced.revision, announced.raised)


async def test_a_stored_text_that_is_altered_is_announced(
    server: Stage, store: MemoryState, licensing: Licensing
) -> None:
    # B-32
    await upload(store, VALID)
    await promote(server, store, licensing)
    await until(lambda: server.numbers == ["21-25110"])
    store._licenses[0] = replace(store._licenses[0], text=VALID.replace(b"2027", b"2028"))
    server.clock.advance(5)
    await until(lambda: server.numbers == ["21-25110", "21-25114"])
    assert Compliance.INVALID is licensing.assessment().compliance


async def test_a_clock_that_is_set_back_is_announced_and_cleared(
    server: Stage, store: MemoryState, licensing: Licensing
) -> None:
    # B-32
    await upload(store, VALID)
    await promote(server, store, licensing)
    await until(lambda: server.numbers == ["21-25110"])
    server.clock.now_ms -= 2 * 3_600_000
    await until(lambda: server.numbers[1:] == ["21-25115"])
    server.clock.now_ms += 2 * 3_600_000
    await until(lambda: server.numbers[2:] == ["21-25116"])


async def test_the_clock_is_judged_by_the_time_on_record(
    server: Stage, store: MemoryState, licensing: Licensing
) -> None:
    # B-32
    await upload(store, VALID)
    deployment = await store.deployment()
    ahead_ms = server.clock.now_ms + int(timedelta(hours=2).total_seconds() * 1000)
    server.gate.open(TENURE)
    licensing.promoted(TENURE, replace(deployment, highest_clock_ms=ahead_ms))
    await until(lambda: "21-25115" in server.numbers)


async def test_followers_get_the_license_at_once_and_each_revision_after_it(
    store: MemoryState, licensing: Licensing
) -> None:
    # B-31
    await upload(store, VALID)
    seen: list[int] = []

    async def follow() -> None:
        async for license_ in licensing.changes():
            seen.append(license_.stored.revision)

    following = asyncio.create_task(follow())
    await until(lambda: seen == [1])
    await upload(store, NEWER)
    await until(lambda: seen == [1, 2])
    following.cancel()


async def test_the_primary_loads_a_text_for_an_operator(
    server: Stage, store: MemoryState, licensing: Licensing
) -> None:
    # B-1
    await promote(server, store, licensing)
    loaded = await licensing.load(Upload(VALID, "x.lic", "administrator/alice"))
    assert (True, 1, "administrator/alice") == (
        loaded.changed,
        loaded.stored.revision,
        loaded.stored.stored_by,
    )
    assert not (await licensing.load(Upload(VALID, "x.lic", "administrator/alice"))).changed
    assert licensing.current is not None
    assert 1 == licensing.current.stored.revision


async def test_a_refused_text_leaves_the_license_as_it_was(
    server: Stage, store: MemoryState, licensing: Licensing
) -> None:
    # B-3
    await upload(store, VALID)
    with pytest.raises(UploadRefused) as caught:
        await licensing.load(Upload(VALID.replace(b"2027", b"2028"), "x.lic", "alice"))
    assert {"source": "x.lic", "line": "2", "column": "9"}.items() <= caught.value.metadata.items()
    assert (1,) == tuple(one.revision for one in await licensing.revisions())


async def test_a_database_that_does_not_answer_is_noticed(store: MemoryState, licensing: Licensing) -> None:
    # B-54
    from confkit.election.ports import StoreUnreachable

    async def unreachable() -> tuple[int, str] | None:
        raise StoreUnreachable("gone")

    store.latest_license = unreachable  # type: ignore[method-assign]
    await until(lambda: not licensing.reachable)


async def test_new_settings_count_without_a_restart(
    server: Stage, store: MemoryState, licensing: Licensing
) -> None:
    # B-32
    await upload(store, VALID)
    await promote(server, store, licensing)
    await until(lambda: server.numbers == ["21-25110"])
    licensing.configure(rules=ComplianceRules(), trust=TrustSet.of([]))
    await until(lambda: server.numbers[1:] == ["21-25114"])
    assert not licensing.has_ha()
    licensing.configure(rules=ComplianceRules(), trust=TRUST)
    await until(licensing.has_ha)
