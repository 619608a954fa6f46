"""What servers beside the Configuration Server need around them in tests: a real etcd, certificates, and a
Configuration Server that only has a license and takes every session.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from google.protobuf import any_pb2

from confapi.config.v1 import config_pb2, config_pb2_grpc, objects_pb2, sessions_pb2, sessions_pb2_grpc
from confapi.ha.v1 import ha_pb2, ha_pb2_grpc
from confapi.license.v1 import license_pb2, license_pb2_grpc
from confclient.channel import ServiceChannel
from confclient.credentials import TlsFiles, open_channel
from confclient.errors import CompactedError, trailing_metadata
from confcluster.etcd import EtcdMember, command, find_etcd, wait_ready
from confcluster.pki import CertificateAuthority
from confcluster.ports import free_ports
from confkit.process import Shutdown
from confkit.server import EVERYBODY, GrpcServer
from tests.support.licenses import LICENSE, signed

WITHOUT_HA = "\n".join(line for line in LICENSE.splitlines() if "ha_redundancy" not in line) + "\n"


@contextmanager
def running_etcd(directory: Path) -> Iterator[str]:
    """A single etcd without TLS; gives its endpoint."""
    client_port, peer_port = free_ports(2)
    member = EtcdMember("e1", directory, client_port, peer_port)
    process = subprocess.Popen(
        command(find_etcd(), member, [member]), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_ready([member.client_endpoint])
        yield member.client_endpoint
    finally:
        process.kill()
        process.wait()


class ConfigurationStub(
    license_pb2_grpc.LicenseServiceServicer,
    sessions_pb2_grpc.SessionServiceServicer,
    config_pb2_grpc.ConfigServiceServicer,
    ha_pb2_grpc.MemberServiceServicer,
):
    """A primary Configuration Server for one test: `license_text` may change, `objects` is the configuration,
    `exits` are the processes that agents have reported, `sessions` those that are open.
    """

    epoch = ha_pb2.Epoch(generation=1, mod_revision=1)

    def __init__(self, cluster: str) -> None:
        self.cluster = cluster
        self.endpoint = ""
        self.license_text = LICENSE
        self.objects: list[Any] = []
        self.exits: list[ha_pb2.ProcessIdentity] = []
        self.sessions: list[sessions_pb2.Session] = []
        self.changed = asyncio.Event()

    def load(self, text: str) -> None:
        """Load another license."""
        self.license_text = text
        self.changed.set()
        self.changed = asyncio.Event()

    def configure(self, *objects: Any) -> None:
        """Replace the configuration; watchers read everything again."""
        self.objects = list(objects)
        self.changed.set()
        self.changed = asyncio.Event()

    async def GetStatus(self, request, context):
        own = ha_pb2.Member(
            component="confserv", instance="confserv-1", role=ha_pb2.ROLE_PRIMARY, endpoints=[self.endpoint]
        )
        return ha_pb2.GetStatusResponse(
            cluster=self.cluster, self=own, primary=own, epoch=self.epoch, members=[own]
        )

    async def WatchLicense(self, request, context):
        revision = 0
        while True:
            changed = self.changed
            revision += 1
            yield license_pb2.WatchLicenseResponse(
                revision=license_pb2.LicenseRevision(revision=revision),
                text=signed(self.license_text),
                epoch=self.epoch,
            )
            await changed.wait()

    async def OpenSession(self, request, context):
        session = sessions_pb2.Session(
            session_id=request.session_id,
            application=request.application,
            application_type=request.application_type,
            process=request.process,
            endpoints=request.endpoints,
        )
        self.sessions.append(session)
        return sessions_pb2.OpenSessionResponse(session=session, lease_ttl_ms=10_000, epoch=self.epoch)

    async def KeepSession(self, request_iterator, context):
        async for _ in request_iterator:
            yield sessions_pb2.KeepSessionResponse(lease_ttl_ms=10_000, epoch=self.epoch)

    async def CloseSession(self, request, context):
        self.sessions = [s for s in self.sessions if s.session_id != request.session_id]
        return sessions_pb2.CloseSessionResponse()

    async def ListSessions(self, request, context):
        return sessions_pb2.ListSessionsResponse(sessions=self.sessions)

    async def ReportProcessExit(self, request, context):
        self.exits.append(request.process)
        return sessions_pb2.ReportProcessExitResponse()

    async def Watch(self, request, context):
        while True:
            changed = self.changed
            wanted = [o for o in self.objects if not request.filter.types or o.type in request.filter.types]
            yield config_pb2.WatchResponse(
                snapshot=config_pb2.SnapshotPart(objects=wanted, complete=True),
                resume=config_pb2.ResumeToken(history_id="h", revision=1),
            )
            await changed.wait()
            again = CompactedError("the stub's configuration has changed: read it again")
            await context.abort(again.code, again.message, (trailing_metadata(again),))


@asynccontextmanager
async def configuration(tls: TlsFiles, *, cluster: str) -> AsyncIterator[ConfigurationStub]:
    """Serve a stub with a confserv certificate; gives it with its `endpoint`."""
    stub = ConfigurationStub(cluster)
    services = {
        "confapi.license.v1.LicenseService": license_pb2_grpc.add_LicenseServiceServicer_to_server,
        "confapi.config.v1.SessionService": sessions_pb2_grpc.add_SessionServiceServicer_to_server,
        "confapi.config.v1.ConfigService": config_pb2_grpc.add_ConfigServiceServicer_to_server,
        "confapi.ha.v1.MemberService": ha_pb2_grpc.add_MemberServiceServicer_to_server,
    }
    methods = {
        "confapi.license.v1.LicenseService": ["WatchLicense"],
        "confapi.config.v1.SessionService": [
            "OpenSession", "KeepSession", "CloseSession", "ListSessions", "ReportProcessExit",
        ],
        "confapi.config.v1.ConfigService": ["Watch"],
        "confapi.ha.v1.MemberService": ["GetStatus"],
    }  # fmt: skip
    policy = {f"/{service}/{method}": EVERYBODY for service, names in methods.items() for method in names}
    server = GrpcServer(listen="127.0.0.1:0", tls=tls, cluster=cluster, policy=policy)
    for service, register in services.items():
        server.add(register, stub, service)
    stub.endpoint = server.bind()
    await server.start()
    try:
        yield stub
    finally:
        await server.stop(0)


class Surroundings:
    """Runs servers of one cluster in the test's own loop, and gives clients of them."""

    def __init__(
        self, directory: Path, authority: CertificateAuthority, etcd: str, stub: ConfigurationStub
    ) -> None:
        self.directory, self.authority, self.etcd, self.stub = directory, authority, etcd, stub
        self.stack = AsyncExitStack()
        self.running: dict[str, tuple[Shutdown, asyncio.Task[int]]] = {}

    def run(self, model: Any, serve: Any, *, name: str, role: str, listen: str, **settings: Any) -> None:
        """Start a server: its settings' model, its `serve`, and what is special in its settings."""
        made = model.model_validate(self.settings(name=name, role=role, listen=listen, **settings))
        shutdown = Shutdown()
        self.running[name] = (shutdown, asyncio.create_task(serve(made, shutdown)))

    def settings(self, *, name: str, role: str, listen: str, **settings: Any) -> dict[str, Any]:
        """The settings of a server of this cluster, with a certificate of its own."""
        tls = self.certificate(role, name)
        return {
            "name": name,
            "cluster": self.stub.cluster,
            "listen": listen,
            "data_dir": str(self.directory),
            "tls": {"ca": str(tls.ca), "certificate": str(tls.certificate), "key": str(tls.key)},
            "etcd": {"endpoints": [self.etcd], "lease_ttl_s": 2},
            "config_servers": [self.stub.endpoint],
            "message_servers": ["127.0.0.1:1"],
            **settings,
        }

    def spawn(self, module: str, **settings: Any) -> subprocess.Popen[bytes]:
        """Start a server as a process of its own, by its module; it is killed at the end of the test."""
        environment = {
            f"CONFSERV_{key.upper()}": value if isinstance(value, str) else json.dumps(value)
            for key, value in self.settings(**settings).items()
        }
        process = subprocess.Popen(
            [sys.executable, "-m", module], env={**os.environ, **environment}, stderr=subprocess.DEVNULL
        )
        self.stack.callback(process.wait)
        self.stack.callback(process.kill)
        return process

    async def stop(self, name: str) -> int:
        """Stop a server in order; gives its exit status."""
        shutdown, task = self.running.pop(name)
        shutdown.request("test")
        return await asyncio.wait_for(task, 20)

    def certificate(self, role: str, name: str) -> TlsFiles:
        """Issue a certificate of this cluster."""
        return self.authority.issue(role, name, cluster=self.stub.cluster)

    def channel(self, endpoints: Sequence[str], *, role: str, name: str) -> ServiceChannel:
        """A client of a pair, with a certificate of its own."""
        channel = ServiceChannel(endpoints, self.certificate(role, name), timeout_s=15)
        self.stack.push_async_callback(channel.close)
        return channel

    async def connection(self, endpoint: str, *, role: str, name: str) -> grpc.aio.Channel:
        """A plain connection to one server, with a certificate of its own."""
        tls = self.certificate(role, name)
        return await self.stack.enter_async_context(open_channel(endpoint, tls))

    async def close(self) -> None:
        """Close clients, stop servers."""
        await self.stack.aclose()
        await asyncio.gather(*(self.stop(name) for name in list(self.running)))


