"""Keys and values of an election in etcd."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from confkit.election.types import (
    EtcdIdentity,
    History,
    InstanceName,
    LeaderRecord,
    LeaseId,
    Member,
    MemberState,
    Pause,
    ProcessFacts,
    State,
)
from confkit.election.wire import (
    Keys,
    decode_history,
    decode_leader,
    decode_member,
    decode_pause,
    encode_history,
    encode_leader,
    encode_member,
    encode_pause,
)

names = st.text(min_size=1, max_size=20)
numbers = st.integers(min_value=0, max_value=2**62)
histories = st.none() | st.builds(History, names, numbers)
facts = st.builds(ProcessFacts, names, st.tuples(names), names, names, numbers, numbers, names)
states = st.builds(
    MemberState, numbers, st.booleans(), st.booleans(), histories, st.dictionaries(names, names)
)


def test_the_keys_are_those_of_the_contract() -> None:
    # ha.md, Coordination
    keys = Keys("prod", "confserv")
    assert (
        "/prod/identity",
        "/prod/confserv/leader",
        "/prod/confserv/history",
        "/prod/confserv/members/a",
    ) == (
        keys.identity,
        keys.leader,
        keys.history,
        keys.member(InstanceName("a")),
    )


@given(st.builds(Member, facts, st.sampled_from(State), states, numbers))
def test_a_member_is_read_as_it_was_written(member: Member) -> None:
    # ha.md, Coordination: members
    assert member == decode_member(encode_member(member), lease=member.lease)


@given(
    st.builds(
        LeaderRecord, names, st.tuples(names, names), numbers, names, numbers, numbers, numbers, st.booleans()
    )
)
def test_a_leader_is_read_as_it_was_written(leader: LeaderRecord) -> None:
    # ha.md, Coordination: leader
    assert leader == decode_leader(
        encode_leader(leader), mod_revision=leader.mod_revision, lease=leader.lease
    )


@given(names, numbers)
def test_history_and_pause_are_read_as_they_were_written(text: str, number: int) -> None:
    # ha.md, Coordination: history; Switching over: paused with a reason
    assert History(text, number) == decode_history(encode_history(History(text, number)))
    assert Pause(text, text, number) == decode_pause(encode_pause(Pause(text, text, number)))


def test_fields_of_a_newer_version_are_ignored_and_missing_ones_have_safe_defaults() -> None:
    # ha.md, Coordination: version
    value = json.dumps({"instance": "a", "generation": 2, "identity": "i", "colour": "blue"}).encode()
    expected = LeaderRecord(InstanceName("a"), (), 2, EtcdIdentity("i"), 9, LeaseId(4))
    assert expected == decode_leader(value, mod_revision=9, lease=4)
    assert not decode_member(b'{"instance": "a"}', lease=1).state.promotable


@pytest.mark.parametrize("value", [b"", b"nonsense", b"[]", b"\xff\xfe", b"7"])
def test_a_value_that_is_no_object_is_refused(value: bytes) -> None:
    # B-60
    with pytest.raises(ValueError, match="no JSON"):
        decode_leader(value, mod_revision=1, lease=1)
