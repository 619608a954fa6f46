"""Whether the database answers: known at once, told once.

Many parts ask the database many times a second. Each change is one line in the log, and is told to the election, so
that other members know; a database that stays away fills no disk.
"""

from __future__ import annotations

from collections.abc import Callable

import structlog

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
