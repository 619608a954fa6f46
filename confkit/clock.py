"""The clocks of this system, read at the edges only: cores get the time as an argument.

Leases and guards run on CLOCK_BOOTTIME, which goes on while the machine sleeps and which nobody can set; wall
time is for people, certificates and calendars. Neither promises to agree with another machine's.
"""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Where a shell reads the time; a simulator or a test gives its own."""

    def boottime_s(self) -> float:
        """Give seconds since boot, sleep included."""

    def wall_ms(self) -> int:
        """Give milliseconds since 1970-01-01 UTC."""


def boottime() -> float:
    """Give seconds of CLOCK_BOOTTIME: the clock of lease guards (`ha.md`, Coordination)."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def wall_ms() -> int:
    """Give UTC wall time in whole milliseconds, as written on the wire and in databases."""
    return time.time_ns() // 1_000_000


class SystemClock:
    """The machine's own clocks."""

    def boottime_s(self) -> float:
        """Give seconds since boot, sleep included."""
        return boottime()

    def wall_ms(self) -> int:
        """Give milliseconds since 1970-01-01 UTC."""
        return wall_ms()
