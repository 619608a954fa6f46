"""When a session that was never ended is taken to have ended.

Why: an application that crashes cannot say that a use has ended, and a seat that is counted for ever is
billed for ever. The end is estimated as the last sign of life plus a timeout, as soon as its source has
itself said something about a time behind that. The source's own times decide, not the clock of LRM: while
LRM is away, or a spool drains late, nothing that goes on is closed. A real end that comes later takes the
place of the estimate.

Not promised: an end for sessions of a source that never speaks again.
"""

from __future__ import annotations

from typing import Final

from lrm.core.sessions import SessionFact

DEFAULT_TIMEOUT_MS: Final = 900_000
"""A quarter of an hour without a sign of life, in milliseconds; the client library gives one each minute."""


def event_ms(fact: SessionFact, *, received_ms: int) -> int:
    """The latest time that a fact speaks of, but not one behind its receipt: a clock that is ahead closes
    nothing."""
    return min(received_ms, max(fact.start_ms, fact.end_ms or 0, fact.last_seen_ms or 0))


def alive_ms(fact: SessionFact) -> int:
    """The last sign of life of a session, which its start is the first of."""
    return max(fact.start_ms, fact.last_seen_ms or 0)


def end_ms_of(fact: SessionFact, *, source_ms: int, timeout_ms: int) -> int | None:
    """When a session has ended, stated or estimated; None while it counts as running.

    `source_ms` is the latest event time of its source, `timeout_ms` the silence after which a session is
    over.
    """
    if fact.end_ms is not None:
        return fact.end_ms
    over_ms = alive_ms(fact) + timeout_ms
    return over_ms if source_ms > over_ms else None
