"""A primary that is stopped in the midst of a commit, for longer than its lease, and then runs on.

Without an agent nobody kills it, so that it really comes back and finds that its time is over. It is stopped before
BEGIN, inside the transaction, and between commit and answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from confapi.ha.v1 import ha_pb2
from confclient.channel import ServiceChannel
from confclient.rpcs import GET_STATUS
from confcluster.cluster import Cluster
from confcluster.load import Load, read_log
from tests.support.cluster import LEASE_TTL_S, primary, roles, running_cluster, until, until_async, whole

POINTS = ("before-begin", "inside-transaction", "before-answer")
DATABASES = [
    pytest.param("sqlite", marks=pytest.mark.xdist_group("pauses-sqlite")),
    pytest.param("postgresql", marks=[pytest.mark.xdist_group("pauses-postgresql"), pytest.mark.postgresql]),
]
pytestmark = [pytest.mark.cluster, pytest.mark.timeout(240)]


@pytest.fixture(scope="module", params=DATABASES)
def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running_cluster(
        tmp_path_factory.mktemp("pauses"),
        database=request.param,
        agents=0,
        message_servers=0,
        solution_controls=0,
        licman=0,
        lrm=0,
        extra={"confserv": {"obey_failpoints": True}},
        environment={"confserv": {"CONFSERV_FAILPOINTS": ",".join(POINTS)}},
    ) as made:
        yield made


def _stop_at(cluster: Cluster, point: str) -> tuple[str, str]:
    """Make the primary stop at the point with its next write; its name and its token."""
    name = until(lambda: primary(cluster), within_s=15)
    token = roles(cluster)[name][1]
    data: Path = cluster.places.data(name)
    (data / f"stopped-{point}").unlink(missing_ok=True)
    (data / f"failpoint-{point}").touch()
    until(cluster.handles[name].is_paused, within_s=15, what=f"{name} stopped at {point}")
    assert (data / f"stopped-{point}").exists()
    return name, token


async def _last_revision(cluster: Cluster, stopped: str) -> int:
    """The last revision in the database while the primary stands still, as the other server has applied it."""
    (other,) = [process for process in cluster.topology.of("confserv") if process.name != stopped]
    channel = ServiceChannel(cluster.endpoints("confserv"), cluster.tls("administrator"))
    try:
        status = await channel.unary_at(other.endpoint, GET_STATUS, ha_pb2.GetStatusRequest(), timeout_s=5)
    finally:
        await channel.close()
    return int(status.self.applied_revision)


async def _written_late(cluster: Cluster, token: str, before: int) -> list[int]:
    """Revisions above `before` under the token of the server that was stopped."""
    channel = ServiceChannel(cluster.endpoints("confserv"), cluster.tls("administrator"))
    try:
        log = await read_log(channel)
    finally:
        await channel.close()
    return [entry.revision for entry in log if entry.revision > before and str(entry.epoch) == token]


def _successor_is_at_it(cluster: Cluster, stopped: str) -> bool:
    """Whether another server has won the key: it is primary, or waits for the database to promote itself."""
    return any(
        role in {"primary", "promoting"} for name, (role, _) in _others(cluster, stopped).items() if name
    )


def _others(cluster: Cluster, stopped: str) -> dict[str, tuple[str, str]]:
    return {name: answer for name, answer in roles(cluster).items() if name != stopped}


@pytest.mark.parametrize("point", POINTS)
async def test_what_a_stopped_primary_does_late_is_neither_committed_nor_missing_nor_doubled(
    cluster: Cluster, point: str
) -> None:
    # B-50, B-51, B-52, I-1 to I-5
    await until_async(lambda: whole(cluster), within_s=30)
    async with Load(cluster.endpoints("confserv"), cluster.tls("administrator"), name=point) as load:
        stopped, token = await asyncio.to_thread(_stop_at, cluster, point)
        await until_async(
            lambda: _successor_is_at_it(cluster, stopped), within_s=5 * LEASE_TTL_S, what="a successor"
        )
        blocked = cluster.options.database == "sqlite" and point == "inside-transaction"
        if not blocked:  # a file that is locked waits for its holder; a server ends the holder's transaction
            await load.until_flowing(timeout_s=20)
            assert stopped != await asyncio.to_thread(primary, cluster)
        before = await _last_revision(cluster, stopped)
        cluster.handles[stopped].resume()
        await load.until_flowing()
        await until_async(lambda: whole(cluster), within_s=30, what=f"a whole pair: {roles(cluster)}")
        await load.until_flowing()
    judged = await load.judge()
    assert () == judged.violations
    assert [] == await _written_late(cluster, token, before)
    assert 0 == judged.refused
    assert judged.acknowledged > 0
