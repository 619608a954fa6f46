"""Tasks that a composition root starts, and ends in order."""

from __future__ import annotations

import asyncio
from typing import Any


async def end(task: asyncio.Task[Any]) -> None:
    """Cancel a task and return when it has ended; what it raised is left to whoever waits for it."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
