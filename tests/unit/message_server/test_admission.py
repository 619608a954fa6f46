"""Which events are taken."""

from __future__ import annotations

from dataclasses import replace

import pytest

from message_server.core.admission import Refusal, refusal_of
from message_server.core.events import EventUid, LogRecord

UID = EventUid("01936f2a-5c00-7000-8000-000000000001")
GOOD = LogRecord(UID, "21-25100", 4, 1, "all is well", 1_764_000_000_000, "confserv-1")


def test_a_batch_in_order_is_taken_whole() -> None:  # B-60
    assert refusal_of([GOOD, GOOD], publisher="confserv-1") is None


@pytest.mark.parametrize(
    ("wrong", "field", "says"),
    [
        pytest.param(
            {"application": "lrm-1"}, "application", "not the name", id="an event under another's name"
        ),
        pytest.param({"uid": "7"}, "event_uid", "not a UUID", id="a uid that is none"),
        pytest.param(
            {"uid": "{01936f2a-5c00-7000-8000-000000000001}"}, "event_uid", "not a UUID", id="braces"
        ),
        pytest.param({"event_id": "2125100"}, "event_id", "NN-NNNNN", id="a number of another form"),
        pytest.param({"level": 0}, "level", "not a level", id="no level"),
        pytest.param({"severity": 9}, "severity", "not a severity", id="an unknown severity"),
        pytest.param({"time_ms": 0}, "time_ms", "not a time", id="no time"),
        pytest.param({"text": "x" * 8_193}, "text", "at most 8192", id="a text that is too long"),
        pytest.param({"host": "a\0b"}, "host", "NUL", id="a character that PostgreSQL cannot keep"),
        pytest.param({"attributes": {"a" * 300: ""}}, "attribute", "at most 255", id="a long attribute name"),
        pytest.param({"attributes": {"a": "b" * 5_000}}, "attribute", "at most 4096", id="a long attribute"),
        pytest.param(
            {"attributes": {str(n): "" for n in range(65)}},
            "attributes",
            "64",
            id="too many",
        ),
    ],
)
def test_a_batch_is_refused_with_the_event_the_field_and_the_reason(  # B-60
    wrong: dict[str, object], field: str, says: str
) -> None:
    found = refusal_of([GOOD, replace(GOOD, **wrong)], publisher="confserv-1")
    assert isinstance(found, Refusal)
    assert (1, True, True) == (found.event, found.field.startswith(field), says in found.problem)


def test_a_batch_of_more_than_a_thousand_is_refused_as_a_batch() -> None:  # B-60
    found = refusal_of([GOOD] * 1_001, publisher="confserv-1")
    assert "1001 events, at most 1000 go into one batch" == str(found)
