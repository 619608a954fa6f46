"""What an election says of itself, as log events that are the same for every component (block 00).

The Configuration Server has numbers of its own (block 21). One notice is one event; which text it has stands in
the catalogue.
"""

from __future__ import annotations

from collections.abc import Callable

from confkit.election.messages import Announce, Notice
from confkit.events import EventLog

NUMBERS = {
    Notice.BECAME_PRIMARY: "00-25010",
    Notice.BECAME_BACKUP: "00-25011",
    Notice.FENCED: "00-25013",
    Notice.SUSPENDED: "00-25014",
    Notice.RESUMED: "00-25015",
    Notice.REFUSED: "00-25016",
    Notice.GENERATION_RAISED: "00-25017",
    Notice.GENERATION_TOO_SOON: "00-25018",
    Notice.WENT_BACK: "00-25019",
    Notice.FLAPPING: "00-25020",
    Notice.FLAPPING_OVER: "00-25021",
}


def announcer(events: EventLog) -> Callable[[Announce], None]:
    """Give the function that logs each notice of an election."""

    def announce(notice: Announce) -> None:
        token = str(notice.epoch) if notice.epoch is not None else "none"
        events.emit(NUMBERS[notice.notice], token=token, detail=notice.detail or "no detail")

    return announce
