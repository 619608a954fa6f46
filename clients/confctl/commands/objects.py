"""`confctl object …`: objects of the configuration."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from confapi.config.v1 import config_pb2, objects_pb2
from confclient.declared import Name, Plan, names_in, plan
from confclient.documents import Document, document_of
from confclient.errors import NotFoundError
from confclient.objects import key_of
from confctl.arguments import assignment, object_key, option_assignment
from confctl.commands.status import epoch_text
from confctl.connection import Connection, run
from confctl.output import Columns, Printer, iso, moment
from confkit.tool import UsageError

app = typer.Typer(help="Objects of the configuration.", no_args_is_help=True)

Type = Annotated[str, typer.Argument(help="Type: Application, Host, Tenant, … or a custom one.")]
Key = Annotated[str, typer.Argument(help="Number (dbid), or name.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; kept with the change.")]
Tenant = Annotated[int, typer.Option("--tenant", help="Number of the tenant; 0: any.")]
Folder = Annotated[int, typer.Option("--folder", help="Number of the folder; 0: any.")]

_COLUMNS = Columns(
    ("DBID", "NAME", "STATE", "TENANT", "FOLDER", "REVISION"),
    lambda row: (row["dbid"], row["name"], row["state"], row["tenant"], row["folder"], row["revision"]),
)
_CHANGES = Columns(
    ("REVISION", "TIME", "TOKEN", "ACTOR", "CHANGE", "OBJECT", "REASON"),
    lambda row: (
        row["revision"],
        row["time"],
        row["token"],
        row["actor"],
        row["change"],
        row["object"],
        row["reason"],
    ),
)


def commit_document(commit: config_pb2.Commit) -> Document:
    """The outcome of a write as a document."""
    return {"revision": commit.revision, "token": epoch_text(commit.epoch), "history_id": commit.history_id}


def show_object(printer: Printer, document: Mapping[str, Any]) -> None:
    """An object for people: YAML reads best."""
    printer.line(yaml.safe_dump(dict(document), sort_keys=False, allow_unicode=True).rstrip())


@app.command("list")
def list_objects(
    context: typer.Context,
    type_: Type,
    tenant: Tenant = 0,
    folder: Folder = 0,
    prefix: Annotated[str, typer.Option("--prefix", help="Beginning of the name.")] = "",
) -> None:
    """List the objects of a type."""

    async def work(connection: Connection) -> None:
        found = await connection.objects.list(type_, tenant=tenant, folder=folder, name_prefix=prefix)
        rows = [document_of(item) for item in found]
        connection.printer.document(
            {"objects": rows}, lambda printer: printer.rows(rows, _COLUMNS, nothing=f"no {type_}")
        )

    run(context, work)


@app.command("get")
def get_object(context: typer.Context, type_: Type, key: Key, tenant: Tenant = 0, folder: Folder = 0) -> None:
    """Show one object."""

    async def work(connection: Connection) -> None:
        item = await connection.objects.get(object_key(type_, key, tenant=tenant, folder=folder))
        document = document_of(item)
        connection.printer.document(document, lambda printer: show_object(printer, document))

    run(context, work)


@app.command("create")
def create_object(
    context: typer.Context,
    type_: Type,
    name: Annotated[str, typer.Argument(help="Name, unique in the scope of its type.")],
    fields: Annotated[
        list[str] | None, typer.Option("--set", help="FIELD=VALUE of the body; the value in YAML.")
    ] = None,
    options: Annotated[
        list[str] | None, typer.Option("--option", help="SECTION.OPTION=VALUE; may be repeated.")
    ] = None,
    tenant: Annotated[str, typer.Option("--tenant", help="Name or number of the tenant.")] = "",
    folder: Annotated[int, typer.Option("--folder", help="Number of the folder.")] = 0,
    disabled: Annotated[bool, typer.Option("--disabled", help="Create it, but not to be used yet.")] = False,
    reason: Reason = "",
) -> None:
    """Create an object; references in its body may be names."""

    async def work(connection: Connection) -> None:
        document: Document = {"type": type_, "name": name, "body": {}, "options": {}}
        for text in fields or ():
            field, value = assignment(text)
            document["body"][field] = yaml.safe_load(value) if value else ""
        for text in options or ():
            section, option, value = option_assignment(text)
            document["options"].setdefault(section, {})[option] = value
        document |= {"tenant": int(tenant) if tenant.isdigit() else tenant} if tenant else {}
        document |= {"folder": folder} if folder else {}
        document |= {"state": "disabled"} if disabled else {}
        made = plan([document], await existing(connection, names_in([document])[1:]))
        answer = await connection.objects.create(made.operations[0].create.object, reason=reason)
        result = {"object": document_of(answer.object), **commit_document(answer.commit)}
        line = f"{type_} {name} created, dbid {answer.object.dbid}, revision {answer.commit.revision}"
        connection.printer.document(result, lambda printer: printer.line(line))

    run(context, work)


@app.command("apply")
def apply_objects(
    context: typer.Context,
    file: Annotated[
        Path, typer.Option("-f", "--file", help="YAML or JSON of one or more objects; -: input.")
    ],
    reason: Reason = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would happen.")] = False,
) -> None:
    """Create or change objects in one transaction; what is as declared stays, what is left out too."""

    async def work(connection: Connection) -> None:
        documents = read_documents(file)
        made = plan(documents, await existing(connection, names_in(documents)))
        result: Document = {"objects": _planned(made), "dry_run": dry_run, "revision": None}
        if made.operations and not dry_run:
            answer = await connection.objects.transact(made.operations, reason=reason)
            result |= commit_document(answer.commit)
        connection.printer.document(result, lambda printer: _show_plan(printer, result))

    run(context, work)


@app.command("delete")
def delete_object(
    context: typer.Context,
    type_: Type,
    key: Key,
    tenant: Tenant = 0,
    folder: Folder = 0,
    expected_revision: Annotated[
        int, typer.Option("--expected-revision", help="Only if the object still has it; 0: any.")
    ] = 0,
    reason: Reason = "",
) -> None:
    """Delete an object; refused while others refer to it."""

    async def work(connection: Connection) -> None:
        chosen = object_key(type_, key, tenant=tenant, folder=folder)
        commit = await connection.objects.delete(chosen, expected_revision=expected_revision, reason=reason)
        result = {"deleted": {"type": type_, "key": key}, **commit_document(commit)}
        line = f"{type_} {key} deleted, revision {commit.revision}"
        connection.printer.document(result, lambda printer: printer.line(line))

    run(context, work)


@app.command("history")
def history(
    context: typer.Context,
    type_: Annotated[str, typer.Argument(help="Type; none: the whole configuration.")] = "",
    key: Annotated[str, typer.Argument(help="Number (dbid), or name.")] = "",
    after: Annotated[int, typer.Option("--after", help="Only revisions above this one.")] = 0,
    limit: Annotated[int, typer.Option("--limit", help="At most so many changes; 0: all.")] = 0,
) -> None:
    """Show who changed what, when and why."""

    async def work(connection: Connection) -> None:
        if bool(type_) != bool(key):
            raise UsageError("name an object by type and key, or leave both out")
        chosen = None
        if type_:
            chosen = await connection.objects.get(object_key(type_, key)) if not key.isdigit() else None
        named = key_of(type_, dbid=chosen.dbid if chosen else int(key)) if type_ else None
        found = connection.objects.history(key=named, after_revision=after, limit=limit)
        rows = [_entry(entry) async for entry in found]
        connection.printer.document(
            {"changes": rows}, lambda printer: printer.rows(rows, _CHANGES, nothing="no changes")
        )

    run(context, work)


def read_documents(file: Path) -> list[Mapping[str, Any]]:
    """Documents of a YAML or JSON file, one or several, or a list of them; raises UsageError with the place."""
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text()
        found = [one for one in yaml.safe_load_all(text) if one is not None]
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"{file}: {' '.join(str(error).split())}") from error
    documents = [one for item in found for one in (item if isinstance(item, list) else [item])]
    if not documents:
        raise UsageError(f"{file} holds no object")
    wrong = next((one for one in documents if not isinstance(one, Mapping)), None)
    if wrong is not None:
        raise UsageError(f"{file}: {wrong!r} is no object; write type, name and what else it has")
    return documents


async def existing(connection: Connection, names: Sequence[Name]) -> dict[Name, objects_pb2.ConfigObject]:
    """Those of the named objects that exist, as they are now."""
    found: dict[Name, objects_pb2.ConfigObject] = {}
    for type_, name in names:
        try:
            found[type_, name] = await connection.objects.get(key_of(type_, name=name))
        except NotFoundError:
            continue
    return found


def _planned(made: Plan) -> list[Document]:
    return [{"type": one.type, "name": one.name, "outcome": one.outcome.value} for one in made.objects]


def _show_plan(printer: Printer, result: Mapping[str, Any]) -> None:
    for one in result["objects"]:
        printer.line(f"{one['type']} {one['name']}: {one['outcome']}")
    if result["revision"]:
        printer.line(f"revision {result['revision']}")
    elif result["dry_run"]:
        printer.line("nothing was changed: a dry run")
    else:
        printer.line("nothing to change")


def _entry(entry: config_pb2.HistoryEntry) -> Document:
    has_before, has_after = entry.HasField("before"), entry.HasField("after")
    change = {(False, True): "created", (True, False): "deleted"}.get((has_before, has_after), "changed")
    item = entry.after if has_after else entry.before
    return {
        "revision": entry.revision,
        "time": moment(entry.time_ms),
        "time_iso": iso(entry.time_ms),
        "token": epoch_text(entry.epoch),
        "actor": entry.actor,
        "reason": entry.reason,
        "request_id": entry.request_id,
        "change": change,
        "object": f"{item.type} {item.name} ({item.dbid})",
        "before": document_of(entry.before) if has_before else None,
        "after": document_of(entry.after) if has_after else None,
    }
