"""Changes of role of a Configuration Server, over a real database, with the test as the election."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from confclient.errors import LicenseRequiredError, NotPrimaryError
from confkit.election.types import (
    Confirmation,
    Epoch,
    EtcdIdentity,
    GenerationRaise,
    History,
    InstanceName,
    LeaseId,
    Member,
    MemberState,
    ProcessFacts,
    Promotion,
    PromotionResult,
    Refusal,
    State,
    View,
)
from confserv.core.admission import Applicant
from confserv.core.applications import ApplicationType
from confserv.core.sessions import Holder, SessionId
from confserv.core.stage import Stage
from confserv.service.sessions import OpenRequest
from confserv.state_ports import DeploymentChange, Fenced, Tenure
from tests.support.confserv_pair import IDENTITY, WITH_HA, WITHOUT_HA, Server, World, sqlite_world, view_with
from tests.support.members import until


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    made = sqlite_world(tmp_path)
    yield made
    await made.close()


async def pair(world: World) -> tuple[Server, Server]:
    return await world.server("confserv-1"), await world.server("confserv-2")


def administrator(session_id: str) -> OpenRequest:
    applicant = Applicant("confctl", ApplicationType.ADMINISTRATOR, "administrator", "alice")
    return OpenRequest(SessionId(session_id), applicant, Holder("host-1", "boot-1", 7, 7), "ipv4:127.0.0.1:5")


def successor(name: str = "confserv-2") -> Member:
    return Member(ProcessFacts(InstanceName(name)), State.FOLLOWER, MemberState(), LeaseId(2))


async def test_the_first_promotion_makes_what_a_new_database_needs(world: World) -> None:
    # B-4, B-5, B-60
    await world.upload(WITH_HA)
    first, _ = await pair(world)
    assert Promotion.opened() == await first.promote(5)
    assert 1 == first.engine.revision
    assert not (await first.state.deployment()).new_deployment
    session, tenure = await first.keeper.open(administrator("a"))
    assert ("confctl", Epoch(1, 5)) == (session.application, tenure.epoch)


async def test_nothing_is_served_before_the_promotion(world: World) -> None:
    # B-50
    await world.upload(WITH_HA)
    first, _ = await pair(world)
    with pytest.raises(NotPrimaryError):
        await first.keeper.open(administrator("a"))


async def test_a_lower_token_is_refused_with_the_one_on_record(world: World) -> None:
    # B-50
    await world.upload(WITH_HA)
    first, second = await pair(world)
    await first.promote(5)
    outcome = await second.promote(4)
    assert (PromotionResult.FENCED, Epoch(1, 5)) == (outcome.result, outcome.held)


async def test_a_promotion_that_is_asked_for_again_under_its_own_token_opens(world: World) -> None:
    # B-51
    await world.upload(WITH_HA)
    first, _ = await pair(world)
    await first.promote(5)
    assert Promotion.opened() == await first.promote(5)


async def test_the_successor_reads_stage_license_and_sessions_again(world: World) -> None:
    # B-15, B-17
    await world.upload(WITHOUT_HA)
    first, second = await pair(world)
    await first.promote(5)
    await first.keeper.open(administrator("a"))
    async with first.bindings.bond("lrm-1"):
        pass
    await world.upload(WITH_HA)
    await first.demote()
    assert Promotion.opened() == await second.promote(6)
    assert Stage.OPERATIONAL is second.bindings.stage
    assert second.licensing.has_ha()
    assert ["a"] == [session.session_id for session in await second.keeper.listed()]
    assert first.engine.revision == second.engine.revision


async def test_without_the_feature_the_license_in_the_raising_transaction_decides(world: World) -> None:
    # B-40
    await world.upload(WITH_HA)
    first, second = await pair(world)
    await first.promote(5)
    assert second.component.may_campaign(await second.fence.read(), View(6, IDENTITY)).allowed
    await world.upload(WITHOUT_HA)  # between campaign and raise
    outcome = await second.promote(6)
    assert PromotionResult.NOT_ALLOWED is outcome.result
    assert ["21-25123"] == second.base.numbers
    assert Promotion.opened() == await first.promote(7)


async def test_without_the_feature_a_backup_does_not_campaign_and_says_so_once(world: World) -> None:
    # B-40
    await world.upload(WITHOUT_HA)
    first, second = await pair(world)
    await first.promote(5)
    for _ in range(3):
        permission = second.component.may_campaign(await second.fence.read(), View(6, IDENTITY))
        assert Refusal.NOT_LICENSED is permission.refusal
    assert ["21-25123"] == second.base.numbers
    assert (False, "the license lacks ha_redundancy") == (
        second.component.member().promotable,
        second.component.member().extra["not_promotable"],
    )
    assert first.component.may_campaign(await first.fence.read(), View(6, IDENTITY)).allowed


async def test_when_the_feature_is_loaded_the_backup_campaigns_without_a_restart(world: World) -> None:
    # B-40
    await world.upload(WITHOUT_HA)
    first, second = await pair(world)
    await first.promote(5)
    await world.upload(WITH_HA)
    await second.licensing.refresh()
    assert second.component.may_campaign(await second.fence.read(), View(6, IDENTITY)).allowed
    assert Promotion.opened() == await second.promote(6)


async def test_an_operator_takes_over_by_hand(world: World) -> None:
    # B-40
    await world.upload(WITHOUT_HA)
    first = await world.server("confserv-1")
    second = await world.server("confserv-2", take_over=True)
    await first.promote(5)
    assert second.component.may_campaign(await second.fence.read(), View(6, IDENTITY)).allowed
    assert Promotion.opened() == await second.promote(6)


@pytest.mark.parametrize("text", [WITH_HA, WITHOUT_HA], ids=["licensed", "not licensed"])
async def test_a_planned_switchover_needs_the_feature(world: World, text: bytes) -> None:
    # B-40
    await world.upload(text)
    first, _ = await pair(world)
    await first.promote(5)
    first.base.logged.clear()
    refusal = first.component.refuse_switchover()
    assert (text == WITHOUT_HA) == isinstance(refusal, LicenseRequiredError)
    assert (text == WITH_HA) == await first.component.prepare_handover(successor(), 1.0)
    assert (text == WITHOUT_HA) == ("21-25123" in first.base.numbers)


async def test_a_successor_that_is_not_ready_costs_nothing(world: World) -> None:
    # B-53
    await world.upload(WITH_HA)
    first, _ = await pair(world)
    await first.promote(5)
    first.successors.ready = False
    assert not await first.component.prepare_handover(successor(), 1.0)
    await first.component.resume(Epoch(1, 5))
    await first.keeper.open(administrator("a"))


async def test_a_primary_that_was_suspended_serves_what_waited(world: World) -> None:
    # B-50
    await world.upload(WITH_HA)
    first, _ = await pair(world)
    await first.promote(5)
    await first.component.suspend("etcd does not answer")
    assert first.base.gate.tenure is None
    assert Confirmation.HOLDS is await first.component.confirm(Epoch(1, 5))
    await first.component.resume(Epoch(1, 5))
    await first.keeper.open(administrator("a"))


async def test_a_suspended_primary_whose_token_was_overtaken_learns_it(world: World) -> None:
    # B-50
    await world.upload(WITH_HA)
    first, second = await pair(world)
    await first.promote(5)
    await first.component.suspend("paused")
    await second.promote(6)
    assert Confirmation.FENCED is await first.component.confirm(Epoch(1, 5))
    assert Confirmation.FENCED is await first.component.confirm(Epoch(1, 4))


async def test_a_write_under_an_overtaken_token_closes_the_server_at_once(world: World) -> None:
    # B-50
    await world.upload(WITH_HA)
    first, second = await pair(world)
    await first.promote(5)
    await second.promote(6)
    first.base.logged.clear()
    with pytest.raises(NotPrimaryError):
        await first.keeper.open(administrator("a"))
    assert first.base.gate.is_closed
    assert ["21-25122"] == first.base.numbers
    assert () == await second.state.sessions()


async def test_a_fenced_server_that_the_election_forgets_starts_over(world: World) -> None:
    # B-50
    await world.upload(WITH_HA)
    first, second = await pair(world)
    await first.promote(5)
    await second.promote(6)
    with pytest.raises(NotPrimaryError):
        await first.keeper.open(administrator("a"))
    running = asyncio.create_task(first.component.run())
    first.base.clock.advance(10)
    await until(lambda: len(first.ended) > 0)
    running.cancel()


async def test_a_restore_under_a_sitting_primary_ends_it(world: World) -> None:
    # B-51
    await world.upload(WITH_HA)
    first, _ = await pair(world)
    await first.promote(5)
    tenure = first.base.gate.tenure
    assert tenure is not None
    with pytest.raises(Fenced) as caught:
        await first.state.change_deployment(Tenure(tenure.epoch, "restored"), DeploymentChange(clock_ms=1))
    first.component.fenced(caught.value)
    assert "21-25126" in first.base.numbers
    assert 1 == len(first.ended)
    permission = first.component.may_campaign(await first.fence.read(), View(6, IDENTITY))
    assert Refusal.WENT_BACK is permission.refusal


@pytest.mark.parametrize(
    "known",
    [
        pytest.param(History("another", 1), id="etcd knows another history"),
        pytest.param(None, id="etcd knows a later revision"),
    ],
)
async def test_a_database_that_went_back_promotes_nobody(world: World, known: History | None) -> None:
    # B-51
    await world.upload(WITH_HA)
    first, second = await pair(world)
    await first.promote(5)
    row = await first.fence.read()
    assert row is not None
    view = view_with(known or History(row.history_id, 7))
    outcome = await second.promote(6, view=view)
    assert PromotionResult.WENT_BACK is outcome.result
    assert not second.component.member().promotable
    with pytest.raises(NotPrimaryError):
        await second.keeper.open(administrator("a"))


async def test_a_rebuilt_etcd_is_recorded_and_announced_once(world: World) -> None:
    # B-50
    await world.upload(WITH_HA)
    first, second = await pair(world)
    await first.promote(5)
    row = await first.fence.read()
    assert row is not None
    new = EtcdIdentity("etcd-2")
    assert GenerationRaise.RAISED is await first.component.raise_generation(row, identity=new, revision=2)
    assert GenerationRaise.LOST is await second.component.raise_generation(row, identity=new, revision=2)
    assert "21-25125" in first.base.numbers
    assert [] == second.base.numbers


async def test_a_former_primary_that_keeps_the_database_is_ended_by_the_agent(world: World) -> None:
    # B-50, B-53
    await world.upload(WITH_HA)
    first, second = await pair(world)
    await first.promote(5)
    blocker = world.database.writer.connect()
    blocker.begin()
    second.former.blocker = blocker
    assert Promotion.opened() == await second.promote(6)
    assert ["confserv-1"] == [row.instance for row in second.former.asked]
    assert "21-25133" in second.base.numbers


async def test_without_an_agent_the_promotion_waits_and_says_so(world: World) -> None:
    # B-50, B-60
    await world.upload(WITH_HA)
    first, second = await pair(world)
    await first.promote(5)
    with world.database.writer.begin():
        for _ in range(2):
            assert PromotionResult.UNREACHABLE is (await second.promote(6)).result
    assert ["21-25133"] == second.base.numbers
    assert f"kill -9 {first.facts.pid}" in second.base.logged[0].text
    assert Promotion.opened() == await second.promote(6)


async def test_a_demotion_sends_everybody_away_and_may_come_twice(world: World) -> None:
    # B-22, B-53
    await world.upload(WITH_HA)
    first, _ = await pair(world)
    await first.promote(5)
    await first.keeper.open(administrator("a"))
    await first.demote()
    await first.demote()
    with pytest.raises(NotPrimaryError):
        await first.keeper.listed()
    assert not first.keeper.has_session("alice")


async def test_status_shows_stage_compliance_and_license(world: World) -> None:
    # B-24, B-33
    await world.upload(WITH_HA)
    first, _ = await pair(world)
    await first.promote(5)
    found = first.component.attributes()
    assert {"stage": "FIRST_STARTUP", "compliance": "OK", "lrm": "", "license_revision": "1"}.items() <= (
        found.items()
    )
    member = first.component.member()
    assert (1, True, True) == (member.applied_revision, member.promotable, member.database_reachable)
    assert member.history is not None
