"""`confctl license …`: what is licensed, since when, and whether all is in order."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from confapi.license.v1 import license_pb2
from confclient.documents import Document
from confclient.rpcs import GET_COMPLIANCE, GET_LICENSE, LIST_LICENSE_REVISIONS, LOAD_LICENSE
from confctl.commands.status import compliance_document, lrm_text
from confctl.connection import Connection, Globals, run, stop_with
from confctl.output import Columns, Printer, iso, moment
from confkit.license.files import read_license, read_trust_set
from confkit.license.findings import LicenseError
from confkit.license.inspection import inspect
from confkit.license.lines import MAX_FILE_BYTES
from confkit.tool import UsageError

app = typer.Typer(help="License files and the license in the database.", no_args_is_help=True)

File = Annotated[Path, typer.Argument(help="License file.")]

_FEATURES = Columns(
    ("FEATURE", "VERSION", "COUNT", "EXPIRES", "KIND"),
    lambda row: (
        row["feature"],
        row["version"],
        row["count"] or "uncounted",
        (row["expires"] or "never") + (" (expired)" if row["expired"] else ""),
        "sellable item" if row["sellable_item"] else "technical key",
    ),
)
_LINES = Columns(
    ("LINE", "KEYWORD", "FEATURE", "VERSION", "COUNT", "EXPIRES", "ITEM"),
    lambda row: (
        row["line"],
        row["keyword"],
        row["feature"] + ("" if row["counts"] else " (does not count)"),
        row["version"],
        "uncounted" if row["count"] is None else row["count"],
        row["expiry"] or "never",
        _item(row["item"]),
    ),
)
_REVISIONS = Columns(
    ("REVISION", "STORED", "BY", "SHA-256"),
    lambda row: (row["revision"], row["stored"], row["stored_by"], row["sha256"]),
)


@app.command("inspect")
def inspect_file(
    context: typer.Context,
    file: File,
    trust: Annotated[
        Path | None, typer.Option("--trust", help="Judge the signatures by this set of vendor keys.")
    ] = None,
) -> None:
    """Show what a license file grants, before anyone loads it; needs no server."""
    try:
        trusted = None if trust is None else read_trust_set(trust)
        document = inspect(read_license(file), trust=trusted, now=datetime.now(UTC))
    except LicenseError as error:
        raise stop_with(error) from None
    printer = Printer((context.find_object(Globals) or Globals()).form)
    printer.document(document, lambda shown: _show_file(shown, document))


def _show_file(printer: Printer, document: dict[str, Any]) -> None:
    verified = {None: "not judged: give --trust", True: "yes", False: "no"}[document["verified"]]
    printer.facts(
        {
            "File": document["source"],
            "SHA-256": document["sha256"],
            "Verified": verified,
            "State": document["state"],
            "Issued": document["issued"] or "unknown",
            "Next expiry": document["next_expiry"] or "never",
            "Vendors": document["vendors"],
        }
    )
    printer.line()
    printer.rows(document["lines"], _LINES, nothing="no lines")
    for one in document["findings"]:
        printer.line(
            f"{one['severity']}: line {one['line']}, column {one['column']}: {one['message']}; {one['cure']} "
            f"[{one['reason']}]"
        )


def _item(item: dict[str, Any] | None) -> str:
    if item is None:
        return ""
    burst = f", burst {item['burst']}" if item["burst"] else ""
    return f"{item['quantity']} {item['unit']} {item['type']}{burst}"


@app.command("load")
def load(
    context: typer.Context,
    file: File,
    accept_expired: Annotated[
        bool, typer.Option("--accept-expired", help="Even if every line has expired.")
    ] = False,
    accept_older: Annotated[
        bool, typer.Option("--accept-older", help="Even if it was issued before the current one.")
    ] = False,
) -> None:
    """Store a license file as a new revision, through the running primary."""

    async def work(connection: Connection) -> None:
        request = license_pb2.LoadLicenseRequest(
            text=_text_of(file),
            source=str(file),
            accept_expired=accept_expired,
            accept_older=accept_older,
        )
        answer = await connection.config.unary(LOAD_LICENSE, request)
        document: Document = {
            **_revision(answer.revision),
            "changed": answer.changed,
            "features": _features(answer.features),
            "warnings": list(answer.warnings),
        }
        connection.printer.document(document, lambda printer: _show_loaded(printer, document))

    run(context, work)


def _text_of(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            text = opened.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error.strerror}; check the path") from error
    if len(text) > MAX_FILE_BYTES:
        raise UsageError(f"{file} is larger than {MAX_FILE_BYTES} bytes: that is no license file [TOO_LARGE]")
    return text


def _show_loaded(printer: Printer, document: dict[str, Any]) -> None:
    said = "stored" if document["changed"] else "is current already; nothing was changed"
    printer.line(f"license revision {document['revision']} {said}")
    printer.line(f"SHA-256 {document['sha256']}")
    for warning in document["warnings"]:
        printer.line(f"warning: {warning}")
    printer.rows(document["features"], _FEATURES, nothing="no features")


@app.command("show")
def show(
    context: typer.Context,
    revision: Annotated[int, typer.Option("--revision", help="0: the current one.")] = 0,
    text: Annotated[bool, typer.Option("--text", help="Print the text itself, byte for byte.")] = False,
) -> None:
    """Show the license in the database."""

    async def work(connection: Connection) -> None:
        answer = await connection.config.unary(GET_LICENSE, license_pb2.GetLicenseRequest(revision=revision))
        if text:
            typer.echo(answer.text, nl=False)
            return
        document: Document = {**_revision(answer.revision), "features": _features(answer.features)}
        connection.printer.document(document, lambda printer: _show_license(printer, document))

    run(context, work)


def _show_license(printer: Printer, document: dict[str, Any]) -> None:
    if not document["revision"]:
        printer.line("no license is stored: load one with confserv -license FILE")
        return
    printer.facts(
        {
            "Revision": document["revision"],
            "SHA-256": document["sha256"],
            "Stored": f"{document['stored']} by {document['stored_by']}",
        }
    )
    printer.line()
    printer.rows(document["features"], _FEATURES, nothing="no features")


@app.command("history")
def history(context: typer.Context) -> None:
    """List every license revision, newest first."""

    async def work(connection: Connection) -> None:
        answer = await connection.config.unary(
            LIST_LICENSE_REVISIONS, license_pb2.ListLicenseRevisionsRequest()
        )
        rows = [_revision(one) for one in answer.revisions]
        connection.printer.document(
            {"revisions": rows},
            lambda printer: printer.rows(rows, _REVISIONS, nothing="no license is stored"),
        )

    run(context, work)


@app.command("compliance")
def compliance(context: typer.Context) -> None:
    """Show the state of compliance and what is behind it."""

    async def work(connection: Connection) -> None:
        answer = await connection.config.unary(GET_COMPLIANCE, license_pb2.GetComplianceRequest())
        document = compliance_document(answer)
        connection.printer.document(document, lambda printer: _show_compliance(printer, document))

    run(context, work)


def _show_compliance(printer: Printer, document: dict[str, Any]) -> None:
    printer.facts(
        {
            "Compliance": document["compliance"],
            "Stage": document["stage"],
            "LRM": lrm_text(document["lrm"]),
        }
    )
    for one in document["findings"]:
        printer.line(f"{one['reason']}: {one['message']} (since {one['since']})")


def _revision(one: license_pb2.LicenseRevision) -> Document:
    return {
        "revision": one.revision,
        "sha256": one.sha256,
        "stored": moment(one.stored_ms),
        "stored_iso": iso(one.stored_ms),
        "stored_by": one.stored_by,
    }


def _features(features: Sequence[license_pb2.LicensedFeature]) -> list[Document]:
    return [
        {
            "feature": one.feature,
            "version": one.version,
            "count": one.count,
            "expires": one.expires or None,
            "expired": one.expired,
            "sellable_item": one.sellable_item,
        }
        for one in features
    ]
