"""Those who wait for the outcome of a write: a future each, settled once."""

from __future__ import annotations

import asyncio
import itertools

from confclient.errors import UnavailableError
from confserv.core.effects import Ticket
from confserv.core.log import LogEntry

MAX_WAITING = 20_000
"""Most writes that may wait at once; the next ones are refused, so that a flood fills no memory."""


class Callers:
    """Tickets and the futures behind them. A caller that has left is told nothing."""

    def __init__(self) -> None:
        """Begin with nobody."""
        self._answers: dict[Ticket, asyncio.Future[LogEntry]] = {}
        self._numbers = itertools.count(1)

    def enter(self) -> tuple[Ticket, asyncio.Future[LogEntry]]:
        """Give a ticket, and the future that will be settled for it. Raises UnavailableError when too many wait."""
        if len(self._answers) >= MAX_WAITING:
            raise UnavailableError(f"{MAX_WAITING} writes wait already: try again later", limit=MAX_WAITING)
        ticket = Ticket(next(self._numbers))
        answer: asyncio.Future[LogEntry] = asyncio.get_running_loop().create_future()
        self._answers[ticket] = answer
        return ticket, answer

    def leave(self, ticket: Ticket) -> None:
        """Forget a ticket."""
        self._answers.pop(ticket, None)

    def settle(self, ticket: Ticket, outcome: LogEntry | Exception) -> None:
        """Tell a caller the outcome, or the refusal."""
        answer = self._answers.get(ticket)
        if answer is None or answer.done():
            return
        if isinstance(outcome, Exception):
            answer.set_exception(outcome)
        else:
            answer.set_result(outcome)
