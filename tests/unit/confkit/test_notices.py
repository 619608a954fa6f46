"""Every notice of an election is an event of the catalogue."""

from __future__ import annotations

import pytest

from confkit.election.messages import Announce, Notice
from confkit.election.types import Epoch
from confkit.events import EVENTS, EventLog
from confkit.notices import NUMBERS, announcer


@pytest.mark.parametrize("notice", list(Notice))
def test_a_notice_is_logged(notice: Notice) -> None:
    seen = []
    announcer(EventLog(application="a", component="c", sink=seen.append))(
        Announce(notice, "why", Epoch(1, 7))
    )
    assert [NUMBERS[notice]] == [event.event_id for event in seen]


def test_a_notice_without_detail_or_token_is_logged_too() -> None:
    seen = []
    announcer(EventLog(application="a", component="c", sink=seen.append))(Announce(Notice.BECAME_PRIMARY))
    assert ["Role is now primary, token none: no detail"] == [event.text for event in seen]


def test_each_condition_is_cleared_by_an_event_that_exists() -> None:
    assert set() == {spec.cleared_by for spec in EVENTS.values() if spec.cleared_by} - set(EVENTS)
