"""UsageService: messages to commands, results to messages.

What is refused, and why, is decided by the core and the role; errors are mapped by the server.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime
from typing import Any, Final

import grpc.aio

from confapi.usage.v1 import usage_pb2, usage_pb2_grpc
from confclient.errors import (
    CertificateMismatchError,
    InvalidError,
    NotFoundError,
    SequenceGapError,
    TooLargeError,
)
from confclient.identity import CertificateRole
from confkit.member_service import epoch_message
from confkit.server import PEOPLE, Policy, caller
from lrm.core.entitlement import UNLIMITED, Entitlement, EntitlementLine
from lrm.core.ingest import Batch, BatchVerdict
from lrm.core.report import DailyReport, PeakQuery, day_number
from lrm.core.sessions import MS_PER_S, ItemName, SessionFact, SessionId, SourceId, TenantName
from lrm.service.license_book import LicenseBook
from lrm.service.recorder import Recorded
from lrm.service.reports import report
from lrm.service.role import UsageRole

SERVICE: Final = "confapi.usage.v1.UsageService"
POLICY: Policy = {
    f"/{SERVICE}/RecordUsage": frozenset({CertificateRole.APPLICATION}),
    f"/{SERVICE}/GetUsageReport": PEOPLE,
    f"/{SERVICE}/GetEntitlement": PEOPLE,
}

MOST_SESSIONS: Final = 10_000
"""Sessions in one batch."""

MOST_ROWS: Final = 100_000
"""Rows in one report."""

_WINDOW: Final = 16
"""Batches of one stream that may wait for their answers; the client's sending waits behind them (`B-60`)."""

_NOT_STATED: Final = -1

_Context = grpc.aio.ServicerContext[Any, Any]
_Answers = asyncio.Queue["tuple[int, asyncio.Future[Recorded]] | None"]


class UsageApi(usage_pb2_grpc.UsageServiceServicer):
    """The service of one License Reporting Manager.

    Args:
        role: takes batches and reads while it is primary.
        book: what is known of the license.
        now_s: UTC wall time in whole seconds.
        longest_report_days: most days that one report may cover.
    """

    def __init__(
        self, *, role: UsageRole, book: LicenseBook, now_s: Callable[[], int], longest_report_days: int
    ) -> None:
        self._role = role
        self._book = book
        self._now_s = now_s
        self._longest_report_days = longest_report_days

    async def RecordUsage(
        self, requests: AsyncIterator[usage_pb2.RecordUsageRequest], context: _Context
    ) -> AsyncIterator[usage_pb2.RecordUsageResponse]:
        """See the proto. Batches are read while earlier ones are committed; answers come in their order."""
        answers: _Answers = asyncio.Queue(_WINDOW)
        reading = asyncio.create_task(self._read(requests, answers))
        try:
            while (waiting := await answers.get()) is not None:
                sequence, answer = waiting
                yield _response(sequence, await answer)
        finally:
            reading.cancel()
            with suppress(asyncio.CancelledError):
                await reading

    async def _read(self, requests: AsyncIterator[usage_pb2.RecordUsageRequest], answers: _Answers) -> None:
        """Hand batches on until the client has no more; what is wrong with one is the last answer."""
        try:
            async for request in requests:
                # in a thread, so that thousands of sessions do not keep the lease from being renewed
                batch = await asyncio.to_thread(to_batch, request)
                await answers.put((batch.sequence, self._role.recorder.submit(batch)))
        except Exception as error:
            failed: asyncio.Future[Recorded] = asyncio.get_running_loop().create_future()
            failed.set_exception(error)
            await answers.put((0, failed))
        else:
            await answers.put(None)

    async def GetUsageReport(
        self, request: usage_pb2.GetUsageReportRequest, context: _Context
    ) -> usage_pb2.GetUsageReportResponse:
        """See the proto."""
        query = to_query(request, as_of_s=self._now_s() + 1, longest_days=self._longest_report_days)
        entitlement = self._book.entitlement
        answer, _ = await self._role.read(lambda store: to_report(report(store, entitlement, query)))
        answer.license_revision = self._book.current.revision
        return answer

    async def GetEntitlement(
        self, request: usage_pb2.GetEntitlementRequest, context: _Context
    ) -> usage_pb2.GetEntitlementResponse:
        """See the proto."""
        entitlement, _ = await self._role.read(lambda _: self._book.entitlement)
        return to_entitlement(entitlement, request.license_revision)


def to_batch(request: usage_pb2.RecordUsageRequest) -> Batch:
    """A batch of the caller; the request is used up. Raises CERTIFICATE_MISMATCH, TOO_LARGE."""
    name = caller().name
    if request.source != name:
        raise CertificateMismatchError(
            f"the certificate is of {name!r}, the batch says {request.source!r}: report under your own name"
        )
    if len(request.sessions) > MOST_SESSIONS:
        raise TooLargeError(
            f"a batch of {len(request.sessions)} sessions: send at most {MOST_SESSIONS} in one",
            limit=MOST_SESSIONS,
        )
    source, sequence = SourceId(request.source), request.sequence
    request.ClearField("sequence")  # the digest is of the content alone
    return Batch(
        source=source,
        sequence=sequence,
        digest=hashlib.blake2b(request.SerializeToString(deterministic=True), digest_size=16).digest(),
        facts=tuple(_fact(source, session) for session in request.sessions),
    )


