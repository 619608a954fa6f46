"""What servers beside the Configuration Server need around them in tests: a real etcd, certificates, and a
Configuration Server that only has a license and takes every session.
"""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from confapi.config.v1 import config_pb2, config_pb2_grpc, sessions_pb2, sessions_pb2_grpc
from confapi.ha.v1 import ha_pb2, ha_pb2_grpc
from confapi.license.v1 import license_pb2, license_pb2_grpc
from confclient.credentials import TlsFiles
from confcluster.etcd import EtcdMember, command, find_etcd, wait_ready
from confcluster.ports import free_ports

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
            await context.abort(*_READ_AGAIN)


def _read_again() -> Any:
    from confclient.errors import CompactedError, trailing_metadata

    error = CompactedError("read again")
    return error.code, error.message, (trailing_metadata(error),)


_READ_AGAIN = _read_again()


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
