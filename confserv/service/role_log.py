"""What the log says of the role: the election's notices as events of the catalogue (21-25120 to 21-25128)."""

from __future__ import annotations

from confkit.election.messages import Announce, Notice
from confkit.events import EventLog

_OWN_TOKEN = "its own"  # noqa: S105 - the word for a person, not a secret


def log_notice(notice: Announce, events: EventLog) -> None:
    """Log one notice; refusals of the license are logged where they are decided (21-25123)."""
    detail, epoch = notice.detail or "elected", notice.epoch
    match notice.notice:
        case Notice.BECAME_PRIMARY:
            events.emit("21-25120", token=epoch, detail=detail)
        case Notice.BECAME_BACKUP:
            events.emit("21-25121", token=epoch or "none", detail=detail)
        case Notice.FENCED:
            events.emit("21-25122", token=_OWN_TOKEN, held=epoch or "unknown", detail=detail)
        case Notice.GENERATION_RAISED:
            events.emit("21-25125", generation="the next one", detail=detail)
        case Notice.GENERATION_TOO_SOON:
            events.emit("21-25125", generation="none: an operator decides", detail=detail)
        case Notice.WENT_BACK:
            events.emit("21-25126", detail=detail)
        case Notice.FLAPPING:
            events.emit("21-25127", changes=detail.split(" ")[0], window_s=detail.split(" ")[-2])
        case Notice.FLAPPING_OVER:
            events.emit("21-25128")
        case _:
            return
