"""What the log says of the role."""

from __future__ import annotations

import pytest

from confkit.election.messages import Announce, Notice
from confkit.election.types import Epoch
from confserv.service.role_log import RoleLog
from tests.support.confserv_parts import Stage


def test_a_tenure_is_logged_with_its_token_and_the_reason_of_its_end() -> None:
    # B-53
    server = Stage()
    log = RoleLog(server.events)
    log.notice(Announce(Notice.BECAME_PRIMARY, epoch=Epoch(1, 5)))
    log.notice(Announce(Notice.BECAME_BACKUP, "handed over to confserv-2"))
    assert [
        ("21-25120", "Role is now primary, token 1.5: elected"),
        ("21-25121", "Role is now backup, token 1.5: handed over to confserv-2"),
    ] == [(event.event_id, event.text) for event in server.logged]


@pytest.mark.parametrize(
    ("notice", "number"),
    [
        (Announce(Notice.FENCED, epoch=Epoch(1, 6)), "21-25122"),
        (Announce(Notice.GENERATION_TOO_SOON, "etcd changed twice"), "21-25125"),
        (Announce(Notice.WENT_BACK, "the log is short"), "21-25126"),
        (Announce(Notice.FLAPPING, "6 changes of role in 600 s"), "21-25127"),
        (Announce(Notice.FLAPPING_OVER), "21-25128"),
    ],
    ids=lambda one: one.notice.value if isinstance(one, Announce) else "",
)
def test_each_notice_has_its_event(notice: Announce, number: str) -> None:
    # B-40, B-50, B-51
    server = Stage()
    RoleLog(server.events).notice(notice)
    assert [number] == server.numbers


@pytest.mark.parametrize(
    "notice", [Notice.SUSPENDED, Notice.RESUMED, Notice.REFUSED, Notice.GENERATION_RAISED]
)
def test_what_is_logged_elsewhere_is_not_logged_twice(notice: Notice) -> None:
    # B-40
    server = Stage()
    RoleLog(server.events).notice(Announce(notice, "whatever"))
    assert [] == server.numbers


def test_flapping_says_how_often_and_in_what_time() -> None:
    # B-53
    server = Stage()
    RoleLog(server.events).notice(Announce(Notice.FLAPPING, "6 changes of role in 600 s"))
    assert "Role changes too often: 6 times in 600 s" == server.logged[0].text
