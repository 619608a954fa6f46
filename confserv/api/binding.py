"""LrmBindingService: the stream that is the bond between a License Reporting Manager and the primary."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import grpc.aio
import structlog

from confapi.license.v1 import license_pb2, license_pb2_grpc
from confclient.errors import InvalidError, NoPrimaryError, SessionRequiredError
from confclient.identity import CertificateRole
from confkit.election.ports import StoreUnreachable
from confkit.election.types import Epoch
from confkit.member_service import epoch_message
from confkit.server import Policy, caller
from confserv.api.license import revision_message
from confserv.core.license import CheckedLicense
from confserv.service.bindings import LrmBindings
from confserv.service.gate import Gate
from confserv.service.licensing import Licensing
from confserv.service.sessions import SessionKeeper
from confserv.service.streams import until_closed
from confserv.state_ports import Tenure

SERVICE = "confapi.license.v1.LrmBindingService"
POLICY: Policy = {f"/{SERVICE}/Bind": frozenset({CertificateRole.LRM})}

_Context = grpc.aio.ServicerContext[object, object]
_log = structlog.get_logger()


class LrmBindingService(license_pb2_grpc.LrmBindingServiceServicer):
    """Binds License Reporting Managers, tells them the license at once, compares theirs with ours (B-26)."""

    def __init__(
        self, *, bindings: LrmBindings, licensing: Licensing, sessions: SessionKeeper, gate: Gate
    ) -> None:
        """Serve `bindings`."""
        self._bindings = bindings
        self._licensing = licensing
        self._sessions = sessions
        self._gate = gate

    async def Bind(
        self, request_iterator: AsyncIterator[license_pb2.BindRequest], context: _Context
    ) -> AsyncIterator[license_pb2.BindResponse]:
        """See the proto (B-20, B-21, B-26)."""
        first = await anext(aiter(request_iterator), None)
        if first is None:
            raise InvalidError("instance: the first request names the License Reporting Manager that binds")
        self._check_epoch(first, await self._gate.passage())
        self._check_session()
        async with self._bindings.bond(first.instance or caller().name) as tenure:
            answers = self._answers(first, request_iterator, tenure)
            async for answer in until_closed(answers, self._gate, tenure):
                yield answer

    def _check_epoch(self, request: license_pb2.BindRequest, tenure: Tenure) -> None:
        highest = Epoch(request.highest_epoch.generation, request.highest_epoch.mod_revision)
        if tenure.epoch < highest:
            raise NoPrimaryError(
                f"this server's epoch {tenure.epoch} is below {highest}, which you have seen"
            )

    def _check_session(self) -> None:
        if not self._sessions.has_session(caller().name):
            raise SessionRequiredError(f"{caller().name} has no session: open one before binding")

    async def _answers(
        self, first: license_pb2.BindRequest, rest: AsyncIterator[license_pb2.BindRequest], tenure: Tenure
    ) -> AsyncIterator[license_pb2.BindResponse]:
        mailbox: asyncio.Queue[license_pb2.BindRequest | CheckedLicense | None] = asyncio.Queue()
        mailbox.put_nowait(first)
        tasks = [
            asyncio.ensure_future(_deliver(rest, mailbox)),
            asyncio.ensure_future(_deliver(self._licensing.changes(), mailbox)),
        ]
        told: tuple[int, str] | None = None
        try:
            while (item := await mailbox.get()) is not None:
                if isinstance(item, license_pb2.BindRequest):
                    told = await self._compared(item)
                elif told == self._ours():
                    continue
                ours = self._ours()
                yield _answer(tenure, self._licensing.current, with_text=told != ours)
                told = ours
        finally:
            for task in tasks:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task

    def _ours(self) -> tuple[int, str] | None:
        current = self._licensing.current
        return None if current is None else (current.stored.revision, current.stored.sha256)

    async def _compared(self, request: license_pb2.BindRequest) -> tuple[int, str] | None:
        """Give what LRM works from; one that is not older than ours and differs means a fresh read (B-26)."""
        if not request.license_revision:
            return None
        theirs, ours = (request.license_revision, request.license_sha256), self._ours()
        if theirs != ours and (ours is None or theirs[0] >= ours[0]):
            _log.warning("LRM has another license", instance=request.instance, theirs=theirs, ours=ours)
            with contextlib.suppress(StoreUnreachable):
                await self._licensing.refresh()
        return theirs


async def _deliver(
    source: AsyncIterator[license_pb2.BindRequest] | AsyncIterator[CheckedLicense],
    mailbox: asyncio.Queue[license_pb2.BindRequest | CheckedLicense | None],
) -> None:
    async for item in source:
        mailbox.put_nowait(item)
    mailbox.put_nowait(None)


def _answer(tenure: Tenure, license_: CheckedLicense | None, *, with_text: bool) -> license_pb2.BindResponse:
    if license_ is None:
        return license_pb2.BindResponse(epoch=epoch_message(tenure.epoch))
    return license_pb2.BindResponse(
        epoch=epoch_message(tenure.epoch),
        license=revision_message(license_.stored),
        text=license_.stored.text if with_text else b"",
    )