def _fact(source: SourceId, session: usage_pb2.UsageSession) -> SessionFact:
    return SessionFact(
        source=source,
        id=SessionId(session.id),
        version=session.version,
        tenant=TenantName(session.tenant),
        item=ItemName(session.item),
        start_ms=session.start_ms,
        end_ms=session.end_ms or None,
        last_seen_ms=session.alive_ms or None,
        place=session.place,
        device=session.device,
        person=session.user,
        attributes=tuple(sorted(session.attributes.items())) if session.attributes else (),
    )


def _response(sequence: int, recorded: Recorded) -> usage_pb2.RecordUsageResponse:
    result = recorded.result
    if result.verdict is BatchVerdict.OUT_OF_SEQUENCE:
        raise SequenceGapError(
            f"batch {sequence} does not follow what is stored: send {result.expected_sequence} next",
            expected=result.expected_sequence,
        )
    return usage_pb2.RecordUsageResponse(
        sequence=sequence,
        accepted=result.stored,
        repeated_count=result.repeated,
        refused=[
            usage_pb2.RefusedSession(
                id=each.id, reason="CONFLICT" if each.known else "INVALID", message=each.reason
            )
            for each in result.refused
        ],
        epoch=epoch_message(recorded.epoch),
    )


def to_query(request: usage_pb2.GetUsageReportRequest, *, as_of_s: int, longest_days: int) -> PeakQuery:
    """What a report is asked for. Raises INVALID, TOO_LARGE."""
    first, last = _day("from_day", request.from_day), _day("to_day", request.to_day)
    if last < first:
        raise InvalidError(f"to_day {request.to_day} lies before from_day {request.from_day}")
    if last - first >= longest_days:
        raise TooLargeError(
            f"{last - first + 1} days: one report covers at most {longest_days}", limit=longest_days
        )
    return PeakQuery(
        first_day=first,
        last_day=last,
        as_of_s=as_of_s,
        tenant=TenantName(request.tenant) if request.tenant else None,
        item=ItemName(request.item) if request.item else None,
    )


def _day(name: str, text: str) -> int:
    try:
        return day_number(date.fromisoformat(text))
    except ValueError:
        raise InvalidError(f"{name} is {text!r}: give a day as 2026-11-24") from None


def to_report(rows: Sequence[DailyReport]) -> usage_pb2.GetUsageReportResponse:
    """The rows of a report. Raises TOO_LARGE."""
    if len(rows) > MOST_ROWS:
        raise TooLargeError(
            f"{len(rows)} rows: ask for fewer days, or for one tenant or item; at most {MOST_ROWS} fit one answer",
            limit=MOST_ROWS,
        )
    return usage_pb2.GetUsageReportResponse(rows=map(_row, rows))


def _row(row: DailyReport) -> usage_pb2.UsageReportRow:
    stated = row.licensed and row.entitled < UNLIMITED
    return usage_pb2.UsageReportRow(
        tenant=row.tenant,
        item=row.item,
        day=datetime.fromtimestamp(row.day * 86_400, UTC).strftime("%Y-%m-%d"),
        peak=row.peak.value,
        peak_time_ms=_ms(row.peak.at_s),
        seconds_at_peak=row.peak.seconds,
        entitled=row.entitled if stated else _NOT_STATED,
        burst=row.burst,
        licensed=row.licensed,
        over_use=row.over_entitled.quantity,
        over_use_seconds=row.over_entitled.seconds,
        over_use_first_ms=_ms(row.over_entitled.first_s),
        over_burst=row.over_burst.quantity,
        sessions=row.sessions,
    )


def to_entitlement(entitlement: Entitlement, license_revision: int) -> usage_pb2.GetEntitlementResponse:
    """One revision of the entitlement, the newest for 0. Raises NOT_FOUND."""
    found = [each for each in entitlement.revisions if license_revision in (0, each.license_revision)]
    if not found:
        raise NotFoundError(
            f"no entitlement of license revision {license_revision} is known"
            if license_revision
            else "no license is known yet: load one with confserv -license FILE"
        )
    revision = found[-1]
    return usage_pb2.GetEntitlementResponse(
        license_revision=revision.license_revision,
        license_sha256=revision.license_sha256,
        effective_ms=revision.effective_s * MS_PER_S,
        lines=[_line(line) for line in sorted(revision.lines, key=lambda line: line.item)],
    )


def _line(line: EntitlementLine) -> usage_pb2.EntitlementLine:
    return usage_pb2.EntitlementLine(
        order=line.order_number,
        item=line.item,
        type=line.kind.value,
        unit=line.unit,
        quantity=line.quantity if line.quantity < UNLIMITED else _NOT_STATED,
        burst=line.burst,
        start_ms=_ms(line.valid_from_s),
        end_ms=_ms(line.valid_until_s),
    )


def _ms(at_s: int | None) -> int:
    return 0 if at_s is None else at_s * MS_PER_S
