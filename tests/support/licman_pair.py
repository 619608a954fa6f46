"""A pair of License Managers as real processes on a real etcd, with a Configuration Server that only has a
license.
"""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from confapi.ha.v1 import ha_pb2
from confapi.license.v1 import checkout_pb2
from confclient.channel import ServiceChannel
from confclient.credentials import TlsFiles
from confclient.rpcs import CHECK_OUT, GET_STATUS, LIST_USE
from confcluster.pki import CertificateAuthority
from confcluster.ports import free_ports
from confcluster.topology import to_toml
from tests.support.elected import ConfigurationStub, configuration


class LicmanPair:
    """Up to two License Managers on one journal; `database` is its URL."""

    def __init__(
        self,
        directory: Path,
        authority: CertificateAuthority,
        etcd: str,
        stub: ConfigurationStub,
        *,
        database: str = "",
    ) -> None:
        self.directory, self.authority, self.etcd, self.stub = directory, authority, etcd, stub
        self.database = database or f"sqlite:///{directory}/licman.sqlite"
        self.heartbeat_timeout_s = 60.0
        self.endpoints = [f"127.0.0.1:{port}" for port in free_ports(2)]
        self.stack = AsyncExitStack()
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, number: int) -> str:
        """Start licman-1 or licman-2."""
        name = f"licman-{number}"
        tls = self.authority.issue("licman", name, cluster=self.stub.cluster)
        settings = {
            "name": name,
            "cluster": self.stub.cluster,
            "listen": self.endpoints[number - 1],
            "data_dir": str(self.directory / name),
            "database": self.database,
            "heartbeat_timeout_s": self.heartbeat_timeout_s,
            "config_servers": [self.stub.endpoint],
            "tls": {"ca": str(tls.ca), "certificate": str(tls.certificate), "key": str(tls.key)},
            "etcd": {"endpoints": [self.etcd], "lease_ttl_s": 2},
            "log": {"file": str(self.log_file(name))},
        }
        file = self.directory / f"{name}.toml"
        file.write_text(to_toml(settings))
        self.processes[name] = subprocess.Popen([sys.executable, "-m", "licman", "-c", str(file)])
        return name

    def log_file(self, name: str) -> Path:
        """Where a process logs."""
        return self.directory / f"{name}.log"

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a process a signal."""
        self.processes[name].send_signal(number)

    async def stop(self, name: str) -> int:
        """End a process in order, and give its exit status."""
        self.kill(name, signal.SIGTERM)
        return await asyncio.to_thread(self.processes[name].wait, 60)

    def tls(self, role: str, name: str) -> TlsFiles:
        """A certificate of the pair's cluster."""
        return self.authority.issue(role, name, cluster=self.stub.cluster)

    def channel(self, role: str = "application", name: str = "ann") -> ServiceChannel:
        """A client of the pair."""
        channel = ServiceChannel(
            self.endpoints, self.tls(role, name), component="License Manager", timeout_s=60
        )
        self.stack.push_async_callback(channel.close)
        return channel

    async def primary(self, channel: ServiceChannel) -> str:
        """The name of the server that answers as primary."""
        return str((await channel.unary(GET_STATUS, ha_pb2.GetStatusRequest())).self.instance)

    async def close(self) -> None:
        """End everything that was started."""
        await self.stack.aclose()
        for process in self.processes.values():
            process.kill()
            process.wait()


@asynccontextmanager
async def licman_pairs(
    directory: Path, authority: CertificateAuthority, etcd: str, *, database: str = ""
) -> AsyncIterator[LicmanPair]:
    """A pair of which nothing runs yet."""
    cluster = f"test-{uuid.uuid4().hex[:8]}"
    tls = authority.issue("confserv", "confserv-1", cluster=cluster)
    async with configuration(tls, cluster=cluster) as stub:
        pair = LicmanPair(directory, authority, etcd, stub, database=database)
        try:
            yield pair
        finally:
            await pair.close()


async def check_out(
    channel: ServiceChannel, handle: str, feature: str = "editor", *, count: int = 1, version: str = "2.0"
) -> checkout_pb2.CheckOutResponse:
    """Check out once."""
    wanted = checkout_pb2.Holding(
        handle=handle, feature=feature, count=count, version=version, user="ann", host="pc1"
    )
    return await channel.unary(CHECK_OUT, checkout_pb2.CheckOutRequest(wanted=wanted))


async def used(channel: ServiceChannel, feature: str = "editor") -> tuple[int, int]:
    """How many of a feature are used and issued."""
    answer = await channel.unary(LIST_USE, checkout_pb2.ListUseRequest(feature=feature))
    return sum(row.used for row in answer.features), sum(row.issued for row in answer.features)
