"""The role moves again and again under load, and nothing that was promised to clients is broken."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from confapi.ha.v1 import ha_pb2
from confclient.channel import ServiceChannel
from confclient.rpcs import SWITCH_OVER
from confcluster.cluster import Cluster
from confcluster.load import Judgement, Load
from tests.support.cluster import LEASE_TTL_S, primary, running_cluster, until_async, whole

KILLS = 20
HANDOVERS = 10
DATABASES = [
    pytest.param("sqlite", marks=pytest.mark.xdist_group("switchovers-sqlite")),
    pytest.param(
        "postgresql", marks=[pytest.mark.xdist_group("switchovers-postgresql"), pytest.mark.postgresql]
    ),
]
pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]


@pytest.fixture(scope="module", params=DATABASES)
def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running_cluster(
        tmp_path_factory.mktemp("switchovers"),
        database=request.param,
        message_servers=0,
        solution_controls=0,
        licman=0,
        lrm=0,
    ) as made:
        yield made


def _keeps_its_promises(judged: Judgement) -> None:
    assert () == judged.violations
    assert 0 == judged.refused
    assert 0 == judged.unknown, "an application sees a slower call, never a failed one"


async def test_the_primary_is_killed_twenty_times_under_load(cluster: Cluster) -> None:
    # B-50, B-51, B-52, B-53, I-1 to I-5
    await until_async(lambda: whole(cluster), within_s=30)
    async with Load(cluster.endpoints("confserv"), cluster.tls("administrator"), name="kills") as load:
        for _ in range(KILLS):
            killed = await asyncio.to_thread(primary, cluster)
            assert killed is not None
            cluster.handles[killed].kill()
            await load.until_flowing()
            assert killed != await asyncio.to_thread(primary, cluster)
            await asyncio.to_thread(cluster.start, killed)
            await until_async(lambda: whole(cluster), within_s=30)
    _keeps_its_promises(await load.judge())


async def test_the_role_is_handed_over_ten_times_under_load(cluster: Cluster) -> None:
    # B-50 to B-53
    await until_async(lambda: whole(cluster), within_s=30)
    channel = ServiceChannel(cluster.endpoints("confserv"), cluster.tls("administrator"))
    async with Load(cluster.endpoints("confserv"), cluster.tls("administrator"), name="handovers") as load:
        for _ in range(HANDOVERS):
            former = await asyncio.to_thread(primary, cluster)
            answer = await channel.unary(SWITCH_OVER, ha_pb2.SwitchOverRequest(reason="test"))
            await load.until_flowing()
            assert former != answer.primary
            assert answer.primary == await asyncio.to_thread(primary, cluster)
            await until_async(lambda: whole(cluster), within_s=30)
    await channel.close()
    _keeps_its_promises(await load.judge())


async def test_a_primary_that_is_asked_to_end_hands_over_first(cluster: Cluster) -> None:
    # B-53, cli.md: SIGTERM hands over, finishes, leaves, exit 0
    await until_async(lambda: whole(cluster), within_s=30)
    async with Load(cluster.endpoints("confserv"), cluster.tls("administrator"), name="term") as load:
        former = await asyncio.to_thread(primary, cluster)
        assert former is not None
        assert 0 == await asyncio.to_thread(cluster.handles[former].stop)
        await load.until_flowing()
        await asyncio.to_thread(cluster.start, former)
        await until_async(lambda: whole(cluster), within_s=30)
    _keeps_its_promises(await load.judge())


async def test_the_loss_of_the_agent_costs_no_more_than_the_lease(cluster: Cluster) -> None:
    # B-53, without an agent the TTL decides
    await until_async(lambda: whole(cluster), within_s=30)
    cluster.handles["lca"].kill()
    async with Load(cluster.endpoints("confserv"), cluster.tls("administrator"), name="alone") as load:
        killed = await asyncio.to_thread(primary, cluster)
        assert killed is not None
        began_s = asyncio.get_running_loop().time()
        cluster.handles[killed].kill()
        await load.until_flowing()
        gap_s = load.longest_gap_s(since_s=began_s)
        await asyncio.to_thread(cluster.start, killed, "lca")
        await until_async(lambda: whole(cluster), within_s=30)
    assert gap_s < 3 * LEASE_TTL_S
    _keeps_its_promises(await load.judge())
