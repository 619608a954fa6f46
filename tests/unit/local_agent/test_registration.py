"""Who may register what, and who may have whom killed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from confkit.election.types import InstanceName, LeaseId, Member, MemberState, ProcessFacts, State
from local_agent.core.model import ApplicationName, ProcessKey, Registered, Watched
from local_agent.core.registration import Books, kill_refusal, registration_refusal

P = ProcessKey("host-1", "boot-1", 101, 5_001)
NAME = ApplicationName("confserv-1")
CLAIM = Registered(P, NAME, "confserv", (77,))
FACTS = ProcessFacts(InstanceName("confserv-1"), pid=101, process_start_ticks=5_001, boot_id="boot-1")
MEMBER = Member(FACTS, State.LEADER, MemberState(), LeaseId(77))
BOOKS = Books("host-1", "boot-1", 5_001, (MEMBER,))


def refusal(claim: Registered = CLAIM, *, role: str = "confserv", books: Books = BOOKS) -> str | None:
    return registration_refusal(claim, name="confserv-1", role=role, books=books)


def test_a_process_whose_papers_agree_is_watched() -> None:  # B-53
    assert refusal() is None


def test_a_process_without_leases_needs_no_member_key() -> None:  # B-53
    plain = Registered(P, NAME)
    assert refusal(plain, role="application", books=replace(BOOKS, members=())) is None


@pytest.mark.parametrize(
    ("claim", "books", "role", "says"),
    [
        pytest.param(
            replace(CLAIM, application=ApplicationName("lrm-1")),
            BOOKS,
            "confserv",
            "not lrm-1's",
            id="another's name",
        ),
        pytest.param(
            replace(CLAIM, process=replace(P, host="h2")), BOOKS, "confserv", "host", id="another host"
        ),
        pytest.param(
            replace(CLAIM, process=replace(P, boot_id="b2")), BOOKS, "confserv", "boot id", id="a former boot"
        ),
        pytest.param(
            CLAIM, replace(BOOKS, start_time_ticks=None), "confserv", "no process 101", id="a dead process"
        ),
        pytest.param(
            CLAIM, replace(BOOKS, start_time_ticks=9), "confserv", "another time", id="a reused number"
        ),
        pytest.param(CLAIM, BOOKS, "lrm", "role lrm cannot", id="another component"),
        pytest.param(
            replace(CLAIM, component=""), BOOKS, "confserv", "without a component", id="leases of nobody"
        ),
        pytest.param(CLAIM, replace(BOOKS, members=()), "confserv", "no member key", id="no member key"),
        pytest.param(replace(CLAIM, lease_ids=(78,)), BOOKS, "confserv", "on lease 4d", id="another's lease"),
        pytest.param(
            replace(CLAIM, lease_ids=(77, 78)), BOOKS, "confserv", "on lease 4d", id="one lease too many"
        ),
        pytest.param(
            CLAIM,
            replace(BOOKS, members=(replace(MEMBER, facts=replace(FACTS, pid=9)),)),
            "confserv",
            "names process 9",
            id="the member key of a former life",
        ),
    ],
)
def test_what_does_not_agree_is_refused_and_said(  # B-53, B-60
    claim: Registered, books: Books, role: str, says: str
) -> None:
    found = refusal(claim, role=role, books=books)
    assert found is not None
    assert says in found


@pytest.mark.parametrize(
    ("entry", "role", "refused"),
    [
        pytest.param(Watched(P, NAME, "confserv"), "confserv", False, id="a successor of the component may"),
        pytest.param(Watched(P, NAME, "confserv"), "solution-control", False, id="Solution Control may"),
        pytest.param(Watched(P, NAME, "confserv"), "lrm", True, id="another component may not"),
        pytest.param(Watched(P, NAME, ""), "confserv", True, id="nobody else may kill what has no component"),
        pytest.param(None, "confserv", True, id="what has not registered cannot be killed"),
    ],
)
def test_who_may_have_a_process_killed(entry: Watched | None, role: str, refused: bool) -> None:
    assert refused == (kill_refusal(entry, role=role) is not None)
