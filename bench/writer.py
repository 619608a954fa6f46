"""A client that writes all the time, one write after the other, and notes when each was acknowledged."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from bench.figures import longest_gap_s

QUIET_S = 0.3
"""A round ends once writes have flowed for so long after the fault, in seconds."""


class Writer:
    """Calls `write` again and again until stopped; a write that fails is noted and tried again by itself.

    Args:
        write: one write, which returns once it is acknowledged.
    """

    def __init__(self, write: Callable[[int], Awaitable[None]]) -> None:
        self._write = write
        self._task: asyncio.Task[None] | None = None
        self.acknowledged_s: list[float] = []
        self.failed: list[str] = []

    async def __aenter__(self) -> Writer:
        self._task = asyncio.create_task(self._run())
        await self._until(lambda: len(self.acknowledged_s) >= 50, timeout_s=30)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        number = 0
        while True:
            number += 1
            try:
                await self._write(number)
            except Exception as error:  # any failure is the measured system's, and counts as a gap
                self.failed.append(repr(error)[:200])
                await asyncio.sleep(0)
            else:
                self.acknowledged_s.append(time.monotonic())

    async def gap_ms(self, fault: Callable[[], Awaitable[None]], *, timeout_s: float = 30.0) -> float:
        """Inject a fault, wait until writes flow again, return the longest gap in milliseconds.

        Raises:
            TimeoutError: writes did not flow again within `timeout_s` seconds.
        """
        since_s = time.monotonic()
        await fault()
        injected_s = time.monotonic()
        await self._until(lambda: self._flows(injected_s), timeout_s=timeout_s)
        return 1000 * longest_gap_s(self.acknowledged_s, since_s=since_s, until_s=time.monotonic())

    def _flows(self, since_s: float) -> bool:
        """Whether the last `QUIET_S` since the fault had an acknowledgement at both ends, and no wide gap."""
        recent = [time_s for time_s in self.acknowledged_s[-2000:] if time_s > since_s]
        if not recent or recent[-1] - recent[0] < QUIET_S:
            return False
        window = [time_s for time_s in recent if time_s >= recent[-1] - QUIET_S]
        return longest_gap_s(window, since_s=window[0], until_s=window[-1]) < QUIET_S / 2

    async def _until(self, condition: Callable[[], bool], *, timeout_s: float) -> None:
        deadline_s = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > deadline_s:
                raise TimeoutError(f"no writes for {timeout_s:g} s; last failures: {self.failed[-3:]}")
            await asyncio.sleep(0.02)
