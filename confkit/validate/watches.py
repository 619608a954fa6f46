"""I-4: what a watcher was told is its filtered view of the log: in order, whole, without gap or repetition."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from confkit.validate.history import LogChange, LogEntry, Seen, Violation, WatchHistory


def watchers_see_the_log(log: Sequence[LogEntry], watches: Sequence[WatchHistory]) -> list[Violation]:
    """I-4, for a log that holds every revision that a watcher could have been told.

    Args:
        log: the change log in the order of its revisions.
        watches: what each watcher was told.
    """
    return [violation for watch in watches for violation in watcher_sees_the_log(log, watch)]


def watcher_sees_the_log(log: Sequence[LogEntry], watch: WatchHistory) -> list[Violation]:
    """I-4 for one watcher."""
    return _order(watch) + _content(log, watch)


def _order(watch: WatchHistory) -> list[Violation]:
    found = []
    for before, after in pairwise(watch.seen):
        if after.revision == before.revision:
            found.append(Violation("I-4", f"{watch.watcher} was told revision {after.revision} twice"))
        elif after.revision < before.revision:
            found.append(
                Violation("I-4", f"{watch.watcher} was told {after.revision} after {before.revision}")
            )
    return found


def _content(log: Sequence[LogEntry], watch: WatchHistory) -> list[Violation]:
    expected = {
        entry.revision: changes
        for entry in log
        if watch.after_revision < entry.revision <= watch.through_revision
        and (changes := _filtered(entry, watch))
    }
    told = {seen.revision: seen for seen in watch.seen}
    violations = [
        Violation("I-4", f"{watch.watcher} was not told revision {revision}: a gap")
        for revision in expected.keys() - told.keys()
    ]
    violations += [
        Violation("I-4", f"{watch.watcher} was told revision {revision}, which the log does not have for it")
        for revision in told.keys() - expected.keys()
    ]
    violations += [
        _differs(watch, told[revision], expected[revision])
        for revision in expected.keys() & told.keys()
        if tuple(told[revision].changes) != expected[revision]
    ]
    return violations


def _filtered(entry: LogEntry, watch: WatchHistory) -> tuple[LogChange, ...]:
    if watch.objects is None:
        return entry.changes
    return tuple(change for change in entry.changes if change.object_id in watch.objects)


def _differs(watch: WatchHistory, seen: Seen, expected: tuple[LogChange, ...]) -> Violation:
    missing = [change.object_id for change in expected if change not in seen.changes]
    return Violation(
        "I-4",
        f"{watch.watcher} was told revision {seen.revision} otherwise than the log has it: "
        f"{len(seen.changes)} changes for {len(expected)}, missing or different: {missing[:3]}",
    )
