"""The log database's contract, for memory, SQLite and PostgreSQL."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import replace

import pytest

from confkit.election.types import (
    ALLOWED,
    Confirmation,
    Epoch,
    EtcdIdentity,
    GenerationRaise,
    Grounds,
    InstanceName,
    Permission,
    ProcessFacts,
    Refusal,
    View,
)
from confkit.fence import RaiseCheck
from message_server.core.events import EventFilter, EventUid, LogRecord, Position
from message_server.ports import Fenced, LogStore

FIRST, SECOND = Epoch(1, 10), Epoch(1, 20)
GROUNDS = Grounds(EtcdIdentity("etcd-1"), 25, 2.0, 0.0, View(25))
FACTS = ProcessFacts(InstanceName("message-server-1"), host="h", pid=7, process_start_ticks=8, boot_id="b")
ALL = EventFilter()
END = Position(10_000)


def record(number: int, **fields: object) -> LogRecord:
    made = LogRecord(
        EventUid(str(uuid.UUID(int=number))), "21-25100", 4, 1, f"event {number}", 1_000 + number, "confserv-1",
        "confserv", "host-1", {"quantity": "zwölf", "n": str(number)},
    )  # fmt: skip
    return replace(made, **fields)  # type: ignore[arg-type]


class Server:
    """A Message Server's view of the store: it holds a token and knows the history."""

    def __init__(self, store: LogStore, epoch: Epoch) -> None:
        self.store, self.epoch = store, epoch
        raised = store.raise_fence(epoch, GROUNDS, facts=FACTS, permit=lambda _: ALLOWED)
        assert raised.raised
        assert raised.row is not None
        self.history_id = raised.row.history_id

    def append(self, first: int, *records: LogRecord) -> list[int]:
        stored = self.store.append(
            records, epoch=self.epoch, history_id=self.history_id, first=Position(first), stored_ms=99
        )
        return [event.position for event in stored]


def test_a_new_store_is_empty_and_has_no_fence_row(store: LogStore) -> None:
    assert (0, None, ()) == (
        store.head(), store.read_fence(), store.read(ALL, after=Position(0), until=END, limit=9),
    )  # fmt: skip


def test_events_come_back_as_they_were_stored(store: LogStore) -> None:
    assert [1, 2] == Server(store, FIRST).append(1, record(1), record(2, attributes={}))
    events = store.read(ALL, after=Position(0), until=END, limit=9)
    assert [record(1), record(2, attributes={})] == [event.record for event in events]
    assert ([1, 2], [99, 99], 2) == (
        [e.position for e in events],
        [e.stored_ms for e in events],
        store.head(),
    )


def test_a_repeated_event_is_stored_once_and_keeps_its_position(store: LogStore) -> None:  # B-51
    server = Server(store, FIRST)
    server.append(1, record(1), record(2))
    assert [4] == server.append(3, record(2), record(3))
    events = store.read(ALL, after=Position(0), until=END, limit=9)
    assert [(1, record(1)), (2, record(2)), (4, record(3))] == [(e.position, e.record) for e in events]


def test_an_event_repeated_in_one_append_is_stored_once(store: LogStore) -> None:  # B-51
    assert [1, 3] == Server(store, FIRST).append(1, record(1), record(1), record(2))


def test_a_server_with_a_former_token_stores_nothing(store: LogStore) -> None:  # B-50
    old = Server(store, FIRST)
    new = Server(store, SECOND)
    with pytest.raises(Fenced):
        old.append(1, record(1))
    assert ([1], 1) == (new.append(1, record(2)), store.head())


def test_a_server_of_another_history_stores_nothing(store: LogStore) -> None:  # B-51
    server = Server(store, FIRST)
    server.history_id = "another"
    with pytest.raises(Fenced):
        server.append(1, record(1))


def test_only_a_greater_token_is_raised(store: LogStore) -> None:  # B-50
    Server(store, SECOND)
    again = store.raise_fence(SECOND, GROUNDS, facts=FACTS, permit=lambda _: ALLOWED)
    lower = store.raise_fence(FIRST, GROUNDS, facts=FACTS, permit=lambda _: ALLOWED)
    assert [(RaiseCheck.FENCED, False)] * 2 == [(r.check, r.raised) for r in (again, lower)]


def test_a_token_that_is_not_permitted_changes_nothing(store: LogStore) -> None:  # B-40
    Server(store, FIRST)
    refused = store.raise_fence(
        SECOND, GROUNDS, facts=FACTS, permit=lambda _: Permission(Refusal.NOT_LICENSED, "no ha_redundancy")
    )
    row = store.read_fence()
    assert row is not None
    assert (False, Refusal.NOT_LICENSED, FIRST) == (refused.raised, refused.permission.refusal, row.token)


def test_the_row_confirms_its_own_token_and_no_other(store: LogStore) -> None:  # B-50
    assert Confirmation.WENT_BACK == store.confirm(FIRST)
    Server(store, FIRST)
    assert (Confirmation.HOLDS, Confirmation.FENCED) == (store.confirm(FIRST), store.confirm(SECOND))


def test_a_rebuilt_etcd_raises_the_generation_once(store: LogStore) -> None:  # B-50
    Server(store, FIRST)
    row = store.read_fence()
    assert row is not None

    def again() -> GenerationRaise:
        return store.raise_generation(
            row, identity=EtcdIdentity("etcd-2"), revision=3, now_ms=1_764_000_000_000
        )

    assert (GenerationRaise.RAISED, GenerationRaise.LOST) == (again(), again())
    found = store.read_fence()
    assert found is not None
    assert (Epoch(2, 0), "etcd-2", "message-server-1") == (found.token, found.etcd_identity, found.instance)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        pytest.param(ALL, [1, 2, 3, 4], id="all"),
        pytest.param(EventFilter(event_ids=frozenset({"66-25000", "42-25000"})), [2], id="by number"),
        pytest.param(EventFilter(application="lrm-1"), [2, 3], id="by application"),
        pytest.param(EventFilter(minimum_level=5), [4], id="by level"),
        pytest.param(EventFilter(from_ms=1_002, until_ms=1_004), [2, 3], id="by time"),
        pytest.param(EventFilter(application="lrm-1", from_ms=1_003), [3], id="by all together"),
    ],
)
def test_a_query_gives_what_passes_its_filter(
    store: LogStore, wanted: EventFilter, expected: list[int]
) -> None:
    Server(store, FIRST).append(
        1, record(1), record(2, event_id="66-25000", application="lrm-1"), record(3, application="lrm-1"),
        record(4, level=5),
    )  # fmt: skip
    assert expected == [e.position for e in store.read(wanted, after=Position(0), until=END, limit=9)]


@pytest.mark.parametrize(
    ("after", "until", "limit", "newest_first", "expected"),
    [
        pytest.param(0, 9, 2, False, [1, 2], id="a first page"),
        pytest.param(2, 9, 9, False, [3, 4], id="what follows a position"),
        pytest.param(0, 3, 9, False, [1, 2, 3], id="up to a position, included"),
        pytest.param(0, 9, 2, True, [4, 3], id="the newest first"),
        pytest.param(0, 2, 9, True, [2, 1], id="the newest first, from a position back"),
    ],
)
def test_a_page_is_bounded(
    store: LogStore, after: int, until: int, limit: int, newest_first: bool, expected: list[int]
) -> None:
    Server(store, FIRST).append(1, *(record(n) for n in range(1, 5)))
    read: Callable[..., tuple[object, ...]] = store.read
    found = read(ALL, after=after, until=until, limit=limit, newest_first=newest_first)
    assert expected == [event.position for event in found]  # type: ignore[attr-defined]
