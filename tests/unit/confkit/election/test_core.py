"""The core of the election, one row a situation: what it orders, and what it must not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from confkit.election import messages as msg
from confkit.election.machine import FOLLOWS, STATE_OF, IllegalTransition, Machine, Phase
from confkit.election.types import (
    Confirmation,
    Epoch,
    EtcdIdentity,
    GenerationRaise,
    Grant,
    HandOverResult,
    Hint,
    InstanceName,
    LeaseId,
    MemberState,
    Pause,
    Permission,
    Promotion,
    PromotionResult,
    Refusal,
    State,
    Written,
)
from confkit.fence import FenceRow

from .member import (
    IDENTITY,
    LEASE,
    ME,
    OTHER,
    OTHER_LEASE,
    OTHERS,
    SUCCESSOR,
    TTL_S,
    Hand,
    record,
    view,
)

ROW = FenceRow(Epoch(1, 10), TTL_S, IDENTITY, 25, OTHER, history_id="h")
GUARD_S = TTL_S - 0.6


# --- following and campaigning


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param(view(OTHERS), Phase.IDLE, id="does not campaign while another holds the key"),
        pytest.param(view(), Phase.READING_FENCE, id="reads the fence row when the key is free"),
        pytest.param(
            view(record(ME, LeaseId(5))),
            Phase.IDLE,
            id="does not take the key of a former life, on another lease",
        ),
        pytest.param(
            view(record()), Phase.PROMOTING, id="takes a key that was handed to it, on its own lease"
        ),
        pytest.param(
            view(replace(record(), identity=EtcdIdentity("old"))),
            Phase.READING_FENCE,
            id="does not take a key that names another etcd",
        ),
    ],
)
def test_a_follower(found: msg.View, expected: Phase) -> None:
    # ha.md, Coordination; etcd rebuilt from nothing
    hand = Hand().started()
    hand.sees(found)
    assert expected is hand.core.phase


def test_a_key_that_is_gone_is_campaigned_for_at_once() -> None:
    # B-53: the loss of a process costs milliseconds
    hand = Hand().follower()
    assert {msg.ReadFence} == {type(e) for e in hand.give(msg.Hinted(Hint.LEADER_GONE), after_s=0.5)}


def test_a_hint_alone_wins_nothing() -> None:
    # ha.md, Coordination: a watch is a hint
    hand = Hand().follower()
    hand.give(msg.Hinted(Hint.LEADER_GONE))
    hand.give(msg.FenceRead(hand.one(msg.ReadFence).call, None))
    hand.sees(view(OTHERS))
    assert (Phase.IDLE, set()) == (hand.core.phase, hand.kinds())


def test_etcd_is_read_after_the_row_and_the_campaign_compares_what_was_read() -> None:
    # ha.md, etcd rebuilt from nothing: the row first, then identity and revision
    hand = Hand(row=ROW).campaigning()
    order = hand.one(msg.WriteKey)
    assert (None, replace(record(mod_revision=0), prior=10)) == (order.held, order.leader)


def test_a_later_read_does_not_change_what_the_campaign_stands_on() -> None:
    # ha.md, etcd rebuilt from nothing: identity as it was read
    hand = Hand().asking()
    call = hand.one(msg.AskPermission).call
    hand.give(msg.Hinted(Hint.LEADER_CHANGED))
    hand.sees(view(OTHERS))
    hand.give(msg.PermissionGiven(call, Permission()))
    assert None is hand.one(msg.WriteKey).held


def test_the_generation_comes_from_the_row_into_the_key_and_from_the_key_into_the_token() -> None:
    # ha.md, Coordination: taken only from the key's value
    hand = Hand(row=replace(ROW, token=Epoch(7, 0))).promoting()
    assert Epoch(7, 20) == hand.one(msg.Promote).epoch


def test_an_etcd_without_identity_gets_one_first() -> None:
    # ha.md, Coordination: created once if absent
    hand = Hand().started()
    hand.sees(view(identity=None))
    hand.give(msg.FenceRead(hand.one(msg.ReadFence).call, None))
    hand.sees(view(identity=None))
    hand.give(msg.IdentityCreated(hand.one(msg.CreateIdentity).call))
    assert {msg.ReadView} == hand.kinds()


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        pytest.param(GenerationRaise.RAISED, Phase.READING_FENCE, id="starts over with the row as it is now"),
        pytest.param(GenerationRaise.LOST, Phase.READING_FENCE, id="who loses the comparison starts over"),
        pytest.param(
            GenerationRaise.TOO_SOON, Phase.IDLE, id="a second change within the hour waits for an operator"
        ),
        pytest.param(GenerationRaise.UNREACHABLE, Phase.IDLE, id="an unreachable database ends the attempt"),
    ],
)
def test_a_rebuilt_etcd_raises_the_generation(outcome: GenerationRaise, expected: Phase) -> None:
    # ha.md, etcd rebuilt from nothing
    hand = Hand(row=replace(ROW, etcd_identity=EtcdIdentity("before")))
    hand.started().sees(view())
    hand.give(msg.FenceRead(hand.one(msg.ReadFence).call, hand.row))
    hand.sees(view())
    order = hand.one(msg.RaiseGeneration)
    assert (hand.row, IDENTITY, 30) == (order.expected, order.identity, order.revision)
    hand.give(msg.GenerationAnswered(order.call, outcome))
    assert expected is hand.core.phase


@pytest.mark.parametrize(
    ("permission", "pause", "row", "campaigns"),
    [
        pytest.param(Permission(), None, ROW, True, id="allowed"),
        pytest.param(Permission(Refusal.NOT_LICENSED, "no"), None, ROW, False, id="not licensed"),
        pytest.param(Permission(), Pause("disks", "anna"), ROW, False, id="paused, another on record"),
        pytest.param(
            Permission(),
            Pause("disks", "anna"),
            replace(ROW, instance=ME),
            True,
            id="paused, itself on record",
        ),
    ],
)
def test_permission(permission: Permission, pause: Pause | None, row: FenceRow, campaigns: bool) -> None:
    # B-40; ha.md, Switching over: paused
    hand = Hand(row=row).asking(view(pause=pause))
    hand.give(msg.PermissionGiven(hand.one(msg.AskPermission).call, permission))
    assert campaigns == (msg.WriteKey in hand.kinds())
    refused = [e.notice for e in hand.ordered if isinstance(e, msg.Announce)]
    assert ([] if campaigns else [msg.Notice.REFUSED]) == refused


@pytest.mark.parametrize("written", [Written.REFUSED, Written.UNKNOWN])
def test_a_campaign_that_was_not_surely_won_is_looked_up(written: Written) -> None:
    # ha.md, Coordination
    hand = Hand().campaigning()
    hand.written(written)
    assert (Phase.IDLE, {msg.ReadView}) == (hand.core.phase, hand.kinds())


# --- promotion


@pytest.mark.parametrize(
    ("promotion", "phase", "orders"),
    [
        pytest.param(Promotion.opened(), Phase.OPEN, set(), id="opens"),
        pytest.param(
            Promotion(PromotionResult.FENCED),
            Phase.GIVING_UP,
            {msg.Demote, msg.WriteKey},
            id="a refused token gives the key up at once",
        ),
        pytest.param(
            Promotion(PromotionResult.NOT_ALLOWED, "no"),
            Phase.GIVING_UP,
            {msg.Demote, msg.WriteKey},
            id="a license that changed since the campaign gives the key up",
        ),
        pytest.param(
            Promotion(PromotionResult.WENT_BACK),
            Phase.GIVING_UP,
            {msg.Demote, msg.WriteKey},
            id="a database that went back gives the key up",
        ),
        pytest.param(
            Promotion(PromotionResult.UNREACHABLE), Phase.WAITING, set(), id="waits for the database"
        ),
        pytest.param(
            Promotion(PromotionResult.MUST_WAIT, wait_s=5.0),
            Phase.WAITING,
            set(),
            id="waits one TTL after a wipe",
        ),
    ],
)
def test_the_end_of_a_promotion(promotion: Promotion, phase: Phase, orders: set[type]) -> None:
    # ha.md, Fencing in the database
    hand = Hand().promoting()
    hand.give(msg.Promoted(hand.one(msg.Promote).call, promotion))
    assert (phase, orders) == (hand.core.phase, hand.kinds())


def test_after_a_wipe_the_token_is_raised_one_ttl_after_the_key_was_won() -> None:
    # ha.md, etcd rebuilt from nothing
    hand = Hand().promoting()
    hand.give(
        msg.Promoted(hand.one(msg.Promote).call, Promotion(PromotionResult.MUST_WAIT, wait_s=5.0)),
        after_s=1.0,
    )
    hand.give(msg.Renewed(LEASE, Grant(LEASE, TTL_S), hand.now_s), after_s=3.0)
    hand.sees(view(record()))
    assert set() == hand.kinds()
    hand.give(msg.Tick(), after_s=1.01)
    assert pytest.approx(5.01) == hand.one(msg.Promote).grounds.waited_s


def test_an_answer_about_a_tenure_that_is_over_opens_nothing() -> None:
    # ha.md, Coordination: ignores old answers about it
    hand = Hand().promoting()
    call = hand.one(msg.Promote).call
    hand.give(msg.Renewed(LEASE, Grant(LEASE, 0.0), hand.now_s))
    hand.give(msg.Promoted(call, Promotion.opened()))
    assert (State.FOLLOWER, None) == (hand.core.state, hand.core.epoch_at(hand.now_s))


# --- the guard


@pytest.mark.parametrize(
    ("after_s", "expected"),
    [
        pytest.param(0.0, Epoch(1, 20), id="at once"),
        pytest.param(GUARD_S - 0.01, Epoch(1, 20), id="just before the guard ends"),
        pytest.param(GUARD_S + 0.01, None, id="just after, without any event"),
        pytest.param(1000.0, None, id="after a long sleep"),
    ],
)
def test_leadership_is_a_question_with_a_time_in_it(after_s: float, expected: Epoch | None) -> None:
    # B-50; ha.md, Coordination: lease guard
    hand = Hand().leader()
    assert expected == hand.core.epoch_at(hand.now_s + after_s)


@pytest.mark.parametrize(
    ("lease", "key", "expected"),
    [
        pytest.param(True, True, True, id="lease renewed and key seen"),
        pytest.param(True, False, False, id="a renewal alone, the key not seen"),
        pytest.param(False, True, False, id="the key seen, the renewal not answered"),
    ],
)
def test_the_guard_needs_lease_and_key(lease: bool, key: bool, expected: bool) -> None:
    # ha.md, Coordination: its own lease valid, and the key attached to it under its token
    hand = Hand().leader()
    hand.give(msg.Tick(), after_s=2.0)
    hand.give(msg.Renewed(LEASE, Grant(LEASE, TTL_S) if lease else None, hand.now_s))
    if key:
        hand.sees(view(record()))
    assert expected == (hand.core.epoch_at(hand.now_s + GUARD_S - 0.1) is not None)


def test_a_renewal_counts_from_when_it_was_sent() -> None:
    # ha.md, Coordination: when the last successful renewal was sent
    hand = Hand().leader()
    sent_s = hand.now_s
    hand.give(msg.Tick(), after_s=1.5)
    hand.sees(view(record()))
    hand.give(msg.Renewed(LEASE, Grant(LEASE, TTL_S), sent_s))
    assert None is hand.core.epoch_at(sent_s + GUARD_S + 0.01)


def test_after_the_guard_the_component_is_suspended_and_the_key_looked_at() -> None:
    # ha.md, Coordination: after the guard SUSPENDED
    hand = Hand().leader()
    hand.give(msg.Tick(), after_s=GUARD_S + 0.1)
    assert (State.SUSPENDED, {msg.Suspend, msg.ReadView}) == (hand.core.state, hand.kinds())


@pytest.mark.parametrize(
    ("confirmation", "state", "orders"),
    [
        pytest.param(Confirmation.HOLDS, State.LEADER, {msg.Resume}, id="resumes"),
        pytest.param(
            Confirmation.FENCED,
            State.FOLLOWER,
            {msg.Demote, msg.WriteKey},
            id="a refused token gives the key up",
        ),
        pytest.param(
            Confirmation.WENT_BACK, State.FOLLOWER, {msg.Demote, msg.WriteKey}, id="another history too"
        ),
        pytest.param(
            Confirmation.UNREACHABLE, State.SUSPENDED, set(), id="stays suspended without the database"
        ),
    ],
)
def test_suspension_is_left_by_the_fence_row(
    confirmation: Confirmation, state: State, orders: set[type]
) -> None:
    # ha.md, Coordination: left only by a confirmed renewal and the fence row confirmed
    hand = Hand().confirming()
    hand.confirmed(confirmation)
    assert (state, orders) == (hand.core.state, hand.kinds())


@pytest.mark.parametrize(
    "found",
    [
        pytest.param(view(), id="the key is gone"),
        pytest.param(view(OTHERS), id="the key is another's"),
        pytest.param(view(record(mod_revision=21)), id="the key is ours under another token"),
        pytest.param(view(record(ME, LeaseId(5))), id="the key is on another lease"),
        pytest.param(view(record(), identity=EtcdIdentity("new")), id="etcd is another one"),
    ],
)
@pytest.mark.parametrize("situation", [Hand.leader, Hand.suspended], ids=["primary", "suspended"])
def test_a_key_that_is_not_as_it_was_won_ends_the_tenure(
    situation: Callable[[Hand], Hand], found: msg.View
) -> None:
    # ha.md, Coordination: Leader
    hand = situation(Hand())
    if not hand.core._m.view_pending:
        hand.give(msg.Hinted(Hint.LEADER_CHANGED))
    hand.sees(found)
    assert msg.Demote in hand.kinds()
    assert None is hand.core.tenure
    assert Epoch(1, 20) == hand.core.given_up


def test_a_token_that_was_given_up_is_rewritten_and_never_taken_up_again() -> None:
    # ha.md, Coordination: a server that finds its own key under such a token rewrites it first
    hand = Hand().confirming()
    hand.confirmed(Confirmation.FENCED)
    hand.written(Written.UNKNOWN)
    hand.sees(view(record()))
    assert msg.Promote not in hand.kinds()
    hand.give(msg.Tick(), after_s=1.0)
    hand.give(msg.FenceRead(hand.one(msg.ReadFence).call, None))
    hand.sees(view(record()))
    hand.give(msg.PermissionGiven(hand.one(msg.AskPermission).call, Permission()))
    assert record() == hand.one(msg.WriteKey).held
    hand.written(Written.APPLIED, 40)
    assert Epoch(1, 40) == hand.one(msg.Promote).epoch


def test_without_permission_an_own_key_is_given_up() -> None:
    # ha.md, Fencing in the database: gives the key up at once
    hand = Hand().started()
    hand.sees(view(replace(record(), identity=EtcdIdentity("old"))))
    hand.give(msg.FenceRead(hand.one(msg.ReadFence).call, None))
    hand.sees(view(record()))
    hand.give(msg.PermissionGiven(hand.one(msg.AskPermission).call, Permission(Refusal.NOT_LICENSED, "no")))
    assert (record(), None) == (hand.one(msg.WriteKey).held, hand.one(msg.WriteKey).leader)


def test_an_old_answer_about_a_token_given_up_is_ignored() -> None:
    # ha.md, What a model of this text has shown
    hand = Hand().leader()
    hand.give(msg.Hinted(Hint.LEADER_CHANGED))
    old = hand.one(msg.ReadView).op
    hand.give(msg.StoreRefused(Epoch(1, 20), Confirmation.FENCED))
    hand.written(Written.APPLIED)
    hand.give(msg.ViewRead(old, view(record()), hand.now_s))
    assert (State.FOLLOWER, None) == (hand.core.state, hand.core.tenure)


# --- the lease and the database


def test_a_lease_that_is_gone_ends_the_tenure_and_a_new_one_is_granted() -> None:
    # ha.md, Coordination: one lease a process
    hand = Hand().leader()
    hand.give(msg.Renewed(LEASE, Grant(LEASE, 0.0), hand.now_s))
    assert {msg.Demote, msg.GrantLease} == hand.kinds()
    assert None is hand.core.epoch_at(hand.now_s)


def test_a_write_that_was_refused_ends_the_tenure_at_once() -> None:
    # ha.md, Fencing in the database: stops being primary at once
    hand = Hand().leader()
    hand.give(msg.StoreRefused(Epoch(1, 20), Confirmation.FENCED))
    assert (State.FOLLOWER, {msg.Demote, msg.WriteKey}) == (hand.core.state, hand.kinds())


def test_a_refusal_of_an_earlier_token_is_old_news() -> None:
    # ha.md, Coordination: ignores old answers
    hand = Hand().leader()
    hand.give(msg.StoreRefused(Epoch(1, 19), Confirmation.FENCED))
    assert State.LEADER is hand.core.state


@pytest.mark.parametrize(
    ("reachable", "resigns"),
    [
        pytest.param(True, True, id="another member reaches the database"),
        pytest.param(False, False, id="nobody reaches the database"),
    ],
)
def test_who_cannot_commit_for_one_ttl_resigns(reachable: bool, resigns: bool) -> None:
    # ha.md, Fencing in the database: resigns if another member reports the database reachable
    hand = Hand().leader()
    other = replace(SUCCESSOR, state=MemberState(database_reachable=reachable))
    hand.give(msg.StoreSeen(reachable=False))
    for _ in range(3):
        hand.give(msg.Renewed(LEASE, Grant(LEASE, TTL_S), hand.now_s), after_s=1.7)
        hand.give(msg.Hinted(Hint.MEMBERS_CHANGED))
        hand.sees(view(record(), members=(other,)))
    assert resigns == (hand.core.state is State.FOLLOWER)


# --- switching over


def test_a_hand_over_puts_the_key_in_the_successors_name_on_its_lease() -> None:
    # ha.md, Switching over: planned
    hand = Hand().transferring()
    order = hand.one(msg.WriteKey)
    held = replace(record(), prior=10)
    expected = replace(
        held,
        instance=OTHER,
        endpoints=("other:1",),
        lease=OTHER_LEASE,
        mod_revision=0,
        prior=20,
        handed_over=True,
    )
    assert (held, expected) == (order.held, order.leader)
    assert None is hand.core.epoch_at(hand.now_s)


@pytest.mark.parametrize(
    ("written", "result", "state", "orders"),
    [
        pytest.param(
            Written.APPLIED, HandOverResult.DONE, State.FOLLOWER, {msg.Demote, msg.ReadView}, id="applied"
        ),
        pytest.param(
            Written.REFUSED,
            HandOverResult.REFUSED,
            State.SUSPENDED,
            {msg.Suspend, msg.ReadView},
            id="refused",
        ),
        pytest.param(
            Written.UNKNOWN,
            HandOverResult.UNKNOWN,
            State.SUSPENDED,
            {msg.Suspend, msg.Confirm},
            id="unknown",
        ),
    ],
)
def test_the_end_of_a_hand_over(
    written: Written, result: HandOverResult, state: State, orders: set[type]
) -> None:
    # ha.md, Switching over
    hand = Hand().transferring()
    hand.written(written, 25)
    assert result is hand.one(msg.AnswerHandOver).answer.result
    assert (state, orders | {msg.AnswerHandOver}) == (hand.core.state, hand.kinds())


def test_after_an_unknown_hand_over_reading_the_key_is_not_enough() -> None:
    # ha.md, Switching over: until the primary has rewritten the key
    hand = Hand().transferring()
    hand.written(Written.UNKNOWN)
    hand.confirmed(Confirmation.HOLDS)
    hand.written(Written.UNKNOWN)
    hand.sees(view(record()))
    hand.confirmed(Confirmation.HOLDS)
    assert (record(), State.SUSPENDED) == (hand.one(msg.WriteKey).held, hand.core.state)
    hand.written(Written.APPLIED, 33)
    assert Epoch(1, 33) == hand.one(msg.Promote).epoch


@pytest.mark.parametrize(
    ("confirmation", "state", "leader_key"),
    [
        pytest.param(
            Confirmation.FENCED, State.FOLLOWER, [None], id="the successor has raised its token: gives up"
        ),
        pytest.param(Confirmation.UNREACHABLE, State.SUSPENDED, [], id="the database is away: looks again"),
    ],
)
def test_only_a_tenure_that_the_fence_row_confirms_is_rewritten(
    confirmation: Confirmation, state: State, leader_key: list[None]
) -> None:
    # ha.md, What a model of this text has shown: etcd restored to before the hand-over
    hand = Hand().transferring()
    hand.written(Written.UNKNOWN)
    hand.confirmed(confirmation)
    written = [order.leader for order in hand.ordered if isinstance(order, msg.WriteKey)]
    assert (state, leader_key) == (hand.core.state, written)


@pytest.mark.parametrize(
    ("situation", "to", "result"),
    [
        pytest.param(Hand.follower, None, HandOverResult.NOT_PRIMARY, id="a backup has nothing to hand over"),
        pytest.param(Hand.suspended, None, HandOverResult.NOT_PRIMARY, id="nor has one that is suspended"),
        pytest.param(Hand.leader, InstanceName("x"), HandOverResult.NO_SUCCESSOR, id="nobody of that name"),
        pytest.param(Hand.leader, ME, HandOverResult.NO_SUCCESSOR, id="not to itself"),
        pytest.param(Hand.transferring, None, HandOverResult.BUSY, id="one at a time"),
    ],
)
def test_a_hand_over_that_cannot_be(
    situation: Callable[[Hand], Hand], to: InstanceName | None, result: HandOverResult
) -> None:
    # B-53, B-60
    hand = situation(Hand())
    hand.give(msg.HandOverAsked(9, to, "", 1.0))
    assert (9, result) == (hand.one(msg.AnswerHandOver).request, hand.one(msg.AnswerHandOver).answer.result)


def test_who_was_not_ready_goes_on_under_the_same_token() -> None:
    # ha.md, Switching over: the successor has answered that it is ready
    hand = Hand().leader()
    hand.give(msg.HandOverAsked(1, None, "", 1.0))
    hand.give(msg.HandOverPrepared(hand.one(msg.PrepareHandOver).call, ready=False))
    assert HandOverResult.NOT_READY is hand.one(msg.AnswerHandOver).answer.result
    assert Epoch(1, 20) == hand.one(msg.Resume).epoch == hand.core.epoch_at(hand.now_s)


def test_the_member_that_has_applied_most_succeeds() -> None:
    # ha.md, Switching over
    ahead = replace(
        SUCCESSOR,
        facts=replace(SUCCESSOR.facts, instance=InstanceName("ahead")),
        state=MemberState(applied_revision=9),
    )
    unready = replace(ahead, state=MemberState(applied_revision=99, promotable=False))
    hand = Hand().leader()
    hand.give(msg.Hinted(Hint.MEMBERS_CHANGED))
    hand.sees(view(record(), members=(SUCCESSOR, ahead, unready)))
    hand.give(msg.HandOverAsked(1, None, "", 1.0))
    assert "ahead" == hand.one(msg.PrepareHandOver).successor.instance


@pytest.mark.parametrize(
    "situation",
    [Hand.started, Hand.follower, Hand.campaigning, Hand.promoting, Hand.suspended, Hand.confirming],
    ids=lambda situation: situation.__name__,
)
def test_leaving_closes_the_component_before_the_lease_is_revoked(situation: Callable[[Hand], Hand]) -> None:
    # cli.md, Processes: SIGTERM
    hand = situation(Hand())
    hand.give(msg.StopAsked(hand_over=True))
    orders = [type(e) for e in hand.ordered if isinstance(e, msg.Demote | msg.Leave)]
    assert [msg.Demote, msg.Leave] == orders
    hand.give(msg.Left())
    assert (Phase.LEFT, []) == (hand.core.phase, hand.give(msg.Tick(), after_s=60.0))


def test_a_primary_that_leaves_hands_over_first() -> None:
    # cli.md, Processes: SIGTERM hands over, finishes, leaves
    hand = Hand().leader()
    hand.give(msg.StopAsked(hand_over=True))
    hand.give(msg.HandOverPrepared(hand.one(msg.PrepareHandOver).call, ready=True))
    hand.written(Written.APPLIED, 25)
    assert {msg.Demote, msg.Leave} <= hand.kinds()


def test_roles_that_change_too_often_put_off_a_campaign_and_raise_an_alarm() -> None:
    # ha.md, Switching over: flapping; 21-25127
    hand = Hand().follower()
    for change, name in enumerate(("b", "c", "d")):
        hand.give(msg.Hinted(Hint.LEADER_CHANGED), after_s=0.1)
        hand.sees(view(record(InstanceName(name), OTHER_LEASE, mod_revision=16 + change)))
    hand.give(msg.Hinted(Hint.LEADER_GONE))
    assert msg.ReadFence not in hand.kinds()
    hand.give(msg.Renewed(LEASE, Grant(LEASE, TTL_S), hand.now_s), after_s=2.0)
    hand.sees(view())
    hand.give(msg.Renewed(LEASE, Grant(LEASE, TTL_S), hand.now_s), after_s=3.1)
    assert msg.ReadFence in hand.kinds()


# --- the table of phases


def test_a_phase_that_cannot_follow_is_refused_and_changes_nothing() -> None:
    # style.md, 3: an illegal transition raises
    machine = Hand().leader().core._m
    with pytest.raises(IllegalTransition, match="OPEN cannot be followed by CAMPAIGNING"):
        machine.move(Phase.CAMPAIGNING)
    assert Phase.OPEN is machine.phase


def test_every_phase_has_a_state_and_followers() -> None:
    # style.md, 3: transitions as a table
    assert set(Phase) == set(STATE_OF) == set(FOLLOWS)
    assert isinstance(Hand().core._m, Machine)
