"""LogService on the wire: messages to records and back, nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc.aio

from confapi.message.v1 import message_pb2, message_pb2_grpc
from confclient.errors import InvalidError
from confclient.identity import CertificateRole
from confkit.election.types import Epoch
from confkit.member_service import epoch_message
from confkit.server import EVERYBODY, Policy, caller
from message_server.core.admission import refusal_of
from message_server.core.events import EventFilter, EventUid, LogRecord, Position, StoredRecord
from message_server.journal import Journal
from message_server.subscriptions import LogReader

SERVICE = "confapi.message.v1.LogService"
_READERS = frozenset({CertificateRole.ADMINISTRATOR, CertificateRole.SOLUTION_CONTROL})
POLICY: Policy = {
    f"/{SERVICE}/PublishEvents": EVERYBODY,
    f"/{SERVICE}/QueryEvents": _READERS,
    f"/{SERVICE}/SubscribeEvents": _READERS,
}

MAX_BATCHES_IN_FLIGHT = 16
"""Batches of one stream that wait for the database; what comes beyond them waits in the sender's flow control."""

_DEFAULT_LIMIT = 100
_MAX_LIMIT = 1_000

Context = grpc.aio.ServicerContext[Any, Any]


class LogService(message_pb2_grpc.LogServiceServicer):
    """The central log of the primary Message Server."""

    def __init__(self, *, journal: Journal, reader: LogReader) -> None:
        self._journal = journal
        self._reader = reader

    async def PublishEvents(
        self, request_iterator: AsyncIterator[message_pb2.PublishEventsRequest], context: Context
    ) -> AsyncIterator[message_pb2.PublishEventsResponse]:
        """Take batches; each is answered once durable, in the order in which they came."""
        publisher = caller().name
        answers: asyncio.Queue[tuple[int, asyncio.Task[Epoch]] | None] = asyncio.Queue()
        intake = asyncio.create_task(self._take_in(request_iterator, publisher, answers))
        intake.add_done_callback(lambda _: answers.put_nowait(None))
        try:
            while (answer := await answers.get()) is not None:
                sequence, stored = answer
                yield message_pb2.PublishEventsResponse(sequence=sequence, epoch=epoch_message(await stored))
            await intake
        finally:
            intake.cancel()

    async def _take_in(
        self,
        requests: AsyncIterator[message_pb2.PublishEventsRequest],
        publisher: str,
        answers: asyncio.Queue[tuple[int, asyncio.Task[Epoch]] | None],
    ) -> None:
        in_flight = asyncio.Semaphore(MAX_BATCHES_IN_FLIGHT)
        async for request in requests:
            await in_flight.acquire()
            stored = asyncio.create_task(self._store(request, publisher))
            stored.add_done_callback(_retrieve)
            stored.add_done_callback(lambda _: in_flight.release())
            answers.put_nowait((request.sequence, stored))

    async def _store(self, request: message_pb2.PublishEventsRequest, publisher: str) -> Epoch:
        records = [record_of(event) for event in request.events]
        refusal = refusal_of(records, publisher=publisher)
        if refusal is not None:
            raise InvalidError(
                f"batch {request.sequence}: {refusal}",
                sequence=request.sequence,
                event=refusal.event,
                field=refusal.field,
            )
        return await self._journal.append(records)

    async def QueryEvents(
        self, request: message_pb2.QueryEventsRequest, context: Context
    ) -> message_pb2.QueryEventsResponse:
        """Read a page of stored events."""
        events, more = await self._reader.query(
            filter_of(request.filter),
            after=Position(request.after_position),
            limit=_limit(request.limit),
            newest_first=request.newest_first,
        )
        return message_pb2.QueryEventsResponse(events=[message_of(event) for event in events], more=more)

    async def SubscribeEvents(
        self, request: message_pb2.SubscribeEventsRequest, context: Context
    ) -> AsyncIterator[message_pb2.SubscribeEventsResponse]:
        """Stored events, then live ones."""
        async for events in self._reader.follow(
            filter_of(request.filter), after=Position(request.after_position), from_now=request.from_now
        ):
            yield message_pb2.SubscribeEventsResponse(events=[message_of(event) for event in events])


def record_of(event: message_pb2.LogEvent) -> LogRecord:
    """An event from the wire; an unset severity is information."""
    return LogRecord(
        uid=EventUid(event.event_uid.lower()),
        event_id=event.event_id,
        level=event.level,
        severity=event.severity or message_pb2.SEVERITY_INFO,
        text=event.text,
        time_ms=event.time_ms,
        application=event.application,
        component=event.component,
        host=event.host,
        attributes=dict(event.attributes),
    )


def message_of(event: StoredRecord) -> message_pb2.StoredEvent:
    """A stored event for the wire."""
    record = event.record
    return message_pb2.StoredEvent(
        position=event.position,
        stored_ms=event.stored_ms,
        event=message_pb2.LogEvent(
            event_uid=record.uid,
            event_id=record.event_id,
            level=message_pb2.Level.Name(record.level),
            severity=message_pb2.Severity.Name(record.severity),
            text=record.text,
            time_ms=record.time_ms,
            application=record.application,
            component=record.component,
            host=record.host,
            attributes=record.attributes,
        ),
    )


def filter_of(wanted: message_pb2.EventFilter) -> EventFilter:
    """A filter from the wire."""
    return EventFilter(
        event_ids=frozenset(wanted.event_ids),
        application=wanted.application,
        minimum_level=wanted.minimum_level,
        from_ms=wanted.from_ms,
        until_ms=wanted.until_ms,
    )


def _limit(asked: int) -> int:
    if not 0 <= asked <= _MAX_LIMIT:
        raise InvalidError(f"limit is {asked}: ask for 1 to {_MAX_LIMIT} events, 0 means {_DEFAULT_LIMIT}")
    return asked or _DEFAULT_LIMIT


def _retrieve(task: asyncio.Task[Epoch]) -> None:
    """Take the exception of a batch whose stream has ended before it, so that nobody mistakes it for a defect."""
    if not task.cancelled():
        task.exception()
