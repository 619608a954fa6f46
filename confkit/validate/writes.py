"""I-2: each acknowledged write is in the log exactly once, each other one at most once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence

from confkit.validate.history import LogEntry, Outcome, Violation, WriteAttempt

_NEVER = {Outcome.NOT_ADMITTED, Outcome.REFUSED}


def writes_happen_once(log: Sequence[LogEntry], attempts: Iterable[WriteAttempt]) -> list[Violation]:
    """I-2, for a log that holds every revision since before the first attempt.

    Args:
        log: the whole change log.
        attempts: every write as its caller saw it, one for each request id.
    """
    revisions = _revisions(log)
    violations = [
        Violation("I-2", f"request {request!r} is in the log {len(found)} times: revisions {found}")
        for request, found in revisions.items()
        if len(found) > 1
    ]
    for attempt in attempts:
        found = revisions.get(attempt.request, [])
        violations += _judge(attempt, found)
    return violations


def _revisions(log: Sequence[LogEntry]) -> Mapping[Hashable, list[int]]:
    revisions: dict[Hashable, list[int]] = defaultdict(list)
    for entry in log:
        revisions[entry.request].append(entry.revision)
    return revisions


def _judge(attempt: WriteAttempt, found: Sequence[int]) -> list[Violation]:
    if attempt.outcome is Outcome.ACKNOWLEDGED and not found:
        return [
            Violation(
                "I-2", f"request {attempt.request!r} was acknowledged and is not in the log: a lost write"
            )
        ]
    if attempt.outcome is Outcome.ACKNOWLEDGED and attempt.revision not in (None, *found):
        return [
            Violation(
                "I-2",
                f"request {attempt.request!r} was acknowledged at revision {attempt.revision}, "
                f"and the log has it at {list(found)}",
            )
        ]
    if attempt.outcome in _NEVER and found:
        return [
            Violation(
                "I-2",
                f"request {attempt.request!r} was answered {attempt.outcome.value}, "
                f"and the log has it at {list(found)}",
            )
        ]
    return []
