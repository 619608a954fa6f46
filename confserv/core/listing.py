"""Objects by pages and whole snapshots, from memory as it is at one revision."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from confserv.core.configuration import Configuration
from confserv.core.objects import Dbid, Record, TypeName
from confserv.core.watch import Filter

PART_OBJECTS = 500
PART_BYTES = 1_048_576


@dataclass(frozen=True, slots=True)
class Page:
    """Objects of one type by number; `next_after` is where the next page goes on, None after the last."""

    records: tuple[Record, ...]
    next_after: Dbid | None


def page(configuration: Configuration, type: TypeName, *, chosen: Filter, after: Dbid, size: int) -> Page:
    """Give at most `size` objects of `type` with numbers above `after` that `chosen` lets through."""
    records: list[Record] = []
    for record in configuration.objects(type, after=after):
        if not chosen.passes(record):
            continue
        if len(records) == size:
            return Page(tuple(records), records[-1].key.dbid)
        records.append(record)
    return Page(tuple(records), None)


def snapshot(configuration: Configuration, chosen: Filter) -> list[Record]:
    """Give all objects that `chosen` lets through, by type and number."""
    types = sorted(chosen.types) if chosen.types else configuration.types()
    return [r for type in types for r in configuration.objects(type) if chosen.passes(r)]


def parts(records: Iterable[Record]) -> Iterator[tuple[list[Record], bool]]:
    """Cut a snapshot into parts of a size that a message takes; the last one, perhaps empty, comes with
    True."""
    part: list[Record] = []
    size = 0
    for record in records:
        if part and (len(part) == PART_OBJECTS or size + len(record.data) > PART_BYTES):
            yield part, False
            part, size = [], 0
        part.append(record)
        size += len(record.data)
    yield part, True
