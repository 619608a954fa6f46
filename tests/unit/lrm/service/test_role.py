"""What LRM does when the election gives it the role, doubts it, or takes it away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest

from confapi.message.v1 import message_pb2
from confclient.errors import LicenseRequiredError, NoPrimaryError, NotPrimaryError
from confkit.election.types import (
    Confirmation,
    Epoch,
    EtcdIdentity,
    GenerationRaise,
    Grounds,
    History,
    InstanceName,
    LeaderRecord,
    LeaseId,
    Member,
    MemberState,
    ProcessFacts,
    PromotionResult,
    Refusal,
    State,
    View,
)
from confkit.events import EventLog
from confkit.fence import GENERATION_QUIET_MS, FenceRow
from lrm.adapters.memory_store import MemoryVault
from lrm.core.binding import LicenseId
from lrm.core.entitlement import EntitlementRevision
from lrm.core.licenses import LicenseCopy, read_license
from lrm.service.keeper import StoreKeeper
from lrm.service.license_book import LicenseBook
from lrm.service.role import RoleTools, UsageRole
from tests.support.elected import WITHOUT_HA
from tests.support.licenses import LICENSE, NOW, signed
from tests.support.usage_facts import batch, becoming, row, session

FACTS = ProcessFacts(instance=InstanceName("lrm-1"), host="host", pid=99)
OTHER = ProcessFacts(instance=InstanceName("lrm-2"), endpoints=("10.0.0.2:1",))
EPOCH = Epoch(1, 7)


class Clock:
    """Wall time that a test sets."""

    now_ms = 10 * GENERATION_QUIET_MS

    def boottime_s(self) -> float:
        return 1.0

    def wall_ms(self) -> int:
        return self.now_ms


class Leadership:
    """What the election says; a test sets it."""

    def __init__(self) -> None:
        self.epoch: Epoch | None = None
        self.leader: LeaderRecord | None = None
        self.known: tuple[Member, ...] = ()

    def epoch_at(self, now_s: float) -> Epoch | None:
        return self.epoch

    def primary(self) -> LeaderRecord | None:
        return self.leader

    def members(self) -> tuple[Member, ...]:
        return self.known


class Killer:
    """Ends former holders by closing the vault, as a killed process does."""

    def __init__(self, vault: MemoryVault) -> None:
        self.vault = vault
        self.asked: list[FenceRow] = []

    async def end(self, row: FenceRow, *, reason: str) -> bool:
        self.asked.append(row)
        self.vault.holder = None
        return True


class World:
    """One role on a vault in memory."""

    def __init__(self, *, take_over: bool = False) -> None:
        self.vault = MemoryVault()
        self.clock = Clock()
        self.leadership = Leadership()
        self.book = LicenseBook(now=lambda: NOW)
        self.logged: list[message_pb2.LogEvent] = []
        self.lost: list[str] = []
        self.killer = Killer(self.vault)
        events = EventLog(application="lrm-1", component="lrm", sink=self.logged.append)
        self.role = UsageRole(
            RoleTools(
                keeper=StoreKeeper(self.vault, facts=FACTS, events=events, former=self.killer),
                book=self.book,
                events=events,
                clock=self.clock,
                facts=FACTS,
                leadership=lambda: self.leadership,  # type: ignore[arg-type, return-value]
                on_lost=self.lost.append,
                take_over=take_over,
            )
        )

    def numbers(self) -> list[str]:
        return [event.event_id for event in self.logged]

    def license(self, text: str = LICENSE, revision: int = 1) -> LicenseCopy:
        copy = read_license(
            signed(text),
            LicenseId(revision, f"sha-{revision}"),
            stored_ms=revision * 1000,
            trust=None,
            now=NOW,
        )
        self.book.take(copy, is_current=True)
        return copy

    async def promoted(self, epoch: Epoch = EPOCH, **changes: Any) -> PromotionResult:
        outcome = await self.role.promote(epoch, replace(GROUNDS, **changes))
        if outcome.result is PromotionResult.OPENED:
            self.leadership.epoch = epoch
        return outcome.result


GROUNDS = Grounds(
    identity=EtcdIdentity("etcd"), etcd_revision=7, granted_ttl_s=0.6, waited_s=0.0, view=View(revision=7)
)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    committing = asyncio.create_task(made.role.recorder.run())
    yield made
    committing.cancel()
    await made.role.close()


async def test_a_first_promotion_opens_the_store_and_takes_what_waits(world: World) -> None:
    # B-40, B-50
    waiting = world.role.recorder.submit(batch(1, session(1, 5_000, None)))
    assert await world.promoted() is PromotionResult.OPENED
    assert 1 == (await waiting).result.stored
    assert (EPOCH, "lrm-1") == (world.vault.fence.token, world.vault.fence.instance)
    assert 1 == world.role.member().applied_revision
    assert world.role.member().history == History(world.vault.fence.history_id, 1)


async def test_a_promotion_brings_the_store_and_the_license_together(world: World) -> None:
    # B-25
    stored = EntitlementRevision(1, "old", 1)
    store = world.vault.open(becoming(row(1)))
    store.save_entitlement(stored)
    store.close()
    world.license(revision=2)
    assert await world.promoted() is PromotionResult.OPENED
    assert [1, 2] == [each.license_revision for each in world.vault.entitlement.revisions]
    assert [1, 2] == [each.license_revision for each in world.book.entitlement.revisions]
    world.license(revision=3)
    await world.role.read(lambda _: None)
    assert 3 == world.book.entitlement.current.license_revision


Prepare = Callable[[World], None]
REFUSALS = [
    pytest.param(lambda w: _held(w, row(8)), {}, PromotionResult.FENCED, id="the row holds a higher token"),
    pytest.param(lambda w: _held(w, row(7)), {}, PromotionResult.FENCED, id="the row holds this very token"),
    pytest.param(
        lambda w: _held(w, row(0)),
        {},
        PromotionResult.MUST_WAIT,
        id="etcd was rebuilt, and one lease has not passed yet",
    ),
    pytest.param(
        lambda w: _held(w, row(1, instance="lrm-2")),
        {},
        PromotionResult.NOT_ALLOWED,
        id="another is on record and the license lacks the feature",
    ),
    pytest.param(
        lambda w: None,
        {"view": View(revision=7, history=History("other", 1))},
        PromotionResult.WENT_BACK,
        id="the store has another history than etcd remembers",
    ),
]


def _held(world: World, row_: FenceRow) -> None:
    world.vault.fence = row_


@pytest.mark.parametrize(("prepare", "grounds", "expected"), REFUSALS)
async def test_a_promotion_that_may_not_be(
    world: World, prepare: Prepare, grounds: dict[str, Any], expected: PromotionResult
) -> None:
    # B-40, B-50, B-51
    prepare(world)
    assert expected is await world.promoted(**grounds)
    assert world.vault.holder is None
    with pytest.raises(NoPrimaryError):
        await world.role.read(lambda store: store.history())


async def test_with_the_feature_the_role_passes_to_another_instance(world: World) -> None:
    # B-40
    _held(world, row(1, instance="lrm-2"))
    world.license()
    assert await world.promoted() is PromotionResult.OPENED
    assert "history" == world.vault.fence.history_id


async def test_an_operator_may_take_the_role_over_by_hand_once() -> None:
    # B-40
    world = World(take_over=True)
    _held(world, row(1, instance="lrm-2"))
    assert world.role.may_campaign(row(1, instance="lrm-2"), View(revision=1)).allowed
    assert await world.promoted() is PromotionResult.OPENED
    assert ["00-25022"] == world.numbers()
    assert not world.role.may_campaign(row(9, instance="lrm-2"), View(revision=1)).allowed
    await world.role.close()


async def test_a_process_that_keeps_the_store_is_ended_once_patience_is_over(world: World) -> None:
    # B-50
    world.license()
    world.vault.open(becoming(row(1, instance="lrm-2")))
    assert await world.promoted() is PromotionResult.OPENED
    assert [row(1, instance="lrm-2")] == world.killer.asked
    assert "66-25210" in world.numbers()


async def test_a_process_of_another_host_is_not_touched_and_the_promotion_can_be_asked_again(
    world: World,
) -> None:
    # B-50
    world.license()
    holder = world.vault.open(becoming(replace(row(1, instance="lrm-2"), host="elsewhere")))
    assert await world.promoted() is PromotionResult.UNREACHABLE
    assert ([], ["66-25211"]) == (world.killer.asked, world.numbers())
    holder.close()
    assert await world.promoted() is PromotionResult.OPENED


async def test_a_suspended_primary_lets_go_of_the_store_and_resumes_if_the_row_is_its_own(
    world: World,
) -> None:
    # B-50
    await world.promoted()
    await world.role.suspend("no answer from etcd")
    assert world.vault.holder is None
    waiting = world.role.recorder.submit(batch(1, session(1, 5_000, None)))
    assert await world.role.confirm(EPOCH) is Confirmation.HOLDS
    await world.role.resume(EPOCH)
    assert 1 == (await waiting).result.stored


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param(row(9, instance="lrm-2"), Confirmation.FENCED, id="another has raised the row"),
        pytest.param(None, Confirmation.FENCED, id="the row is gone"),
        pytest.param(row(7), Confirmation.WENT_BACK, id="the row has another history"),
    ],
)
async def test_a_suspended_primary_does_not_resume_on_a_row_that_is_not_its_own(
    world: World, found: FenceRow | None, expected: Confirmation
) -> None:
    # B-50, B-51
    await world.promoted()
    await world.role.suspend("no answer from etcd")
    world.vault.fence = found
    assert expected is await world.role.confirm(EPOCH)
    assert world.vault.holder is None


async def test_a_demoted_primary_sends_who_waits_to_its_successor(world: World) -> None:
    # B-51
    await world.promoted()
    await world.role.suspend("the guard ran out")
    waiting = world.role.recorder.submit(batch(1, session(1, 5_000, None)))
    world.leadership.leader = LeaderRecord(
        OTHER.instance, OTHER.endpoints, 1, EtcdIdentity("etcd"), mod_revision=9, lease=LeaseId(2)
    )
    world.leadership.epoch = None
    await world.role.demote("lost", world.leadership.leader)
    with pytest.raises(NotPrimaryError) as refused:
        await waiting
    assert OTHER.endpoints == tuple(refused.value.endpoints)
    with pytest.raises(NotPrimaryError):
        await world.role.read(lambda store: store.history())
    assert await world.role.confirm(EPOCH) is Confirmation.FENCED
    assert {} == world.vault.sessions


async def test_a_report_that_outlives_the_role_is_not_given(world: World) -> None:
    # B-20
    await world.promoted()

    def overtaken(_: object) -> str:
        world.leadership.epoch = None
        return "figures"

    with pytest.raises(NoPrimaryError):
        await world.role.read(overtaken)


async def test_a_store_that_another_has_taken_ends_the_process(world: World) -> None:
    # B-50
    await world.promoted()
    world.vault.fence = row(9, instance="lrm-2")
    with pytest.raises(NoPrimaryError):
        await world.role.recorder.record(batch(1, session(1, 5_000, None)))
    assert (1, ["66-25213"]) == (len(world.lost), world.numbers())


@pytest.mark.parametrize(
    ("held", "raised_ms", "expected"),
    [
        pytest.param(True, 0, GenerationRaise.RAISED, id="recorded"),
        pytest.param(False, 0, GenerationRaise.LOST, id="the row changed meanwhile"),
        pytest.param(
            True, 9 * GENERATION_QUIET_MS + 1, GenerationRaise.TOO_SOON, id="a second time within the hour"
        ),
    ],
)
async def test_a_rebuilt_etcd_is_recorded_by_compare_and_set(
    world: World, held: bool, raised_ms: int, expected: GenerationRaise
) -> None:
    # B-50
    known = replace(row(5), raised_generation_ms=raised_ms)
    world.vault.fence = known if held else row(6)
    outcome = await world.role.raise_generation(known, identity=EtcdIdentity("new"), revision=2)
    assert expected is outcome
    raised = world.vault.fence.token == Epoch(2, 0)
    assert raised == (expected is GenerationRaise.RAISED)


async def test_a_hand_over_is_prepared_only_for_a_successor_that_is_ready(world: World) -> None:
    # B-53
    await world.promoted()
    ready = Member(OTHER, State.FOLLOWER, MemberState(), LeaseId(2))
    assert not await world.role.prepare_handover(replace(ready, state=MemberState(promotable=False)), 1.0)
    assert world.vault.holder is not None
    assert await world.role.prepare_handover(ready, 1.0)
    assert world.vault.holder is None
    await world.role.resume(EPOCH)
    assert world.vault.holder is not None


async def test_without_the_feature_nobody_switches_over(world: World) -> None:
    # B-40
    world.license(WITHOUT_HA)
    refusal = world.role.refuse_switchover()
    assert isinstance(refusal, LicenseRequiredError)
    assert ["00-25012"] == world.numbers()
    for _ in range(3):
        permission = world.role.may_campaign(row(1, instance="lrm-2"), View(revision=1))
        assert Refusal.NOT_LICENSED == permission.refusal
    assert ["00-25012"] * 2 == world.numbers()
    assert world.role.may_campaign(row(1), View(revision=1)).allowed
    world.license(LICENSE, revision=2)
    assert None is world.role.refuse_switchover()


async def test_a_backup_has_applied_what_the_primary_has(world: World) -> None:
    # B-54
    leader = LeaderRecord(OTHER.instance, OTHER.endpoints, 1, EtcdIdentity("etcd"), 9, LeaseId(2))
    primary = Member(OTHER, State.LEADER, MemberState(applied_revision=41), LeaseId(2))
    world.leadership.leader, world.leadership.known = leader, (primary,)
    assert 41 == world.role.member().applied_revision
    assert None is world.role.member().history
