"""`confctl usage …`: figures of the License Reporting Manager as table, JSON or CSV."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Annotated

import typer

from confapi.usage.v1 import usage_pb2
from confclient.documents import Document
from confclient.rpcs import GET_ENTITLEMENT, GET_USAGE_REPORT
from confclient.usage_report import SYSTEM, to_csv
from confctl.connection import Connection, run
from confctl.output import Columns, Printer, iso, moment
from confkit.tool import UsageError

app = typer.Typer(help="Use of sellable items and entitlement.", no_args_is_help=True)

Csv = Annotated[bool, typer.Option("--csv", help="Print CSV.")]

_REPORT = Columns(
    ("TENANT", "ITEM", "DAY", "PEAK", "AT", "ENTITLED", "BURST", "OVER", "OVER s", "FIRST OVER"),
    lambda row: (
        row["tenant"] or SYSTEM,
        row["item"],
        row["day"],
        row["peak"],
        row["peak_time"],
        _entitled(row),
        row["burst"],
        row["over_use"] or "",
        row["over_use_seconds"] or "",
        row["over_use_first"],
    ),
)
_LINES = Columns(
    ("ITEM", "TYPE", "UNIT", "QUANTITY", "BURST", "FROM", "UNTIL", "ORDER"),
    lambda row: (
        row["item"],
        row["type"],
        row["unit"],
        row["quantity"],
        row["burst"],
        row["start"],
        row["end"] or "never ends",
        row["order"],
    ),
)


@app.command("report")
def report(
    context: typer.Context,
    from_day: Annotated[
        str, typer.Option("--from", help="First day, as 2026-11-24 (UTC); default: today.")
    ] = "",
    to_day: Annotated[str, typer.Option("--to", help="Last day, included; default: the first.")] = "",
    tenant: Annotated[str, typer.Option("--tenant", help="Only this tenant.")] = "",
    item: Annotated[str, typer.Option("--item", help="Only this item.")] = "",
    as_csv: Csv = False,
) -> None:
    """Show daily peaks of concurrent use, beside what is entitled, with over-use."""

    async def work(connection: Connection) -> None:
        first = day_of(from_day) if from_day else datetime.now(UTC).date()
        last = day_of(to_day) if to_day else first
        if last < first:
            raise UsageError(f"--to {last} is before --from {first}")
        request = usage_pb2.GetUsageReportRequest(
            from_day=first.isoformat(), to_day=last.isoformat(), tenant=tenant, item=item
        )
        answer = await connection.component("lrm").unary(GET_USAGE_REPORT, request)
        if as_csv:
            sys.stdout.write(to_csv(answer.rows))
            return
        rows = [report_row(row) for row in answer.rows]
        document = {"license_revision": answer.license_revision, "rows": rows}
        connection.printer.document(
            document, lambda printer: printer.rows(rows, _REPORT, nothing="no use on these days")
        )

    run(context, work)


def day_of(text: str) -> date:
    """A day as 2026-11-24, today or yesterday; raises UsageError."""
    today = datetime.now(UTC).date()
    if text in ("today", "yesterday"):
        return today - timedelta(days=text == "yesterday")
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{text!r} is no day: write it as 2026-11-24") from None


def report_row(row: usage_pb2.UsageReportRow) -> Document:
    """A row of the report as a document; keys are stable. Tenant is empty in rows of the whole system."""
    return {
        "tenant": row.tenant,
        "item": row.item,
        "day": row.day,
        "peak": row.peak,
        "peak_time": moment(row.peak_time_ms),
        "peak_time_iso": iso(row.peak_time_ms),
        "seconds_at_peak": row.seconds_at_peak,
        "entitled": None if row.entitled < 0 else row.entitled,
        "unlimited": row.licensed and row.entitled < 0,
        "licensed": row.licensed,
        "burst": row.burst,
        "over_use": row.over_use,
        "over_use_seconds": row.over_use_seconds,
        "over_use_first": moment(row.over_use_first_ms),
        "over_use_first_iso": iso(row.over_use_first_ms),
        "over_burst": row.over_burst,
        "sessions": row.sessions,
    }


def _entitled(row: Document) -> str:
    if row["unlimited"]:
        return "unlimited"
    return str(row["entitled"]) if row["licensed"] else "not licensed"


@app.command("entitlement")
def entitlement(
    context: typer.Context,
    revision: Annotated[int, typer.Option("--revision", help="License revision; 0: the newest known.")] = 0,
    as_csv: Csv = False,
) -> None:
    """Show what was bought: the sellable items of the license, as LRM counts them."""

    async def work(connection: Connection) -> None:
        request = usage_pb2.GetEntitlementRequest(license_revision=revision)
        answer = await connection.component("lrm").unary(GET_ENTITLEMENT, request)
        lines = [_line(line) for line in answer.lines]
        if as_csv:
            sys.stdout.write(_lines_csv(lines))
            return
        document = {
            "license_revision": answer.license_revision,
            "license_sha256": answer.license_sha256,
            "effective": iso(answer.effective_ms),
            "lines": lines,
        }
        connection.printer.document(document, lambda printer: _show_entitlement(printer, document, lines))

    run(context, work)


def _show_entitlement(printer: Printer, document: Document, lines: Sequence[Document]) -> None:
    printer.facts({"License revision": document["license_revision"], "Counts since": document["effective"]})
    printer.line()
    printer.rows(lines, _LINES, nothing="the license has no sellable items")


def _line(line: usage_pb2.EntitlementLine) -> Document:
    return {
        "order": line.order,
        "item": line.item,
        "type": line.type,
        "unit": line.unit,
        "quantity": line.quantity,
        "burst": line.burst,
        "start": iso(line.start_ms),
        "end": iso(line.end_ms),
    }


def _lines_csv(lines: Sequence[Document]) -> str:
    target = io.StringIO()
    writer = csv.DictWriter(
        target, ("order", "item", "type", "unit", "quantity", "burst", "start", "end"), lineterminator="\n"
    )
    writer.writeheader()
    writer.writerows(lines)
    return target.getvalue()
