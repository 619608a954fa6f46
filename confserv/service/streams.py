"""Streams that a primary serves: each ends, with the new primary's endpoints, when this server leaves the role."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import TypeVar

from confserv.service.gate import Gate
from confserv.state_ports import Tenure

T = TypeVar("T")


async def until_closed(source: AsyncIterator[T], gate: Gate, tenure: Tenure) -> AsyncIterator[T]:
    """Yield what `source` yields, until it ends or the gate closes. Raises NotPrimaryError when the gate closes."""
    closing = asyncio.ensure_future(gate.closed(tenure))
    upcoming = asyncio.ensure_future(anext(source))
    try:
        while True:
            await asyncio.wait({closing, upcoming}, return_when=asyncio.FIRST_COMPLETED)
            if closing.done():
                raise gate.refusal()
            try:
                item = upcoming.result()
            except StopAsyncIteration:
                return
            yield item
            upcoming = asyncio.ensure_future(anext(source))
    finally:
        for task in (closing, upcoming):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, StopAsyncIteration):
                await task
