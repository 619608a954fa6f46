"""Memory and its overlays against a slow oracle: a plain dictionary of objects."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given

from confserv.core.configuration import Configuration, Overlay, View
from confserv.core.listing import PART_BYTES, page, parts, snapshot
from confserv.core.log import Change, LogEntry
from confserv.core.objects import Dbid, Key, NameKey, Record, Reference, TypeName
from confserv.core.watch import Filter
from tests.support.configurations import EPOCH, RULES

HOST, PERSON = TypeName("Host"), TypeName("Person")
KEYS = [Key(type, Dbid(dbid)) for type in (HOST, PERSON) for dbid in range(100, 104)]
NAMES = ["rhea", "dione", "mimas"]


def record(key: Key, name: str, target: Key | None = None, *, data: bytes = b"") -> Record:
    """Make a record, which may refer to another object."""
    references = () if target is None else (Reference(target, "field"),)
    return Record(key, name, Dbid(1), Dbid(0), 1, data or f"{key}{name}{target}".encode(), references)


@st.composite
def transactions(draw: st.DrawFn) -> list[dict[Key, Record | None]]:
    """Draw transactions, each of which leaves names unique in their types, as the rules see to it."""
    state: dict[Key, Record] = {}
    made = []
    for _ in range(draw(st.integers(1, 6))):
        changes: dict[Key, Record | None] = {}
        for key in draw(st.lists(st.sampled_from(KEYS), max_size=4, unique=True)):
            name = draw(st.sampled_from(NAMES))
            target = draw(st.none() | st.sampled_from(KEYS))
            changes[key] = draw(st.sampled_from([None, record(key, name, target)]))
        after = {**state, **changes}
        kept = {key: value for key, value in after.items() if value is not None}
        names = [(key.type, value.name) for key, value in kept.items()]
        if len(names) == len(set(names)):
            made.append(changes)
            state = kept
    return made


def changes_of(view: View, transaction: dict[Key, Record | None]) -> tuple[Change, ...]:
    """Give the net changes of a transaction."""
    return tuple(
        Change(view.get(key), after) for key, after in transaction.items() if view.get(key) is not after
    )


def assert_same(expected: dict[Key, Record], view: View) -> None:
    """Compare every question that a view answers with the oracle."""
    for key in KEYS:
        assert expected.get(key) == view.get(key)
        referrers = {
            k for k, r in expected.items() if key in [reference.target for reference in r.references]
        }
        assert referrers == view.referrers(key)
        for name in NAMES:
            found = next((k for k, r in expected.items() if (k.type, r.name) == (key.type, name)), None)
            assert found == view.find(_name(key.type, name))
    for type in (HOST, PERSON):
        assert sorted(key for key in expected if key.type == type) == sorted(view.has_objects(type))


def _name(type: TypeName, name: str) -> NameKey:
    scoped = Dbid(1) if type == PERSON and RULES.scope_of(type).value == "tenant" else Dbid(0)
    return NameKey(type, scoped, Dbid(0), name)


@given(transactions(), st.integers(0, 6))
def test_memory_and_overlays_answer_as_if_every_transaction_had_been_applied(
    made: list[dict[Key, Record | None]], settled: int
) -> None:
    # ha.md: memory and the pending transactions before it
    memory = Configuration(RULES.scope_of)
    overlay = Overlay(memory)
    oracle: dict[Key, Record] = {}
    for number, transaction in enumerate(made, start=1):
        view: View = memory if number <= settled else overlay
        changes = changes_of(view, transaction)
        if number <= settled:
            memory.apply(LogEntry(number, EPOCH, 0, "a", f"{number}", b"", "", changes))
        else:
            overlay.absorb(changes)
        oracle = {k: v for k, v in {**oracle, **transaction}.items() if v is not None}
        assert_same(oracle, memory if number <= settled else overlay)


@given(transactions())
def test_numbers_only_grow_whatever_is_deleted(made: list[dict[Key, Record | None]]) -> None:
    memory = Configuration(RULES.scope_of)
    highest = 99
    for number, transaction in enumerate(made, start=1):
        memory.apply(LogEntry(number, EPOCH, 0, "a", f"{number}", b"", "", changes_of(memory, transaction)))
        highest = max([highest, *(k.dbid for k, after in transaction.items() if k.type == HOST and after)])
        assert highest + 1 == memory.next_dbid(HOST)


def test_a_transaction_that_does_not_follow_the_last_one_is_a_defect() -> None:
    # I-3
    memory = Configuration(RULES.scope_of)
    with pytest.raises(AssertionError, match="revision 2 after 0"):
        memory.apply(LogEntry(2, EPOCH, 0, "a", "2", b"", "", ()))


@given(names=st.lists(st.sampled_from(["a1", "a2", "b1"]), max_size=8), size=st.integers(1, 4))
def test_pages_together_are_the_filtered_list(names: list[str], size: int) -> None:
    memory = Configuration(RULES.scope_of)
    records = [record(Key(HOST, Dbid(100 + i)), f"{name}-{i}") for i, name in enumerate(names)]
    memory.load(records, next_dbids={}, revision=1)
    chosen = Filter(name_prefix="a")
    seen: list[Record] = []
    after: Dbid | None = Dbid(0)
    while after is not None:
        found = page(memory, HOST, chosen=chosen, after=after, size=size)
        assert len(found.records) <= size
        seen += found.records
        after = found.next_after
    assert [r for r in records if r.name.startswith("a")] == seen == snapshot(memory, chosen)


@given(sizes=st.lists(st.sampled_from([1, PART_BYTES // 3, PART_BYTES, PART_BYTES * 2]), max_size=9))
def test_parts_together_are_the_snapshot_and_only_the_last_is_complete(sizes: list[int]) -> None:
    records = [record(Key(HOST, Dbid(100 + i)), f"{i}", data=b"x" * size) for i, size in enumerate(sizes)]
    cut = list(parts(records))
    assert records == [r for part, _ in cut for r in part]
    assert [False] * (len(cut) - 1) + [True] == [complete for _, complete in cut]
    assert all(len(part) == 1 or sum(len(r.data) for r in part) <= PART_BYTES for part, _ in cut if part)
