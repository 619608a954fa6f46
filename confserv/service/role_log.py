"""What the log says of the role: the election's notices as events of the catalogue (21-25120 to 21-25128)."""

from __future__ import annotations

from confkit.election.messages import Announce, Notice
from confkit.election.types import Epoch
from confkit.events import EventLog


class RoleLog:
    """Logs notices; it remembers the token under which this server last was primary, which some of them name."""

    def __init__(self, events: EventLog) -> None:
        """Log to `events`."""
        self._events = events
        self._own: Epoch | None = None

    def notice(self, notice: Announce) -> None:
        """Log one notice.

        What the license refuses and a raised generation are logged where they happen (21-25123, 21-25125).
        """
        emit, detail, epoch = self._events.emit, notice.detail or "elected", notice.epoch
        own = self._own or "none"
        match notice.notice:
            case Notice.BECAME_PRIMARY:
                self._own = epoch
                emit("21-25120", token=epoch, detail=detail)
            case Notice.BECAME_BACKUP:
                emit("21-25121", token=own, detail=detail)
            case Notice.FENCED:
                emit("21-25122", token=own, held=epoch or "another", detail=detail)
            case Notice.GENERATION_TOO_SOON:
                emit("21-25125", generation="none: an operator decides", detail=detail)
            case Notice.WENT_BACK:
                emit("21-25126", detail=detail)
            case Notice.FLAPPING:
                emit("21-25127", changes=detail.split(" ")[0], window_s=detail.split(" ")[-2])
            case Notice.FLAPPING_OVER:
                emit("21-25128")
            case _:
                return
