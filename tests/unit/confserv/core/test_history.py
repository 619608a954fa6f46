"""Has the database gone back? And request ids, which carry their time."""

from __future__ import annotations

import uuid

import hypothesis.strategies as st
import pytest
from hypothesis import given

from confkit.election.types import Epoch
from confserv.core.history import Seen, gone_back
from confserv.core.log import Change, EntryIdentity, LogEntry, RequestKey, Tail
from confserv.core.objects import Dbid, Key, Record, TypeName
from confserv.core.recent import RecentLog
from confserv.core.requests import check_request_id, new_request_id, request_time_ms
from tests.support.configurations import EPOCH, NOW_MS


def identity(revision: int, *, epoch: Epoch = EPOCH, request: str = "r") -> EntryIdentity:
    """Make what tells one entry from another."""
    return EntryIdentity(revision, epoch, RequestKey("administrator/ada", request))


def tail(last: int, at_start: EntryIdentity | None, *, history: str = "h1", compacted: int = 0) -> Tail:
    """Make a tail without entries."""
    return Tail(history, EPOCH, last, at_start, (), compacted_revision=compacted)


@pytest.mark.parametrize(
    ("found", "seen"),
    [
        pytest.param(tail(0, None), Seen(), id="an empty log, and nothing seen"),
        pytest.param(tail(9, identity(5)), Seen(5, identity(5), "h1"), id="a longer log with the same entry"),
        pytest.param(tail(5, identity(5)), Seen(5, identity(5), "h1", 5, "h1"), id="the same log"),
        pytest.param(tail(5, identity(5)), Seen(5, identity(5), ""), id="a history that was not known yet"),
        pytest.param(
            tail(9, None, compacted=5), Seen(5, identity(5), "h1"), id="an entry that is no longer kept"
        ),
    ],
)
def test_has_not_gone_back(found: Tail, seen: Seen) -> None:
    # B-51
    assert gone_back(found, seen) is None


@pytest.mark.parametrize(
    ("found", "seen", "says"),
    [
        pytest.param(
            tail(4, None), Seen(5, identity(5), "h1"), "ends at revision 4", id="shorter than applied"
        ),
        pytest.param(
            tail(5, identity(5, epoch=Epoch(1, 99))),
            Seen(5, identity(5), "h1"),
            "is not the one",
            id="another entry under another token",
        ),
        pytest.param(
            tail(5, identity(5, request="s")),
            Seen(5, identity(5), "h1"),
            "is not the one",
            id="another entry of another request",
        ),
        pytest.param(
            tail(5, identity(5), history="h2"),
            Seen(5, identity(5), "h1"),
            "history h2, not h1",
            id="restored",
        ),
        pytest.param(
            tail(5, identity(5), history=""), Seen(5, identity(5), "h1"), "none", id="a new database"
        ),
        pytest.param(
            tail(5, identity(5)), Seen(5, identity(5), "h1", 6), "another member", id="behind another member"
        ),
        pytest.param(
            tail(5, identity(5)),
            Seen(5, identity(5), "h1", 5, "h0"),
            "not h0",
            id="another history than etcd has on record",
        ),
    ],
)
def test_has_gone_back(found: Tail, seen: Seen, says: str) -> None:
    # B-51, 21-25126
    fault = gone_back(found, seen)
    assert fault is not None
    assert says in fault


@given(now_ms=st.integers(0, 2**48 - 1), random=st.binary(min_size=10, max_size=10))
def test_a_request_id_carries_the_time_it_was_made(now_ms: int, random: bytes) -> None:
    made = new_request_id(now_ms=now_ms, random=random)
    check_request_id(made, now_ms=now_ms)
    assert (now_ms, 7) == (request_time_ms(uuid.UUID(made)), uuid.UUID(made).version)


def test_the_recent_log_forgets_the_oldest_when_its_objects_are_too_large_and_keeps_the_newest() -> None:
    recent = RecentLog(capacity=10, capacity_bytes=25)
    for number, size, first in ((1, 10, 0), (2, 10, 0), (3, 10, 1), (4, 40, 3)):
        record = Record(Key(TypeName("Host"), Dbid(number)), "h", Dbid(1), Dbid(0), number, b"x" * size)
        recent.add(LogEntry(number, EPOCH, NOW_MS, "a", f"{number}", b"", "", (Change(None, record),)))
        assert recent.after(first) is not None
        assert first == 0 or recent.after(first - 1) is None


@given(st.lists(st.integers(1, 5), max_size=12), st.integers(0, 20))
def test_the_recent_log_gives_all_behind_a_revision_or_says_that_it_cannot(
    reasons: list[int], revision: int
) -> None:
    # B-52: never a gap
    recent = RecentLog(capacity=4)
    entries = [
        LogEntry(number, EPOCH, NOW_MS, "a", f"{number}", b"", f"{reason}", ())
        for number, reason in enumerate(reasons, start=7)
    ]
    for one in entries:
        recent.add(one)
    kept = entries[-4:]
    found = recent.after(revision)
    if not kept or revision < kept[0].revision - 1:
        assert found is None
    else:
        assert tuple(one for one in entries if one.revision > revision) == found
    assert [one in kept for one in entries] == [recent.find(one.request) is one for one in entries]
