"""One suite for license, deployment and sessions, over memory, SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from confkit.election.types import Epoch, EtcdIdentity, InstanceName, ProcessFacts
from confkit.fence import FenceCheck
from confkit.fence_sql import raise_fence
from confserv.adapters.memory_state import MemoryState
from confserv.adapters.sql.database import Database, open_database, prepare_schema
from confserv.adapters.state_store import SqlState
from confserv.core.applications import ApplicationType
from confserv.core.compliance import Announced
from confserv.core.license import StoredLicense
from confserv.core.sessions import Holder, Session, SessionId
from confserv.core.stage import Stage
from confserv.state_ports import Deployment, DeploymentChange, Fenced, NewLicense, Tenure

Store = MemoryState | SqlState
EPOCH = Epoch(1, 5)
NOW_MS = 1_800_000_000_000


def raise_to(database: Database, epoch: Epoch) -> Tenure:
    with database.write() as conn:
        outcome = raise_fence(
            conn,
            epoch=epoch,
            waited_s=100,
            facts=ProcessFacts(InstanceName("confserv-1")),
            granted_ttl_s=5,
            identity=EtcdIdentity("etcd"),
            etcd_revision=1,
            fresh_history_id="history",
        )
    assert outcome.row is not None
    return Tenure(epoch, outcome.row.history_id)


@pytest.fixture(params=["memory", "sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Store, Tenure]]:
    if request.param == "memory":
        tenure = Tenure(EPOCH, "history")
        yield MemoryState(tenure=tenure, now_ms=NOW_MS), tenure
        return
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'c.db'}"
    else:
        server = request.getfixturevalue("postgresql_server")
        url = server.fresh_database()
    database = open_database(url)
    prepare_schema(database, now_ms=NOW_MS)
    tenure = raise_to(database, EPOCH)
    state = SqlState(database)
    yield state, tenure
    state.close()
    database.close()


@pytest.fixture
def store(opened: tuple[Store, Tenure]) -> Store:
    return opened[0]


@pytest.fixture
def tenure(opened: tuple[Store, Tenure]) -> Tenure:
    return opened[1]


def new(text: bytes) -> NewLicense:
    return NewLicense(f"sha of {text!r}", text, NOW_MS, "alice")


def session(session_id: str, application: str = "billing") -> Session:
    return Session(
        SessionId(session_id),
        application,
        ApplicationType.GENERIC_SERVER,
        7,
        application,
        Holder("host-1", "boot-1", 100, 5),
        "ipv4:127.0.0.1:5",
        NOW_MS,
        ("127.0.0.1:7001",),
        "1.2",
    )


async def test_a_new_database_is_a_new_deployment_in_its_first_startup(store: Store) -> None:
    # B-4, B-10
    assert Deployment(Stage.FIRST_STARTUP, True, 0, NOW_MS, Announced()) == await store.deployment()
    assert await store.latest_license() is None
    assert await store.license_revision() is None
    assert () == await store.sessions()


async def test_each_text_is_a_new_revision_and_earlier_ones_stay(store: Store) -> None:
    # B-1
    first = await store.store_license(lambda current: new(b"one") if current is None else None)
    second = await store.store_license(lambda current: new(b"two"))
    assert StoredLicense(1, "sha of b'one'", b"one", NOW_MS, "alice") == first
    assert (2, "sha of b'two'") == await store.latest_license()
    assert second == await store.license_revision()
    assert first == await store.license_revision(1)
    assert await store.license_revision(3) is None
    assert [2, 1] == [one.revision for one in await store.license_revisions()]


async def test_a_refused_text_leaves_the_license_as_it_was(store: Store) -> None:
    # B-3
    await store.store_license(lambda _: new(b"one"))

    def refuse(current: StoredLicense | None) -> NewLicense | None:
        raise ValueError(current.text if current else "none")

    with pytest.raises(ValueError, match="one"):
        await store.store_license(refuse)
    assert (1, "sha of b'one'") == await store.latest_license()
    assert (await store.store_license(lambda _: None)) == await store.license_revision(1)


async def test_uploads_at_once_become_one_revision_each(store: Store) -> None:
    # B-1, B-2
    texts = [bytes([65 + number]) for number in range(5)]
    stored = await asyncio.gather(*(store.store_license(lambda _, text=text: new(text)) for text in texts))
    assert [1, 2, 3, 4, 5] == sorted(one.revision for one in stored if one is not None)


async def test_the_upload_needs_no_tenure_and_disturbs_none(store: Store, tenure: Tenure) -> None:
    # B-2
    await store.store_license(lambda _: new(b"one"))
    await store.change_deployment(tenure, DeploymentChange(served_ms=NOW_MS))


async def test_the_stage_moves_once_and_never_back(store: Store, tenure: Tenure) -> None:
    # B-10, B-12
    await store.change_deployment(tenure, DeploymentChange(lrm_seen_ms=NOW_MS))
    await store.change_deployment(tenure, DeploymentChange(served_ms=NOW_MS))
    found = await store.deployment()
    assert (Stage.OPERATIONAL, False) == (found.stage, found.new_deployment)


async def test_the_highest_clock_only_grows(store: Store, tenure: Tenure) -> None:
    # B-32
    await store.change_deployment(tenure, DeploymentChange(clock_ms=NOW_MS + 10))
    await store.change_deployment(tenure, DeploymentChange(clock_ms=NOW_MS + 5))
    assert NOW_MS + 10 == (await store.deployment()).highest_clock_ms


async def test_what_was_announced_and_the_absence_of_lrm_are_kept(store: Store, tenure: Tenure) -> None:
    # B-24, B-30
    announced = Announced(3, frozenset({"21-25111", "21-25117"}))
    await store.change_deployment(tenure, DeploymentChange(announced=announced, lrm_away_since_ms=NOW_MS))
    found = await store.deployment()
    assert (announced, NOW_MS) == (found.announced, found.lrm_away_since_ms)
    await store.change_deployment(tenure, DeploymentChange(lrm_away_since_ms=0))
    assert (announced, 0) == (
        (await store.deployment()).announced,
        (await store.deployment()).lrm_away_since_ms,
    )


async def test_sessions_are_kept_whole_and_replaced_in_one_step(store: Store, tenure: Tenure) -> None:
    # B-17
    await store.change_sessions(tenure, add=[session("a"), session("c", "orders")])
    assert (session("a"), session("c", "orders")) == await store.sessions()
    successor = replace(session("b"), holder=Holder("host-1", "boot-1", 101, 9))
    await store.change_sessions(tenure, add=[successor], remove=[SessionId("a")])
    assert (successor, session("c", "orders")) == await store.sessions()
    await store.change_sessions(tenure, remove=[SessionId("b"), SessionId("c"), SessionId("unknown")])
    assert () == await store.sessions()


async def test_a_session_stored_again_takes_its_own_place(store: Store, tenure: Tenure) -> None:
    # B-17
    await store.change_sessions(tenure, add=[session("a")])
    again = replace(session("a"), version="1.3")
    await store.change_sessions(tenure, add=[again])
    assert (again,) == await store.sessions()


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        pytest.param(Tenure(Epoch(1, 4), "history"), FenceCheck.FENCED, id="an older token"),
        pytest.param(Tenure(Epoch(1, 6), "history"), FenceCheck.FENCED, id="a token that nobody raised"),
        pytest.param(Tenure(EPOCH, "restored"), FenceCheck.WENT_BACK, id="another history"),
    ],
)
async def test_a_server_that_is_not_primary_writes_nothing(
    store: Store, other: Tenure, expected: FenceCheck
) -> None:
    # B-50
    before = await store.deployment()
    for write in (
        store.change_deployment(other, DeploymentChange(lrm_seen_ms=NOW_MS)),
        store.change_sessions(other, add=[session("a")]),
    ):
        with pytest.raises(Fenced) as caught:
            await write
        assert expected is caught.value.check
    assert before == await store.deployment()
    assert () == await store.sessions()
