"""One session a server application, for as long as it is kept."""

from __future__ import annotations

from dataclasses import replace

import pytest

from confserv.core.applications import ApplicationType
from confserv.core.sessions import Holder, Judgement, Opening, Session, SessionId, Sessions

FIRST, SECOND, THIRD = SessionId("a"), SessionId("b"), SessionId("c")
HOLDER = Holder("host-1", "boot-1", 100, 5)


def session(
    session_id: SessionId = FIRST,
    *,
    application: str = "billing",
    application_type: ApplicationType = ApplicationType.GENERIC_SERVER,
    certificate: str = "billing",
    holder: Holder = HOLDER,
) -> Session:
    return Session(
        session_id, application, application_type, 7, certificate, holder, "ipv4:127.0.0.1:5", 1000
    )


@pytest.fixture
def sessions() -> Sessions:
    made = Sessions(lease_ttl_s=10)
    made.granted(session(), now_s=0)
    return made


CLIENT = session(application_type=ApplicationType.GENERIC_CLIENT)


@pytest.mark.parametrize(
    ("held", "asked", "now_s", "expected"),
    [
        # B-17
        pytest.param(
            session(),
            session(SECOND),
            9,
            Opening(Judgement.HELD, session()),
            id="refuses a second session of a server application",
        ),
        pytest.param(
            session(),
            session(SECOND),
            10,
            Opening(Judgement.OPEN, replaces=(FIRST,)),
            id="lets a successor in once the lease has run out",
        ),
        pytest.param(
            session(),
            replace(session(), opened_ms=2000, peer="ipv4:127.0.0.1:6"),
            5,
            Opening(Judgement.RESTORE),
            id="restores the same session under its id",
        ),
        pytest.param(
            session(),
            replace(session(), holder=Holder("host-1", "boot-1", 101, 9)),
            5,
            Opening(Judgement.OPEN, replaces=(FIRST,)),
            id="stores a session anew whose process has changed",
        ),
        pytest.param(
            session(),
            session(certificate="thief"),
            5,
            Opening(Judgement.FOREIGN, session()),
            id="refuses a session id that belongs to another certificate",
        ),
        pytest.param(
            session(),
            session(SECOND, application="orders", certificate="orders"),
            5,
            Opening(Judgement.OPEN),
            id="does not mix applications up",
        ),
        pytest.param(
            CLIENT,
            replace(CLIENT, session_id=SECOND),
            5,
            Opening(Judgement.OPEN),
            id="gives a client application any number of sessions",
        ),
    ],
)
def test_judge(held: Session, asked: Session, now_s: float, expected: Opening) -> None:
    sessions = Sessions(lease_ttl_s=10)
    sessions.granted(held, now_s=0)
    assert expected == sessions.judge(asked, now_s=now_s)


def test_a_kept_session_lives_on(sessions: Sessions) -> None:
    # B-17
    assert sessions.keep(FIRST, now_s=8)
    assert () == sessions.run_out(now_s=17.9)
    assert (FIRST,) == sessions.run_out(now_s=18)


def test_a_closed_session_makes_room_and_is_kept_no_more(sessions: Sessions) -> None:
    # B-17
    assert session() == sessions.closed(FIRST)
    assert sessions.closed(FIRST) is None
    assert not sessions.keep(FIRST, now_s=1)
    assert Opening(Judgement.OPEN) == sessions.judge(session(SECOND), now_s=1)
    assert not sessions.has_certificate("billing")


def test_only_exactly_the_process_that_died_loses_its_sessions(sessions: Sessions) -> None:
    # B-17
    sessions.granted(session(SECOND, application="orders", holder=replace(HOLDER, pid=101)), now_s=0)
    assert (FIRST,) == sessions.of_process(HOLDER)
    assert () == sessions.of_process(replace(HOLDER, start_time_ticks=6))


def test_a_promotion_gives_every_stored_session_a_full_lease(sessions: Sessions) -> None:
    # B-17
    sessions.adopt([session(SECOND), session(THIRD, application="orders")], now_s=100)
    assert [SECOND, THIRD] == [one.session_id for one in sessions]
    assert () == sessions.run_out(now_s=109.9)
    assert (SECOND, THIRD) == sessions.run_out(now_s=110)


def test_a_suspension_costs_no_session(sessions: Sessions) -> None:
    # B-17
    sessions.extend(now_s=30)
    assert () == sessions.run_out(now_s=39.9)
