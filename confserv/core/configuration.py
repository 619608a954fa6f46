"""The configuration in memory at one revision, and overlays of what waits to be committed.

`Configuration` is what the database holds: all reads come from it. `Overlay` lays changes over it, or over
another overlay, so that a transaction is validated against memory and all that waits before it (`ha.md`, The
change log), and a refused one leaves nothing behind. Both answer the questions of `View`. Neither checks any
rule.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from confserv.core.log import Change, EntryIdentity, LogEntry
from confserv.core.objects import NOTHING, Dbid, Key, NameKey, NameScope, Record, TypeName, name_key

ScopeOf = Callable[[TypeName], NameScope]
"""Gives the scope of names of a type."""


class View(Protocol):
    """What rules ask of a configuration."""

    @property
    def scope_of(self) -> ScopeOf:
        """The scope of names of each type."""

    def get(self, key: Key) -> Record | None:
        """Give an object, None when there is none."""

    def find(self, name: NameKey) -> Key | None:
        """Give the object of that name."""

    def referrers(self, target: Key) -> set[Key]:
        """Give the objects that refer to `target`."""

    def next_dbid(self, type: TypeName) -> Dbid:
        """Give the number of the next object of `type`."""

    def has_objects(self, type: TypeName) -> Iterator[Key]:
        """Give the keys of the objects of `type`, in no order."""


class Configuration:
    """All objects as of `revision`, with their indexes. Changed only by whole transactions, in order."""

    def __init__(self, scope_of: ScopeOf) -> None:
        self._scope_of = scope_of
        self._records: dict[Key, Record] = {}
        self._dbids: dict[TypeName, list[Dbid]] = {}
        self._names: dict[NameKey, Key] = {}
        self._referrers: dict[Key, set[Key]] = {}
        self._next: dict[TypeName, Dbid] = {}
        self.last: EntryIdentity | None = None
        self.revision = 0

    @property
    def scope_of(self) -> ScopeOf:
        """The scope of names of each type."""
        return self._scope_of

    def __len__(self) -> int:
        return len(self._records)

    def load(self, records: Iterable[Record], *, next_dbids: dict[TypeName, Dbid], revision: int) -> None:
        """Fill an empty configuration with all objects of a database as of `revision`."""
        for record in records:
            self._put(record)
        self._next.update(next_dbids)
        self.revision = revision

    def apply(self, entry: LogEntry) -> None:
        """Apply the transaction behind the last one. Raises AssertionError on any other: a defect, never
        passed over."""
        assert entry.revision == self.revision + 1, f"revision {entry.revision} after {self.revision}"
        for change in entry.changes:
            if change.before is not None:
                self._remove(change.key)
            if change.after is not None:
                self._put(change.after)
        self.revision = entry.revision
        self.last = entry.identity

    def get(self, key: Key) -> Record | None:
        """Give an object, None when there is none."""
        return self._records.get(key)

    def find(self, name: NameKey) -> Key | None:
        """Give the object of that name."""
        return self._names.get(name)

    def referrers(self, target: Key) -> set[Key]:
        """Give the objects that refer to `target`."""
        return self._referrers.get(target, set())

    def next_dbid(self, type: TypeName) -> Dbid:
        """Give the number of the next object of `type`: above all that were ever used."""
        return self._next.get(type, FIRST_DBID)

    def has_objects(self, type: TypeName) -> Iterator[Key]:
        """Give the keys of the objects of `type`."""
        return (Key(type, dbid) for dbid in self._dbids.get(type, ()))

    def types(self) -> list[TypeName]:
        """Give the types that have objects, sorted."""
        return sorted(type for type, dbids in self._dbids.items() if dbids)

    def objects(self, type: TypeName, *, after: Dbid = NOTHING) -> Iterator[Record]:
        """Give the objects of `type` with numbers above `after`, by number."""
        dbids = self._dbids.get(type, [])
        return (self._records[Key(type, dbid)] for dbid in dbids[bisect_right(dbids, after) :])

    def _put(self, record: Record) -> None:
        type, dbid = record.key
        self._records[record.key] = record
        dbids = self._dbids.setdefault(type, [])
        if not dbids or dbid > dbids[-1]:
            dbids.append(dbid)
        else:
            insort(dbids, dbid)
        self._names[_name_of(record, self._scope_of)] = record.key
        for reference in record.references:
            self._referrers.setdefault(reference.target, set()).add(record.key)
        self._next[type] = Dbid(max(self._next.get(type, FIRST_DBID), dbid + 1))

    def _remove(self, key: Key) -> None:
        record = self._records.pop(key)
        dbids = self._dbids[key.type]
        del dbids[bisect_left(dbids, key.dbid)]
        name = _name_of(record, self._scope_of)
        if self._names.get(name) == key:  # another object of the same transaction may have taken the name
            del self._names[name]
        for reference in record.references:
            referrers = self._referrers.get(reference.target, set())
            referrers.discard(key)
            if not referrers:
                self._referrers.pop(reference.target, None)


class Overlay:
    """Changes laid over a view, which stays as it is."""

    def __init__(self, base: View) -> None:
        self._base = base
        self._records: dict[Key, Record | None] = {}
        self._names: dict[NameKey, Key | None] = {}
        self._referrers: dict[Key, set[Key]] = {}
        self._next: dict[TypeName, Dbid] = {}

    @property
    def scope_of(self) -> ScopeOf:
        """The scope of names of each type."""
        return self._base.scope_of

    def put(self, record: Record) -> None:
        """Lay an object over whatever there is under its key."""
        self._forget(record.key)
        self._records[record.key] = record
        self._names[_name_of(record, self.scope_of)] = record.key
        for reference in record.references:
            self._referrers.setdefault(reference.target, set()).add(record.key)
        type, dbid = record.key
        self._next[type] = Dbid(max(self.next_dbid(type), dbid + 1))

    def remove(self, key: Key) -> None:
        """Hide an object."""
        self._forget(key)
        self._records[key] = None

    def absorb(self, changes: Iterable[Change]) -> None:
        """Lay a whole transaction over it."""
        for change in changes:
            if change.after is None:
                self.remove(change.key)
            else:
                self.put(change.after)

    def get(self, key: Key) -> Record | None:
        """Give an object, None when there is none."""
        return self._records[key] if key in self._records else self._base.get(key)

    def find(self, name: NameKey) -> Key | None:
        """Give the object of that name."""
        return self._names[name] if name in self._names else self._base.find(name)

    def referrers(self, target: Key) -> set[Key]:
        """Give the objects that refer to `target`."""
        below = {key for key in self._base.referrers(target) if key not in self._records}
        return below | self._referrers.get(target, set())

    def next_dbid(self, type: TypeName) -> Dbid:
        """Give the number of the next object of `type`."""
        return self._next.get(type) or self._base.next_dbid(type)

    def has_objects(self, type: TypeName) -> Iterator[Key]:
        """Give the keys of the objects of `type`, in no order."""
        yield from (key for key in self._base.has_objects(type) if key not in self._records)
        yield from (key for key, record in self._records.items() if record and key.type == type)

    def _forget(self, key: Key) -> None:
        former = self.get(key)
        if former is None:
            return
        name = _name_of(former, self.scope_of)
        if self.find(name) == key:
            self._names[name] = None
        for reference in former.references:
            self._referrers.get(reference.target, set()).discard(key)


FIRST_DBID = Dbid(100)
"""Numbers below are for what the server makes itself."""


def _name_of(record: Record, scope_of: ScopeOf) -> NameKey:
    return name_key(
        scope_of(record.key.type),
        type=record.key.type,
        tenant=record.tenant,
        folder=record.folder,
        name=record.name,
    )
