"""Everything that an application meets, in one small real server: sessions, objects, watch, usage, log, check-outs.

For tests of what is built on the client library; the rules of the real servers are proved against those.
"""

from __future__ import annotations

import asyncio
from typing import Any

from confapi.config.v1 import config_pb2, config_pb2_grpc, objects_pb2, sessions_pb2, sessions_pb2_grpc
from confapi.license.v1 import license_pb2, license_pb2_grpc
from confclient.documents import object_of
from confclient.errors import NotFoundError
from confkit.server import GrpcServer
from tests.support.members import Member, Pair
from tests.support.receivers import add_receivers

SERVERS = ("LICENSE_REPORTING_MANAGER", "MESSAGE_SERVER", "LICENSE_MANAGER")


class State:
    """What the servers of a pair share."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], objects_pb2.ConfigObject] = {}
        self.transactions: list[config_pb2.Transaction] = []
        self.answers: dict[str, config_pb2.TransactResponse] = {}
        self.sessions: dict[str, sessions_pb2.OpenSessionRequest] = {}
        self.refusal: Exception | None = None

    @property
    def revision(self) -> int:
        return len(self.transactions)

    def put(self, document: dict[str, Any]) -> None:
        """Have an object from the start."""
        item = object_of(document)
        item.dbid = item.dbid or 100 + len(self.objects)
        self.objects[item.type, item.name] = item

    def carry_out(self, request: config_pb2.TransactRequest) -> config_pb2.TransactResponse:
        """Apply a transaction once; a repeated one gets its first answer."""
        known = self.answers.get(request.context.request_id)
        if known is not None:
            return known
        changes, made = [], []
        for operation in request.operations:
            kind, item = self._changed(operation, made)
            item.revision = self.revision + 1
            self.objects[item.type, item.name] = item
            made.append(item)
            changes.append(config_pb2.Change(kind=kind, object=item))
        transaction = config_pb2.Transaction(
            revision=self.revision + 1, request_id=request.context.request_id, changes=changes
        )
        self.transactions.append(transaction)
        answer = config_pb2.TransactResponse(
            objects=made, commit=config_pb2.Commit(revision=self.revision, history_id="h")
        )
        self.answers[request.context.request_id] = answer
        return answer

    def _changed(
        self, operation: config_pb2.Operation, made: list[objects_pb2.ConfigObject]
    ) -> tuple[config_pb2.ChangeKind, objects_pb2.ConfigObject]:
        item = objects_pb2.ConfigObject()
        if operation.HasField("create"):
            item.CopyFrom(operation.create.object)
            item.dbid = 100 + len(self.objects)
            body = objects_pb2.Application()
            if item.body.Unpack(body) and body.template < 0:
                body.template = made[-body.template - 1].dbid
                item.body.Pack(body)
            return config_pb2.CHANGE_KIND_ADDED, item
        item.CopyFrom(self.find(operation.update.key))
        for title, section in operation.update.object.options.sections.items():
            item.options.sections[title].options.update(section.options)
        return config_pb2.CHANGE_KIND_CHANGED, item

    def find(self, key: objects_pb2.ObjectKey) -> objects_pb2.ConfigObject:
        """The object with this key; NotFoundError when there is none."""
        for (type_, name), item in self.objects.items():
            if type_ == key.type and key.dbid in (0, item.dbid) and key.name in ("", name):
                return item
        raise NotFoundError(f"there is no {key.type} {key.name or key.dbid}")


class Server(
    config_pb2_grpc.ConfigServiceServicer,
    sessions_pb2_grpc.SessionServiceServicer,
    license_pb2_grpc.LicenseServiceServicer,
):
    """The Configuration Server's part."""

    def __init__(self, member: Member, state: State) -> None:
        self.member = member
        self.state = state

    async def GetObject(self, request: Any, context: Any) -> config_pb2.GetObjectResponse:
        self.member.check()
        return config_pb2.GetObjectResponse(object=self.state.find(request.key), revision=self.state.revision)

    async def Transact(self, request: Any, context: Any) -> config_pb2.TransactResponse:
        self.member.check()
        return self.state.carry_out(request)

    async def Watch(self, request: Any, context: Any) -> Any:
        self.member.check()
        at = request.resume.revision
        if not request.HasField("resume"):
            at = self.state.revision
            part = config_pb2.SnapshotPart(objects=self._wanted(request), complete=True)
            yield config_pb2.WatchResponse(snapshot=part, resume=self._token(at))
        while True:
            self.member.check()
            for transaction in self.state.transactions[at:]:
                at = transaction.revision
                yield config_pb2.WatchResponse(transaction=transaction, resume=self._token(at))
            await asyncio.sleep(0.005)

    def _wanted(self, request: Any) -> list[objects_pb2.ConfigObject]:
        types = request.filter.types
        return [item for item in self.state.objects.values() if not types or item.type in types]

    def _token(self, revision: int) -> config_pb2.ResumeToken:
        return config_pb2.ResumeToken(history_id="h", revision=revision)

    async def OpenSession(self, request: Any, context: Any) -> sessions_pb2.OpenSessionResponse:
        self.member.check()
        if self.state.refusal is not None:
            raise self.state.refusal
        self.state.sessions[request.session_id] = request
        return sessions_pb2.OpenSessionResponse(lease_ttl_ms=3000)

    async def KeepSession(self, requests: Any, context: Any) -> Any:
        async for _ in requests:
            self.member.check()
            yield sessions_pb2.KeepSessionResponse(lease_ttl_ms=3000)

    async def CloseSession(self, request: Any, context: Any) -> sessions_pb2.CloseSessionResponse:
        self.member.check()
        self.state.sessions.pop(request.session_id, None)
        return sessions_pb2.CloseSessionResponse()

    async def ListSessions(self, request: Any, context: Any) -> sessions_pb2.ListSessionsResponse:
        self.member.check()
        return sessions_pb2.ListSessionsResponse(
            sessions=[
                sessions_pb2.Session(
                    application=one.application, application_type=one.application_type, peer="here"
                )
                for one in self.state.sessions.values()
            ]
        )

    async def GetCompliance(self, request: Any, context: Any) -> license_pb2.GetComplianceResponse:
        self.member.check()
        return license_pb2.GetComplianceResponse(
            compliance=license_pb2.COMPLIANCE_OK, stage="FIRST_STARTUP", lrm_bound=["lrm-1"]
        )


