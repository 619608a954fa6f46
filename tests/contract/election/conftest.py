"""Every kind of etcd that an election may stand on, for one suite."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass

import pytest

from confkit.clock import boottime
from confkit.election.etcd import EtcdCoordination
from confkit.election.etcd_client import EtcdClient
from confkit.election.memory import MemoryCoordination, MemoryEtcd
from confkit.election.ports import Coordination
from tests.support.etcd import LocalEtcd, running_etcd


@pytest.fixture(scope="session")
def plain_etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalEtcd]:
    """An etcd without TLS, for many tests; each uses a cluster name of its own."""
    with running_etcd(tmp_path_factory.mktemp("etcd")) as etcd:
        yield etcd


@pytest.fixture(scope="session")
def tls_etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalEtcd]:
    """An etcd that asks for client certificates."""
    with running_etcd(tmp_path_factory.mktemp("etcd-tls"), tls=True) as etcd:
        yield etcd


@dataclass(frozen=True)
class Place:
    """Where an election can take place: gives ports to one cluster of its own."""

    connect: Callable[..., Coordination]


@pytest.fixture(
    params=[
        "memory",
        pytest.param("etcd", marks=pytest.mark.etcd),
        pytest.param("etcd over TLS", marks=pytest.mark.etcd),
    ]
)
async def place(request: pytest.FixtureRequest) -> AsyncIterator[Place]:
    """An empty cluster in memory, in etcd, in etcd over TLS."""
    if request.param == "memory":
        memory: dict[str, MemoryEtcd] = {}

        def in_memory(component: str = "confserv") -> Coordination:
            return MemoryCoordination(memory.setdefault(component, MemoryEtcd()), boottime)

        yield Place(in_memory)
        return
    etcd: LocalEtcd = request.getfixturevalue("plain_etcd" if request.param == "etcd" else "tls_etcd")
    clients: list[EtcdClient] = []
    cluster = f"c-{uuid.uuid4().hex[:8]}"

    def in_etcd(component: str = "confserv") -> Coordination:
        clients.append(EtcdClient([etcd.endpoint], credentials=etcd.credentials, timeout_s=2.0))
        return EtcdCoordination(clients[-1], cluster=cluster, component=component)

    yield Place(in_etcd)
    for client in clients:
        await client.close()
