"""Counting of check-outs: tables for each answer, and a slow model for everything that can follow on one
another.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from confkit.license.pools import Pools, pools_of
from confkit.license.syntax import parse
from licman.core.ledger import Ledger
from licman.core.model import (
    MAX_HANDLES_PER_OWNER,
    DenialReason,
    Denied,
    Granted,
    Handle,
    Moment,
    Owner,
    ReleaseReason,
    RequestError,
    Wanted,
)

TIMEOUT_S = 10.0
ANN, BOB = Owner("application/ann"), Owner("application/bob")


def at(day: date = date(2026, 11, 24), *, second: float = 0.0) -> Moment:
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=UTC) + timedelta(seconds=second)
    return Moment(int(noon.timestamp() * 1000), 1000.0 + second)


def licensed(*rows: str) -> Pools:
    return pools_of(parse("\n".join(rows).encode(), source="a"))


def ledger(*rows: str) -> Ledger:
    return Ledger(licensed(*rows), heartbeat_timeout_s=TIMEOUT_S, now=at())


def want(
    handle: str = "h", owner: Owner = ANN, feature: str = "f", version: str = "1", **more: object
) -> Wanted:
    values: dict[str, object] = {"count": 1, **more}
    return Wanted(owner, Handle(handle), feature, version, **values)  # type: ignore[arg-type]


def reason(answer: Granted | Denied) -> DenialReason | None:
    return answer.reason if isinstance(answer, Denied) else None


@pytest.mark.parametrize(
    ("rows", "wanted", "expected", "number"),
    [
        pytest.param(("FEATURE f v 1 permanent 1",), want(), None, 0, id="grants what is free"),
        pytest.param(("FEATURE f v 1 permanent 1",), want(count=2), DenialReason.ALL_IN_USE, -4, id="too many"),
        pytest.param(("FEATURE f v 1 permanent 1",), want(version=""), None, 0, id="any version"),
        pytest.param(("FEATURE f v 1.1 permanent 1",), want(version="1.10"), None, 0, id="an equal version"),
        pytest.param(("FEATURE f v 2 permanent 1",), want(version="1.9"), None, 0, id="a lower version"),
        pytest.param(
            ("FEATURE f v 1 permanent 1",), want(version="1.01"), DenialReason.VERSION_TOO_HIGH, -21, id="a higher one"
        ),
        pytest.param(
            ("FEATURE g v 1 permanent 1",), want(), DenialReason.NO_SUCH_FEATURE, -5, id="no such feature"
        ),
        pytest.param(("FEATURE f v 1 24-nov-2026 1",), want(), None, 0, id="on the last day"),
        pytest.param(("FEATURE f v 1 23-nov-2026 1",), want(), DenialReason.EXPIRED, -10, id="the day after it"),
        pytest.param(("FEATURE f v 1 permanent 1 START=24-nov-2026",), want(), None, 0, id="on the first day"),
        pytest.param(
            ("FEATURE f v 1 permanent 1 START=25-nov-2026",), want(), DenialReason.NOT_STARTED, -31, id="before it"
        ),
        pytest.param(
            ('INCREMENT f v 1 permanent 9 VENDOR_STRING="item:type=concurrent"',),
            want(),
            DenialReason.SELLABLE_ITEM,
            -18,
            id="a sellable item",
        ),
        pytest.param(
            ("FEATURE f v 1 permanent 0 HOSTID=HOSTNAME=pc1",), want(host="PC1", count=99), None, 0, id="its host"
        ),
        pytest.param(
            ('FEATURE f v 1 permanent 0 HOSTID="HOSTNAME=pc1 USER=ann"',),
            want(host="pc2"),
            DenialReason.WRONG_HOST,
            -9,
            id="another host",
        ),
        pytest.param(("FEATURE f v 1 permanent 1 HOSTID=ID=77",), want(), None, 0, id="a line that names a customer"),
        pytest.param(("INCREMENT f v 1 permanent 1 OVERDRAFT=2",), want(count=3), None, 0, id="from overdraft"),
        pytest.param(
            ("INCREMENT f v 1 permanent 1", "INCREMENT f v 2 permanent 3"), want(count=3), None, 0, id="the second pool"
        ),
        pytest.param(
            ("INCREMENT f v 1 permanent 2", "INCREMENT f v 2 permanent 2"),
            want(count=3),
            DenialReason.ALL_IN_USE,
            -4,
            id="never from two pools together",
        ),
        pytest.param(
            ("INCREMENT f v 1 1-jan-2020 1", "INCREMENT f v 2 permanent 1 HOSTID=USER=bob"),
            want(version="1"),
            DenialReason.WRONG_HOST,
            -9,
            id="the reason that comes nearest",
        ),
    ],
)  # fmt: skip
def test_a_check_out_is_answered(
    rows: tuple[str, ...], wanted: Wanted, expected: DenialReason | None, number: int
) -> None:
    answer = ledger(*rows).check_out(wanted, at())
    assert expected == reason(answer)  # B-42
    if isinstance(answer, Denied):
        assert number == answer.reason.number
        assert answer.message  # B-60


def test_without_a_license_nothing_is_granted() -> None:
    empty = Ledger(None, heartbeat_timeout_s=TIMEOUT_S, now=at())
    assert DenialReason.NO_LICENSE == reason(empty.check_out(want(), at()))
    empty.follow(licensed("FEATURE f v 1 permanent 1"))
    assert reason(empty.check_out(want(), at())) is None


def test_repeating_a_check_out_consumes_nothing_more() -> None:
    one = ledger("FEATURE f v 1 permanent 1")
    first = one.check_out(want(), at())
    second = one.check_out(want(), at(second=1))
    assert isinstance(first, Granted)
    assert isinstance(second, Granted)
    assert first.record is not None
    assert (first.holding, None) == (second.holding, second.record)  # B-42, I-8
    assert DenialReason.ALL_IN_USE == reason(one.check_out(want("other"), at()))


def test_a_handle_belongs_to_its_owner_and_to_one_check_out() -> None:
    one = ledger("FEATURE f v 1 permanent 5", "FEATURE g v 1 permanent 5")
    assert reason(one.check_out(want(), at())) is None
    assert DenialReason.HANDLE_REUSED == reason(one.check_out(want(feature="g"), at()))
    assert DenialReason.HANDLE_REUSED == reason(one.check_out(want(count=2), at()))
    assert DenialReason.HANDLE_REUSED == reason(one.check_out(want(version="0.5"), at()))
    assert reason(one.check_out(want(version="1.0"), at())) is None
    assert reason(one.check_out(want(owner=BOB), at())) is None
    assert () == one.check_in(BOB, [Handle("x")], at())
    assert 2 == one.held_of("f")


def test_checking_in_frees_once() -> None:
    one = ledger("FEATURE f v 1 permanent 1")
    one.check_out(want(), at())
    released = one.check_in(ANN, [Handle("h"), Handle("h"), Handle("none")], at(second=5))
    assert [("h", ReleaseReason.CHECKED_IN, at(second=5).wall_ms)] == [
        (one.holding.wanted.handle, one.reason, one.at_ms) for one in released
    ]
    assert () == one.check_in(ANN, [Handle("h")], at())
    assert reason(one.check_out(want(owner=BOB), at())) is None  # B-42


def test_a_silent_holder_is_freed_after_its_timeout_and_one_that_beats_is_not() -> None:
    one = ledger("FEATURE f v 1 permanent 2")
    one.check_out(want("a"), at())
    one.check_out(want("b"), at())
    assert () == one.heartbeat(ANN, [Handle("a")], at(second=6))
    assert () == one.expire(at(second=9.9))
    freed = one.expire(at(second=10))
    assert [("b", ReleaseReason.HEARTBEAT_MISSED)] == [
        (one.holding.wanted.handle, one.reason) for one in freed
    ]
    assert ("b",) == one.heartbeat(ANN, [Handle("a"), Handle("b")], at(second=11))  # B-42
    assert () == one.heartbeat(BOB, [], at())
    assert ("a",) == one.heartbeat(BOB, [Handle("a")], at())


def test_after_an_outage_every_holder_gets_its_time_again() -> None:
    one = ledger("FEATURE f v 1 permanent 1")
    one.check_out(want(), at())
    one.grant_time(at(second=100))
    assert () == one.expire(at(second=109))
    assert 1 == len(one.expire(at(second=110)))


def test_a_successor_knows_what_is_held_and_lets_holders_attach_again() -> None:
    before = ledger("FEATURE f v 1 permanent 1")
    before.check_out(want(), at())
    after = Ledger(
        licensed("FEATURE f v 1 permanent 1"),
        before.holdings,
        heartbeat_timeout_s=TIMEOUT_S,
        now=at(second=60),
    )
    assert DenialReason.ALL_IN_USE == reason(after.check_out(want(owner=BOB), at(second=60)))
    assert reason(after.check_out(want(), at(second=61))) is None  # B-42: takes no second license
    assert 1 == after.held_of("f")
    assert () == after.expire(at(second=70))


def test_holders_keep_what_expires_and_nobody_gets_it_anew() -> None:
    one = ledger("INCREMENT f v 1 24-nov-2026 2", "INCREMENT f v 1 permanent 1 SN=2")
    today, tomorrow = at(), at(date(2026, 11, 25))
    for handle in ("a", "b"):
        assert reason(one.check_out(want(handle), today)) is None
    assert () == one.check_in(BOB, [Handle("a")], tomorrow)
    assert DenialReason.ALL_IN_USE == reason(one.check_out(want("c"), tomorrow))
    one.check_in(ANN, [Handle("a")], tomorrow)
    assert DenialReason.ALL_IN_USE == reason(one.check_out(want("c"), tomorrow))
    one.check_in(ANN, [Handle("b")], tomorrow)
    assert reason(one.check_out(want("c"), tomorrow)) is None  # B-42, I-8


def test_what_is_held_of_a_pool_that_vanished_counts_until_it_is_checked_in() -> None:
    one = ledger("INCREMENT f v 1 permanent 2")
    one.check_out(want("a", count=2), at())
    one.follow(licensed("INCREMENT f v 2 permanent 2"))
    assert DenialReason.ALL_IN_USE == reason(one.check_out(want("b"), at()))
    one.check_in(ANN, [Handle("a")], at())
    assert reason(one.check_out(want("b"), at())) is None  # I-8


def test_what_was_held_without_limit_counts_once_there_is_one() -> None:
    one = ledger("FEATURE f v 1 permanent 0 HOSTID=ANY")
    one.check_out(want("a", count=2), at())
    one.follow(licensed("FEATURE f v 1 permanent 2"))
    assert DenialReason.ALL_IN_USE == reason(one.check_out(want("b"), at()))
    one.follow(licensed("FEATURE f v 1 permanent 3"))
    assert reason(one.check_out(want("b"), at())) is None  # I-8


def test_what_has_no_limit_takes_nothing_from_what_has_one() -> None:
    one = ledger("FEATURE f v 1 permanent 0 HOSTID=USER=ann", "INCREMENT f v 1 permanent 1")
    one.check_out(want("a", count=9, user="ann"), at())
    assert reason(one.check_out(want("b", user="bob"), at())) is None
    assert DenialReason.ALL_IN_USE == reason(one.check_out(want("c", user="bob"), at()))


def test_a_grant_beyond_the_count_is_marked_as_overdraft() -> None:
    one = ledger("INCREMENT f v 1 permanent 1 OVERDRAFT=1")
    marks = [one.check_out(want(handle), at()) for handle in ("a", "b")]
    assert [False, True] == [mark.holding.is_overdraft for mark in marks if isinstance(mark, Granted)]
    assert DenialReason.ALL_IN_USE == reason(one.check_out(want("c"), at()))


def test_one_client_cannot_hold_without_limit() -> None:
    one = ledger("FEATURE f v 1 permanent 0 HOSTID=ANY")
    for number in range(MAX_HANDLES_PER_OWNER):
        one.check_out(want(f"h{number}"), at())
    assert DenialReason.TOO_MANY_HANDLES == reason(one.check_out(want("one more"), at()))  # B-60
    assert reason(one.check_out(want(owner=BOB), at())) is None


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        pytest.param(want(""), "handle", id="no handle"),
        pytest.param(want("x" * 256), "handle", id="a long handle"),
        pytest.param(want(feature=""), "feature", id="no feature"),
        pytest.param(want(user="a\x00"), "user", id="a NUL"),
        pytest.param(want(count=0), "count", id="a count of none"),
        pytest.param(want(count=-1), "count", id="a negative count"),
        pytest.param(want(count=2**31), "count", id="a huge count"),
        pytest.param(want(version="1.2.3"), "version", id="a malformed version"),
    ],
)
def test_a_request_that_can_never_be_granted_is_refused(wanted: Wanted, said: str) -> None:
    one = ledger("FEATURE f v 1 permanent 5")
    with pytest.raises(RequestError, match=said):
        one.check_out(wanted, at())  # B-60
    assert () == one.holdings


LICENSES = (
    ("INCREMENT f v 1 permanent 3", "INCREMENT f v 2 25-nov-2026 2 OVERDRAFT=1"),
    ("INCREMENT f v 2 permanent 2 START=25-nov-2026", "FEATURE g v 1 permanent 1"),
    ("INCREMENT f v 1 26-nov-2026 2", "INCREMENT f v 1 permanent 2", "FEATURE g v 1 permanent 0 HOSTID=ANY"),
)


class SlowModel:
    """The same rules, counted anew from the bare list of holdings at each question."""

    def __init__(self) -> None:
        self.held: dict[tuple[Owner, str], tuple[str, int, float]] = {}

    def used(self, feature: str) -> int:
        return sum(count for name, count, _ in self.held.values() if name == feature)


class CheckingOut(RuleBasedStateMachine):
    """Random check-outs, check-ins, heartbeats, new licenses and passing time against the slow model
    (I-8).
    """

    owners = st.sampled_from([ANN, BOB])
    handles = st.sampled_from(["a", "b", "c", "d"])

    def __init__(self) -> None:
        super().__init__()
        self.rows = LICENSES[0]
        self.pools = licensed(*self.rows)
        self.second = 0.0
        self.ledger = Ledger(self.pools, heartbeat_timeout_s=TIMEOUT_S, now=self.now)
        self.model = SlowModel()

    @property
    def now(self) -> Moment:
        return at(second=self.second)

    def limit(self, feature: str) -> int | None:
        day, pools = self.now.day, self.pools.of(feature)
        if any(pool.is_uncounted for pool in pools):
            return None
        return sum(pool.count_on(day) + pool.overdraft_on(day) for pool in pools)

    @rule(owner=owners, handle=handles, feature=st.sampled_from("fg"), count=st.integers(1, 3))
    def check_out(self, owner: Owner, handle: str, feature: str, count: int) -> None:
        answer = self.ledger.check_out(want(handle, owner, feature, "1", count=count), self.now)
        held = self.model.held.get((owner, handle))
        if held is not None:
            assert (held[:2] == (feature, count)) == isinstance(answer, Granted)
            if isinstance(answer, Denied):
                return
            assert answer.record is None
        if isinstance(answer, Granted):
            before = self.model.used(feature)
            self.model.held[owner, handle] = (feature, count, self.second + TIMEOUT_S)
            limit = self.limit(feature)
            grew = self.model.used(feature) > before
            assert limit is None or not grew or self.model.used(feature) <= limit  # I-8
        elif answer.reason is DenialReason.ALL_IN_USE:
            assert self.could_not_fit(feature, count)

    def could_not_fit(self, feature: str, count: int) -> bool:
        day, pools = self.now.day, self.pools.of(feature)
        total = sum(pool.count_on(day) + pool.overdraft_on(day) for pool in pools)
        if self.model.used(feature) + count > total:
            return True
        by_pool = {
            pool.pool_id: sum(one.wanted.count for one in self.ledger.holdings if one.pool_id == pool.pool_id)
            for pool in pools
        }
        return all(
            by_pool[pool.pool_id] + count > pool.count_on(day) + pool.overdraft_on(day) for pool in pools
        )

    @rule(owner=owners, handles=st.lists(handles, max_size=3))
    def check_in(self, owner: Owner, handles: list[str]) -> None:
        released = self.ledger.check_in(owner, [Handle(handle) for handle in handles], self.now)
        expected = [handle for handle in dict.fromkeys(handles) if (owner, handle) in self.model.held]
        assert expected == [one.holding.wanted.handle for one in released]
        for handle in expected:
            del self.model.held[owner, handle]

    @rule(owner=owners, handles=st.lists(handles, max_size=3))
    def heartbeat(self, owner: Owner, handles: list[str]) -> None:
        lost = self.ledger.heartbeat(owner, [Handle(handle) for handle in handles], self.now)
        assert {one for one in handles if (owner, one) not in self.model.held} == set(lost)
        for handle in set(handles) - set(lost):
            feature, count, _ = self.model.held[owner, handle]
            self.model.held[owner, handle] = (feature, count, self.second + TIMEOUT_S)

    @rule(seconds=st.sampled_from([1.0, 4.0, 7.0, 12.0]))
    def time_passes(self, seconds: float) -> None:
        self.second += seconds
        freed = {one.holding.key for one in self.ledger.expire(self.now)}
        expected = {key for key, (_, _, deadline) in self.model.held.items() if deadline <= self.second}
        assert expected == freed
        for key in expected:
            del self.model.held[key]

    @rule()
    def a_day_passes(self) -> None:
        self.second += 86_400
        self.ledger.grant_time(self.now)
        self.model.held = {
            key: (feature, count, self.second + TIMEOUT_S)
            for key, (feature, count, _) in self.model.held.items()
        }

    @rule(rows=st.sampled_from(LICENSES))
    def a_license_is_loaded(self, rows: tuple[str, ...]) -> None:
        self.pools = licensed(*rows)
        self.ledger.follow(self.pools)

    @rule()
    def a_successor_takes_over(self) -> None:
        self.ledger = Ledger(self.pools, self.ledger.holdings, heartbeat_timeout_s=TIMEOUT_S, now=self.now)
        self.model.held = {
            key: (feature, count, self.second + TIMEOUT_S)
            for key, (feature, count, _) in self.model.held.items()
        }

    @invariant()
    def both_hold_the_same(self) -> None:
        held = {one.key: (one.wanted.feature, one.wanted.count) for one in self.ledger.holdings}
        assert {key: value[:2] for key, value in self.model.held.items()} == held


TestCheckingOut = CheckingOut.TestCase
TestCheckingOut.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
