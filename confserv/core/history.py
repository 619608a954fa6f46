"""Has the database gone back? Restored, or failed over without its last commits: recognized, and never passed
over (B-51).

What it cannot see: commits that nobody who lives has applied or recorded.
"""

from __future__ import annotations

from dataclasses import dataclass

from confserv.core.log import EntryIdentity, HistoryPage, Tail
from confserv.core.refusals import Reason, Refused


@dataclass(frozen=True, slots=True)
class Seen:
    """What somebody knows to have been in the log.

    `revision` and `last` are what this server has applied; `elsewhere` is the highest revision that another
    member has applied, or that etcd has on record; history ids are "" when unknown.
    """

    revision: int = 0
    last: EntryIdentity | None = None
    history_id: str = ""
    elsewhere: int = 0
    history_id_elsewhere: str = ""


def check_kept(page: HistoryPage, *, after_revision: int) -> None:
    """Check that the log still has all that follows `after_revision`. Raises Refused (COMPACTED)."""
    if after_revision < page.compacted_revision:
        raise Refused(
            Reason.COMPACTED,
            f"the log begins behind revision {page.compacted_revision}; ask for what follows it",
            oldest=page.compacted_revision + 1,
            history_id=page.history_id,
        )


def gone_back(tail: Tail, seen: Seen) -> str | None:
    """Say in which way the log contradicts what was seen, None when it does not. `tail` is read behind
    `seen.revision`.

    B-51, `ha.md`, Promotion.
    """
    for known in (seen.history_id, seen.history_id_elsewhere):
        if known and tail.history_id != known:
            return f"the database has history {tail.history_id or 'none'}, not {known}"
    if tail.last_revision < seen.revision:
        return f"the log ends at revision {tail.last_revision}, this server has applied {seen.revision}"
    if seen.revision > tail.compacted_revision and tail.at_start != seen.last:
        return f"the entry at revision {seen.revision} is not the one that this server has applied"
    if tail.last_revision < seen.elsewhere:
        return f"the log ends at revision {tail.last_revision}, another member has seen {seen.elsewhere}"
    return None
