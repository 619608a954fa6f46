"""From a position in the past to the live flow, without gap or repetition."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from confkit.election.types import History
from message_server.core.continuity import REUSE_MARGIN, Continuity, continuity
from message_server.core.events import EventUid, LogRecord, Position, StoredRecord
from message_server.core.following import (
    Backlog,
    ReadStored,
    UnknownPosition,
    next_read,
    starting_position,
)


def stored(position: int) -> StoredRecord:
    record = LogRecord(EventUid(str(position)), "00-25000", 4, 1, "", 1, "a")
    return StoredRecord(Position(position), record, 1)


@pytest.mark.parametrize(
    ("after", "from_now", "expected"),
    [
        pytest.param(0, False, 0, id="everything from the first event on"),
        pytest.param(7, False, 7, id="what follows a position"),
        pytest.param(9, False, 9, id="the last event is a place to go on from"),
        pytest.param(0, True, 9, id="only what is stored from now on"),
        pytest.param(7, True, 7, id="a position given wins over from now"),
    ],
)
def test_a_subscription_starts_after(after: int, from_now: bool, expected: int) -> None:
    assert expected == starting_position(after=Position(after), from_now=from_now, head=Position(9))


@pytest.mark.parametrize("after", [-1, 10])
def test_a_position_that_this_log_never_gave_out_is_refused(after: int) -> None:
    with pytest.raises(UnknownPosition, match="ends at 9"):
        starting_position(after=Position(after), from_now=False, head=Position(9))


def test_far_behind_it_reads_pages_and_near_it_joins_at_the_same_head() -> None:
    far = next_read(after=Position(0), head=Position(100), near_events=10)
    near = next_read(after=Position(95), head=Position(100), near_events=10)
    assert (ReadStored(Position(0), Position(100), False), ReadStored(Position(95), Position(100), True)) == (
        far,
        near,
    )


@given(
    st.integers(0, 30),
    st.lists(st.integers(1, 40), max_size=30),
    st.integers(1, 20),
)
def test_stored_then_live_tells_each_event_once_in_order(start: int, growth: list[int], near: int) -> None:
    """The log grows by the drawn number before each read; events at and below the head at joining come from
    the store, those above it from the live flow."""
    head, after, told = start, 0, []
    for grown in growth:
        step = next_read(after=Position(after), head=Position(head), near_events=near)
        told += range(step.after + 1, step.until + 1)
        joined_at, head, after = head, head + grown, step.until
        if step.then_live:
            told += range(joined_at + 1, head + 1)
            after = head
            break
    assert list(range(1, after + 1)) == told


def test_a_backlog_gives_back_in_order_what_it_was_offered() -> None:
    backlog = Backlog(limit=4)
    backlog.offer([stored(1), stored(2)])
    backlog.offer([stored(3)])
    assert (stored(1), stored(2)) == backlog.take(2)
    assert ((stored(3),), 0, False) == (backlog.take(9), len(backlog), backlog.lagged)


def test_one_event_too_many_and_the_subscriber_has_lagged_for_good() -> None:
    backlog = Backlog(limit=2)
    backlog.offer([stored(1), stored(2)])
    backlog.offer([stored(3)])
    backlog.take(2)
    backlog.offer([stored(4)])
    assert (True, ()) == (backlog.lagged, backlog.take(9))


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        pytest.param(None, Continuity(Position(9)), id="nothing is remembered"),
        pytest.param(History("h", 9), Continuity(Position(9)), id="all is there"),
        pytest.param(History("h", 4), Continuity(Position(9)), id="more is there than was refreshed"),
        pytest.param(
            History("h", 12),
            Continuity(Position(12 + REUSE_MARGIN), Position(9), 12),
            id="events are missing",
        ),
        pytest.param(
            History("x", 5), Continuity(Position(9 + REUSE_MARGIN), Position(9), 5), id="another database"
        ),
    ],
)
def test_a_log_that_went_back_is_recognized_and_gives_no_position_twice(  # B-51
    known: History | None, expected: Continuity
) -> None:
    assert expected == continuity(head=Position(9), history_id="h", known=known)
