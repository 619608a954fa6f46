"""`confctl log …`: log events stored by the Message Server."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from typing import Annotated

import typer

from confapi.message.v1 import message_pb2
from confclient.documents import Document, enum_name, enum_number
from confclient.errors import ConfservError, LaggedError, NoPrimaryError
from confclient.rpcs import QUERY_EVENTS, SUBSCRIBE_EVENTS
from confctl.connection import Connection, run
from confctl.output import Columns, iso, moment
from confkit.tool import UsageError

app = typer.Typer(help="The central log.", no_args_is_help=True)

Events = Annotated[
    list[str] | None, typer.Option("--event", help="Only this number, as 21-25100; repeatable.")
]
Application = Annotated[str, typer.Option("--application", help="Only events of this application.")]
Level = Annotated[
    str, typer.Option("--level", help="This level and above: debug, trace, interaction, standard, alarm.")
]
Since = Annotated[
    str, typer.Option("--since", help="Only from then on: 10m, 2h, 1d, or 2026-11-24T12:00:00Z.")
]
Until = Annotated[str, typer.Option("--until", help="Only before then; forms as --since.")]

_MOST = 1000
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_COLUMNS = Columns(
    ("TIME", "EVENT", "LEVEL", "SEVERITY", "APPLICATION", "TEXT"),
    lambda row: (
        row["time"],
        row["event_id"],
        row["level"],
        row["severity"],
        row["application"],
        row["text"],
    ),
)


def stored_document(stored: message_pb2.StoredEvent) -> Document:
    """A stored event as a document; keys are stable."""
    event = stored.event
    return {
        "position": stored.position,
        "event_id": event.event_id,
        "level": enum_name(message_pb2.Level.DESCRIPTOR, event.level),
        "severity": _severity(event.severity),
        "text": event.text,
        "time": moment(event.time_ms),
        "time_iso": iso(event.time_ms),
        "stored_iso": iso(stored.stored_ms),
        "application": event.application,
        "component": event.component,
        "host": event.host,
        "attributes": dict(sorted(event.attributes.items())),
        "event_uid": event.event_uid,
    }


def _severity(severity: int) -> str:
    name = enum_name(message_pb2.Severity.DESCRIPTOR, severity)
    return "info" if name == "unspecified" else name


def instant_ms(text: str, *, now_ms: int) -> int:
    """A time as --since takes it, in milliseconds since 1970 UTC; 0 for an empty text.

    Raises:
        UsageError: it is neither an age nor a time.
    """
    if not text:
        return 0
    age = re.fullmatch(r"(\d+)([smhd])", text)
    if age:
        return now_ms - int(age[1]) * _UNITS_S[age[2]] * 1000
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{text!r} is no time: write 10m, 2h, 1d, or 2026-11-24T12:00:00Z") from None
    return int((instant if instant.tzinfo else instant.replace(tzinfo=UTC)).timestamp() * 1000)


def _filter(
    events: list[str] | None, application: str, level: str, since: str, until: str
) -> message_pb2.EventFilter:
    minimum = enum_number(message_pb2.Level.DESCRIPTOR, level) if level else 0
    if minimum is None:
        raise UsageError(f"{level!r} is no level: debug, trace, interaction, standard, alarm")
    now_ms = time.time_ns() // 1_000_000
    return message_pb2.EventFilter(
        event_ids=events or (),
        application=application,
        minimum_level=message_pb2.Level.Name(minimum),
        from_ms=instant_ms(since, now_ms=now_ms),
        until_ms=instant_ms(until, now_ms=now_ms),
    )


@app.command("query")
def query(
    context: typer.Context,
    events: Events = None,
    application: Application = "",
    level: Level = "",
    since: Since = "",
    until: Until = "",
    limit: Annotated[int, typer.Option("--limit", min=1, help="The newest so many.")] = 100,
) -> None:
    """Show stored events, oldest first."""

    async def work(connection: Connection) -> None:
        request = message_pb2.QueryEventsRequest(
            filter=_filter(events, application, level, since, until), newest_first=True
        )
        found: list[message_pb2.StoredEvent] = []
        while len(found) < limit:
            request.limit = min(_MOST, limit - len(found))
            answer = await connection.component("message-server").unary(QUERY_EVENTS, request)
            found.extend(answer.events)
            if not answer.more or not answer.events:
                break
            request.after_position = answer.events[-1].position
        rows = [stored_document(one) for one in reversed(found)]
        connection.printer.document(
            {"events": rows}, lambda printer: printer.rows(rows, _COLUMNS, nothing="no events")
        )

    run(context, work)


@app.command("tail")
def tail(
    context: typer.Context,
    events: Events = None,
    application: Application = "",
    level: Level = "",
    since: Since = "",
    count: Annotated[int, typer.Option("--count", help="End after so many events; 0: never.")] = 0,
) -> None:
    """Follow events as they are stored, across switchovers; with --since also those stored before."""

    async def work(connection: Connection) -> None:
        request = message_pb2.SubscribeEventsRequest(
            filter=_filter(events, application, level, since, ""), from_now=not since
        )
        given = tries = 0
        while True:
            channel = connection.component("message-server")
            try:
                async with await channel.server_stream(SUBSCRIBE_EVENTS, request) as stream:
                    async for message in stream:
                        tries = 0
                        for stored in message.events:
                            _tell(connection, stored)
                            request.from_now = False
                            request.after_position = stored.position
                            given += 1
                            if given == count:
                                return
            except LaggedError:
                pass
            except NoPrimaryError:
                raise
            except ConfservError as error:
                await channel.recover(error, tries=tries)
            tries += 1

    run(context, work)


def _tell(connection: Connection, stored: message_pb2.StoredEvent) -> None:
    document = stored_document(stored)
    line = f"{document['time']} {document['event_id']} {document['application']}: {document['text']}"
    connection.printer.message(document, line)
