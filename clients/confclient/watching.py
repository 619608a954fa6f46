"""How far a watcher has come: each transaction once, in order, without a gap, or "read everything again".

Why it exists: a stream breaks whenever the role moves, and the next server may repeat what is known, or belong to
another history after a restore. This is the watcher's memory across streams, as plain values; `watch.py` feeds it
(B-52). It cannot notice what a server leaves out: that is the server's promise, I-4.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class Position:
    """A place in one history; a restored database has another history id."""

    history_id: str
    revision: int


@dataclass(frozen=True, slots=True)
class Progress:
    """What a watcher knows.

    Attributes:
        position: last place delivered; None before the first snapshot, and when everything has to be read again.
        parts: objects of a snapshot that is not complete yet.
    """

    position: Position | None = None
    parts: tuple[Any, ...] = ()


class Step(enum.Enum):
    """What to do with a message."""

    COLLECT = "part of a snapshot: wait for the rest"
    SNAPSHOT = "a snapshot is complete: it replaces everything"
    DELIVER = "a new transaction"
    SKIP = "known already, or nothing to tell"
    READ_AGAIN = "another history: everything known is void"


def snapshot_part(
    progress: Progress, objects: tuple[Any, ...], *, complete: bool, position: Position
) -> tuple[Progress, Step]:
    """A part of a snapshot came; when it is the last, the second value's `parts` are all objects."""
    parts = progress.parts + objects
    if not complete:
        return replace(progress, parts=parts), Step.COLLECT
    return Progress(position, parts), Step.SNAPSHOT


def transaction(progress: Progress, revision: int, position: Position) -> tuple[Progress, Step]:
    """A transaction came."""
    known = progress.position
    if known is not None and known.history_id != position.history_id:
        return Progress(), Step.READ_AGAIN
    if known is not None and revision <= known.revision:
        return progress, Step.SKIP
    return Progress(position), Step.DELIVER


def bookmark(progress: Progress, position: Position) -> tuple[Progress, Step]:
    """Nothing passed the filter up to `position`."""
    known = progress.position
    if known is not None and known.history_id != position.history_id:
        return Progress(), Step.READ_AGAIN
    if known is not None and position.revision <= known.revision:
        return progress, Step.SKIP
    return Progress(position), Step.SKIP


def broken(progress: Progress) -> Progress:
    """The stream has ended: an incomplete snapshot is worth nothing."""
    return Progress(progress.position)
