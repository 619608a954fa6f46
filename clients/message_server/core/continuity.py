"""Whether the log database still holds what it held: a restored one would give positions out twice.

A log that lost events is announced and goes on, unlike the Configuration Database: that nothing is logged
would be worse. Its positions go on far behind any that may have been given out, so that a subscriber never
takes new events for seen ones. What it cannot see: loss of events that were stored after the last refresh of
the history key.
"""

from __future__ import annotations

from dataclasses import dataclass

from confkit.election.types import History
from message_server.core.events import Position

REUSE_MARGIN = 1_000_000
"""Positions left out after a loss: more than can be stored between two refreshes of the history key."""


@dataclass(frozen=True, slots=True)
class Continuity:
    """Where positions go on, and what was lost; `missing_after` is None when nothing is known to be."""

    head: Position
    missing_after: Position | None = None
    expected: int = 0


def continuity(*, head: Position, history_id: str, known: History | None) -> Continuity:
    """Compare the database's last position and history id with what etcd remembers of them (B-51)."""
    if known is None or (known.history_id == history_id and known.revision <= head):
        return Continuity(head)
    return Continuity(
        Position(max(head, known.revision) + REUSE_MARGIN),
        missing_after=head,
        expected=known.revision,
    )
