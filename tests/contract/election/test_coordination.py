"""What an election relies on in etcd, over memory and over real ones."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from confkit.election.ports import Coordination
from confkit.election.types import (
    EtcdIdentity,
    Hint,
    History,
    InstanceName,
    LeaderRecord,
    LeaseId,
    Member,
    MemberState,
    Pause,
    ProcessFacts,
    State,
    WriteResult,
    Written,
)
from tests.support.waiting import eventually

from .conftest import Place

IDENTITY = EtcdIdentity("identity-1")
REFUSED = WriteResult(Written.REFUSED)


def record(name: str, lease: LeaseId, *, identity: str = IDENTITY, generation: int = 1) -> LeaderRecord:
    return LeaderRecord(InstanceName(name), (f"{name}:7000",), generation, EtcdIdentity(identity), 0, lease)


def member(name: str, lease: LeaseId) -> Member:
    facts = ProcessFacts(InstanceName(name), (f"{name}:7000",), "1.2", "host", 77, 12345, "boot")
    state = MemberState(9, True, True, History("h", 9), {"warm": "yes"})
    return Member(facts, State.FOLLOWER, state, lease)


async def won(etcd: Coordination, name: str = "a") -> LeaderRecord:
    """Win the key under a new lease."""
    await etcd.create_identity(IDENTITY)
    grant = await etcd.grant(5)
    result = await etcd.campaign(record(name, grant.lease))
    assert Written.APPLIED == result.written
    return replace(record(name, grant.lease), mod_revision=result.mod_revision)


async def test_a_lease_is_granted_for_at_least_what_is_asked_and_can_be_renewed(place: Place) -> None:
    # ha.md, Coordination: the TTL that counts is the granted one
    etcd = place.connect()
    grant = await etcd.grant(5)
    assert grant.ttl_s >= 5
    assert grant == await etcd.renew(grant.lease)


async def test_etcd_grants_its_floor_when_less_is_asked(place: Place) -> None:
    # ha.md, Coordination: 2 s, etcd's floor
    assert 2.0 == (await place.connect().grant(1)).ttl_s


async def test_a_revoked_lease_is_gone_and_revoking_it_again_is_no_error(place: Place) -> None:
    # ha.md, Switching over: the agent revokes exactly these leases
    etcd = place.connect()
    lease = (await etcd.grant(5)).lease
    await etcd.revoke(lease)
    await etcd.revoke(lease)
    assert 0.0 == (await etcd.renew(lease)).ttl_s


async def test_a_lease_that_runs_out_takes_leader_key_and_member_key_along(place: Place) -> None:
    # ha.md, Coordination: attached to the primary's lease; without an agent the TTL decides
    etcd = place.connect()
    await etcd.create_identity(IDENTITY)
    lease = (await etcd.grant(2)).lease
    assert await etcd.put_member(member("a", lease))
    assert Written.APPLIED == (await etcd.campaign(record("a", lease))).written

    async def is_empty() -> bool:
        view = await etcd.view()
        return view.leader is None and not view.members

    await eventually(is_empty)
    assert 0.0 == (await etcd.renew(lease)).ttl_s


async def test_only_one_campaign_wins_and_the_key_shows_its_token(place: Place) -> None:
    # B-50
    etcd, other = place.connect(), place.connect()
    held = await won(etcd)
    rival = record("b", (await other.grant(5)).lease)
    assert REFUSED == await other.campaign(rival)
    assert held == (await other.view()).leader


async def test_a_campaign_under_another_identity_is_refused(place: Place) -> None:
    # ha.md, Coordination: campaigning compares identity as it was read
    etcd = place.connect()
    await etcd.create_identity(IDENTITY)
    lease = (await etcd.grant(5)).lease
    assert REFUSED == await etcd.campaign(record("a", lease, identity="another"))
    assert None is (await etcd.view()).leader


async def test_a_campaign_on_a_lease_that_is_gone_is_refused(place: Place) -> None:
    # ha.md, Coordination
    etcd = place.connect()
    await etcd.create_identity(IDENTITY)
    lease = (await etcd.grant(5)).lease
    await etcd.revoke(lease)
    assert REFUSED == await etcd.campaign(record("a", lease))


async def test_the_identity_is_created_once(place: Place) -> None:
    # ha.md, Coordination: created once if absent
    etcd = place.connect()
    await etcd.create_identity(IDENTITY)
    await etcd.create_identity(EtcdIdentity("second"))
    assert IDENTITY == (await etcd.view()).identity


async def test_a_handover_puts_the_key_on_the_successors_lease(place: Place) -> None:
    # B-53: no lease has to run out
    etcd, other = place.connect(), place.connect()
    held = await won(etcd)
    lease = (await other.grant(5)).lease
    await other.put_member(member("b", lease))
    successor = record("b", lease)
    result = await etcd.replace(held, successor)
    assert Written.APPLIED == result.written
    assert replace(successor, mod_revision=result.mod_revision) == (await other.view()).leader
    await etcd.revoke(held.lease)
    assert "b" == ((await other.view()).leader or held).instance


@pytest.mark.parametrize("registered", [False, True], ids=["never registered", "registered on another lease"])
async def test_a_handover_to_a_successor_whose_member_key_is_not_on_the_lease_is_refused(
    place: Place, registered: bool
) -> None:
    # ha.md, Switching over: the successor may have left or restarted meanwhile
    etcd, other = place.connect(), place.connect()
    held = await won(etcd)
    if registered:
        await other.put_member(member("b", (await other.grant(5)).lease))
    assert REFUSED == await etcd.replace(held, record("b", (await other.grant(5)).lease))
    assert held == (await etcd.view()).leader


async def test_a_late_handover_fails_once_the_key_was_rewritten(place: Place) -> None:
    # ha.md, Switching over: rewritten on its own lease, so that the late transaction fails
    etcd, other = place.connect(), place.connect()
    held = await won(etcd)
    lease = (await other.grant(5)).lease
    await other.put_member(member("b", lease))
    rewritten = await etcd.replace(held, record("a", held.lease))
    assert rewritten.mod_revision > held.mod_revision
    assert REFUSED == await etcd.replace(held, record("b", lease))


async def test_giving_up_deletes_only_the_key_as_it_was_held(place: Place) -> None:
    # ha.md, Coordination: a token that was given up
    etcd = place.connect()
    held = await won(etcd)
    assert REFUSED == await etcd.give_up(replace(held, mod_revision=held.mod_revision - 1))
    assert REFUSED == await etcd.give_up(replace(held, lease=LeaseId(held.lease + 1)))
    assert held == (await etcd.view()).leader
    assert Written.APPLIED == (await etcd.give_up(held)).written
    assert None is (await etcd.view()).leader


async def test_revisions_only_grow_and_the_view_is_never_older_than_a_write(place: Place) -> None:
    # ha.md, Coordination: reads of the leader key are linearizable
    etcd = place.connect()
    before = (await etcd.view()).revision
    held = await won(etcd)
    assert before < held.mod_revision <= (await etcd.view()).revision


async def test_members_are_seen_as_they_wrote_themselves(place: Place) -> None:
    # ha.md, Coordination
    etcd = place.connect()
    members = tuple([member(name, (await etcd.grant(5)).lease) for name in "ab"])
    for one in members:
        assert await etcd.put_member(one)
    assert members == (await etcd.view()).members


async def test_a_member_without_lease_cannot_register(place: Place) -> None:
    # ha.md, Coordination: attached to that server's lease
    etcd = place.connect()
    lease = (await etcd.grant(5)).lease
    await etcd.revoke(lease)
    assert not await etcd.put_member(member("a", lease))
    assert () == (await etcd.view()).members


async def test_history_is_written_only_by_who_holds_the_key(place: Place) -> None:
    # B-51
    etcd = place.connect()
    held = await won(etcd)
    await etcd.put_history(History("h", 7), held=held)
    await etcd.put_history(History("h", 3), held=replace(held, mod_revision=held.mod_revision - 1))
    assert History("h", 7) == (await etcd.view()).history


async def test_a_pause_is_seen_with_its_reason_until_it_ends(place: Place) -> None:
    # ha.md, Switching over: paused and resumed by an operator, with a reason
    etcd = place.connect()
    pause = Pause("new disks", "anna", 1_800_000_000_000)
    await etcd.put_pause(pause)
    assert pause == (await etcd.view()).pause
    await etcd.put_pause(None)
    assert None is (await etcd.view()).pause


async def test_a_watch_hints_when_the_leader_is_gone(place: Place) -> None:
    # ha.md, Coordination: a watch is a hint
    etcd = place.connect()
    held = await won(etcd)
    seen: list[Hint] = []
    standing = asyncio.Event()

    async def watch() -> None:
        async for hint in place.connect().hints():
            seen.append(hint)
            standing.set()

    task = asyncio.create_task(watch())
    try:
        async with asyncio.timeout(10):
            while not standing.is_set():
                await etcd.put_pause(Pause("x", "y"))
                await asyncio.sleep(0.02)
        await etcd.revoke(held.lease)
        await eventually(lambda: Hint.LEADER_GONE in seen)
    finally:
        task.cancel()
    assert Hint.LEADER_GONE in seen


async def test_components_of_one_cluster_do_not_see_each_other(place: Place) -> None:
    # ha.md, Coordination: the same two kinds of key, for their pairs
    held = await won(place.connect("lrm"))
    assert held == (await place.connect("lrm").view()).leader
    assert None is (await place.connect("licman").view()).leader
