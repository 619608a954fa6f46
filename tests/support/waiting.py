"""Waiting for conditions with a deadline, never for a fixed time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable


async def eventually(
    condition: Callable[[], bool | Awaitable[bool]], *, timeout_s: float = 10.0, pause_s: float = 0.01
) -> None:
    """Return once `condition` holds. Raises TimeoutError after `timeout_s` seconds."""
    async with asyncio.timeout(timeout_s):
        while True:
            holds = condition()
            if holds if isinstance(holds, bool) else await holds:
                return
            await asyncio.sleep(pause_s)
