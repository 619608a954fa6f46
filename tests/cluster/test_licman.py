"""License Managers in a real cluster: the license comes from the Configuration Server, holders outlive the
primary.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator, Iterator

import pytest

from confapi.license.v1 import checkout_pb2
from confclient.channel import ServiceChannel
from confclient.client import Client, connect
from confclient.licenses import CheckoutDeniedError
from confclient.rpcs import LIST_USE
from confcluster.cluster import Cluster
from confcluster.registration import WantedApplication
from confcluster.vendor import TechnicalKey, license_text
from tests.support.cluster import primary, running_cluster, until_async
from tests.support.lrm_pair import eventually

pytestmark = [pytest.mark.cluster, pytest.mark.etcd, pytest.mark.xdist_group("licman-cluster")]

FEATURE = "report_designer"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running_cluster(
        tmp_path_factory.mktemp("licman"), licman=2, solution_controls=0, message_servers=0
    ) as made:
        made.register([WantedApplication("designer", "GENERIC_SERVER")])
        yield made


@pytest.fixture
async def application(cluster: Cluster) -> AsyncIterator[Client]:
    tls = cluster.authority.issue("application", "designer", cluster=cluster.topology.options.cluster)
    async with connect(
        endpoints=cluster.endpoints("confserv"), tls=tls, application="designer", timeout_s=20
    ) as client:
        yield client


@pytest.fixture
async def people(cluster: Cluster) -> AsyncIterator[ServiceChannel]:
    channel = ServiceChannel(cluster.endpoints("licman"), cluster.tls("administrator"), timeout_s=20)
    yield channel
    await channel.close()


async def used(people: ServiceChannel) -> tuple[int, int]:
    answer = await people.unary(LIST_USE, checkout_pb2.ListUseRequest(feature=FEATURE))
    return sum(row.used for row in answer.features), sum(row.issued for row in answer.features)


async def test_a_holder_keeps_its_license_while_the_primary_is_killed(
    cluster: Cluster, application: Client, people: ServiceChannel
) -> None:  # B-42, B-51, B-53
    async def known() -> bool:
        return (0, 2) == await used(people)

    await eventually(known)
    before = await until_async(lambda: primary(cluster, "licman"), within_s=15)
    async with application.licenses.checkout(FEATURE, 2) as held:
        cluster.handles[before].kill()
        after = await until_async(
            lambda: (found := primary(cluster, "licman")) not in (None, before) and found, within_s=15
        )
        assert before != after
        assert (2, 2) == await used(people)
        with pytest.raises(CheckoutDeniedError, match="ALL_IN_USE"):
            async with application.licenses.checkout(FEATURE):
                pytest.fail("granted beyond the count")
        assert not held.lost.is_set()
    assert (0, 2) == await used(people)
    cluster.start(before)


async def test_a_license_loaded_into_the_database_counts_without_a_restart(
    cluster: Cluster, application: Client, people: ServiceChannel
) -> None:  # B-1, B-42
    today = dt.datetime.now(dt.UTC).date()
    keys = (TechnicalKey("config_server"), TechnicalKey("ha_redundancy"), TechnicalKey(FEATURE, 3))
    text = license_text(issued=today, expires=None, keys=keys, comment="three designers")
    loaded = cluster.load_license(cluster.vendor.write_license("three.lic", text))
    assert 0 == loaded.returncode, loaded.stderr

    async def three() -> bool:
        return (0, 3) == await used(people)

    await eventually(three)
    async with application.licenses.checkout(FEATURE, 3):
        assert (3, 3) == await used(people)
