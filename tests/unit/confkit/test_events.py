"""The catalogue of log events and the logger."""

from __future__ import annotations

import re

import pytest

from confclient.request_ids import uuid7
from confkit.events import EVENTS, EventLog


@pytest.mark.parametrize(
    ("number", "text"),
    [
        ("21-25100", "LRM Server connected successfully, system operating normally"),
        ("21-25101", "Unable to accept connection: LRM Server has not been started"),
        ("21-25102", "LRM Server has disconnected"),
    ],
)
def test_the_three_texts_are_fixed_character_for_character(number, text):
    # B-11 B-21 B-22
    event = EventLog(application="confserv-1", component="confserv").emit(number, client="app")
    assert text == event.text


def test_every_event_is_cleared_by_one_that_exists():
    assert set() == {spec.cleared_by for spec in EVENTS.values() if spec.cleared_by} - set(EVENTS)


def test_every_number_has_the_form_of_its_type():
    assert [] == [number for number in EVENTS if not re.fullmatch(r"(00|21|42|43|66|67|68)-\d{5}", number)]


def test_an_event_reaches_the_sink_with_its_attributes():
    sunk = []
    log = EventLog(application="confserv-1", component="confserv", sink=sunk.append, now_ms=lambda: 7)
    log.emit("21-25124", client="app", feature="f{x}")
    (event,) = sunk
    assert (
        "21-25124",
        "Connection of app refused: license lacks f{x}",
        7,
        {"client": "app", "feature": "f{x}"},
    ) == (
        event.event_id,
        event.text,
        event.time_ms,
        dict(event.attributes),
    )


def test_a_missing_attribute_is_a_defect():
    with pytest.raises(KeyError):
        EventLog(application="a", component="confserv").emit("21-25124")


def test_ids_sort_by_the_time_they_were_made():
    first = uuid7()
    assert (7, True) == (first.version, first.int >> 80 <= uuid7().int >> 80)
