"""The gate in front of everything that only a primary may do: open, suspended, or closed with a hint.

Why it exists: "asked before every act" (`ha.md`, Coordination) must be one question in one place. While suspended,
callers wait, up to a bound: an application sees a slower call, never a failed one. The right to act is asked of the
election with the time in it, at each passage, since a guard runs out without anybody telling. What it does not
promise: that a write which has passed is committed under the same token; the fence row in the database does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from confclient.errors import ConfservError, NoPrimaryError
from confkit.clock import Clock
from confkit.election.types import Epoch
from confserv.state_ports import Tenure

_LOOK_AGAIN_S = 0.02


class Gate:
    """Open under one tenure at a time.

    `epoch_at` is the election's answer at a time in seconds of CLOCK_BOOTTIME; `refusal` makes the error that names
    the primary (NOT_PRIMARY), or says that none is known.
    """

    def __init__(
        self, *, epoch_at: Callable[[float], Epoch | None], clock: Clock, refusal: Callable[[], ConfservError]
    ) -> None:
        """Begin closed."""
        self._epoch_at = epoch_at
        self._clock = clock
        self._refusal = refusal
        self._tenure: Tenure | None = None
        self._suspended = False
        self._changed = asyncio.Event()

    @property
    def tenure(self) -> Tenure | None:
        """The tenure under which this server may act now; None while closed, suspended or past its guard."""
        if self._tenure is None or self._suspended:
            return None
        return self._tenure if self._epoch_at(self._clock.boottime_s()) == self._tenure.epoch else None

    @property
    def is_closed(self) -> bool:
        """Whether this server is no primary, not even a suspended one."""
        return self._tenure is None

    def open(self, tenure: Tenure) -> None:
        """Let callers pass under `tenure`."""
        self._tenure, self._suspended = tenure, False
        self._tell()

    def suspend(self) -> None:
        """Let callers wait."""
        self._suspended = True
        self._tell()

    def close(self) -> None:
        """Refuse callers, and those that wait, with the primary's endpoints."""
        self._tenure, self._suspended = None, False
        self._tell()

    def look(self) -> None:
        """Let those that wait ask the election again: call it when the election has changed."""
        self._tell()

    def holds(self, tenure: Tenure) -> bool:
        """Whether the gate is still the one that was passed under `tenure`, open or suspended."""
        return self._tenure == tenure

    async def passage(self, *, patience_s: float = 10.0) -> Tenure:
        """Give the tenure to act under, waiting while suspended for at most `patience_s` seconds.

        Raises NotPrimaryError with the primary's endpoints, NoPrimaryError when none is known.
        """
        deadline_s = self._clock.boottime_s() + patience_s
        while (tenure := self.tenure) is None:
            if self._tenure is None:
                raise self._refusal()
            if self._clock.boottime_s() >= deadline_s:
                raise NoPrimaryError("this server cannot prove now that it is the primary: try again")
            await self._change()
        return tenure

    async def closed(self, tenure: Tenure) -> None:
        """Return once this server is not primary under `tenure` any more: for streams that must end then."""
        while self._tenure == tenure:
            await self._changed.wait()

    def refusal(self) -> ConfservError:
        """The error that sends a caller to the primary."""
        return self._refusal()

    async def _change(self) -> None:
        # the guard may come to hold again without a call of ours, so the wait is short
        try:
            async with asyncio.timeout(_LOOK_AGAIN_S):
                await self._changed.wait()
        except TimeoutError:
            return

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