@asynccontextmanager
async def surroundings(
    directory: Path, authority: CertificateAuthority, etcd: str
) -> AsyncIterator[Surroundings]:
    """A cluster of its own, with nothing but a Configuration Server's stub in it."""
    cluster = f"test-{uuid.uuid4().hex[:8]}"
    tls = authority.issue("confserv", "confserv-1", cluster=cluster)
    async with configuration(tls, cluster=cluster) as stub:
        made = Surroundings(directory, authority, etcd, stub)
        try:
            yield made
        finally:
            await made.close()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> CertificateAuthority:
    """An authority for the tests of a module."""
    return CertificateAuthority.create(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An etcd for the tests of a module; gives its endpoint."""
    with running_etcd(tmp_path_factory.mktemp("etcd") / "data") as endpoint:
        yield endpoint


@pytest.fixture
async def around(tmp_path: Path, authority: CertificateAuthority, etcd: str) -> AsyncIterator[Surroundings]:
    """A cluster for one test."""
    async with surroundings(tmp_path, authority, etcd) as made:
        yield made


async def eventually(condition: Callable[[], Awaitable[bool]], *, within_s: float = 20.0) -> None:
    """Wait until a condition that has to be asked for is true."""
    async with asyncio.timeout(within_s):
        while not await condition():  # noqa: ASYNC110  # what is asked is another process's business
            await asyncio.sleep(0.005)


def config_object(kind: str, dbid: int, name: str, body: Any) -> objects_pb2.ConfigObject:
    """An enabled object of the configuration."""
    packed = any_pb2.Any()
    packed.Pack(body)
    return objects_pb2.ConfigObject(
        type=kind, dbid=dbid, name=name, state=objects_pb2.OBJECT_STATE_ENABLED, body=packed
    )
