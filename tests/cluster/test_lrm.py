"""The License Reporting Manager in a real cluster: bond with the Configuration Server, usage, switchover."""

from __future__ import annotations

import asyncio
import datetime as dt
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from confapi.config.v1 import objects_pb2
from confapi.license.v1 import license_pb2
from confapi.usage.v1 import usage_pb2
from confclient.channel import ServiceChannel
from confclient.client import connect
from confclient.credentials import TlsFiles
from confclient.rpcs import GET_COMPLIANCE, GET_ENTITLEMENT, GET_USAGE_REPORT, LOAD_LICENSE
from confcluster.cluster import Cluster
from confcluster.registration import WantedApplication
from confcluster.vendor import SellableItem, license_text
from tests.support.cluster import events, logged, primary, running_cluster, until_async
from tests.support.lrm_pair import eventually

pytestmark = [pytest.mark.cluster, pytest.mark.etcd, pytest.mark.xdist_group("lrm-cluster")]

ITEM = "voice_seat"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running_cluster(
        tmp_path_factory.mktemp("lrm"), lrm=2, licman=0, solution_controls=0, message_servers=0
    ) as made:
        made.register([WantedApplication("billing", "GENERIC_SERVER")])
        yield made


@pytest.fixture
async def lrm(cluster: Cluster) -> AsyncIterator[ServiceChannel]:
    channel = ServiceChannel(
        cluster.endpoints("lrm"), cluster.tls("administrator"), component="LRM", timeout_s=20
    )
    yield channel
    await channel.close()


@pytest.fixture
async def server(cluster: Cluster) -> AsyncIterator[ServiceChannel]:
    channel = ServiceChannel(cluster.endpoints("confserv"), cluster.tls("administrator"), timeout_s=20)
    yield channel
    await channel.close()


def application_tls(cluster: Cluster) -> TlsFiles:
    files = cluster.authority.issue("application", "billing", cluster=cluster.topology.options.cluster)
    return TlsFiles(ca=files.ca, certificate=files.certificate, key=files.key)


async def bound(server: ServiceChannel) -> set[str]:
    answer = await server.unary(GET_COMPLIANCE, license_pb2.GetComplianceRequest())
    return set(answer.lrm_bound)


async def load(cluster: Cluster, server: ServiceChannel, quantity: int) -> None:
    today = dt.datetime.now(dt.UTC).date()
    text = license_text(
        issued=today, expires=None, items=[SellableItem(ITEM, quantity=quantity)], comment=f"{quantity} seats"
    )
    await server.unary(LOAD_LICENSE, license_pb2.LoadLicenseRequest(text=cluster.vendor.sign(text)))


async def entitled(lrm: ServiceChannel) -> int:
    answer = await lrm.unary(GET_ENTITLEMENT, usage_pb2.GetEntitlementRequest())
    return next((int(line.quantity) for line in answer.lines if line.item == ITEM), 0)


async def report_of_today(lrm: ServiceChannel) -> list[usage_pb2.UsageReportRow]:
    today = dt.datetime.now(dt.UTC).date()
    request = usage_pb2.GetUsageReportRequest(
        from_day=(today - dt.timedelta(days=1)).isoformat(), to_day=today.isoformat()
    )
    return list((await lrm.unary(GET_USAGE_REPORT, request)).rows)


async def test_both_bind_and_the_system_is_operational(cluster: Cluster, server: ServiceChannel) -> None:
    # B-12, B-20, B-21
    await eventually(lambda: _both(server))
    assert "21-25100" in events(cluster, "confserv-1", "confserv-2")
    answer = await server.unary(GET_COMPLIANCE, license_pb2.GetComplianceRequest())
    assert ("OPERATIONAL", 0) == (answer.stage, answer.lrm_away_since_ms)


async def _both(server: ServiceChannel) -> bool:
    return {"lrm-1", "lrm-2"} == await bound(server)


