"""The shell around the bond with LRM: commits, waiting, and what a change of role does."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from confclient.errors import NotPrimaryError
from confkit.election.types import Epoch
from confserv.adapters.memory_state import MemoryState
from confserv.core.binding import BindingRules
from confserv.core.stage import Stage as StartupStage
from confserv.service.bindings import LrmBindings
from confserv.state_ports import Tenure
from tests.support.confserv_parts import TENURE, Stage
from tests.support.members import until


@pytest.fixture
def server() -> Stage:
    return Stage()


@pytest.fixture
def store() -> MemoryState:
    return MemoryState(tenure=TENURE)


@pytest.fixture
async def bindings(server: Stage, store: MemoryState) -> LrmBindings:
    made = LrmBindings(
        store=store,
        gate=server.gate,
        rules=BindingRules(),
        events=server.events,
        clock=server.clock,
        on_fenced=server.fenced.append,
    )
    server.gate.open(TENURE)
    made.promoted(TENURE, await store.deployment())
    return made


async def test_the_first_lrm_is_bound_after_the_stage_is_in_the_database(
    server: Stage, store: MemoryState, bindings: LrmBindings
) -> None:
    # B-12
    async with bindings.bond("lrm-1") as tenure:
        assert TENURE == tenure
        assert StartupStage.OPERATIONAL is (await store.deployment()).stage
        assert (["21-25100"], ("lrm-1",)) == (server.numbers, bindings.instances)
    assert ["21-25100", "21-25102"] == server.numbers
    await until(lambda: bindings.away_since_ms == server.clock.now_ms)


async def test_how_long_lrm_has_been_away_is_kept(
    server: Stage, store: MemoryState, bindings: LrmBindings
) -> None:
    # B-24
    async with bindings.bond("lrm-1"):
        server.clock.advance(60)
    left_ms = server.clock.now_ms
    for _ in range(5):
        await asyncio.sleep(0)
    assert left_ms == (await store.deployment()).lrm_away_since_ms


async def test_a_stage_that_the_fence_refuses_binds_nobody(
    server: Stage, store: MemoryState, bindings: LrmBindings
) -> None:
    # B-12, B-50
    store.tenure = Tenure(Epoch(1, 6), "history")
    with pytest.raises(NotPrimaryError):
        async with bindings.bond("lrm-1"):
            pytest.fail("bound by a server that is not primary")
    assert 1 == len(server.fenced)
    assert [] == server.numbers
    assert StartupStage.FIRST_STARTUP is bindings.stage


async def test_a_server_that_leaves_the_role_logs_no_loss(server: Stage, bindings: LrmBindings) -> None:
    # B-22
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(bindings.bond("lrm-1"))
        server.gate.close()
        bindings.demoted()
    assert ["21-25100"] == server.numbers
    assert () == bindings.instances


async def test_a_backup_refuses_lrm_with_the_primarys_address(server: Stage, bindings: LrmBindings) -> None:
    # B-20
    server.gate.close()
    bindings.demoted()
    with pytest.raises(NotPrimaryError):
        async with bindings.bond("lrm-1"):
            pytest.fail("bound by a backup")


async def test_a_backup_shows_the_stage_of_the_database(
    server: Stage, store: MemoryState, bindings: LrmBindings
) -> None:
    # B-10, B-15
    async with bindings.bond("lrm-1"):
        pass
    other = LrmBindings(
        store=store,
        gate=server.gate,
        rules=BindingRules(),
        events=server.events,
        clock=server.clock,
        on_fenced=server.fenced.append,
    )
    other.followed(await store.deployment())
    assert StartupStage.OPERATIONAL is other.stage


async def test_an_lrm_that_never_comes_is_reported(
    server: Stage, store: MemoryState, bindings: LrmBindings
) -> None:
    # B-23
    async with bindings.bond("lrm-1"):
        pass
    server.logged.clear()
    bindings.demoted()
    bindings.promoted(TENURE, await store.deployment())
    running = asyncio.create_task(bindings.run())
    server.clock.advance(30)
    await until(lambda: server.numbers == ["21-25102"])
    running.cancel()
