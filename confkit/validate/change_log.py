"""I-1 and I-3: along the change log tokens never decrease, and revisions have no holes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from confkit.validate.history import LogEntry, Violation


def tokens_never_decrease(log: Sequence[LogEntry]) -> list[Violation]:
    """I-1: one writer at a time.

    Args:
        log: the change log in the order of its revisions.
    """
    return [
        Violation(
            "I-1",
            f"revision {after.revision} was written under token {after.epoch}, "
            f"below {before.epoch} of revision {before.revision}",
        )
        for before, after in pairwise(log)
        if after.epoch < before.epoch
    ]


def revisions_have_no_holes(log: Sequence[LogEntry]) -> list[Violation]:
    """I-3: each revision is the one before it plus one.

    Args:
        log: the change log in the order of its revisions; it may begin anywhere.
    """
    return [
        Violation("I-3", f"revision {after.revision} follows {before.revision}")
        for before, after in pairwise(log)
        if after.revision != before.revision + 1
    ]