async def test_a_new_license_is_in_the_entitlement_within_two_seconds(
    cluster: Cluster, server: ServiceChannel, lrm: ServiceChannel
) -> None:
    # B-25, B-31
    await eventually(lambda: entitled(lrm))
    await load(cluster, server, 7)
    began_s = time.monotonic()

    async def rebuilt() -> bool:
        return 7 == await entitled(lrm)

    await eventually(rebuilt)
    assert time.monotonic() - began_s < 2


async def test_use_reported_by_an_application_survives_kill_9_of_the_primary_lrm(
    cluster: Cluster, server: ServiceChannel, lrm: ServiceChannel, tmp_path: Path
) -> None:
    # B-25, B-51
    await load(cluster, server, 2)
    await eventually(lambda: _both(server))
    former = await until_async(lambda: primary(cluster, "lrm"), within_s=10)
    async with connect(
        endpoints=cluster.endpoints("confserv"),
        tls=application_tls(cluster),
        application="billing",
        application_type=objects_pb2.APPLICATION_TYPE_GENERIC_SERVER,
        spool_dir=tmp_path,
    ) as application:
        handles = [
            application.usage.start(tenant="acme", item=ITEM, place=f"p{number}") for number in range(3)
        ]
        assert await application.usage.flush(timeout_s=10)
        cluster.handles[former].kill()
        began_s = time.monotonic()
        handles += [
            application.usage.start(tenant="acme", item=ITEM, place=f"q{number}") for number in range(2)
        ]
        assert await application.usage.flush(timeout_s=20)
        took_s = time.monotonic() - began_s
        rows = await report_of_today(lrm)
    latest = {
        row.tenant: (row.peak, row.over_use) for row in rows
    }  # one day, or the second of two at midnight
    assert {"acme": (5, 3), "": (5, 3)} == latest
    assert took_s < 2, "under an agent nobody waits for a lease"
    cluster.start(former)


async def test_a_paused_lrm_that_keeps_the_store_is_ended_by_the_agent_of_the_host(
    cluster: Cluster, server: ServiceChannel, lrm: ServiceChannel
) -> None:
    # B-50
    await eventually(lambda: _both(server))
    former = await until_async(lambda: primary(cluster, "lrm"), within_s=10)
    successor = "lrm-2" if former == "lrm-1" else "lrm-1"
    cluster.handles[former].pause()
    await until_async(lambda: not cluster.handles[former].is_running(), within_s=20)
    await eventually(lambda: entitled(lrm))
    assert successor == await until_async(lambda: primary(cluster, "lrm"), within_s=10)
    assert "66-25210" in events(cluster, successor)
    assert "68-25013" in events(cluster, "lca")
    await asyncio.to_thread(cluster.start, former)


async def test_lrm_follows_the_role_of_the_configuration_server(
    cluster: Cluster, server: ServiceChannel
) -> None:
    # B-20, B-23
    await eventually(lambda: _both(server))
    former = await until_async(lambda: primary(cluster), within_s=10)
    cluster.handles[former].kill()
    await eventually(lambda: _both(server))
    tokens = [
        entry["attributes"]["token"]
        for entry in logged(cluster, "lrm-1")
        if entry.get("event_id") == "66-25200"
    ]
    assert sorted(tokens, key=lambda token: tuple(map(int, token.split(".")))) == tokens
    cluster.start(former)


async def test_when_the_last_lrm_goes_the_primary_says_so_and_serves_on(
    cluster: Cluster, server: ServiceChannel
) -> None:
    # B-21, B-22
    await eventually(lambda: _both(server))
    for name in ("lrm-1", "lrm-2"):
        cluster.handles[name].stop()
    now_primary = await until_async(lambda: primary(cluster), within_s=10)
    await until_async(lambda: "21-25102" == events(cluster, now_primary, prefix="21-2510")[-1], within_s=10)
    async with connect(
        endpoints=cluster.endpoints("confserv"),
        tls=application_tls(cluster),
        application="billing",
        application_type=objects_pb2.APPLICATION_TYPE_GENERIC_SERVER,
    ) as application:
        assert application.session is not None
    await asyncio.to_thread(cluster.start, "lrm-1")
    await until_async(lambda: "21-25100" == events(cluster, now_primary, prefix="21-2510")[-1], within_s=10)
