"""Small real servers of an elected component, for tests of the client library: real gRPC, real TLS, no store.

A `Pair` decides who is primary; its `Member`s serve MemberService by it, and whatever services a test adds.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from confapi.ha.v1 import ha_pb2, ha_pb2_grpc
from confclient import rpcs
from confclient.credentials import TlsFiles
from confclient.errors import NoPrimaryError, NotPrimaryError
from confcluster.pki import CertificateAuthority
from confkit.server import EVERYBODY, GrpcServer, Policy

CLUSTER = "test"
POLICY: Policy = {rpc.path: EVERYBODY for rpc in vars(rpcs).values() if isinstance(rpc, rpcs.Rpc)}


@dataclass
class Authority:
    """Certificates of a test."""

    directory: Path
    authority: CertificateAuthority = field(init=False)

    def __post_init__(self) -> None:
        self.authority = CertificateAuthority.open(self.directory)

    def tls(self, role: str, name: str) -> TlsFiles:
        """A certificate of the test's cluster."""
        files = self.authority.issue(role, name, cluster=CLUSTER)
        return TlsFiles(ca=files.ca, certificate=files.certificate, key=files.key)


class Member(ha_pb2_grpc.MemberServiceServicer):
    """One server. `role` is what it says of itself; `calls` counts GetStatus."""

    def __init__(self, pair: Pair, name: str) -> None:
        self.pair = pair
        self.name = name
        self.calls = 0
        self.endpoint = ""
        self.server: GrpcServer | None = None
        self.hang = asyncio.Event()
        self.hang.set()

    @property
    def primary(self) -> bool:
        """Whether the pair has made it primary."""
        return self.pair.primary is self

    @property
    def epoch(self) -> ha_pb2.Epoch:
        """Epoch that this server believes in."""
        return ha_pb2.Epoch(generation=1, mod_revision=self.pair.epoch)

    def check(self) -> None:
        """Refuse as a backup does."""
        if self.primary:
            return
        there = self.pair.primary
        if there is None:
            raise NoPrimaryError("nobody is primary")
        raise NotPrimaryError(
            f"{self.name} is not primary",
            hint=ha_pb2.PrimaryHint(instance=there.name, endpoints=[there.endpoint], epoch=self.epoch),
        )

    def as_message(self) -> ha_pb2.Member:
        """This server as a member."""
        role = ha_pb2.ROLE_PRIMARY if self.primary else ha_pb2.ROLE_BACKUP
        return ha_pb2.Member(component="test", instance=self.name, role=role, endpoints=[self.endpoint])

    async def GetStatus(self, request: Any, context: Any) -> ha_pb2.GetStatusResponse:
        self.calls += 1
        await self.hang.wait()
        there = self.pair.primary
        return ha_pb2.GetStatusResponse(
            cluster=CLUSTER,
            self=self.as_message(),
            epoch=self.epoch,
            primary=there.as_message() if there else None,
            members=[member.as_message() for member in self.pair.running],
        )

    async def SwitchOver(self, request: Any, context: Any) -> ha_pb2.SwitchOverResponse:
        self.check()
        return ha_pb2.SwitchOverResponse(primary=self.name)

    async def start(self, tls: TlsFiles, add: Callable[[GrpcServer, Member], None], port: int = 0) -> None:
        """Serve, on a free port by default."""
        self.server = GrpcServer(listen=f"127.0.0.1:{port}", tls=tls, cluster=CLUSTER, policy=POLICY)
        self.server.add(ha_pb2_grpc.add_MemberServiceServicer_to_server, self, "confapi.ha.v1.MemberService")
        add(self.server, self)
        self.endpoint = self.server.bind()
        await self.server.start()

    async def stop(self) -> None:
        """End at once: its connections break."""
        if self.server is not None:
            server, self.server = self.server, None
            await server.stop(0)


class Pair:
    """Servers of one component."""

    def __init__(self, authority: Authority, add: Callable[[GrpcServer, Member], None]) -> None:
        self.members: dict[str, Member] = {}
        self.primary: Member | None = None
        self.epoch = 10
        self._authority = authority
        self._add = add

    @property
    def running(self) -> list[Member]:
        """Members that serve."""
        return [member for member in self.members.values() if member.server is not None]

    async def start(self, name: str, *, port: int = 0) -> Member:
        """Start a member."""
        member = self.members[name] = Member(self, name)
        await member.start(self._authority.tls("confserv", name), self._add, port)
        return member

    def promote(self, name: str | None) -> None:
        """Make another member primary, under a higher epoch; None: nobody."""
        self.primary = self.members[name] if name else None
        self.epoch += 1

    async def stop(self) -> None:
        """Stop every member."""
        for member in self.running:
            await member.stop()


async def until(condition: Callable[[], Any], *, timeout_s: float = 5.0) -> None:
    """Wait until something holds; fails when it does not in time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come to hold in time"
        await asyncio.sleep(0.005)
