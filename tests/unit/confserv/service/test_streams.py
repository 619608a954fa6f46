"""A stream of the primary ends with the role."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from confclient.errors import NotPrimaryError
from confserv.service.streams import until_closed
from tests.support.confserv_parts import TENURE, Stage


@pytest.fixture
def server() -> Stage:
    made = Stage()
    made.gate.open(TENURE)
    return made


async def test_everything_is_passed_on_until_the_source_ends(server: Stage) -> None:
    # B-52
    async def source() -> AsyncIterator[int]:
        for number in range(3):
            yield number

    assert [0, 1, 2] == [one async for one in until_closed(source(), server.gate, TENURE)]


async def test_a_closed_gate_ends_it_with_the_primarys_address_and_frees_the_source(server: Stage) -> None:
    # B-22, B-52
    freed = asyncio.Event()

    async def source() -> AsyncIterator[int]:
        try:
            yield 1
            await asyncio.Event().wait()
        finally:
            freed.set()

    stream = until_closed(source(), server.gate, TENURE)
    assert 1 == await anext(stream)
    server.gate.close()
    with pytest.raises(NotPrimaryError):
        await anext(stream)
    assert freed.is_set()


async def test_an_error_of_the_source_is_the_streams(server: Stage) -> None:
    # B-60
    async def source() -> AsyncIterator[int]:
        yield 1
        raise ValueError("broken")

    stream = until_closed(source(), server.gate, TENURE)
    assert 1 == await anext(stream)
    with pytest.raises(ValueError, match="broken"):
        await anext(stream)
