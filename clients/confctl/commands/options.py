"""`confctl option …`: single options of applications and other objects; `confctl watch`."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from confapi.config.v1 import config_pb2, objects_pb2
from confclient.documents import Document, document_of, enum_name
from confclient.errors import NotFoundError
from confclient.objects import key_of
from confclient.rpcs import LIST_HISTORY
from confclient.watch import Changed, Snapshot, WatchEvent, filter_of, watch
from confctl.arguments import object_key
from confctl.commands.objects import commit_document
from confctl.commands.status import epoch_text
from confctl.connection import Connection, run
from confctl.output import Columns, iso, moment

app = typer.Typer(help="Options of objects.", no_args_is_help=True)

Key = Annotated[str, typer.Argument(help="Number (dbid) or name of the object.")]
Type = Annotated[str, typer.Option("--type", help="Type of the object.")]
Section = Annotated[str, typer.Argument(help="Section.")]
Option = Annotated[str, typer.Argument(help="Option.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; kept with the change.")]

_COLUMNS = Columns(("SECTION", "OPTION", "VALUE"), lambda row: (row["section"], row["option"], row["value"]))


@app.command("get")
def get_option(
    context: typer.Context,
    key: Key,
    section: Annotated[str, typer.Argument(help="Only this section.")] = "",
    option: Annotated[str, typer.Argument(help="Only this option: prints its value alone.")] = "",
    type_: Type = "Application",
) -> None:
    """Show options; a single one as its value alone, exit status 1 when it is not set."""

    async def work(connection: Connection) -> None:
        item = await connection.objects.get(object_key(type_, key))
        rows = _rows(document_of(item)["options"], section, option)
        if option and not rows:
            raise NotFoundError(
                f"{type_} {item.name} has no option {option} in section {section}: set it first"
            )
        document: Any = {"object": item.name, "revision": item.revision, "options": rows}
        if option:
            connection.printer.document(rows[0], lambda printer: printer.line(rows[0]["value"]))
        else:
            connection.printer.document(
                document, lambda printer: printer.rows(rows, _COLUMNS, nothing="no options")
            )

    run(context, work)


def _rows(sections: Mapping[str, Mapping[str, str]], section: str, option: str) -> list[Document]:
    return [
        {"section": title, "option": name, "value": value}
        for title, options in sections.items()
        for name, value in options.items()
        if section in ("", title) and option in ("", name)
    ]


@app.command("set")
def set_option(
    context: typer.Context,
    key: Key,
    section: Section,
    option: Option,
    value: Annotated[str, typer.Argument(help="New value.")],
    type_: Type = "Application",
    reason: Reason = "",
) -> None:
    """Set an option."""
    run(context, lambda connection: _write(connection, (type_, key), (section, option), value, reason))


@app.command("unset")
def unset_option(
    context: typer.Context,
    key: Key,
    section: Section,
    option: Option,
    type_: Type = "Application",
    reason: Reason = "",
) -> None:
    """Remove an option."""
    run(context, lambda connection: _write(connection, (type_, key), (section, option), None, reason))


async def _write(
    connection: Connection, target: tuple[str, str], path: tuple[str, str], value: str | None, reason: str
) -> None:
    """Set an option, or remove it when the value is None."""
    (type_, key), (section, option) = target, path
    chosen = object_key(type_, key)
    item, mask, expected = objects_pb2.ConfigObject(type=type_), [f"options.{section}.{option}"], 0
    if "." in section:  # a path cannot name such a section: send all, under the revision that was read
        item = await connection.objects.get(chosen)
        mask, expected, chosen = ["options"], item.revision, key_of(type_, dbid=item.dbid)
        item.options.sections[section].options.pop(option, None)
    if value is not None:
        item.options.sections[section].options[option] = value
    answer = await connection.objects.update(
        chosen, item, mask=mask, expected_revision=expected, reason=reason
    )
    document = {
        "object": answer.object.name,
        "section": section,
        "option": option,
        "value": value,
        **commit_document(answer.commit),
    }
    what = "removed" if value is None else f"= {value}"
    line = f"{answer.object.name}: {section}.{option} {what}, revision {answer.commit.revision}"
    connection.printer.document(document, lambda printer: printer.line(line))


def watch_command(
    context: typer.Context,
    start: Annotated[
        int, typer.Option("--from", help="Only changes after this revision; default: all objects first.")
    ] = -1,
    types: Annotated[
        list[str] | None, typer.Option("--type", help="Only this type; may be repeated.")
    ] = None,
    count: Annotated[int, typer.Option("--count", help="End after so many transactions; 0: never.")] = 0,
) -> None:
    """Follow changes across switchovers, each transaction once and whole."""

    async def work(connection: Connection) -> None:
        resume = await _resume_from(connection, start) if start >= 0 else None
        events = watch(connection.config, watch_filter=filter_of(types or ()), resume=resume)
        seen = 0
        async with contextlib.aclosing(events):
            async for event in events:
                connection.printer.message(event_document(event), event_line(event))
                seen += isinstance(event, Changed)
                if count and seen >= count:
                    return

    run(context, work)


async def _resume_from(connection: Connection, revision: int) -> config_pb2.ResumeToken:
    request = config_pb2.ListHistoryRequest(after_revision=revision, limit=1)
    answer = await connection.config.unary(LIST_HISTORY, request)
    return config_pb2.ResumeToken(history_id=answer.history_id, revision=revision)


def event_document(event: WatchEvent) -> Document:
    """An event of a watch as a document; keys are stable."""
    if isinstance(event, Snapshot):
        objects = [document_of(item) for item in event.objects]
        return {"event": "snapshot", "revision": event.resume.revision, "objects": objects}
    if isinstance(event, Changed):
        transaction = event.transaction
        changes = [
            {
                "change": enum_name(config_pb2.ChangeKind.DESCRIPTOR, change.kind),
                "object": document_of(change.object),
            }
            for change in transaction.changes
        ]
        return {
            "event": "transaction",
            "revision": transaction.revision,
            "token": epoch_text(transaction.epoch),
            "time": iso(transaction.time_ms),
            "actor": transaction.actor,
            "reason": transaction.reason,
            "request_id": transaction.request_id,
            "changes": changes,
        }
    return {"event": "read_again", "reason": event.reason}


def event_line(event: WatchEvent) -> str:
    """An event of a watch on one line."""
    if isinstance(event, Snapshot):
        return f"{event.resume.revision} snapshot of {len(event.objects)} objects"
    if isinstance(event, Changed):
        transaction = event.transaction
        changes = ", ".join(
            f"{enum_name(config_pb2.ChangeKind.DESCRIPTOR, change.kind)} {change.object.type} {change.object.name}"
            for change in transaction.changes
        )
        return f"{transaction.revision} {moment(transaction.time_ms)} {transaction.actor}: {changes}"
    return f"read everything again: {event.reason}"
