"""Sessions around their pure rules: stored before granted, and ended in the database too."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from confclient.errors import (
    CertificateMismatchError,
    LicenseRequiredError,
    LrmNotStartedError,
    NotPrimaryError,
    SessionHeldError,
    UnknownApplicationError,
)
from confkit.election.types import Epoch
from confserv.adapters.memory_state import MemoryState
from confserv.core.admission import Applicant, ApplicationFacts
from confserv.core.applications import ApplicationType
from confserv.core.sessions import Holder, SessionId
from confserv.core.stage import Stage as StartupStage
from confserv.service.sessions import Knowledge, OpenRequest, SessionKeeper
from confserv.state_ports import Tenure
from tests.support.confserv_parts import TENURE, Stage
from tests.support.members import until

HOLDER = Holder("host-1", "boot-1", 100, 5)
GENERIC = ApplicationType.GENERIC_SERVER
APPLICATIONS = {
    "billing": ApplicationFacts(100, True, GENERIC),
    "routing": ApplicationFacts(101, True, GENERIC, "route"),
}


class Deployment:
    """What the test sets: stage and features."""

    stage = StartupStage.OPERATIONAL
    features: frozenset[str] = frozenset()


@pytest.fixture
def server() -> Stage:
    return Stage()


@pytest.fixture
def store() -> MemoryState:
    return MemoryState(tenure=TENURE)


@pytest.fixture
def deployment() -> Deployment:
    return Deployment()


@pytest.fixture
def keeper(server: Stage, store: MemoryState, deployment: Deployment) -> SessionKeeper:
    server.gate.open(TENURE)
    return make_keeper(server, store, deployment)


def make_keeper(server: Stage, store: MemoryState, deployment: Deployment) -> SessionKeeper:
    return SessionKeeper(
        store=store,
        gate=server.gate,
        knowledge=Knowledge(
            APPLICATIONS.get, lambda: deployment.stage, lambda name: name in deployment.features
        ),
        lease_ttl_s=10,
        events=server.events,
        clock=server.clock,
        on_fenced=server.fenced.append,
    )


def request(session_id: str = "a", application: str = "billing", *, pid: int = 100) -> OpenRequest:
    return OpenRequest(
        SessionId(session_id),
        Applicant(application, GENERIC, "application", application),
        replace(HOLDER, pid=pid),
        "ipv4:127.0.0.1:5",
    )


async def test_a_session_is_in_the_database_before_it_is_granted(
    store: MemoryState, keeper: SessionKeeper, server: Stage
) -> None:
    # B-17
    session, tenure = await keeper.open(request())
    assert (session,) == await store.sessions()
    assert TENURE == tenure
    assert keeper.has_session("billing")
    assert ["21-25130"] == server.numbers


async def test_a_refusal_is_logged_with_the_applications_name_and_type(
    keeper: SessionKeeper, server: Stage, deployment: Deployment
) -> None:
    # B-11
    deployment.stage = StartupStage.FIRST_STARTUP
    with pytest.raises(LrmNotStartedError):
        await keeper.open(request())
    event = server.logged[0]
    assert "21-25101" == event.event_id
    assert "Unable to accept connection: LRM Server has not been started" == event.text
    assert ("billing", "Generic Server") == (
        event.attributes["application"],
        event.attributes["application_type"],
    )


async def test_waiting_applications_get_in_once_the_stage_has_moved(
    keeper: SessionKeeper, deployment: Deployment
) -> None:
    # B-12, B-13
    deployment.stage = StartupStage.FIRST_STARTUP
    with pytest.raises(LrmNotStartedError):
        await keeper.open(request())
    deployment.stage = StartupStage.OPERATIONAL
    session, _ = await keeper.open(request())
    assert "billing" == session.application


async def test_a_missing_feature_is_refused_by_name(
    keeper: SessionKeeper, server: Stage, deployment: Deployment
) -> None:
    # B-16
    with pytest.raises(LicenseRequiredError) as caught:
        await keeper.open(request(application="routing"))
    assert "route" == caught.value.metadata["feature"]
    assert ["21-25124"] == server.numbers
    deployment.features = frozenset({"route"})
    await keeper.open(request(application="routing"))


async def test_an_application_without_an_object_is_refused(keeper: SessionKeeper, server: Stage) -> None:
    # B-16
    with pytest.raises(UnknownApplicationError):
        await keeper.open(request(application="unknown"))
    assert ["21-25132"] == server.numbers


async def test_of_two_that_come_at_once_one_gets_the_session(keeper: SessionKeeper) -> None:
    # B-17
    answers = await asyncio.gather(
        keeper.open(request("a")), keeper.open(request("b", pid=101)), return_exceptions=True
    )
    assert 1 == sum(isinstance(answer, SessionHeldError) for answer in answers)


async def test_a_lease_that_runs_out_ends_the_session(
    store: MemoryState, keeper: SessionKeeper, server: Stage
) -> None:
    # B-17
    await keeper.open(request())
    server.clock.advance(10)
    running = asyncio.create_task(keeper.run())
    await until(lambda: server.numbers == ["21-25130", "21-25131"])
    running.cancel()
    assert () == await store.sessions()
    assert await keeper.keep(SessionId("a"), certificate="billing") is None


async def test_the_report_of_a_dead_process_ends_its_sessions_at_once(
    store: MemoryState, keeper: SessionKeeper
) -> None:
    # B-17
    await keeper.open(request())
    assert () == await keeper.report_exit(replace(HOLDER, start_time_ticks=6))
    assert (SessionId("a"),) == await keeper.report_exit(HOLDER)
    await keeper.open(request("b", pid=101))
    assert [SessionId("b")] == [session.session_id for session in await store.sessions()]


async def test_nobody_closes_keeps_or_takes_anothers_session(
    keeper: SessionKeeper, deployment: Deployment
) -> None:
    # B-17
    deployment.features = frozenset({"route"})
    await keeper.open(request())
    assert await keeper.keep(SessionId("a"), certificate="thief") is None
    with pytest.raises(CertificateMismatchError):
        await keeper.close(SessionId("a"), certificate="thief")
    with pytest.raises(CertificateMismatchError):
        await keeper.open(
            replace(request(), applicant=Applicant("routing", GENERIC, "application", "routing"))
        )


async def test_the_next_primary_restores_sessions_without_a_write(
    store: MemoryState, keeper: SessionKeeper, server: Stage, deployment: Deployment
) -> None:
    # B-17
    session, _ = await keeper.open(request())
    successor = make_keeper(server, store, deployment)
    successor.promoted(await store.sessions())
    store.tenure = None  # any write would be refused now
    restored, _ = await successor.open(replace(request(), peer="ipv4:127.0.0.1:6"))
    assert session == restored


async def test_a_server_that_lost_the_role_grants_nothing(
    store: MemoryState, keeper: SessionKeeper, server: Stage
) -> None:
    # B-17, B-50
    store.tenure = Tenure(Epoch(1, 6), "history")
    with pytest.raises(NotPrimaryError):
        await keeper.open(request())
    assert 1 == len(server.fenced)
    assert not keeper.has_session("billing")
