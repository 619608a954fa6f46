"""SessionService: messages to requests, sessions to messages."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence

import grpc.aio

from confapi.config.v1 import objects_pb2, sessions_pb2, sessions_pb2_grpc
from confapi.ha.v1 import ha_pb2
from confclient.errors import InvalidError, SessionRequiredError
from confclient.identity import CertificateRole
from confkit.member_service import epoch_message
from confkit.server import EVERYBODY, Policy, caller
from confserv.core.admission import Applicant
from confserv.core.applications import ApplicationType
from confserv.core.sessions import Holder, Session, SessionId
from confserv.service.sessions import OpenRequest, SessionKeeper

SERVICE = "confapi.config.v1.SessionService"
POLICY: Policy = {
    f"/{SERVICE}/OpenSession": EVERYBODY,
    f"/{SERVICE}/KeepSession": EVERYBODY,
    f"/{SERVICE}/CloseSession": EVERYBODY,
    f"/{SERVICE}/ListSessions": frozenset({CertificateRole.ADMINISTRATOR, CertificateRole.SOLUTION_CONTROL}),
    f"/{SERVICE}/ReportProcessExit": frozenset({CertificateRole.LCA}),
}

_Context = grpc.aio.ServicerContext[object, object]
_TYPES = {one.value: one for one in ApplicationType}


class SessionService(sessions_pb2_grpc.SessionServiceServicer):
    """Sessions of applications with the primary.

    `members` gives the members of the Configuration Server as messages, `application` an Application object by name.
    """

    def __init__(
        self,
        *,
        keeper: SessionKeeper,
        members: Callable[[], Sequence[ha_pb2.Member]],
        application: Callable[[str], objects_pb2.ConfigObject | None],
    ) -> None:
        """Serve the sessions of `keeper`."""
        self._keeper = keeper
        self._members = members
        self._application = application

    async def OpenSession(
        self, request: sessions_pb2.OpenSessionRequest, context: _Context
    ) -> sessions_pb2.OpenSessionResponse:
        """See the proto (B-11, B-16, B-17)."""
        session, tenure = await self._keeper.open(_request(request, context.peer()))
        return sessions_pb2.OpenSessionResponse(
            session=session_message(session),
            lease_ttl_ms=self._ttl_ms,
            epoch=epoch_message(tenure.epoch),
            members=self._members(),
            application=self._application(session.application),
        )

    async def KeepSession(
        self, request_iterator: AsyncIterator[sessions_pb2.KeepSessionRequest], context: _Context
    ) -> AsyncIterator[sessions_pb2.KeepSessionResponse]:
        """See the proto (B-17)."""
        certificate, told = caller().name, None
        async for request in request_iterator:
            tenure = await self._keeper.keep(SessionId(request.session_id), certificate=certificate)
            if tenure is None:
                raise SessionRequiredError(f"there is no session {request.session_id}: open it again")
            members = self._members()
            news, told = ((), told) if members == told else (members, members)
            yield sessions_pb2.KeepSessionResponse(
                lease_ttl_ms=self._ttl_ms, epoch=epoch_message(tenure.epoch), members=news
            )

    async def CloseSession(
        self, request: sessions_pb2.CloseSessionRequest, context: _Context
    ) -> sessions_pb2.CloseSessionResponse:
        """See the proto."""
        await self._keeper.close(SessionId(request.session_id), certificate=caller().name)
        return sessions_pb2.CloseSessionResponse()

    async def ListSessions(
        self, request: sessions_pb2.ListSessionsRequest, context: _Context
    ) -> sessions_pb2.ListSessionsResponse:
        """See the proto."""
        sessions = await self._keeper.listed()
        return sessions_pb2.ListSessionsResponse(sessions=map(session_message, sessions))

    async def ReportProcessExit(
        self, request: sessions_pb2.ReportProcessExitRequest, context: _Context
    ) -> sessions_pb2.ReportProcessExitResponse:
        """See the proto (B-17)."""
        ended = await self._keeper.report_exit(_holder(request.process))
        return sessions_pb2.ReportProcessExitResponse(session_ids=ended)

    @property
    def _ttl_ms(self) -> int:
        return int(self._keeper.lease_ttl_s * 1000)


def session_message(session: Session) -> sessions_pb2.Session:
    """A session on the wire."""
    return sessions_pb2.Session(
        session_id=session.session_id,
        application=session.application,
        application_type=objects_pb2.ApplicationType.Name(session.application_type.value),
        dbid=session.dbid,
        process=ha_pb2.ProcessIdentity(
            host=session.holder.host,
            boot_id=session.holder.boot_id,
            pid=session.holder.pid,
            start_time_ticks=session.holder.start_time_ticks,
        ),
        peer=session.peer,
        opened_ms=session.opened_ms,
        endpoints=session.endpoints,
    )


def _request(request: sessions_pb2.OpenSessionRequest, peer: str) -> OpenRequest:
    if not request.session_id or len(request.session_id) > 64:
        raise InvalidError("session_id: a UUID of the client's choice is needed", field="session_id")
    application_type = _TYPES.get(int(request.application_type))
    if application_type is None:
        raise InvalidError(
            "application_type: the type of the application is needed", field="application_type"
        )
    principal = caller()
    return OpenRequest(
        session_id=SessionId(request.session_id),
        applicant=Applicant(
            application=request.application,
            application_type=application_type,
            certificate_role=principal.role,
            certificate_name=principal.name,
        ),
        holder=_holder(request.process),
        peer=peer,
        version=request.version,
        endpoints=tuple(request.endpoints),
    )


def _holder(process: ha_pb2.ProcessIdentity) -> Holder:
    return Holder(process.host, process.boot_id, process.pid, process.start_time_ticks)
