"""Filters, and the index that routes events to subscriptions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from message_server.core.audience import Audience
from message_server.core.events import EventFilter, EventUid, LogRecord, Position, StoredRecord


def record(**given_fields: object) -> LogRecord:
    fields = {
        "uid": EventUid("u"), "event_id": "21-25100", "level": 4, "severity": 1,
        "text": "", "time_ms": 1_000, "application": "confserv-1",
    }  # fmt: skip
    return LogRecord(**{**fields, **given_fields})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wanted", "passes"),
    [
        pytest.param(EventFilter(), True, id="an empty filter lets everything pass"),
        pytest.param(
            EventFilter(event_ids=frozenset({"21-25100", "21-25102"})), True, id="one of the numbers"
        ),
        pytest.param(EventFilter(event_ids=frozenset({"21-25102"})), False, id="another number"),
        pytest.param(EventFilter(application="confserv-2"), False, id="another application"),
        pytest.param(EventFilter(minimum_level=4), True, id="exactly the lowest level"),
        pytest.param(EventFilter(minimum_level=5), False, id="below the lowest level"),
        pytest.param(EventFilter(from_ms=1_000), True, id="the first instant is included"),
        pytest.param(EventFilter(until_ms=1_000), False, id="the last instant is not"),
    ],
)
def test_a_filter_lets_pass(wanted: EventFilter, passes: bool) -> None:
    assert passes == wanted.matches(record())


EVENT_IDS = st.sampled_from(["21-25100", "21-25101", "66-25000"])
APPLICATIONS = st.sampled_from(["a", "b"])
FILTERS = st.builds(
    EventFilter,
    event_ids=st.frozensets(EVENT_IDS, max_size=2),
    application=st.one_of(st.just(""), APPLICATIONS),
    minimum_level=st.integers(0, 5),
)
RECORDS = st.builds(
    lambda event_id, application, level: record(event_id=event_id, application=application, level=level),
    EVENT_IDS,
    APPLICATIONS,
    st.integers(1, 5),
)


@given(st.lists(st.tuples(FILTERS, st.booleans()), max_size=8), st.lists(RECORDS, max_size=8))
def test_the_index_routes_as_asking_every_filter_would(
    filters: list[tuple[EventFilter, bool]], records: list[LogRecord]
) -> None:
    audience: Audience[int] = Audience()
    for key, (wanted, _) in enumerate(filters):
        audience.join(key, wanted)
    for key, (_, leaves) in enumerate(filters):
        if leaves:
            audience.leave(key)
    events = [StoredRecord(Position(n + 1), r, 0) for n, r in enumerate(records)]
    expected = {
        key: told
        for key, (wanted, left) in enumerate(filters)
        if not left and (told := [e for e in events if wanted.matches(e.record)])
    }
    assert expected == audience.route(events)


def test_whoever_left_is_told_nothing_and_leaves_nothing_behind() -> None:
    audience: Audience[str] = Audience()
    audience.join("a", EventFilter(event_ids=frozenset({"21-25100"})))
    audience.leave("a")
    audience.leave("a")
    assert ({}, 0) == (audience.route([StoredRecord(Position(1), record(), 0)]), len(audience))
