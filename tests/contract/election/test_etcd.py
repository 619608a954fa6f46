"""What only a real etcd can show: endpoints that are dead or hang, certificates, log-in."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from aetcd import rpc
from grpc import aio

from confkit.election.etcd import EtcdCoordination
from confkit.election.etcd_client import EtcdClient
from confkit.election.ports import CoordinationRefused, CoordinationUnavailable
from confkit.election.runner import Election
from confkit.election.types import EtcdIdentity, InstanceName, LeaderRecord, LeaseId, ProcessFacts, Written
from tests.support.etcd import LocalEtcd, running_cluster, running_etcd
from tests.support.ports import free_ports
from tests.support.waiting import eventually

from .component import RecordingComponent, SharedRow

pytestmark = pytest.mark.etcd


async def test_a_dead_endpoint_is_passed_over_within_the_deadline(plain_etcd: LocalEtcd) -> None:
    # ha.md, Coordination; architecture.md: several endpoints
    client = EtcdClient([f"127.0.0.1:{free_ports(1)[0]}", plain_etcd.endpoint], timeout_s=2.0)
    _, ttl_s = await client.grant(3)
    assert (3.0, plain_etcd.endpoint) == (ttl_s, client.endpoint)
    await client.close()


async def test_no_endpoint_means_unavailable_and_says_which(plain_etcd: LocalEtcd) -> None:
    # B-60
    dead = f"127.0.0.1:{free_ports(1)[0]}"
    client = EtcdClient([dead], timeout_s=0.5)
    with pytest.raises(CoordinationUnavailable, match=dead):
        await client.grant(3)
    await client.close()


async def test_the_outcome_of_a_transaction_that_was_not_answered_is_unknown() -> None:
    # ha.md, Switching over: an unknown result
    client = EtcdClient([f"127.0.0.1:{free_ports(1)[0]}"], timeout_s=0.5)
    etcd = EtcdCoordination(client, cluster="c", component="confserv")
    leader = LeaderRecord(InstanceName("a"), (), 1, EtcdIdentity("i"), 0, LeaseId(1))
    assert Written.UNKNOWN == (await etcd.campaign(leader)).written
    await client.close()


async def test_an_etcd_that_hangs_costs_the_deadline_and_is_used_again_afterwards(tmp_path: Path) -> None:
    # ha.md, Faults: half-open connections
    with running_etcd(tmp_path) as etcd:
        client = EtcdClient([etcd.endpoint], timeout_s=0.5)
        lease, _ = await client.grant(60)
        etcd.pause()
        began_s = time.monotonic()
        with pytest.raises(CoordinationUnavailable):
            await client.renew(lease)
        assert time.monotonic() - began_s < 1.5
        etcd.resume()
        async with asyncio.timeout(10):
            while True:
                try:
                    assert await client.renew(lease) > 0
                    break
                except CoordinationUnavailable:
                    await asyncio.sleep(0.05)
        await client.close()


async def test_clients_that_go_away_during_a_read_end_nothing(tmp_path: Path) -> None:
    # etcd 3.5.1 may panic when that happens to a transaction that only reads; a view is none
    with running_etcd(tmp_path) as etcd:
        client = EtcdClient([etcd.endpoint], timeout_s=2.0)
        coordination = EtcdCoordination(client, cluster="c", component="confserv")
        await coordination.create_identity(EtcdIdentity("the one"))
        for tenths_ms in range(40):
            reads = [asyncio.create_task(coordination.view()) for _ in range(10)]
            await asyncio.sleep(tenths_ms / 10_000)
            for read in reads:
                read.cancel()
            await asyncio.gather(*reads, return_exceptions=True)
        assert EtcdIdentity("the one") == (await coordination.view()).identity
        await client.close()


async def test_a_client_without_certificate_is_let_in_nowhere(tls_etcd: LocalEtcd) -> None:
    # issue 3, item 12: TLS to etcd, both ways
    for credentials in (None, tls_etcd.strangers):
        client = EtcdClient([tls_etcd.endpoint], credentials=credentials, timeout_s=1.0)
        with pytest.raises(CoordinationUnavailable, match=tls_etcd.endpoint):
            await client.grant(3)
        await client.close()


async def test_the_keys_of_a_lease_say_whose_it_is(plain_etcd: LocalEtcd) -> None:
    # ha.md, Switching over: the member key on the lease must match
    client = EtcdClient([plain_etcd.endpoint])
    lease, _ = await client.grant(60)
    put = rpc.RequestOp(request_put=rpc.PutRequest(key=b"/k/members/a", value=b"{}", lease=lease))
    await client.transact([], [put], repeatable=True)
    assert ("/k/members/a",) == await client.lease_keys(lease)
    await client.revoke(lease)
    assert () == await client.lease_keys(lease)
    await client.close()


async def test_a_value_that_is_not_ours_is_refused_by_name(plain_etcd: LocalEtcd) -> None:
    # B-60
    client = EtcdClient([plain_etcd.endpoint])
    put = rpc.RequestOp(request_put=rpc.PutRequest(key=b"/odd/confserv/leader", value=b"not json"))
    await client.transact([], [put], repeatable=True)
    with pytest.raises(CoordinationRefused, match="/odd/confserv/"):
        await EtcdCoordination(client, cluster="odd", component="confserv").view()
    await client.close()


async def test_a_name_and_a_password_are_used_where_etcd_asks_for_them(tmp_path: Path) -> None:
    # issue 3, item 3
    with running_etcd(tmp_path) as etcd:
        await _ask_for_passwords(etcd.endpoint)
        stranger = EtcdClient([etcd.endpoint], timeout_s=2.0)
        with pytest.raises(CoordinationRefused):
            await EtcdCoordination(stranger, cluster="c", component="x").view()
        await stranger.close()
        client = EtcdClient([etcd.endpoint], timeout_s=2.0, username="root", password="secret")
        assert None is (await EtcdCoordination(client, cluster="c", component="x").view()).leader
        await client.close()


async def test_one_of_three_members_that_dies_is_passed_over(tmp_path: Path) -> None:
    # ha.md, Faults: loss of etcd's leader
    with running_cluster(tmp_path, size=3) as members:
        client = EtcdClient([member.endpoint for member in members], timeout_s=3.0)
        lease, _ = await client.grant(60)
        members[0].kill()

        async def renews() -> bool:
            try:
                return await client.renew(lease) > 0
            except CoordinationUnavailable:
                return False

        await eventually(renews, timeout_s=20.0)
        assert client.endpoint != members[0].endpoint
        await client.close()


async def test_an_election_beside_an_etcd_that_is_away_says_so_and_ends() -> None:
    # B-60; issue 3, Bad input: etcd not reachable
    endpoint = f"127.0.0.1:{free_ports(1)[0]}"
    client = EtcdClient([endpoint], timeout_s=0.3)
    with pytest.raises(CoordinationUnavailable, match=f"no etcd within 0.5 s.*{endpoint}"):
        await election_on(client).run()
    await client.close()


async def test_an_election_that_etcd_refuses_for_good_ends(tmp_path: Path) -> None:
    # B-60: the clear error at start
    with running_etcd(tmp_path) as etcd:
        await _ask_for_passwords(etcd.endpoint)
        client = EtcdClient([etcd.endpoint], timeout_s=2.0, username="root", password="wrong")
        with pytest.raises(CoordinationRefused, match="authentication failed"):
            await election_on(client).run()
        await client.close()


def election_on(client: EtcdClient) -> Election:
    name = InstanceName("a")
    return Election(
        coordination=EtcdCoordination(client, cluster="c", component="x"),
        component=RecordingComponent(name, SharedRow()),
        facts=ProcessFacts(name),
        first_contact_s=0.5,
    )


async def _ask_for_passwords(endpoint: str) -> None:
    async with aio.insecure_channel(endpoint) as channel:
        auth = rpc.AuthStub(channel)
        await auth.UserAdd(rpc.AuthUserAddRequest(name="root", password="secret"))
        await auth.RoleAdd(rpc.AuthRoleAddRequest(name="root"))
        await auth.UserGrantRole(rpc.AuthUserGrantRoleRequest(user="root", role="root"))
        await auth.AuthEnable(rpc.AuthEnableRequest())
