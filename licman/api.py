"""CheckoutService on the wire: messages to words of the core and back, nothing else."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc.aio

from confapi.license.v1 import checkout_pb2, checkout_pb2_grpc
from confclient.errors import InvalidError
from confclient.identity import Principal
from confkit.election.types import Epoch
from confkit.member_service import epoch_message
from confkit.server import EVERYBODY, PEOPLE, Policy, caller
from licman.core.model import (
    Denied,
    Granted,
    Handle,
    Holding,
    Owner,
    RequestError,
    Wanted,
    check_handles,
    remembered,
)
from licman.core.use import PoolUse
from licman.desk import Desk

SERVICE = "confapi.license.v1.CheckoutService"
POLICY: Policy = {
    f"/{SERVICE}/CheckOut": EVERYBODY,
    f"/{SERVICE}/CheckIn": EVERYBODY,
    f"/{SERVICE}/Heartbeat": EVERYBODY,
    f"/{SERVICE}/ListUse": EVERYBODY,
}

Context = grpc.aio.ServicerContext[Any, Any]


class CheckoutService(checkout_pb2_grpc.CheckoutServiceServicer):
    """Check-out of technical keys at the primary License Manager (B-42)."""

    def __init__(self, desk: Desk) -> None:
        """Serve a desk."""
        self._desk = desk

    async def CheckOut(
        self, request: checkout_pb2.CheckOutRequest, context: Context
    ) -> checkout_pb2.CheckOutResponse:
        """Grant or deny."""
        with _refusing():
            answer, epoch = await self._desk.check_out(wanted_of(request.wanted, owner_of(caller())))
        return answer_message(answer, epoch=epoch, heartbeat_timeout_ms=self._timeout_ms)

    async def CheckIn(
        self, request: checkout_pb2.CheckInRequest, context: Context
    ) -> checkout_pb2.CheckInResponse:
        """Give back."""
        with _refusing():
            handles = check_handles(request.handles)
        released, epoch = await self._desk.check_in(owner_of(caller()), handles)
        return checkout_pb2.CheckInResponse(
            released=[one.holding.wanted.handle for one in released], epoch=epoch_message(epoch)
        )

    async def Heartbeat(
        self, request_iterator: AsyncIterator[checkout_pb2.HeartbeatRequest], context: Context
    ) -> AsyncIterator[checkout_pb2.HeartbeatResponse]:
        """Answer each heartbeat with what is lost."""
        owner, handles = owner_of(caller()), tuple[Handle, ...]()
        async for request in request_iterator:
            with _refusing():
                handles = remembered(handles, request.handles)
            lost, epoch = await self._desk.heartbeat(owner, handles)
            yield checkout_pb2.HeartbeatResponse(
                lost=lost, epoch=epoch_message(epoch), heartbeat_timeout_ms=self._timeout_ms
            )

    async def ListUse(
        self, request: checkout_pb2.ListUseRequest, context: Context
    ) -> checkout_pb2.ListUseResponse:
        """Tell who uses what; all holders to administrators, to others their own."""
        principal = caller()
        report = await self._desk.use(request.feature)
        only = None if principal.role in PEOPLE else owner_of(principal)
        return checkout_pb2.ListUseResponse(
            features=[use_message(row, only=only) for row in report.rows],
            license_revision=report.license_revision,
            time_ms=report.wall_ms,
        )

    @property
    def _timeout_ms(self) -> int:
        return int(self._desk.heartbeat_timeout_s * 1000)


@contextlib.contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except RequestError as error:
        raise InvalidError(str(error)) from None


def owner_of(principal: Principal) -> Owner:
    """Who holds: role and name of the certificate."""
    return Owner(str(principal))


def wanted_of(message: checkout_pb2.Holding, owner: Owner) -> Wanted:
    """What is asked for; what the server sets is not looked at."""
    return Wanted(
        owner,
        Handle(message.handle),
        message.feature,
        message.version,
        message.count,
        message.user,
        message.host,
        message.display,
        message.tenant,
    )


def answer_message(
    answer: Granted | Denied, *, epoch: Epoch, heartbeat_timeout_ms: int
) -> checkout_pb2.CheckOutResponse:
    """An answer for the wire."""
    response = checkout_pb2.CheckOutResponse(
        epoch=epoch_message(epoch), heartbeat_timeout_ms=heartbeat_timeout_ms
    )
    if isinstance(answer, Granted):
        response.outcome = checkout_pb2.CHECK_OUTCOME_GRANTED
        response.holding.CopyFrom(holding_message(answer.holding))
    else:
        response.outcome = checkout_pb2.CHECK_OUTCOME_DENIED
        response.denial.CopyFrom(
            checkout_pb2.Denial(
                reason=answer.reason.name, number=answer.reason.number, message=answer.message
            )
        )
    return response


def holding_message(holding: Holding) -> checkout_pb2.Holding:
    """What is held, for the wire."""
    wanted = holding.wanted
    return checkout_pb2.Holding(
        handle=wanted.handle,
        feature=wanted.feature,
        version=wanted.version,
        count=wanted.count,
        user=wanted.user,
        host=wanted.host,
        display=wanted.display,
        tenant=wanted.tenant,
        application=wanted.owner.partition("/")[2],
        granted_ms=holding.granted_ms,
    )


def use_message(row: PoolUse, *, only: Owner | None) -> checkout_pb2.FeatureUse:
    """Use of a pool for the wire; `only` leaves out other owners' holdings, not their count."""
    return checkout_pb2.FeatureUse(
        feature=row.feature,
        version=row.version,
        issued=row.issued,
        used=row.used,
        expires=_iso(row.expires_on),
        vendor=row.vendor,
        holdings=[holding_message(one) for one in row.holdings if only in (None, one.wanted.owner)],
        uncounted=row.is_uncounted,
    )


def _iso(day: dt.date | None) -> str:
    return "" if day is None else day.isoformat()
