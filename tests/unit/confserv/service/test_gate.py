"""Who passes the gate when."""

from __future__ import annotations

import asyncio

import pytest

from confclient.errors import NoPrimaryError, NotPrimaryError
from tests.support.confserv_parts import TENURE, Stage


@pytest.fixture
def server() -> Stage:
    return Stage()


async def test_a_server_that_was_never_primary_sends_callers_away(server: Stage) -> None:
    # B-20
    with pytest.raises(NotPrimaryError):
        await server.gate.passage()


async def test_a_primary_lets_callers_pass_under_its_tenure(server: Stage) -> None:
    # B-50
    server.gate.open(TENURE)
    assert TENURE == await server.gate.passage()


async def test_nobody_passes_before_the_election_says_so(server: Stage) -> None:
    # B-50
    server.epoch = None
    server.gate.open(TENURE)
    assert server.gate.tenure is None
    waiting = asyncio.create_task(server.gate.passage())
    await asyncio.sleep(0)
    assert not waiting.done()
    server.epoch = TENURE.epoch
    server.gate.look()
    assert TENURE == await waiting


async def test_callers_wait_while_suspended_and_pass_afterwards(server: Stage) -> None:
    # B-50
    server.gate.open(TENURE)
    server.gate.suspend()
    waiting = asyncio.create_task(server.gate.passage())
    await asyncio.sleep(0)
    assert not waiting.done()
    server.gate.open(TENURE)
    assert TENURE == await waiting


async def test_who_waits_is_sent_away_when_the_role_is_lost(server: Stage) -> None:
    # B-53
    server.gate.open(TENURE)
    server.gate.suspend()
    waiting = asyncio.create_task(server.gate.passage())
    await asyncio.sleep(0)
    server.gate.close()
    with pytest.raises(NotPrimaryError):
        await waiting


async def test_waiting_ends_after_the_callers_patience(server: Stage) -> None:
    # B-60
    server.gate.open(TENURE)
    server.gate.suspend()
    waiting = asyncio.create_task(server.gate.passage(patience_s=10))
    await asyncio.sleep(0)
    server.clock.advance(10)
    with pytest.raises(NoPrimaryError):
        await waiting


async def test_a_stream_ends_when_the_gate_closes_and_not_when_it_is_suspended(server: Stage) -> None:
    # B-22
    server.gate.open(TENURE)
    closed = asyncio.create_task(server.gate.closed(TENURE))
    server.gate.suspend()
    await asyncio.sleep(0)
    assert not closed.done()
    server.gate.close()
    await asyncio.wait_for(closed, 1)
