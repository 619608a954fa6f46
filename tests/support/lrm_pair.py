"""A pair of License Reporting Managers as real processes, on a real etcd, with a Configuration Server that only has
licenses and binds whoever asks.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from confapi.config.v1 import config_pb2_grpc, sessions_pb2_grpc
from confapi.control.v1 import agent_pb2, agent_pb2_grpc
from confapi.ha.v1 import ha_pb2, ha_pb2_grpc
from confapi.license.v1 import license_pb2, license_pb2_grpc
from confapi.usage.v1 import usage_pb2
from confclient.channel import ServiceChannel
from confclient.credentials import TlsFiles
from confclient.errors import ConfservError
from confclient.rpcs import GET_ENTITLEMENT, GET_STATUS, GET_USAGE_REPORT, RECORD_USAGE
from confcluster.pki import CertificateAuthority
from confcluster.ports import free_ports
from confcluster.topology import to_toml
from confkit.server import EVERYBODY, GrpcServer
from tests.support.elected import ConfigurationStub
from tests.support.licenses import LICENSE, TRUST, signed


class BindingStub(
    ConfigurationStub,
    license_pb2_grpc.LrmBindingServiceServicer,
):
    """A primary Configuration Server that binds. `revisions` are its licenses, `asked` every request to bind."""

    def __init__(self, cluster: str) -> None:
        super().__init__(cluster)
        self.epoch = ha_pb2.Epoch(generation=1, mod_revision=10)
        self.revisions: list[tuple[bytes, int]] = []
        self.asked: list[license_pb2.BindRequest] = []
        self.bound: set[str] = set()
        self.load(LICENSE)

    def load(self, text: str, *, stored_ms: int | None = None) -> None:
        """Store a license revision, now or at `stored_ms`."""
        self.license_text = text
        self.revisions.append((signed(text), time.time_ns() // 1_000_000 if stored_ms is None else stored_ms))
        self.tell()

    def tell(self) -> None:
        """Have every bond told of the license that is current."""
        self.changed.set()
        self.changed = asyncio.Event()

    def revision(self, number: int = 0) -> license_pb2.LicenseRevision:
        """A revision, the current one for 0."""
        number = number or len(self.revisions)
        text, stored_ms = self.revisions[number - 1]
        return license_pb2.LicenseRevision(
            revision=number, sha256=hashlib.sha256(text).hexdigest(), stored_ms=stored_ms
        )

    async def GetLicense(self, request, context):
        revision = self.revision(request.revision)
        return license_pb2.GetLicenseResponse(
            revision=revision, text=self.revisions[revision.revision - 1][0]
        )

    async def Bind(self, request_iterator, context):
        answers: asyncio.Queue[license_pb2.BindResponse | None] = asyncio.Queue()
        tasks = [
            asyncio.create_task(self._answer(request_iterator, answers)),
            asyncio.create_task(self._announce(answers)),
        ]
        instance = ""
        try:
            while (answer := await answers.get()) is not None:
                instance = self.asked[-1].instance
                self.bound.add(instance)
                yield answer
        finally:
            self.bound.discard(instance)
            for task in tasks:
                task.cancel()

    async def _answer(self, requests, answers):
        async for request in requests:
            self.asked.append(request)
            revision = self.revision()
            held = (request.license_revision, request.license_sha256)
            same = held == (revision.revision, revision.sha256)
            text = b"" if same else self.revisions[-1][0]
            await answers.put(license_pb2.BindResponse(epoch=self.epoch, license=revision, text=text))
        await answers.put(None)

    async def _announce(self, answers):
        while True:
            changed = self.changed
            await changed.wait()
            await answers.put(
                license_pb2.BindResponse(
                    epoch=self.epoch, license=self.revision(), text=self.revisions[-1][0]
                )
            )


_SERVICES: dict[str, tuple[Any, list[str]]] = {
    "confapi.license.v1.LicenseService": (
        license_pb2_grpc.add_LicenseServiceServicer_to_server,
        ["WatchLicense", "GetLicense"],
    ),
    "confapi.license.v1.LrmBindingService": (
        license_pb2_grpc.add_LrmBindingServiceServicer_to_server,
        ["Bind"],
    ),
    "confapi.config.v1.SessionService": (
        sessions_pb2_grpc.add_SessionServiceServicer_to_server,
        ["OpenSession", "KeepSession", "CloseSession"],
    ),
    "confapi.config.v1.ConfigService": (config_pb2_grpc.add_ConfigServiceServicer_to_server, ["Watch"]),
    "confapi.ha.v1.MemberService": (ha_pb2_grpc.add_MemberServiceServicer_to_server, ["GetStatus"]),
}


@asynccontextmanager
async def binding_server(tls: TlsFiles, stub: BindingStub) -> AsyncIterator[BindingStub]:
    """Serve a stub with a confserv certificate."""
    policy = {
        f"/{name}/{method}": EVERYBODY for name, (_, methods) in _SERVICES.items() for method in methods
    }
    server = GrpcServer(listen="127.0.0.1:0", tls=tls, cluster=stub.cluster, policy=policy)
    for name, (register, _) in _SERVICES.items():
        server.add(register, stub, name)
    stub.endpoint = server.bind()
    await server.start()
    try:
        yield stub
    finally:
        await server.stop(0)


class AgentStub(agent_pb2_grpc.LocalAgentServiceServicer):
    """An agent that kills whom it is told to, and watches nobody."""

    def __init__(self) -> None:
        self.killed: list[int] = []

    async def RegisterProcess(self, request_iterator, context):
        async for _ in request_iterator:
            yield agent_pb2.RegisterProcessResponse(watching=False)

    async def KillProcess(self, request, context):
        self.killed.append(request.process.pid)
        os.kill(request.process.pid, signal.SIGKILL)
        return agent_pb2.KillProcessResponse(gone=True)


class LrmPair:
    """Up to two License Reporting Managers on one DuckDB file."""

    def __init__(
        self, directory: Path, authority: CertificateAuthority, etcd: str, stub: BindingStub
    ) -> None:
        self.directory, self.authority, self.etcd, self.stub = directory, authority, etcd, stub
        self.cluster = stub.cluster
        self.endpoints = [f"127.0.0.1:{port}" for port in free_ports(2)]
        self.stack = AsyncExitStack()
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.agent = ""
        self.settings: dict[str, Any] = {}
        (directory / "trust.toml").write_text(TRUST.print())

    async def start_agent(self) -> AgentStub:
        """An agent of this host for the processes started after this."""
        stub = AgentStub()
        tls = self.authority.issue("lca", "lca", cluster=self.cluster)
        methods = ("RegisterProcess", "KillProcess")
        policy = {f"/confapi.control.v1.LocalAgentService/{name}": EVERYBODY for name in methods}
        server = GrpcServer(listen="127.0.0.1:0", tls=tls, cluster=self.cluster, policy=policy)
        server.add(
            agent_pb2_grpc.add_LocalAgentServiceServicer_to_server,
            stub,
            "confapi.control.v1.LocalAgentService",
        )
        self.agent = server.bind()
        await server.start()
        self.stack.push_async_callback(server.stop, 0)
        return stub

    def start(self, number: int, *options: str) -> str:
        """Start lrm-1 or lrm-2."""
        name = f"lrm-{number}"
        tls = self.authority.issue("lrm", name, cluster=self.cluster)
        settings = {
            "name": name,
            "cluster": self.cluster,
            "listen": self.endpoints[number - 1],
            "data_dir": str(self.directory / name),
            "database": str(self.directory / "usage.duckdb"),
            "trust": str(self.directory / "trust.toml"),
            "agent": self.agent,
            "config_servers": [self.stub.endpoint],
            **self.settings,
            "tls": {"ca": str(tls.ca), "certificate": str(tls.certificate), "key": str(tls.key)},
            "etcd": {"endpoints": [self.etcd], "lease_ttl_s": 2},
            "log": {"file": str(self.log_file(name))},
        }
        file = self.directory / f"{name}.toml"
        file.write_text(to_toml(settings))
        self.processes[name] = subprocess.Popen([sys.executable, "-m", "lrm", "-c", str(file), *options])
        return name

    def log_file(self, name: str) -> Path:
        """Where a process logs."""
        return self.directory / f"{name}.log"

    def events(self, name: str) -> list[dict[str, Any]]:
        """The log events of a process, in order."""
        try:
            lines = self.log_file(name).read_text().splitlines()
        except FileNotFoundError:
            return []
        return [entry for entry in map(json.loads, lines) if "event_id" in entry]

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a process a signal."""
        self.processes[name].send_signal(number)

    async def wait_exit(self, name: str, *, within_s: float = 15.0) -> int:
        """The exit status of a process that ends by itself."""
        return await asyncio.to_thread(self.processes[name].wait, within_s)

    def channel(self, role: str = "administrator", name: str = "ann") -> ServiceChannel:
        """A client of the pair."""
        tls = self.authority.issue(role, name, cluster=self.cluster)
        channel = ServiceChannel(self.endpoints, tls, component="LRM", timeout_s=20)
        self.stack.push_async_callback(channel.close)
        return channel

    async def record(
        self, channel: ServiceChannel, sequence: int, *sessions: usage_pb2.UsageSession, source: str = "desk"
    ) -> usage_pb2.RecordUsageResponse:
        """Record one batch, and again until it is durable, as the client library does."""
        request = usage_pb2.RecordUsageRequest(source=source, sequence=sequence, sessions=sessions)
        while True:
            try:
                async with await channel.bidi_stream(RECORD_USAGE) as stream:
                    await stream.write(request)
                    answer = await stream.read()
                    assert answer is not None
                    return answer
            except ConfservError as error:
                await channel.recover(error, tries=0)

    async def report(self, channel: ServiceChannel, day: str, **only: str) -> list[usage_pb2.UsageReportRow]:
        """The report of one day."""
        request = usage_pb2.GetUsageReportRequest(from_day=day, to_day=day, **only)
        return list((await channel.unary(GET_USAGE_REPORT, request)).rows)

    async def entitlement(self, channel: ServiceChannel) -> usage_pb2.GetEntitlementResponse:
        """The newest entitlement."""
        return await channel.unary(GET_ENTITLEMENT, usage_pb2.GetEntitlementRequest())

    async def primary(self, channel: ServiceChannel) -> str:
        """The name of the server that says that it is primary, as soon as one does."""

        async def found() -> str:
            status = await channel.unary(GET_STATUS, ha_pb2.GetStatusRequest())
            if ha_pb2.ROLE_PRIMARY == status.self.role:
                return str(status.self.instance)
            channel.suspect(channel.view.primary or "")
            return ""

        return str(await eventually(found))

    async def close(self) -> None:
        """End everything that was started."""
        await self.stack.aclose()
        for process in self.processes.values():
            process.kill()
            process.wait()


@asynccontextmanager
async def lrm_pairs(directory: Path, authority: CertificateAuthority, etcd: str) -> AsyncIterator[LrmPair]:
    """A pair of which nothing runs yet."""
    cluster = f"test-{uuid.uuid4().hex[:8]}"
    tls = authority.issue("confserv", "confserv-1", cluster=cluster)
    async with binding_server(tls, BindingStub(cluster)) as stub:
        pair = LrmPair(directory, authority, etcd, stub)
        try:
            yield pair
        finally:
            await pair.close()


async def eventually(condition: Callable[[], Awaitable[Any]], *, within_s: float = 20.0) -> Any:
    """Wait until an awaitable condition gives something; what it raises as ConfservError is "not yet"."""
    async with asyncio.timeout(within_s):
        while True:
            try:
                found = await condition()
            except ConfservError:
                found = None
            if found:
                return found
            await asyncio.sleep(0.02)


__all__ = ["BindingStub", "LrmPair", "binding_server", "eventually", "lrm_pairs"]
