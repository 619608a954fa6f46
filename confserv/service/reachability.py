"""Whether the database answers: known at once, told once.

Many parts ask the database many times a second. Each change is one line in the log, and is told to the election, so
that other members know; a database that stays away fills no disk.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from confkit.election.ports import StoreUnreachable

T = TypeVar("T")

RETRY_S = 0.1
"""A database that does not answer is asked again so often, in seconds."""

_log = structlog.get_logger()


class Reachability:
    """What one part has last seen of the database; `what` is what it asks for, `on_change` is told of changes."""

    def __init__(self, what: str, on_change: Callable[[], None] = lambda: None) -> None:
        """Begin reachable."""
        self._what = what
        self._on_change = on_change
        self.reachable = True

    def answered(self) -> None:
        """The database has answered."""
        if not self.reachable:
            self.reachable = True
            _log.warning("database answers again", what=self._what)
            self._on_change()

    def silent(self, detail: object) -> None:
        """The database has not answered; `detail` is the driver's own word."""
        if self.reachable:
            self.reachable = False
            _log.warning("database does not answer", what=self._what, detail=" ".join(str(detail).split()))
            self._on_change()

    async def ask(self, read: Callable[[], Awaitable[T]], *, tries: int | None = None) -> T | None:
        """Give what the database answers, None when it does not at any of `tries`; without them ask for ever."""
        for _ in itertools.count() if tries is None else range(tries):
            try:
                found = await read()
            except StoreUnreachable as error:
                self.silent(error)
                await asyncio.sleep(RETRY_S)
                continue
            self.answered()
            return found
        return None
