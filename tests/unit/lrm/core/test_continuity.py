"""A usage store that was restored, or replaced by another."""

from __future__ import annotations

import pytest

from confkit.election.types import (
    History,
    InstanceName,
    LeaseId,
    Member,
    MemberState,
    ProcessFacts,
    State,
    View,
)
from lrm.core.continuity import went_back

STORE = History("h-1", 10)


def view(history: History | None = None, of_member: History | None = None) -> View:
    facts = ProcessFacts(instance=InstanceName("lrm-2"))
    member = Member(facts, State.FOLLOWER, MemberState(history=of_member), LeaseId(1))
    return View(revision=1, history=history, members=(member,))


@pytest.mark.parametrize(
    ("seen", "says"),
    [
        pytest.param(view(), None, id="nothing on record"),
        pytest.param(view(History("h-1", 10)), None, id="exactly what was seen"),
        pytest.param(view(History("h-1", 4)), None, id="more than was seen"),
        pytest.param(
            view(History("h-1", 11)), "10 facts, 11 were taken", id="fewer facts than etcd remembers"
        ),
        pytest.param(view(History("h-0", 1)), "history h-1, h-0 was in use", id="another history"),
        pytest.param(
            view(None, History("h-1", 12)), "12 were taken", id="fewer facts than a member has seen"
        ),
    ],
)
def test_a_store_is_compared_with_what_was_seen_of_it(seen: View, says: str | None) -> None:
    # B-51
    detail = went_back(STORE, seen)
    assert (says is None) == (detail is None)
    assert says is None or says in str(detail)
