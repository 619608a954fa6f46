"""A pair on a PostgreSQL server that somebody else runs, over TCP with TLS both ways."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from confcluster import postgresql
from confcluster.cluster import Cluster
from confcluster.load import Load
from confcluster.pki import CertificateAuthority
from confcluster.postgresql import PostgresqlServer
from tests.support.cluster import primary, running_cluster
from tests.support.ports import free_ports

pytestmark = [pytest.mark.cluster, pytest.mark.postgresql, pytest.mark.timeout(180)]


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """Address of a database on a server that only talks TLS over TCP, and asks for a certificate."""
    try:
        program = postgresql.find_postgresql(with_tls=True)
    except postgresql.PostgresqlError as error:
        pytest.skip(str(error))
    authority = CertificateAuthority.create(tmp_path / "authority")
    (port,) = free_ports(1)
    server = PostgresqlServer(
        data=tmp_path / "postgresql",
        socket_dir=postgresql.socket_directory(tmp_path / "run"),
        port=port,
        tls=authority.issue("postgresql", "postgresql", cluster="any"),
        durable=False,
    )
    postgresql.initialize(program, server)
    process = subprocess.Popen(
        postgresql.start_command(program, server), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        postgresql.wait_ready(server)
        postgresql.create_database(server, "conf")
        yield server.url("conf", tcp=True, client=authority.issue("confserv", "client", cluster="any"))
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)


@pytest.fixture
def cluster(address: str, tmp_path: Path) -> Iterator[Cluster]:
    with running_cluster(
        tmp_path / "cluster", database=address, lrm=0, licman=1, message_servers=1, solution_controls=0
    ) as made:
        yield made


async def test_the_role_moves_over_a_database_that_is_reached_by_tls(cluster: Cluster) -> None:
    # issue 3, TLS to a PostgreSQL over TCP; B-50 to B-52
    async with Load(cluster.endpoints("confserv"), cluster.tls("administrator")) as load:
        killed = primary(cluster)
        assert killed is not None
        cluster.handles[killed].kill()
        await load.until_flowing()
    judged = await load.judge()
    assert ((), 0, 0) == (judged.violations, judged.unknown, judged.refused)
