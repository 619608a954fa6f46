"""What a watcher is told of a transaction: its filtered view (I-4 of `ha.md`).

An object that leaves the filter is reported as removed, one that enters as added, each with the state that
the watcher knows or is to know.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from confserv.core.log import LogEntry
from confserv.core.objects import NOTHING, Dbid, Record, TypeName


class ChangeKind(Enum):
    """What a change did, as the filter sees it."""

    ADDED = "added"
    CHANGED = "changed"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class Filter:
    """Which objects a watcher is told of. Empty parts let everything through; equal filters share their
    messages."""

    types: frozenset[TypeName] = frozenset()
    tenant: Dbid = NOTHING
    folder: Dbid = NOTHING
    name_prefix: str = ""

    def passes(self, record: Record) -> bool:
        """Say whether an object is in the filter."""
        return (
            (not self.types or record.key.type in self.types)
            and self.tenant in (NOTHING, record.tenant)
            and self.folder in (NOTHING, record.folder)
            and record.name.startswith(self.name_prefix)
        )


@dataclass(frozen=True, slots=True)
class Selected:
    """A change that the filter lets through; `record` is the object after it, or before when it was removed."""

    kind: ChangeKind
    record: Record


def select(entry: LogEntry, chosen: Filter) -> tuple[Selected, ...]:
    """Give the changes of a transaction as `chosen` sees them, in their order."""
    selected = []
    for change in entry.changes:
        before = change.before if change.before and chosen.passes(change.before) else None
        after = change.after if change.after and chosen.passes(change.after) else None
        if after is not None:
            selected.append(Selected(ChangeKind.ADDED if before is None else ChangeKind.CHANGED, after))
        elif before is not None:
            selected.append(Selected(ChangeKind.REMOVED, before))
    return tuple(selected)