def small_cluster(make_pair: Any) -> tuple[Pair, State]:
    """A pair whose members serve everything; start them, then `announce` where the other servers are."""
    state = State()

    def add(server: GrpcServer, member: Member) -> None:
        servicer = Server(member, state)
        server.add(
            config_pb2_grpc.add_ConfigServiceServicer_to_server, servicer, "confapi.config.v1.ConfigService"
        )
        server.add(
            sessions_pb2_grpc.add_SessionServiceServicer_to_server,
            servicer,
            "confapi.config.v1.SessionService",
        )
        server.add(
            license_pb2_grpc.add_LicenseServiceServicer_to_server,
            servicer,
            "confapi.license.v1.LicenseService",
        )
        add_receivers(server, member)

    return make_pair(add), state


async def start_all(pair: Pair, state: State, *names: str) -> None:
    """Start members, the first as primary, and announce them as every kind of server."""
    for name in names:
        await pair.start(name)
    pair.promote(names[0])
    for kind in SERVERS:
        body = objects_pb2.Application(
            application_type=getattr(objects_pb2, f"APPLICATION_TYPE_{kind}"),
            endpoints=[member.endpoint for member in pair.running],
        )
        item = objects_pb2.ConfigObject(type="Application", name=kind.lower(), dbid=10 + SERVERS.index(kind))
        item.body.Pack(body)
        state.objects[item.type, item.name] = item
