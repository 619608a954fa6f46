"""Runs confctl as a process against a small real server."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from confapi.config.v1 import config_pb2, config_pb2_grpc, objects_pb2
from confapi.license.v1 import license_pb2, license_pb2_grpc
from confclient.documents import object_of
from confclient.errors import NotFoundError
from confkit.server import GrpcServer
from tests.support.members import Authority, Member, Pair


@dataclass(frozen=True)
class Ended:
    """How a run of confctl ended."""

    status: int
    out: str
    err: str


Confctl = Callable[..., Awaitable[Ended]]


class Server(config_pb2_grpc.ConfigServiceServicer, license_pb2_grpc.LicenseServiceServicer):
    """A few objects, and a license in order."""

    def __init__(self, member: Member) -> None:
        self.member = member
        pair: Any = member.pair
        if not hasattr(pair, "objects"):
            pair.objects = {}
            pair.revision = 0
        self.pair = pair

    def _find(self, key: objects_pb2.ObjectKey) -> objects_pb2.ConfigObject:
        for (type_, name), item in self.pair.objects.items():
            if type_ == key.type and key.dbid in (0, item.dbid) and key.name in ("", name):
                return item  # type: ignore[no-any-return]
        raise NotFoundError(f"there is no {key.type} {key.name or key.dbid}")

    async def GetObject(self, request: Any, context: Any) -> config_pb2.GetObjectResponse:
        self.member.check()
        return config_pb2.GetObjectResponse(object=self._find(request.key))

    async def ListObjects(self, request: Any, context: Any) -> config_pb2.ListObjectsResponse:
        self.member.check()
        found = [item for item in self.pair.objects.values() if item.type == request.type]
        at = int(request.page_token or 0)
        following = str(at + 1) if at + 1 < len(found) else ""
        return config_pb2.ListObjectsResponse(objects=found[at : at + 1], next_page_token=following)

    async def Transact(self, request: Any, context: Any) -> config_pb2.TransactResponse:
        self.member.check()
        self.pair.revision += 1
        for operation in request.operations:
            item = operation.create.object
            item.dbid, item.revision = 100 + len(self.pair.objects), self.pair.revision
            self.pair.objects[item.type, item.name] = item
        return config_pb2.TransactResponse(commit=self.commit)

    async def UpdateObject(self, request: Any, context: Any) -> config_pb2.UpdateObjectResponse:
        self.member.check()
        item = self._find(request.update.key)
        for title, section in request.update.object.options.sections.items():
            item.options.sections[title].options.update(section.options)
        return config_pb2.UpdateObjectResponse(object=item, commit=self.commit)

    @property
    def commit(self) -> config_pb2.Commit:
        return config_pb2.Commit(revision=self.pair.revision, epoch=self.member.epoch, history_id="h")

    async def GetCompliance(self, request: Any, context: Any) -> license_pb2.GetComplianceResponse:
        self.member.check()
        return license_pb2.GetComplianceResponse(
            compliance=license_pb2.COMPLIANCE_OK, stage="OPERATIONAL", lrm_bound=["lrm-1"]
        )


def add(server: GrpcServer, member: Member) -> None:
    servicer = Server(member)
    server.add(
        config_pb2_grpc.add_ConfigServiceServicer_to_server, servicer, "confapi.config.v1.ConfigService"
    )
    server.add(
        license_pb2_grpc.add_LicenseServiceServicer_to_server, servicer, "confapi.license.v1.LicenseService"
    )


@pytest_asyncio.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    pair: Any = Pair(Authority(tmp_path / "pki"), add)
    await pair.start("confserv-1")
    await pair.start("confserv-2")
    pair.promote("confserv-1")
    pair.objects["Host", "alpha"] = object_of({"type": "Host", "name": "alpha", "dbid": 7, "revision": 1})
    pair.objects["Host", "beta"] = object_of({"type": "Host", "name": "beta", "dbid": 8, "revision": 1})
    yield pair
    await pair.stop()


@pytest.fixture
def confctl(pair: Pair, tmp_path: Path) -> Confctl:
    tls = Authority(tmp_path / "pki").tls("administrator", "administrator")

    async def run(*arguments: str, stdin: str = "") -> Ended:
        endpoints = ",".join(member.endpoint for member in pair.members.values())
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "confctl", *arguments, "--endpoints", endpoints),
            *("--ca", str(tls.ca), "--cert", str(tls.certificate), "--key", str(tls.key)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate(stdin.encode())
        assert process.returncode is not None
        return Ended(process.returncode, out.decode(), err.decode())

    return run
